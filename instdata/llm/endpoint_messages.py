"""What is said where an endpoint ends the run: one line with the cause and the remedy."""

from __future__ import annotations

import time
from typing import Any

from instdata.llm.endpoint import ADDRESS, Endpoint, cause
from instdata.llm.endpoint_errors import Fault
from instdata.util.errors import BudgetReached, BuildError, InputError, InstdataError
from instdata.util.redaction import redact

SAVED = "Everything so far is saved; run again"


def refusal(at: Endpoint, f: Fault) -> InstdataError:
    """The key, the model or the address is refused, or everything is."""
    hint = {
        401: ": check OPENAI_API_KEY",
        403: ": check OPENAI_API_KEY and its rights",
        404: f": is there a model {at.model}, and does the address end as it should (mostly in /v1)?",
    }.get(f.status, "")
    kind = BuildError if f.status == 422 else InputError
    return kind(f"{at.where} refused the request with {f.status}{hint} ({at.clean(f.said)})")


def turned(at: Endpoint, f: Fault) -> BuildError:
    """What was answered before is refused, too: it is not the content."""
    return BuildError(
        f"{at.where} refuses everything by now, what it answered before, too ({f.status}: {at.clean(f.said)}): is "
        f"there credit left, is the key still good? {SAVED} then"
    )


def gone(at: Endpoint, f: Fault, after: float | None) -> BudgetReached:
    """Nothing more for so long that waiting makes no sense."""
    until = f" until {time.strftime('%Y-%m-%d %H:%M', time.localtime(time.time() + after))}" if after else ""
    return BudgetReached(f"{at.where} answers nothing more{until} ({f.status}: {at.clean(f.said)}). {SAVED} then")


def unreachable(at: Endpoint, e: BaseException) -> BuildError:
    """It is not there, or no such endpoint."""
    return BuildError(f"{at.where} cannot be used: {at.clean(cause(e))}. {ADDRESS}? {SAVED} to go on")


def page(text: str, headers: Any) -> str:
    """What came instead of JSON."""
    kind = headers.get("content-type", "").split(";")[0]
    if "event-stream" in kind or text.startswith("data:"):
        return "it answers as an event stream (SSE) only, where one JSON body was asked for"
    return f"a page ({kind or 'no content type'}) came instead of JSON: {redact(text[:2000])[:80]!r}"
