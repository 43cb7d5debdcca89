"""What looks like a secret: a name, a value, an address.

Secrets come from the environment and stay there. A recipe that holds one is refused, for recipes are kept and
published; what is written for others is searched by `redaction`.

Name and value decide together. A name that can hold nothing else (password, api_key, webhook …) is enough; one that
often holds a plain word (session, auth, login …) needs a value that is none; and under any name a value tells: by a
known form, by an address that unlocks something, by a connection string, or as a run of characters that no language
writes. UUIDs, and as literals digests in hexadecimals, are names of things unless their own name says otherwise.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from itertools import pairwise
from urllib.parse import unquote

# Forms of keys, and addresses whose path alone lets one write somewhere.
KEYS = (
    r"\bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{20,}", r"\bA(?:KIA|SIA)[0-9A-Z]{16}\b", r"\bgh[pousr]_[A-Za-z0-9]{36}",
    r"\bgithub_pat_[A-Za-z0-9_]{22,}", r"\bhf_[A-Za-z0-9]{20,}", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    r"\bxapp-\d-[A-Za-z0-9-]{10,}", r"\bAIza[0-9A-Za-z_-]{35}",
    r"-----BEGIN (?:RSA |EC |OPENSSH |DSA |PGP |ENCRYPTED )?PRIVATE KEY",
    r"\beyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{10,}", r"\b[srp]k_(?:live|test)_[0-9a-zA-Z]{20,}",
    r"\bwhsec_[A-Za-z0-9+/]{24,}", r"\bgl(?:pat|dt|ptt|rt)-[A-Za-z0-9_-]{20}", r"\bnpm_[A-Za-z0-9]{36}",
    r"\bpypi-AgE[A-Za-z0-9_-]{50,}", r"\bgsk_[A-Za-z0-9]{40,}", r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    r"\bxai-[A-Za-z0-9]{40,}", r"\br8_[A-Za-z0-9]{30,}", r"\bpplx-[A-Za-z0-9]{40,}", r"\bnvapi-[A-Za-z0-9_-]{40,}",
    r"\bdop_v1_[a-f0-9]{64}", r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}", r"\bdckr_pat_[A-Za-z0-9_-]{20,}",
    r"\bhvs\.[A-Za-z0-9_-]{20,}", r"\bya29\.[A-Za-z0-9_-]{30,}", r"\bGOCSPX-[A-Za-z0-9_-]{20,}",
    r"\b(?:AC|SK)[0-9a-f]{32}\b", r"\bLTAI[A-Za-z0-9]{16,24}\b", r"\bAKID[A-Za-z0-9]{32}\b",
    r"\b\d{8,10}:AA[A-Za-z0-9_-]{32,}", r"\bglc_[A-Za-z0-9+/]{40,}", r"\bfigd_[A-Za-z0-9_-]{30,}",
    r"\bATATT3[A-Za-z0-9_=-]{40,}", r"\blin_api_[A-Za-z0-9]{30,}", r"\bkey-[0-9a-f]{32}\b",
    r"(?i:secret_?access_?key|aws_?secret(?:_?key)?)[\"'\s]{0,4}[:=]\s{0,3}[\"'\x60]?[A-Za-z0-9/+]{40}",
    r"(?:Account|SharedAccess)Key=[A-Za-z0-9+/]{30,}", r"[?&](?:X-(?:Amz|Goog)-Signature|sig)=[A-Za-z0-9%+/=]{20,}",
)  # fmt: skip
HOOKS = (
    r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/]{20,}",
    r"discord(?:app)?\.com/api/(?:v\d+/)?webhooks/\d+/[A-Za-z0-9_-]{20,}",
    r"(?:feishu\.cn|larksuite\.com)/open-apis/bot/(?:v2/)?hook/[A-Za-z0-9_-]{10,}",
    r"dingtalk\.com/robot/send\?access_token=[A-Za-z0-9]{10,}",
    r"qyapi\.weixin\.qq\.com/cgi-bin/webhook/send\?key=[A-Za-z0-9-]{10,}",
    r"webhook\.office\.com/webhookb2/[A-Za-z0-9@/-]{20,}", r"outlook\.office\.com/webhook/[A-Za-z0-9@/-]{20,}",
    r"hooks\.zapier\.com/hooks/catch/\d+/[A-Za-z0-9]{5,}",
    r"maker\.ifttt\.com/trigger/[A-Za-z0-9_]+/(?:json/)?with/key/[A-Za-z0-9_-]{10,}",
)  # fmt: skip
CREDENTIAL = "|".join((*KEYS, *HOOKS))  # RE2 reads it too
# Words of a name that say what it holds, and ends of glued ones.
PASSWORDS = {"PASSWORD", "PASSWORDS", "PASSWD", "PASSPHRASE", "PASSCODE", "PASS", "PWD", "PW", "PIN", "DBPW"}
SURE = PASSWORDS | {
    "KEY", "KEYS", "APIKEY", "APIKEYS", "TOKEN", "TOKENS", "SECRET", "SECRETS", "PAT", "CREDENTIAL", "CREDENTIALS",
    "CRED", "CREDS", "BEARER", "AUTHORIZATION", "OAUTH", "DSN", "COOKIE", "COOKIES", "JWT", "WEBHOOK", "HOOK", "CONN",
    "CONNSTR", "CONNSTRING", "SALT", "SESSIONID", "JSESSIONID", "PHPSESSID", "SIG", "SIGNATURE",
    "密码", "密钥", "口令", "令牌", "凭证", "凭据", "授权码", "访问密钥", "パスワード", "ПАРОЛЬ",
}  # fmt: skip
MAYBE = {"AUTH", "PRIVATE", "SESSION", "SESS", "CONNECTION", "SAS", "LOGIN", "SID", "TICKET", "ACCESS", "NETRC", "OTP"}
ENDS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASS", "PWD", "PW", "PSWD", "PASSWRD", "PWORD", "PASSPHRASE",
    "CREDENTIALS", "COOKIE", "WEBHOOK", "CONNECTIONSTRING", "CONNSTR")  # fmt: skip
WORDS = re.compile(  # that end as those do and mean something else
    "(?:COM|BY|TRES|OVER|UNDER|SUR|ENCOM|MULTI|SINGLE|TWO|LOW|HIGH|BAND|FORWARD|BACKWARD)PASS|"
    "(?:MON|TUR|DON|HOT|WHIS|JOC|HOC|MIC|TUNE)KEY"
)
# `eos_token` and `max_tokens` are of a model, `sort_key` of a table.
OTHERWISE = re.compile(
    "(?:EOS|BOS|PAD|UNK|SEP|CLS|MASK|STOP|START|END|MAX|MIN|NUM|SPECIAL|TOTAL|PER|THINK|THINKING|PROMPT|OUTPUT|INPUT|"
    r"ADDED|NEW|LOGPROBS|IMAGE)_TOKENS?(?:_\w+)?|(?:\w+_)?TOKENS?_(?:IDS?|COUNTS?|LIMIT|LENGTH|SIZE)|"
    r"(?:SORT|JOIN|GROUP|ORDER|FOREIGN|PARTITION|PROMPT_CACHE|CACHE|ANSWER|OUTPUT|INPUT|DICT|JSON)_KEYS?|"
    r"MAX_CONN\w*|ACCESS_(?:MODE|LOG|TIME)"
)
STORES = re.compile(
    r"(?:^|_)(?:DATABASE|DB|REDIS|MONGO\w*|POSTGRES\w*|PG|MYSQL|MARIADB|AMQP|RABBITMQ|BROKER|SQL\w*|ES|ELASTIC\w*|SENTRY|"
    r"CELERY\w*|KAFKA)_(?:URL|URI)(?:_|$)"
)
DIGESTS = re.compile(
    r"(?:^|_)(?:REVISION|REV|REF|COMMIT|SHA\d*|MD5|DIGEST|HASH|CHECKSUM|VERSION|TAG|ETAG|UUID|(?:RUN|JOB|TASK|BUILD)_ID)"
    "(?:_|$)"
)
PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_a-zA-Z]+")
COUNT = re.compile(r"(?i)\d{1,5}|true|false|yes|no|on|off|none|null|auto")
PLAIN = re.compile(r"[A-Za-z]{1,16}(?:[-_. ][A-Za-z]{1,16})?|\d{1,5}|")
BOXES = ("abfs:", "abfss:", "wasb:", "wasbs:")  # Azure's addresses are container@account, which is no user
IDS = re.compile(r"(?:drive|docs)\.google\.com/")  # what is there for all to read has random names too
# Also s3:/b, as pathlib leaves an address, and //b, as a page writes it.
ADDRESS = re.compile(r"(?:\b[A-Za-z][A-Za-z0-9+.-]{1,15}:/{1,3}|//)[^\s'\"<>\\)\]}`]+")
WHERE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:)?(/{1,3})([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?", re.DOTALL)
PARAMETER = re.compile(r"[?&;#]([^=&;#?]{1,64})=([^&;#]*)")
UNLOCKED = r"(?:[A-Za-z][A-Za-z0-9+.-]{1,15}:[/\\]{1,4}|//)[^\s/:@'\"<>]{1,64}:[^\s@'\"<>]{1,128}@"  # RE2 reads it
OPENED = re.compile(UNLOCKED)
# user:password@host without a scheme; `mailto:me@host` and `local:model@main` are none.
BARE = re.compile(
    r"(?!mailto:)[^\s:@/]{1,64}:[^\s:@/]{3,128}@"
    r"(?:(?:tcp|unix)\([^\s)]+\)|localhost|[\w-]+(?:\.[\w-]+)+|[\w-]+:\d+)(?:[:/]\S*)?"
)
RUN = re.compile(r"[A-Za-z0-9+=_-]{20,}")
HEX = re.compile(r"(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})", re.IGNORECASE)
# A value that is given to something with a secret's name, as code, settings and headers write it. RE2 reads it too.
NAMED = (
    r"(?i)(?:key|token|secret|passwd|password|pwd|bearer|authorization|credentials?|密钥|口令|令牌)[\"'\x60\])]{0,3}\s{0,3}"
    r"(?:[:=：]|=>|\s)\s{0,3}[\"'\x60]?(?:(?:Bearer|Basic|Token)\s)?([A-Za-z0-9+=_-]{20,})"
)
# The same for shorter values, as headers and connection strings write them; the last group is the value.
GIVEN = re.compile(
    r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|x-[\w-]{0,40}(?:auth|token|key|secret|session|signature)[\w-]{0,40}|"
    r"private-token|[\w-]{0,40}api-?_?key|ocp-apim-subscription-key|password|passwd|pwd|passphrase|client_?secret|"
    r"access_?token|auth_?token|(?:shared)?access_?key|account_?key)"
    r"(\\?[\"']?\s{0,2}[:=]\s{0,2}\\?[\"']?(?:(?:Bearer|Basic|Digest|Token|ApiKey|AWS4-HMAC-SHA256)\s+)?)"
    r"([^\s\"'\\,)}\]]{4,})"
)
BEARER = re.compile(r"(?i)\b(bearer|basic)(\s{1,3})((?=[A-Za-z._~+/=-]*\d)[A-Za-z0-9._~+/=-]{12,})")
COUNTING = re.compile(
    r"(?i)abcdefg|0123456|1234567|x{5}|example|sample|dummy|your|change.?me|placeholder|secret_here|\*{3}|\.\.\."
)  # an alphabet or a stand-in, no key


# Headers that hold no secret; of any other one a value that is no plain word may be one.
HEADERS = re.compile(
    r"(?i)accept(-\w+)*|content-(type|length|encoding|language)|user-agent|(http-)?referer|origin|host|connection|cache-control|"
    r"x-title|x-request-id|x-(stainless|ds|dashscope)-\w[\w-]*|(openai|anthropic)-(version|beta|organization|project)|date|via"
)


def secret_header(name: str, value: str) -> bool:
    """Whether a header may hold a secret: a value after `Bearer` and the like, and under a name that tells nothing
    (X-Team) whatever is no plain word."""
    scheme = re.match(r"(?i)(?:bearer|basic|digest|token|apikey)\s+\S", value)
    return bool(scheme) or not (HEADERS.fullmatch(name) or PLAIN.fullmatch(value) or COUNT.fullmatch(value))


def secret_name(name: str, value: str | None = None) -> bool:
    """Whether the name of a variable, key, header or parameter says that it holds a secret. With the value, names that
    often hold something else (session, auth; a number of tokens) are told by it."""
    parts = [p.upper() for p in PART.findall(name)]
    if OTHERWISE.fullmatch("_".join(parts)) or name in ("PWD", "OLDPWD"):  # the shell's folders
        return False
    if any(p in SURE or (p.endswith(ENDS) and not WORDS.fullmatch(p)) for p in parts) or STORES.search(name.upper()):
        return value is None or bool(PASSWORDS & set(parts)) or not COUNT.fullmatch(value)
    return bool(MAYBE & set(parts)) and (value is None or not (PLAIN.fullmatch(value) or COUNT.fullmatch(value)))


def secret_value(value: str, name: str = "", literal: bool = False) -> bool:
    """Whether a value is a secret by its form: a known kind of key, an address with one, a connection string, or a
    long run of letters and digits that no language writes. `name`: the variable's; revisions and digests are no
    secrets. A `literal` is of a recipe, where a digest in hexadecimals stands for a file, a commit, a model."""
    if re.search(CREDENTIAL, value) or secret_address(value) or BARE.fullmatch(value) or given_secret(value):
        return True
    if DIGESTS.search("_".join(PART.findall(name)).upper()) or IDS.search(value) or _exists(value):
        return False
    runs = [run for run in RUN.findall(value) if not (literal and HEX.fullmatch(run))]
    return any(map(_random, runs)) or bool(re.fullmatch(r"[A-Za-z0-9/+]{40}", value) and _bits(value) > 4.5)


def _exists(value: str) -> bool:
    try:
        return os.path.exists(value)
    except ValueError:  # NUL, half a character
        return False


def _bits(run: str) -> float:
    """Entropy, bits a character."""
    return -sum(n / len(run) * math.log2(n / len(run)) for n in Counter(run).values())


def _random(run: str) -> bool:
    """Whether a run, or its longest part between dashes, is of letters and digits, has over 3.5 bits a character, and
    kinds of characters (small, large, digit) that change as often as chance makes them, not as in words."""
    part = max(re.split(r"[-_=+]", run), key=len)
    joined = re.sub(r"[-_=+]", "", run)
    return _chance(part, 0.35) or (len(joined) > len(part) and not joined.islower() and _chance(joined, 0.5))


def _chance(run: str, least: float) -> bool:
    hexadecimal = re.fullmatch(r"[0-9a-f]+|[0-9A-F]+", run) is not None
    kinds = ["d" if c.isdigit() else "u" if c.isupper() else "l" for c in run]
    mixed = {"u", "l", "d"} <= set(kinds)
    if len(run) < (20 if hexadecimal else 16) or len(set(kinds)) < 2 or (not mixed and kinds.count("d") < 2):
        return False
    if mixed and sum(map(len, re.findall("[a-z]{4,}", run))) > 0.35 * len(run):
        return False
    changes = sum(a != b for a, b in pairwise(kinds)) / (len(run) - 1)
    return changes >= (least if mixed else least - 0.2) and _bits(run) > (3.0 if hexadecimal else 3.5)


def named_secret(text: str) -> str | None:
    """The first value in a text that is given to something called key, token or the like and that no language writes:
    its form is of no known kind, so name and entropy together tell. Alphabets, stand-ins and plain words are none."""
    for match in re.finditer(NAMED, text):
        if _random(match[1]) and not COUNTING.search(match[1]):
            return match[1]
    return None


def given_secret(text: str) -> str | None:
    """The first value in a text that a header or a connection string gives to what unlocks something: no plain word, no
    stand-in, no pattern."""
    return next((m[3] for form in (GIVEN, BEARER) for m in form.finditer(text) if is_given(m)), None)


def is_given(match: re.Match[str]) -> bool:
    """Whether what GIVEN found is a secret."""
    value = match[3]
    return not (
        PLAIN.fullmatch(value.strip(".;:!?"))
        or COUNT.fullmatch(value)
        or COUNTING.search(value)
        or re.fullmatch(r"[A-Z_]+", value)  # a variable's name
        or value[0] in "$<{%[(|"
    )


def secret_address(text: str) -> str | None:
    """The first address in a text that carries a password, a user alone, or a key in its query or fragment; without
    those parts."""
    for match in ADDRESS.finditer(text):
        if (clean := cleaned(match[0])) != match[0]:
            return clean
    opened = closed(text)
    return opened if opened != text else None


def closed(text: str) -> str:
    """A text whose addresses have no user and password, whatever characters a password holds."""

    def without(match: re.Match[str]) -> str:
        start, rest = re.split(r"(?<=:)[/\\]+|//", match[0], maxsplit=1)
        return match[0] if re.match(r"[^:]*:\d+(?:/|$)", rest) else f"{start}//"  # a port

    return OPENED.sub(without, text)


def cleaned(address: str) -> str:
    """An address without user, password, and the parts that carry a key."""
    found = WHERE.fullmatch(address)
    if found is None:
        return address
    scheme, slashes, host, path, query, fragment = (part or "" for part in found.groups())
    if "@" not in host and "@" in path and re.search(r":(?!\d*$)", host) and scheme:  # a slash in a password
        host, path = host + path[: path.rindex("@") + 1], path[path.rindex("@") + 1 :]
        more, slash, rest = path.partition("/")
        host, path = host + more, slash + rest
    user, _, bare = unquote(host, errors="replace").rpartition("@")
    boxed = scheme in BOXES and ":" not in user
    if user and not boxed and (scheme or ":" in user) and (len(slashes) > 1 or ":" in user):
        host = bare
    path, semicolon, more = path.partition(";")  # /a;jsessionid=…
    ends = [part for part in (semicolon + more, query, fragment) if not any(map(_unlocks, PARAMETER.finditer(part)))]
    return f"{scheme}{slashes}{host}{path}{''.join(ends)}"


def _unlocks(match: re.Match[str]) -> bool:
    name, value = unquote(match[1], errors="replace"), unquote(match[2], errors="replace")
    if not value or re.fullmatch(r"(?i)true|false|yes|no", value):
        return False
    if value in "01":  # of a sole word (?key=1) a switch
        return len(PART.findall(name)) > 1 and secret_name(name)
    return (
        secret_name(name)
        or (name.lower() == "code" and not PLAIN.fullmatch(value))
        or bool(re.search(CREDENTIAL, value))
    )
