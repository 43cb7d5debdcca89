"""Whether JSON breaks off: text that more text would make a value, as a download or a copy that was ended leaves it.
A line that is merely wrong is none of that."""

from __future__ import annotations

import json
import re

MOST = 4 << 20  # bytes of a value that is looked at
TRUNCATED = "the file is truncated; fetch it again"
TAIL = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?$")  # an escape that is not whole
WORDS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
WORD = re.compile(r"[-+.\w]+$")
NUMBER = re.compile(r"-?(?:\d+\.?\d*(?:[eE][-+]?\d*)?)?")
STRUCTURE = re.compile(r'["{}\[\]]')
STRING = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*')


def breaks_off(raw: bytes) -> bool:
    """Whether some text could follow `raw` so that both are one JSON object or array, which `raw` alone is not. Tried
    by closing what is open: a string, a word, a key without its value, brackets."""
    text = _whole_characters(raw.removeprefix(b"\xef\xbb\xbf").lstrip()) if len(raw) <= MOST else None
    if text is None or text[:1] not in ("{", "["):
        return False
    open_ = _open(text)
    if open_ is None:
        return False
    closers, in_string = open_
    if not closers and not in_string:
        return False
    if in_string:
        cut = TAIL.sub("", text) if _odd(text) else re.sub(r"\\u[0-9a-fA-F]{0,3}$", "", text)
        ends = [f'{cut}"', f'{cut}":null']
    else:
        word = WORD.search(text)
        known = word and (any(w.startswith(word[0]) for w in WORDS) or NUMBER.fullmatch(word[0]))
        ends = [text, text + ":null", text + "null", text.rstrip().removesuffix(",")]
        ends += [text[: word.start()] + "0"] if word and known else []
    return any(_parses(end + closers) for end in ends)


def _whole_characters(raw: bytes) -> str | None:
    """The text without the part of a character that it may end with; None where it is no UTF-8."""
    for short in range(4):
        try:
            return raw[: len(raw) - short].decode()
        except UnicodeDecodeError:
            continue
    return None


def _open(text: str) -> tuple[str, bool] | None:
    """(the brackets that close what is open, whether a string is open) at the end of a text; None where brackets do
    not fit, or the text goes on behind its first value."""
    closers: list[str] = []
    at = 0
    while found := STRUCTURE.search(text, at):
        mark, at = found[0], found.end()
        if mark == '"':
            at = STRING.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing, too
            if text[at : at + 1] != '"':
                return "".join(reversed(closers)), True
            at += 1
        elif mark in "{[":
            closers.append("}" if mark == "{" else "]")
        elif not closers or closers.pop() != mark:
            return None
        if not closers and at < len(text):
            return None
    return "".join(reversed(closers)), False


def _odd(text: str) -> bool:
    """Whether a text ends with a backslash that nothing follows, or with half an escape."""
    slashes = len(text) - len(text.rstrip("\\"))
    return slashes % 2 == 1


def _parses(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
