"""Scoring answers: items and suites, scorers, extraction, the sandbox, and the table of scores."""
