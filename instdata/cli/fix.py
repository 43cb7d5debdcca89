"""What mends an error, for machines: read from the two ways in which our messages say it.

A command between backquotes (or after `pip`, or `See:`) is to be run; `"x" … Did you mean "y"?` is a word to be
replaced.
"""

from __future__ import annotations

import re
import shlex

COMMAND = re.compile(r"`(instdata [^`]+)`|(pip install '[^']+')|See: (instdata [\w -]+)")
MEANT = re.compile(r"Did you mean [\"']?([^\"'?]+?)[\"']?\?|\(Possible options: ([\w-]+)")
QUOTED = re.compile(r"\"([^\"]+)\"|'([^']+)'|([\w./-]+)")
UNSURE = re.compile(r"\b[A-Z]{2,}\b")  # a placeholder: RECIPE, NAME


def fixes(problems: list[tuple[str, int | None, str]], code: int, argv: list[str]) -> list[dict[str, str | int]]:
    """What to do about problems, (file, line, message) each: [{"run": command}] or [{"replace", "with", "file",
    "line"}].

    A run that was interrupted or ran out of a budget is run again as it was. Empty where only a person knows."""
    found: list[dict[str, str | int]] = []
    for file, line, message in problems:
        if meant := MEANT.search(message):
            wrong = _quoted_before(message[: meant.start()])
            place: dict[str, str | int] = {"file": file} if file else {}
            place |= {"line": line} if line is not None else {}
            found.append({"replace": wrong, "with": meant[1] or meant[2], **place})
        found += [{"run": command} for match in COMMAND.finditer(message) for command in match.groups() if command]
    if code == 130 or (code == 4 and not found):
        found.append({"run": shlex.join(["instdata", *argv])})
    runs = [f for f in found if "run" in f and not UNSURE.search(str(f["run"]))]
    return [f for f in found if "run" not in f or f in runs or not runs]


def _quoted_before(text: str) -> str:
    """The last quoted word of a text, else its last word: what was written wrongly."""
    found = [next(filter(None, groups)) for groups in QUOTED.findall(text)]
    quoted = re.findall(r"\"([^\"]+)\"|'([^']+)'", text)
    return next(filter(None, quoted[-1])) if quoted else found[-1] if found else ""
