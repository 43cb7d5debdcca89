"""Quality: named rules, language, and scores by a classifier, a language model or a judge. Start at rules.py and
step.py."""
