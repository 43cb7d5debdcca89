"""What an endpoint's refusal means, told by its fields (status, code, type, param): never by the words of its message.

Four things can be wrong: this content (its row is lost), a parameter (left out from then on), the time (wait, or stop
where the wait is too long), or the key, model or address (nothing else will work either).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from instdata.llm.rate_limit import seconds
from instdata.util.redaction import redact

# Codes and types of vendors, in lower case without - _ and blanks: what stands in those that mean it, and the numbers.
CONTENT = re.compile(
    r"contentfilter|contentpolicy|contentviolat|contentmoderation|contentblocked|contentexistsrisk|sensitive|moderat"
    r"|inspection|censor|unsafe|policyviolation|riskdetect|promptblocked|invalidprompt|safety|contextlength|contextsize"
    r"|contextwindow|toolong|tokenslimitreached|stringabovemaxlength|jsonvalidat|^(?:1301|1261|10013|10014|10019)$"
)
QUOTA = re.compile(
    r"insufficient(?:quota|balance|credit|fund)|billing|arrear|overdue|budgetexceeded|creditbalance|usagelimit"
    r"|spend(?:ing)?limit|exceededcurrentquota|freetieronly|setlimitexceeded|^quotaexceeded|perday"
    r"|^(?:1113|1304|1308|1309|1310|30001)$"
)
ADDRESS = re.compile(
    r"apikey|authenticat|autherror|permission|accessdenied|accountdeactivated|organizationrestricted|unsupportedcountry"
    r"|failedprecondition|(?:model|deployment).*(?:not(?:found|exist|available|open|supported)|decommission|terms|access)"
    r"|(?:invalid|unknown|unavailable|unsupported)model(?:name|id|error)?$|notfounderror|^(?:1211|20012)$"
)
# MiniMax' own numbers, which others use for something else.
BASE = {
    **dict.fromkeys((1026, 1027, 1042), "content"), **dict.fromkeys((1002, 1039, 1041), "wait"),
    **dict.fromkeys((1008, 2056), "quota"), **dict.fromkeys((1004, 2049), "address"), 2013: "unclear",
}  # fmt: skip
FIXED = ("model", "messages", "stream", "input", "prompt")  # a request without these is another one
LIMITS = ("max_tokens", "max_completion_tokens")
TOGETHER = {
    "logprobs": ("logprobs", "top_logprobs"),
    "top_logprobs": ("logprobs", "top_logprobs"),
    "json_schema": ("response_format",),
    "guided_json": ("response_format",),
    "grammar": ("response_format",),
}
CODES = ("code", "type", "status", "reason", "error_code", "error_type", "errcode", "quotaid")
DEEPER = ("innererror", "inner_error", "metadata", "details", "violations", "fieldviolations", "errors")
WAITS = ("retrydelay", "retry_after", "retry_after_seconds", "resets_in_seconds", "estimated_time")


@dataclass(frozen=True)
class Fault:
    """A refusal. `kind`: content, parameter, wait, quota, address, server, or unclear (a 4xx that says nothing
    more). `after`: seconds that its body asks us to wait."""

    kind: str
    status: int
    said: str
    without: frozenset[str] = frozenset()
    after: float | None = None


def fault(status: int, body: Any, sent: Collection[str] = ()) -> Fault:
    """What a response with that status and body (parsed JSON, or text) means for a request with the parameters
    `sent`."""
    if isinstance(body, list):  # Google's
        body = next((b for b in body if isinstance(b, Mapping)), body)
    error = _error(body)
    levels = list(_levels(error))
    said = _said(error, body)
    if status == 200 and (number := _whole(error.get("code") or error.get("status"))) and 400 <= number < 600:
        status = number
    without = _parameters(levels, body, said, sent) if status in (400, 403, 422) else set()
    kind = _kind(status, body, error, levels, bool(without))
    after = next((w for e in levels if (w := _wait(e))), None)
    return Fault(kind, status, said, frozenset(without if kind == "parameter" else ()), after)


def _kind(status: int, body: Any, error: Mapping[str, Any], levels: list[dict[str, Any]], parameter: bool) -> str:
    """The kind of a refusal."""
    codes = [_plain(e[k]) for e in levels for k in CODES if isinstance(e.get(k), (str, int))]
    codes += ["moderated" for e in levels if e.get("flagged_input")]
    if "status_msg" in error:
        return BASE.get(_whole(error.get("code")) or 0, "server")
    if any(map(CONTENT.search, codes)) or status == 451:
        return "content"
    if status in (402, 412) or any(map(QUOTA.search, codes)):
        return "quota"
    if parameter:
        return "parameter"
    if status in (401, 404, 405) or any(map(ADDRESS.search, codes)) or error.get("param") == "model":
        return "address"
    if status == 403:  # a page is not the endpoint's: a firewall before it did not like the words
        return "address" if isinstance(body, Mapping) else "unclear"
    if status == 429 or "capacityexceeded" in codes:
        return "wait"
    if status in (200, 408, 409, 424, 425) or status >= 500:
        return "server"
    return "content" if status == 413 else "unclear"


def hidden(body: Any) -> bool:
    """Whether a body that came with status 200 is an error all the same: it has no choices, or says so."""
    if not isinstance(body, Mapping):
        return False
    choices = body.get("choices")
    if body.get("error"):
        return True
    if choices and isinstance(choices, list) and isinstance(choices[0], Mapping):
        return bool(choices[0].get("error")) or choices[0].get("finish_reason") == "error"
    return choices is None


def _error(body: Any) -> dict[str, Any]:
    """The fields of a body's error, names in lower case."""
    if not isinstance(body, Mapping):
        return {}
    body = _lower(body)
    choices, errors = body.get("choices"), body.get("errors")
    response = body.get("response")
    inner = (
        body.get("error")
        or (choices[0].get("error") if choices and isinstance(choices[0], Mapping) else None)
        or (errors[0] if errors and isinstance(errors, list) else None)
        or (_lower(response).get("error") if isinstance(response, Mapping) else None)
    )
    if isinstance(inner, Mapping):
        return _lower(inner)
    if isinstance(inner, str):
        return {**body, "message": inner}
    base = body.get("base_resp")
    if isinstance(base, Mapping):
        told = {"code": base.get("status_code"), "message": base.get("status_msg"), "status_msg": True}
        return told
    return body


