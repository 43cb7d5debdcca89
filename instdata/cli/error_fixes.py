"""What mends an error, for machines: read from the two ways in which our messages say it.

A command between backquotes (or after `pip`, or `See:`) is to be run; `"x" … Did you mean "y"?` is a word to be
replaced.
"""

from __future__ import annotations

import re
import shlex
from difflib import SequenceMatcher

COMMAND = re.compile(r"`(instdata [^`]+)`|(pip install '[^']+')|See: (instdata [\w -]+)")
MEANT = re.compile(r"Did you mean [\"']?([^\"'?]+?)[\"']?\?|\(Possible options: ([\w-]+)")
WORD = re.compile(r"[\w./-]*[\w/]")
NEAR = 0.6  # as util.yaml.did_you_mean
UNSURE = re.compile(r"\b[A-Z]{2,}\b")  # a placeholder: RECIPE, NAME


def fixes(problems: list[tuple[str, int | None, str]], code: int, argv: list[str]) -> list[dict[str, str | int]]:
    """What to do about problems, (file, line, message) each: [{"run": command}] or [{"replace", "with", "file",
    "line"}].

    A run that was interrupted or ran out of a budget is run again as it was. Empty where only a person knows."""
    found: list[dict[str, str | int]] = []
    for file, line, message in problems:
        if meant := MEANT.search(message):
            right = meant[1] or meant[2]
            wrong = _wrong(message[: meant.start()], right, argv)
            place: dict[str, str | int] = {"file": file} if file else {}
            place |= {"line": line} if line is not None else {}
            found.append({"replace": wrong, "with": right, **place})
        found += [{"run": command} for match in COMMAND.finditer(message) for command in match.groups() if command]
    if code == 130 or (code == 4 and not found):
        found.append({"run": shlex.join(["instdata", *argv])})
    runs = [f for f in found if "run" in f and not UNSURE.search(str(f["run"]))]
    return [f for f in found if "run" not in f or f in runs or not (runs or "replace" in found[0])]


def _wrong(text: str, right: str, argv: list[str]) -> str:
    """What was written wrongly: a word of the command that the text names and that is near to what is right; else the
    last quoted word; else the nearest of all."""
    near = {a: SequenceMatcher(None, a, right).ratio() for a in argv if a in text and a != right}
    if near and max(near.values()) >= NEAR:
        return max(near, key=near.__getitem__)
    quoted = re.findall(r"\"([^\"]+)\"|'([^']+)'", text)
    if quoted:
        return next(filter(None, quoted[-1]))
    words = [w for w in WORD.findall(text) if w != right]
    return max(
        [a for a in argv if a in words] or words, key=lambda w: SequenceMatcher(None, w, right).ratio(), default=""
    )


def usage(message: str) -> str:
    """A usage error of the command line as one sentence; a word that is none of a few, with the one that was meant."""
    from instdata.util.yaml import did_you_mean

    message = message.replace("Value error, ", "").replace("Input should be", "it should be").rstrip(".")
    if few := re.search(r"'([^']*)' is not one of ((?:'[^']*'(?:, )?)+)", message):
        known = re.findall(r"'([^']*)'", few[2])
        return f"{message}.{did_you_mean(few[1], known)}"
    return f"{message}."
