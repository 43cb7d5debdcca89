"""Quality: named rules, language, and scores by a classifier, a language model or a judge. Start at rule_table.py and
step.py."""
