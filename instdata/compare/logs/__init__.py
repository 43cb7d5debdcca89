"""Evaluation logs of any harness, read as rows of (task, item, scores)."""
