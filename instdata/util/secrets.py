"""What looks like a secret: a name, a value, an address; and text without any.

Secrets come from the environment and stay there. A recipe that holds one is refused, for recipes are kept and
published; what is written for others (manifest, run record, cards, messages) is searched and redacted, base64 forms
included.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

REDACTED = "[redacted]"
CREDENTIAL = (
    r"\bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{20,}|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}|\bgithub_pat_[A-Za-z0-9_]{22,}|\bhf_[A-Za-z0-9]{30,}|"
    r"\bxox[abprs]-[A-Za-z0-9-]{10,}|\bAIza[0-9A-Za-z_-]{35}|-----BEGIN (?:RSA |EC |OPENSSH |DSA |PGP |ENCRYPTED )?PRIVATE KEY|"  # noqa: E501
    r"\beyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{10,}|\b[sr]k_live_[0-9a-zA-Z]{20,}|\bglpat-[A-Za-z0-9_-]{20}|\bnpm_[A-Za-z0-9]{36}|\bpypi-AgE[A-Za-z0-9_-]{50,}"
)
# Parts of a variable's name (between underscores) that say what it holds, and ends of glued ones.
WORDS = {
    "KEY", "APIKEY", "TOKEN", "TOKENS", "SECRET", "SECRETS", "PASSWORD", "PASSWD", "PASSPHRASE", "PASS", "PWD", "PW",
    "PAT", "PIN", "CREDENTIAL",
    "CREDENTIALS", "CRED", "CREDS", "BEARER", "AUTH", "AUTHORIZATION", "OAUTH", "PRIVATE", "DSN", "COOKIE", "COOKIES",
    "JWT", "SAS", "WEBHOOK",
    "SALT", "SIGNATURE", "CONNECTION",
}  # fmt: skip
ENDS = (
    "APIKEY",
    "ACCESSKEY",
    "SECRETKEY",
    "PRIVATEKEY",
    "AUTHKEY",
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIALS",
)
STORES = re.compile(r"(?:^|_)(?:DATABASE|DB|REDIS|MONGO\w*|POSTGRES\w*|PG|MYSQL|MARIADB|AMQP|RABBITMQ|BROKER|SQL\w*|ES|ELASTIC\w*|SENTRY|CELERY\w*|KAFKA)_(?:URL|URI)(?:_|$)")  # fmt: skip  # noqa: E501
# Names under which a request carries what unlocks something; `stop_token` and `max_tokens` are none.
UNLOCKS = re.compile(
    r"(?i)(?:^|[_-])(?:api|access|secret|private|auth|client)[_-]?(?:key|token)$|(?:password|passwd|passphrase|secret|credentials?|authorization|bearer)$"
)
HARMLESS = re.compile(r"(?:^|_)(?:REVISION|COMMIT|SHA\d*|DIGEST|HASH|CHECKSUM)(?:_|$)")
PARAMETERS = re.compile(r"(?i)key|token|secret|pass(?:w|$)|pwd|auth|sig(?:nature)?$|credential|code$|session")
BOXES = ("abfs", "abfss", "wasb", "wasbs")  # Azure's addresses are container@account, which is no user
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s'\"<>\\)\]}`]+")
UNLOCKED = (
    r"[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s/:@]{1,64}:[^\s/@]{1,128}@"  # user and password in an address; RE2 reads it
)
RUN = re.compile(r"[A-Za-z0-9+=_-]{20,}")
# A value that is given to something with a secret's name, as code, settings and headers write it. RE2 reads it too.
NAMED = (
    r"(?i)(?:key|token|secret|passwd|password|pwd|bearer|authorization|credentials?|密钥|口令|令牌)[\"'\x60\])]{0,3}\s{0,3}(?:[:=：]|=>|\s)\s{0,3}[\"'\x60]?"
    r"(?:(?:Bearer|Basic|Token)\s)?([A-Za-z0-9+=_-]{20,})"
)
COUNTING = re.compile(
    r"(?i)abcdefg|0123456|1234567|x{5}|example|sample|dummy|your"
)  # an alphabet or a stand-in, no key
BASE64 = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")


def secret_name(name: str) -> bool:
    """Whether an environment variable's name says that it holds a secret."""
    upper = name.upper()
    parts = upper.split("_")
    return bool(WORDS & set(parts)) or any(p.endswith(ENDS) for p in parts) or bool(STORES.search(upper))


