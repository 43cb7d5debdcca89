"""A language model as judge: what it is asked, how its verdict is read, how far to trust it."""
