"""What an endpoint's refusal means, told by its fields (status, code, type, param): never by the words of its message.

Four things can be wrong: this content (its row is lost), a parameter (left out from then on), the time (wait, or stop
where the wait is too long), or the key, model or address (nothing else will work either).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from instdata.util.redaction import redact

# Codes and types of vendors, in lower case without - _ and blanks.
CONTENT = set(
    ["contentfilter", "contentpolicyviolation", "responsibleaipolicyviolation", "datainspectionfailed",
    "contextlengthexceeded", "stringabovemaxlength", "jsonvalidatefailed", "jsonvalidationfailed", "contentexistsrisk",
    "contentmoderation", "moderationerror", "invalidprompt", "sensitive", "contentblocked", "safety", "promptblocked",
    "inputtoolong", "exceedcontextsizeerror", "1301", "1261", "1027", "1026", "1039"]
)  # fmt: skip
QUOTA = set(
    ["insufficientquota", "billinghardlimitreached", "billingnotactive", "insufficientbalance", "arrearage",
    "quotaexceeded", "exceededcurrentquotaerror", "creditbalancetoolow", "allocationquota.freetieronly",
    "usagelimitreached", "1113", "1008"]
)  # fmt: skip
ADDRESS = set(
    ["invalidapikey", "incorrectapikey", "authenticationerror", "authenticationfailed", "permissiondenied",
    "permissionerror", "modelnotfound", "modelnotexist", "invalidmodel", "deploymentnotfound", "notfounderror",
    "accountdeactivated", "unsupportedcountryregionterritory", "accessdenied", "modelaccessdenied", "1211", "1000",
    "1001", "1002", "1003", "1004"]
)  # fmt: skip
FIXED = ("model", "messages", "stream", "input", "prompt")  # a request without these is another one
LIMITS = ("max_tokens", "max_completion_tokens")
TOGETHER = {
    "logprobs": ("logprobs", "top_logprobs"),
    "top_logprobs": ("logprobs", "top_logprobs"),
    "json_schema": ("response_format",),
    "guided_json": ("response_format",),
    "grammar": ("response_format",),
}


@dataclass(frozen=True)
class Fault:
    """A refusal. `kind`: content, parameter, wait, quota, address, server, or unclear (a 4xx that says nothing
    more)."""

    kind: str
    status: int
    said: str
    without: frozenset[str] = frozenset()


def fault(status: int, body: Any, sent: Collection[str] = ()) -> Fault:
    """What a response with that status and body (parsed JSON, or text) means for a request with the parameters
    `sent`."""
    error = _error(body)
    said = _said(error, body)
    codes = {_plain(error.get(k)) for k in ("code", "type", "status")} | {_plain(c) for c in _inner(error)}
    if isinstance(error.get("code"), int) and 400 <= error["code"] < 600 and status == 200:
        status = error["code"]
    if codes & CONTENT:
        return Fault("content", status, said)
    if status == 402 or codes & QUOTA:
        return Fault("quota", status, said)
    if status in (400, 403, 422) and (without := _parameters(error, body, said, sent)):
        return Fault("parameter", status, said, frozenset(without))
    if status in (401, 403, 404, 405) or codes & ADDRESS or error.get("param") == "model":
        return Fault("address", status, said)
    if status == 429:
        return Fault("wait", status, said)
    if status in (408, 409, 200, 425) or status >= 500:
        return Fault("server", status, said)
    return Fault("content" if status == 413 else "unclear", status, said)


def hidden(body: Any) -> bool:
    """Whether a body that came with status 200 is an error all the same."""
    if not isinstance(body, Mapping):
        return False
    choices = body.get("choices")
    if body.get("error"):
        return True
    if choices and isinstance(choices, list) and isinstance(choices[0], Mapping):
        return bool(choices[0].get("error")) or choices[0].get("finish_reason") == "error"
    if choices is not None:
        return False
    base = body.get("base_resp")
    told = base.get("status_code") if isinstance(base, Mapping) else body.get("code") or body.get("detail")
    return bool(told or body.get("message"))


def _error(body: Any) -> dict[str, Any]:
    if not isinstance(body, Mapping):
        return {}
    choices = body.get("choices")
    inner = body.get("error") or (choices[0].get("error") if choices and isinstance(choices[0], Mapping) else None)
    if isinstance(inner, Mapping):
        return dict(inner)
    if isinstance(inner, str):
        return {**body, "message": inner}
    base = body.get("base_resp")
    if isinstance(base, Mapping):
        return {"code": str(base.get("status_code")), "message": base.get("status_msg")}
    return dict(body)


def _inner(error: Mapping[str, Any]) -> list[Any]:
    """Codes that vendors put one level deeper (Azure's innererror, OpenRouter's metadata)."""
    found = []
    for name in ("innererror", "inner_error", "metadata", "details"):
        inner = error.get(name)
        if isinstance(inner, Mapping):
            found += [inner.get("code"), inner.get("type"), "moderationerror" if inner.get("flagged_input") else None]
    return found


def _parameters(error: Mapping[str, Any], body: Any, said: str, sent: Collection[str]) -> set[str]:
    """The parameters sent that a refusal names, by its fields first: those are what endpoints do not know."""
    names = [str(error.get("param") or "")]
    details = error.get("detail") or (body.get("detail") if isinstance(body, Mapping) else None)
    if isinstance(details, list):
        names += [str(d["loc"][-1]) for d in details if isinstance(d, Mapping) and d.get("loc")]
    if re.fullmatch(r"messages\W*\d+\W*role", names[0]):
        return {"system"}
    found = {n for name in names for n in _of(re.split(r"[.\[]", name.removeprefix("extra_body."))[0], sent)}
    if found or names[0] not in ("", "None"):
        return found
    words = re.findall(r"(?<![\w-])[a-z]+(?:_[a-z]+)*(?![\w-])", said)
    return {n for word in words for n in _of(word, sent) if "_" in word or _quoted(word, said)}


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
