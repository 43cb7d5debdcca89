"""Text from data, files, labels or recipes as it may stand in a terminal, on a card or a page, or in a JSON file:
nothing in it is a command."""

from __future__ import annotations

import re
import unicodedata

# Escape sequences go whole: what an ANSI colour, a title (OSC) or a device string leaves behind would be noise.
SEQUENCE = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ "
    "-/]*[@-~]|(?:\x1b[\\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]{0,4096}(?:\x07|\x1b\\\\|\x9c)|\x1b[ -/]*[0-~]"
)
JOINERS = "\u200c\u200d"  # invisible, but emoji and several scripts are spelled with them
CELL = 1000  # characters of one table cell
# What a terminal takes for a command, what moves other characters, and what shows nothing: controls, bidirectional
# and zero-width ones, fillers, tags, halves of characters. (Variation selectors of emoji are none.)
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
ACCENT = "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
TOWER = re.compile(f"({ACCENT}{{4}}){ACCENT}+")  # of accents, which covers the lines above


def plain(text: object) -> str:
    """The text without escape sequences, control and bidirectional characters; lone surrogates are shown as U+FFFD.
    Line ends and tabs stay."""
    value = str(text)
    if value.isascii() and value.isprintable():
        return value
    kept = []
    for c in SEQUENCE.sub("", value):
        kind = unicodedata.category(c)
        if c in "\n\t" or c in JOINERS or not (kind in ("Cc", "Cf", "Cs", "Zl", "Zp") or HIDDEN.match(c)):
            kept.append(c)
        elif kind == "Cs":
            kept.append("\ufffd")
    return TOWER.sub(r"\1", "".join(kept))


def visible(text: str) -> str:
    """The text for a page, where what is hidden is to be seen: HIDDEN characters are spelled out, ⟨U+202E⟩, and do
    nothing. Line ends become one kind."""
    if text.isascii() and text.isprintable():
        return text
    text = TOWER.sub(r"\1", text.replace("\r\n", "\n"))
    return HIDDEN.sub(lambda m: f"⟨U+{ord(m[0]):04X}⟩", text)


def escaped(text: str) -> str:
    """JSON in which HIDDEN characters are escaped: who prints the file is not commanded, who reads it gets the same."""
    return HIDDEN.sub(lambda m: _units(m[0]), text)


def _units(char: str) -> str:
    data = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{data[i]:02x}{data[i + 1]:02x}" for i in range(0, len(data), 2))


def bounded(text: object, most: int = CELL) -> str:
    """`plain` text of at most `most` characters, for one cell of a table; what was cut off is said."""
    found = plain(text)
    return found if len(found) <= most else f"{found[:most]} … ({len(found):,} characters)"
