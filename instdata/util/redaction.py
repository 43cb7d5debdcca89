"""Text without secrets, and whether a text holds one: plainly, or as base64, hexadecimals or percents write it, one
within another."""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import json
import os
import re
import unicodedata
import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from instdata.util.errors import InputError
from instdata.util.safe_text import plain
from instdata.util.secrets import (
    ADDRESS,
    BEARER,
    CREDENTIAL,
    GIVEN,
    cleaned,
    closed,
    given_secret,
    is_given,
    named_secret,
    secret_address,
    secret_name,
    secret_value,
)

REDACTED = "[redacted]"
SHORT = 6  # characters of a secret variable's value that is looked for; fewer stand in ordinary text
DEPTH = 3  # codings inside another
LONG = 1 << 18  # characters of a coded run that are decoded
END = r"(?:\r?\n|\\n|\\r\\n)"  # as it is, and as JSON writes it
PERCENTS = r"(?<![^\s\"'<>\\])[^\s\"'<>\\]*%[0-9A-Fa-f]{2}[^\s\"'<>\\]*"
CODED = re.compile(rf"{PERCENTS}|(?:[A-Za-z0-9+/]{{60,76}}{END})+[A-Za-z0-9+/]+={{0,2}}|[A-Za-z0-9+/_-]{{16,}}={{0,2}}")
# What may be coded, for a first look with RE2; and letters that are written otherwise than as themselves.
MAY_BE_CODED = r"[A-Za-z0-9+/_-]{24,}|%(?:40|3[aA]|2[fF]|25)"
APART = (  # eight letters or bytes, each by itself; an end of a line within a word
    r"(?:[^\s._-][\s._-]{1,3}){7}\S|(?:[0-9a-fA-F]{2}[\s:,;=%\\xX0-]{1,5}){7}|(?:\d{2,3}[\s,;]{1,3}){7}|[^\s=]=\r?\n\S"
)
DISGUISED = (
    r"\\u00[2-7]|&#x?[0-9a-fA-F]{2,4};|[\x{ad}\x{200b}-\x{200f}\x{2060}-\x{2064}\x{feff}\x{ff10}-\x{ff19}\x{ff21}-\x{ff3a}"
    r"\x{ff41}-\x{ff5a}]|\\x[2-7][0-9a-fA-F]\\x|[A-Za-z0-9_-][\x{300}-\x{36f}\x{fe00}-\x{fe0f}\x{e0100}-\x{e01ef}][A-Za-z0-9_-]"
)
BYTES = re.compile(CREDENTIAL.replace(r"\b", ""))  # among decoded bytes, where anything may stand before
Z85 = str.maketrans(  # ZeroMQ's letters of base85 in place of RFC 1924's
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~",
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#",
)
PRINTED = bytes(range(32, 127))
ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))")
# What shows nothing, or little, between two letters: joiners, variation selectors, accents (once they are apart).
BETWEEN = re.compile("[\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef\u0300-\u036f]")


def redact(text: str) -> str:
    """The text without keys, addresses' passwords, what headers and connection strings give, and the values of this
    process's secret variables, coded forms of each included."""
    return _redact(text, _held())


def _redact(text: str, held: re.Pattern[str] | None) -> str:
    if held is not None:
        text = held.sub(REDACTED, text)
    text = re.sub(CREDENTIAL, REDACTED, text)
    text = closed(ADDRESS.sub(lambda m: cleaned(m[0]), text))
    for form in (GIVEN, BEARER):
        text = form.sub(lambda m: m[1] + m[2] + REDACTED if is_given(m) else m[0], text)
    return CODED.sub(lambda m: REDACTED if _holds(m[0], DEPTH - 1, True, held) else m[0], text)


def shown(text: object) -> str:
    """The text as it may be printed: `plain` first, for a key that an invisible character splits is none until that is
    gone."""
    return redact(plain(text))


