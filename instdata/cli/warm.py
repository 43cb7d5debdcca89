"""Compiles every kernel, at install time: `python -m instdata.cli.warm`."""

from __future__ import annotations

from instdata.steps.warm import warm

if __name__ == "__main__":
    warm()
