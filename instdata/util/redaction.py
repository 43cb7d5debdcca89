"""Text without secrets, and whether a text holds one: plainly, or as base64, hexadecimals or percents write it, one
within another."""

from __future__ import annotations

import base64
import binascii
import html
import json
import os
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from instdata.util.safe_text import plain
from instdata.util.secrets import (
    ADDRESS,
    BEARER,
    CREDENTIAL,
    GIVEN,
    cleaned,
    closed,
    is_given,
    secret_address,
    secret_name,
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
DISGUISED = (
    r"\\u00[2-7]|&#x?[0-9a-fA-F]{2,4};|[\x{ad}\x{200b}-\x{200f}\x{2060}-\x{2064}\x{feff}\x{ff10}-\x{ff19}\x{ff21}-\x{ff3a}"
    r"\x{ff41}-\x{ff5a}]|\\x[2-7][0-9a-fA-F]\\x|[A-Za-z0-9_-][\x{300}-\x{36f}\x{fe00}-\x{fe0f}\x{e0100}-\x{e01ef}][A-Za-z0-9_-]"
)
BYTES = re.compile(CREDENTIAL.replace(r"\b", ""))  # among decoded bytes, where anything may stand before
PRINTED = bytes(range(32, 127))
ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))")
# What shows nothing, or little, between two letters: joiners, variation selectors, accents (once they are apart).
BETWEEN = re.compile("[\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef\u0300-\u036f]")


def redact(text: str) -> str:
    """The text without keys, addresses' passwords, what headers and connection strings give, and the values of this
    process's secret variables, coded forms of each included."""
    return _redact(text, _held())


def _redact(text: str, held: Held) -> str:
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
    return _redacted(value, _held())  # the environment is looked through once, not once a text


def _redacted(value: Any, held: Held) -> Any:
    if isinstance(value, dict):
        return {_redact(k, held) if isinstance(k, str) else k: _redacted(v, held) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redacted(v, held) for v in value]
    return _redact(value, held) if isinstance(value, str) else value


def secret_in(text: str, addresses: bool = True, own: bool = True) -> bool:
    """Whether a text that will be published holds a secret, plainly, coded, or in letters written otherwise. Without
    `addresses`, of addresses only those with a user and a password count: in texts that people wrote, a query that says
    token= is mostly an example. Without `own`, the values of this process's secret variables do not count."""
    held = _held() if own else None
    other = undisguised(text)
    return _in(text, DEPTH, addresses, held) or (other != text and _in(other, DEPTH, addresses, held))


def undisguised(text: str) -> str:
    """The text with escapes of JSON, code and HTML read, compatible letters as plain ones, and nothing invisible."""
    text = ESCAPE.sub(lambda m: chr(int(m[1] or m[2], 16)), html.unescape(text))
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
        yield from dict.fromkeys([value, *spelled, *percents, *coded, raw.hex(), raw.hex().upper()])


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
    found = held_pattern()
    return re.compile(found) if found else None


def _holds(run: str, depth: int, addresses: bool, held: Held) -> bool:
    """Whether a coded run holds a key, an address with a password, or the value of a secret variable (user:password
    shifts it, so that its own base64 does not show)."""
    if len(run) > LONG:
        return False
    if "%" in run:
        return _in(unquote(run, errors="replace"), depth, addresses, held)
    run = re.sub(END, "", run)
    for data in _decoded(run):
        printed = len(data) - len(data.translate(None, PRINTED)) >= 0.9 * len(data)
        if len(data) > 1 << 12 and not printed:  # a picture; a key's base64 at another place
            continue
        text = data.decode("latin-1")
        if BYTES.search(text) or (held and held.search(text)) or (printed and _in(text, depth, addresses, held)):
            return True
    return False


def _decoded(run: str) -> Iterator[bytes]:
    """What a run may stand for: hexadecimals, and base64 that begins at each of four places."""
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