def secret_value(value: str, name: str = "") -> bool:
    """Whether a value is a secret by its form: a known kind of key, an address with one, or a long run of letters and
    digits that no language writes. `name`: the variable's; revisions and digests are no secrets."""
    if re.search(CREDENTIAL, value) or secret_address(value):
        return True
    if HARMLESS.search(name.upper()) or os.path.exists(value):
        return False
    return any(_random(run) for run in RUN.findall(value))


def _random(run: str) -> bool:
    """Entropy over 3.5 bits a character, digits among letters, and no words joined by dashes."""
    letters, digits = sum(c.isalpha() for c in run), sum(c.isdigit() for c in run)
    if not letters or digits < 2 or max(map(len, re.split(r"[-_=+]", run))) < 16:
        return False
    count = Counter(run)
    bits = -sum(n / len(run) * math.log2(n / len(run)) for n in count.values())
    return bits > (3.0 if re.fullmatch(r"[0-9a-f]+|[0-9A-F]+", run) else 3.5)


def named_secret(text: str) -> str | None:
    """The first value in a text that is given to something called key, token or the like and that no language writes:
    its form is of no known kind, so name and entropy together tell. Alphabets, stand-ins and plain words are none."""
    for match in re.finditer(NAMED, text):
        if _random(match[1]) and not COUNTING.search(match[1]):
            return match[1]
    return None


def secret_address(text: str) -> str | None:
    """The first address in a text that carries a password, a user alone, or a key in its query; without those parts."""
    for match in ADDRESS.finditer(text):
        if (clean := _cleaned(match[0])) != match[0]:
            return clean
    return None


def _cleaned(address: str) -> str:
    try:
        parts = urlsplit(address)
        query = parse_qsl(parts.query, keep_blank_values=True)
        held = [k for k, v in query if v and (PARAMETERS.search(k) or re.search(CREDENTIAL, v))]
    except ValueError:
        return address
    user, _, host = parts.netloc.rpartition("@")
    if parts.scheme in BOXES and ":" not in user:
        host = parts.netloc
    if host == parts.netloc and not held:
        return address
    return parts._replace(netloc=host, query="" if held else parts.query).geturl()


def redact(text: str) -> str:
    """The text without keys, addresses' passwords and the values of this process's secret variables, base64 of each
    included."""
    for value in held_values():
        text = text.replace(value, REDACTED)
    text = re.sub(CREDENTIAL, REDACTED, text)
    text = ADDRESS.sub(lambda m: _cleaned(m[0]), text)
    return BASE64.sub(lambda m: REDACTED if _holds(m[0]) else m[0], text)


def secret_in(text: str) -> bool:
    """Whether a text that will be published holds a secret, plainly or in base64."""
    return (
        re.search(CREDENTIAL, text) is not None
        or secret_address(text) is not None
        or any(value in text for value in held_values())
        or any(_holds(m[0]) for m in BASE64.finditer(text))
    )


def held_values() -> Iterator[str]:
    """Values of secret variables: as they are, as JSON writes them, as base64 (of itself, of user:value), padded or
    not."""
    for name, value in os.environ.items():
        if len(value) >= 8 and secret_name(name) and not os.path.exists(value):
            yield value
            yield from {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]} - {value}
            for coded in (
                base64.b64encode(value.encode("utf-8", "surrogateescape")),
                base64.urlsafe_b64encode(value.encode("utf-8", "surrogateescape")),
            ):
                yield coded.decode().rstrip("=")


def _holds(run: str) -> bool:
    """Whether a run of base64 holds a key, an address with a password, or the value of a secret variable (user:password
    shifts it, so that its own base64 does not show)."""
    if len(run) > 1 << 16:
        return False
    stripped = run.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        plain = base64.b64decode(
            stripped[: len(stripped) // 4 * 4 + (len(stripped) % 4 if len(stripped) % 4 > 1 else 0)]
            + "=" * (-len(stripped) % 4 % 3),
            validate=True,
        )
    except (binascii.Error, ValueError):
        return False
    if sum(32 <= b < 127 for b in plain) < 0.9 * len(plain):
        return False
    text = plain.decode("latin-1")
    return (
        re.search(CREDENTIAL, text) is not None
        or secret_address(text) is not None
        or any(v in text for v in held_values())
    )