def _lower(fields: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(k).lower(): v for k, v in fields.items()}


def _levels(error: Mapping[str, Any], depth: int = 0) -> Iterator[dict[str, Any]]:
    """An error and the ones that vendors put inside of it (Azure's innererror, Google's details, what OpenRouter was
    told by whom it asked)."""
    yield dict(error)
    if depth == 3:
        return
    for name in DEEPER:
        inner = error.get(name)
        for one in inner if isinstance(inner, list) else [inner]:
            if isinstance(one, Mapping):
                yield from _levels(_lower(one), depth + 1)
    if isinstance(error.get("raw"), str):
        with suppress(ValueError, RecursionError):
            yield from _levels(_error(json.loads(error["raw"])), depth + 1)


def _wait(error: Mapping[str, Any]) -> float | None:
    """Seconds that a body asks us to wait."""
    for name in WAITS:
        if isinstance(told := error.get(name), (str, int, float)) and (found := seconds(str(told))):
            return found
    headers = error.get("headers")
    return until(_lower(headers).get("x-ratelimit-reset")) if isinstance(headers, Mapping) else None


def wait(f: Fault, headers: Mapping[str, str]) -> float | None:
    """Seconds that a refusal asks us to wait, by its headers or its body."""
    told = seconds(headers.get("retry-after-ms", "") and headers["retry-after-ms"] + "ms")
    told = told or seconds(headers.get("retry-after")) or f.after
    return told or (until(headers.get("x-ratelimit-reset")) if f.status == 429 else None)


def until(reset: Any) -> float | None:
    """Seconds until a time that a server names as seconds or milliseconds since 1970; None for anything else."""
    number = _whole(reset)
    if number is None or number < 10**9:
        return None
    return seconds(str(max(0.0, number / (1000 if number > 10**11 else 1) - time.time())))


def _whole(value: Any) -> int | None:
    text = str(value)
    return int(text) if not isinstance(value, bool) and re.fullmatch(r"\d{1,15}", text) else None


def _parameters(levels: list[dict[str, Any]], body: Any, said: str, sent: Collection[str]) -> set[str]:
    """The parameters sent that a refusal names, by its fields first: those are what endpoints do not know."""
    names = [str(e[k]) for e in levels for k in ("param", "field") if e.get(k) and e[k] != "None"]
    details = levels[0].get("detail") or (body.get("detail") if isinstance(body, Mapping) else None)
    if isinstance(details, list):
        names += [str(d["loc"][-1]) for d in details if isinstance(d, Mapping) and d.get("loc")]
    if any(re.fullmatch(r"messages\W*\d+\W*role", name) for name in names):
        return {"system"}
    parts = [re.split(r"[.\[]", name.removeprefix("extra_body.")) for name in names]
    found = {n for part in parts for n in (*_of(part[0], sent), *_of(_snake(part[-1]), sent))}
    if found or names:
        return found
    words = re.findall(r"(?<![\w-])[a-z]+(?:_?[A-Z]?[a-z]+)*(?![\w-])", said)
    return {n for word in words for n in _of(_snake(word), sent) if "_" in _snake(word) or _quoted(word, said)}


def _snake(word: str) -> str:
    """presencePenalty as it is sent."""
    return re.sub(r"[A-Z]", lambda m: "_" + m[0].lower(), word)


def _quoted(word: str, said: str) -> bool:
    """Whether a message names a word as a name: `seed`, but not in a sentence that happens to use it."""
    return word in ("logprobs", "temperature") or bool(re.search(rf"[`'\"]{word}[`'\"]", said))


def _of(name: str, sent: Collection[str]) -> tuple[str, ...]:
    if name in FIXED:
        return ()
    return tuple(n for n in TOGETHER.get(name, (name,)) if n in sent)


def _plain(code: Any) -> str:
    return re.sub(r"[-_\s]", "", str(code)).casefold()


def _said(error: Mapping[str, Any], body: Any) -> str:
    told = error.get("message") or error.get("msg") or error.get("detail")
    if isinstance(told, str):
        text = told
    else:
        text = json.dumps(body, ensure_ascii=False) if isinstance(body, (Mapping, list)) else str(body or "")
    return redact(" ".join(text[:10_000].split()))[:300]  # before it is cut: half of a key is not told for one
