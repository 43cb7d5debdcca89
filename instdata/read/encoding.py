"""Which encoding a text is in, by its bytes, and text of any encoding as UTF-8."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
HEAD = 1 << 16  # bytes of a file that are looked at
SOME = 5  # lines that are not UTF-8, where no other is more than ASCII: it may be the file that is none
SURE = 0.7  # share of a text's characters that must be usual ones before an encoding is believed
# What a file that is not UTF-8 is tried as, for advice: the encodings of the languages that instruction data comes in.
TRIED = ("gb18030", "shift_jis", "euc_jp", "big5", "euc_kr", "cp1251", "cp1252")


NO_TEXT = "not text in an encoding known here"


def known(name: str) -> bool:
    """Whether Python can decode an encoding of this name into text."""
    try:
        return codecs.lookup(name)._is_text_encoding
    except (LookupError, ValueError):
        return False


def guess(head: bytes) -> tuple[str | None, str]:
    """(encoding of a text by its first bytes, advice) — an encoding only where the bytes leave no doubt, else None and
    the encodings that fit them. A text of which most lines are UTF-8 is UTF-8: its other lines are broken."""
    for bom, name in BOMS:
        if head.startswith(bom):
            return name, ""
    wide = _wide(head)
    if wide:
        return wide, ""
    if _mostly_utf8(head):
        return "utf-8", ""
    fits = [name for name in TRIED if _decodes(head, name)]
    if "shift_jis" in fits and _share(head, "shift_jis", _kana) > 0.25:
        return "shift_jis", ""
    if "gb18030" in fits and _share(head, "gb18030", _common_hanzi) > SURE and _share(head, "gb18030", _kana) < 0.05:
        korean = "euc_kr" in fits and _share(head, "euc_kr", _hangul) > SURE
        if not korean:
            return "gb18030", ""
    if not _all_broken(head) and not (fits and _none_utf8(head)):
        return "utf-8", ""
    return None, _fitting(fits)


def _fitting(fits: list[str]) -> str:
    if not fits:
        return NO_TEXT
    return f"not UTF-8; these encodings fit its bytes: {', '.join(fits)}"


def _all_broken(head: bytes) -> bool:
    """Whether nearly no line is UTF-8: then it is the file that is in another encoding, not some of its lines."""
    rows = [line for line in head.split(b"\n") if line.strip()]
    return sum(not _decodes(line, "utf-8") for line in rows) >= 0.9 * len(rows)


def _none_utf8(head: bytes) -> bool:
    """Whether there are SOME lines beyond ASCII and none of them is UTF-8."""
    marked = [line for line in head.split(b"\n") if not line.isascii()]
    return len(marked) >= SOME and not any(_decodes(line, "utf-8") for line in marked)


def advice(line: bytes) -> str:
    """What to do about one line that is not UTF-8 in a file that is."""
    name, fits = guess(line)
    if name and name != "utf-8":
        return f"not UTF-8; its bytes read as {name.upper()}: write it as UTF-8"
    return f"{fits or 'not UTF-8'}: write it as UTF-8"


def transcode(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The same text as UTF-8. Bytes that do not fit the encoding come out as bytes that are not UTF-8: they cost
    their records. Raises UnicodeDecodeError where even that cannot be (UTF-16 and UTF-32 cut within a character)."""
    wide = codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass" if wide else "surrogateescape")
    errors = "surrogatepass" if wide else "surrogateescape"
    for piece in pieces:
        yield decoder.decode(piece).encode("utf-8", errors)
    yield decoder.decode(b"", True).encode("utf-8", errors)


def _wide(head: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of its JSON or CSV is NUL."""
    part = head[: len(head) // 2 * 2]
    if len(part) < 4 or part.count(0) < len(part) // 8:
        return None
    even, odd = part[0::2].count(0), part[1::2].count(0)
    if odd > 8 * even and part[0]:
        return "utf-16-le"
    if even > 8 * odd and part[1]:
        return "utf-16-be"
    return None


def _mostly_utf8(head: bytes) -> bool:
    if _decodes(head, "utf-8"):
        return True
    marked = [line for line in head.split(b"\n") if not line.isascii()]
    good = sum(_decodes(line, "utf-8") for line in marked)
    # Lines of plain ASCII say nothing. One broken line among ASCII ones is a broken line, not a file's encoding.
    return good * 2 > len(marked) or (good == 0 and len(marked) < SOME and len(marked) * 4 <= head.count(b"\n"))


def _decodes(data: bytes, encoding: str) -> bool:
    try:  # not final: the head may end within a character
        codecs.getincrementaldecoder(encoding)("strict").decode(data)
    except UnicodeDecodeError:
        return False
    return True


def _share(data: bytes, encoding: str, usual) -> float:
    """Share of the characters beyond ASCII that are usual ones."""
    text = codecs.getincrementaldecoder(encoding)("strict").decode(data)
    beyond = [c for c in text if c > "\x7f"]
    return sum(map(usual, beyond)) / len(beyond) if beyond else 0.0


def _kana(char: str) -> bool:
    return "\u3041" <= char <= "\u30fe"


def _hangul(char: str) -> bool:
    return "\uac00" <= char <= "\ud7a3"


def _common_hanzi(char: str) -> bool:
    """GB2312's first level (the 3,755 usual characters, rows 16 to 55) and its punctuation (rows 1 and 3)."""
    code = char.encode("gb18030")
    return len(code) == 2 and code[1] >= 0xA1 and (0xB0 <= code[0] <= 0xD7 or code[0] in (0xA1, 0xA3))
