"""Selection: the share of the rows that a method ranks first, for a target or for none. Start at step.py."""