def redacted(value: Any) -> Any:
    """Plain data without secrets: every text in it, keys of mappings included."""
    held = _held()  # looked up once: that reads the whole environment

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {clean(k): clean(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [clean(v) for v in value]
        return _redact(value, held) if isinstance(value, str) else value

    return clean(value)


def secret_in(text: str, addresses: bool = True, own: bool = True) -> bool:
    """Whether a text that will be published holds a secret, plainly, coded, or in letters written otherwise. Without
    `addresses`, of addresses only those with a user and a password count: in texts that people wrote, a query that says
    token= is mostly an example. Without `own`, the values of this process's secret variables do not count."""
    held = _held() if own else None
    other = undisguised(text)
    return _in(text, DEPTH, addresses, held) or (other != text and _in(other, DEPTH, addresses, held))


def undisguised(text: str) -> str:
    """The text with escapes of JSON, code and HTML read, compatible letters as plain ones, and nothing invisible."""
    text = ESCAPE.sub(lambda m: chr(int(m[1] or m[2], 16)), html.unescape(text).replace("\\/", "/"))
    return BETWEEN.sub("", plain(unicodedata.normalize("NFKD", text)))


Held = re.Pattern[str] | None


def _in(text: str, depth: int, addresses: bool, held: Held) -> bool:
    return (
        (held is not None and held.search(text) is not None)
        or re.search(CREDENTIAL, text) is not None
        or (secret_address(text) is not None if addresses else closed(text) != text)
        or (depth > 0 and any(_holds(m[0], depth - 1, addresses, held) for m in CODED.finditer(text)))
    )


def held_values() -> Iterator[str]:
    """Values of secret variables: as they are, as JSON, HTML and addresses write them, as base64 and hexadecimals."""
    for _, value in _variables():
        raw = value.encode("utf-8", "surrogateescape")
        spelled = [json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], html.escape(value)]
        percents = [quote(raw, safe=""), quote_plus(raw), quote(raw)]
        coded = [base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("=")]
        yield from dict.fromkeys([value, *spelled, *percents, *coded, raw.hex(), raw.hex().upper(), *_aligned(raw)])


def _aligned(raw: bytes) -> Iterator[str]:
    """A value in base32 and base85, wherever in a longer text it begins: what of it does not hang on its neighbours;
    and turned round or by 13 letters."""
    for before in range(5):
        coded = base64.b32encode(bytes(before) + raw).decode().rstrip("=")
        yield coded[-(-before * 8 // 5) : (before + len(raw)) * 8 // 5]
    for start in range(4):
        part = raw[start : len(raw) - (len(raw) - start) % 4]
        if len(part) >= 8:
            plain85 = base64.b85encode(part).decode()
            yield from (plain85, plain85.translate(Z85), base64.a85encode(part).decode())
    text = raw.decode("utf-8", "replace")
    if len(text) >= 8 and not text.isalpha() and not text.isdigit():
        yield from (text[::-1], codecs.encode(text, "rot13"))


def _apart(value: str) -> Iterator[str]:
    """Patterns of a value whose letters stand apart, or that an end of a line breaks (quoted-printable's), and of its
    bytes as numbers (68 66 5f, \\x68, =68, 104, 102)."""
    if len(value) < 8 or value.isalpha() or value.isdigit():
        return
    raw = value.encode("utf-8", "surrogateescape")
    yield r"[\s._-]{1,3}".join(map(re.escape, value))
    yield r"(?:=\r?\n)?".join(map(re.escape, value))
    yield r"[\s:,;=%\\xX0-]{1,5}".join(f"(?i:{b:02x})" for b in raw)
    yield r"\b" + r"[\s,;]{1,3}".join(map(str, raw)) + r"\b"


def held_by(text: str) -> str | None:
    """The secret variable whose value a text holds, as it is; a single word may stand anywhere and is none."""
    return next((name for name, value in _variables() if value in text and not value.isalpha()), None)


def _variables() -> Iterator[tuple[str, str]]:
    """Names and values of this process's secret variables that are looked for."""
    for name, value in os.environ.items():
        enough = len(value) >= (SHORT if re.search(r"\d", value) and re.search(r"\D", value) else 8)
        if enough and secret_name(name, value) and not os.path.exists(value):
            yield name, value


def held_pattern() -> str:
    """`held_values` as one pattern, the longest first; empty where there is none. RE2 reads it too."""
    return "|".join(re.escape(v) for v in sorted(set(held_values()), key=lambda v: (-len(v), v)))


def _held() -> re.Pattern[str] | None:
    return _compiled(tuple(os.environ.items()))


@lru_cache(maxsize=4)
def _compiled(environment: tuple[tuple[str, str], ...]) -> re.Pattern[str] | None:
    found = "|".join(filter(None, [held_pattern(), *(p for _, value in _variables() for p in _apart(value))]))
    return re.compile(found) if found else None


def _holds(run: str, depth: int, addresses: bool, held: Held) -> bool:
    """Whether a coded run holds a key, an address with a password, or the value of a secret variable (user:password
    shifts it, so that its own base64 does not show)."""
    if len(run) > LONG:
        return False
    if "%" in run:
        return _in(unquote(run, errors="replace"), depth, addresses, held)
    run = re.sub(END, "", run)
    for data in map(_unpacked, _decoded(run)):
        printed = len(data) - len(data.translate(None, PRINTED)) >= 0.9 * len(data)
        if len(data) > 1 << 12 and not printed:  # a picture; a key's base64 at another place
            continue
        text = data.decode("latin-1")
        if BYTES.search(text) or (held and held.search(text)) or (printed and _in(text, depth, addresses, held)):
            return True
    return False


def _unpacked(data: bytes) -> bytes:
    """What gzip or zlib packed, its beginning where it is much; other bytes as they are."""
    if data[:2] not in (b"\x1f\x8b", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"):
        return data
    try:
        return zlib.decompressobj(47).decompress(data, LONG)
    except zlib.error:
        return data


def _decoded(run: str) -> Iterator[bytes]:
    """What a run may stand for: hexadecimals, base32, and base64 that begins at each of four places."""
    if re.fullmatch(r"[A-Z2-7]{24,}=*", run):
        for start in range(8):
            part = run.rstrip("=")[start:]
            part = part[: len(part) - (len(part) % 8 in (1, 3, 6))]
            yield base64.b32decode(part + "=" * (-len(part) % 8))
    if re.fullmatch(r"(?:[0-9a-fA-F]{2})+", run):
        yield bytes.fromhex(run)
    letters = run.rstrip("=").replace("-", "+").replace("_", "/")
    for start in range(4):
        part = letters[start:]
        part = part[: len(part) - (len(part) % 4 == 1)]
        try:
            yield base64.b64decode(part + "=" * (-len(part) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue


def no_secret(text: str, what: str) -> None:
    """Nothing for a text of a person's that will be kept and published. Raises InputError where it holds a secret,
    which is not told."""
    if secret_in(text) or given_secret(text) or named_secret(text) or secret_value(text, literal=True) or held_by(text):
        raise InputError(
            f"{what}: this holds what looks like a key, a token or a password, and it is kept: leave that out"
        )
