"""The harness: train on what was built, score every ability, compare."""
