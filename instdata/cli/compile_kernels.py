"""Compiles every kernel, at install time: `python -m instdata.cli.compile_kernels`."""

from __future__ import annotations

from instdata.steps.compile_kernels import warm

if __name__ == "__main__":
    warm()
