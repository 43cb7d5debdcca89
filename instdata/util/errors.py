"""The errors a user can meet. Each carries the exit code that the command line returns for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# What the command line returns; the classes below say which of them is whose.
EXIT_CODES = {
    0: "done",
    1: "failed, or what was checked does not hold (verify, audit --fail-if)",
    2: "bad recipe or arguments: nothing was run",
    3: "undecided (ablate)",
    4: "a budget or the share of bad rows was reached; the same command again resumes",
    130: "interrupted; the same command again resumes",
}

MOST = 1500  # characters of one message


class InstdataError(Exception):
    """Something failed; the message says what, where and what to do about it."""

    exit_code = 1


class BuildError(InstdataError):
    """The build contradicts itself (conservation) or cannot go on."""


class InputError(InstdataError):
    """A bad recipe, argument or input: nothing was run.

    `problems` holds every problem found, one `(file, line, message)` each; line is None where it has none.
    """

    exit_code = 2

    def __init__(self, problems: str | Sequence[tuple[str, int | None, str]]):
        self.problems: list[tuple[str, int | None, str]]
        self.problems = [("", None, problems)] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(format_problem(*p) for p in self.problems))


class OutOfTime(BaseException):
    """The processor time that the system gives is used up. No Exception: what goes on after a row's error must stop."""


class DamagedInput(InputError):
    """Files that are not what they should be: cut off, a pointer in their place, links to nowhere. Nothing was run."""

    exit_code = 4


class BudgetReached(InstdataError):
    """A money, request, token or error budget ran out. What was done is kept; running again resumes."""

    exit_code = 4


class MissingExtra(InputError):
    """An optional package is needed. Raised where it is imported, so that the base install stays small."""

    def __init__(self, what: str, extra: str):
        self._args = (what, extra)
        super().__init__(f"{what} needs an optional package: pip install 'instdata[{extra}]'")

    def __reduce__(self) -> tuple[Any, ...]:  # a worker may raise it
        return type(self), self._args


def format_problem(file: str, line: int | None, message: str) -> str:
    """`file:line: message`, leaving out what is unknown; a message that quotes a whole text is cut."""
    where = file if line is None else f"{file}:{line}"
    message = message if len(message) <= MOST else f"{message[:MOST]} … ({len(message):,} characters)"
    return f"{where}: {message}" if where else message
