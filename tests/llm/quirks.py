"""What vendors' endpoints do besides answering, each a mode of the tests' server: `running(quirk=…)`."""

from __future__ import annotations

import json
from asyncio import StreamWriter
from typing import Any


def error(message: str, **fields: Any) -> dict:
    return {"error": {"message": message, **fields}}


# Refusals of one content: status and body, by vendor.
CONTENT = {
    "azure": (400, error("filtered", code="content_filter", innererror={"code": "ResponsibleAIPolicyViolation"})),
    "dashscope": (400, {"code": "data_inspection_failed", "message": "Input data may contain", "request_id": "1"}),
    "deepseek": (400,
    error("Content Exists Risk", type="invalid_request_error", param=None, code="invalid_request_error")),
    "zhipu": (400, {"error": {"code": "1301", "message": "x"}, "contentFilter": [{"level": 1, "role": "user"}]}),
    "context": (400, error("too long", type="invalid_request_error", param="messages", code="context_length_exceeded")),
    "groq": (400, error("no JSON", type="invalid_request_error", code="json_validate_failed", failed_generation="x")),
    "openrouter": (403, error("flagged", code=403, metadata={"flagged_input": "x", "reasons": ["violence"]})),
}  # fmt: skip
# Parameters that an endpoint does not take: the refusal, by what is in the request.
PARAMETERS = {
    "gpt-5": ("temperature", 400,
    error("Unsupported value", type="invalid_request_error", param="temperature", code="unsupported_value")),
    "o-series": ("max_tokens", 400,
    error("Use 'max_completion_tokens'", param="max_tokens", code="unsupported_parameter")),
    "fastapi": ("seed", 422, {"detail": [{"loc": ["body", "seed"], "msg": "extra fields", "type": "extra_forbidden"}]}),
    "no-format": ("response_format", 400, error("This response_format type is unavailable now")),
}  # fmt: skip
# The same where nothing says what it was: the names of which one must not be in the request.
SILENT = {
    "gemma": ("system", 400, error("System role not supported", type="BadRequestError", param=None, code=400)),
    "mute-format": ("response_format", 400, {"detail": "An error occurred (ValidationException)"}),
    "mute-seed": ("seed", 422, {"detail": "bad request"}),
}
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
CHOICES = {
    "reasoning_content": {"content": "yes", "reasoning_content": "hm"},
    "reasoning": {"content": "yes", "reasoning": "hm"},
    "think": {"content": "<think>hm</think>\n\nyes"},
    "r1": {"content": "hm\n</think>\n\nyes"},
    "magistral": {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
    {"type": "text", "text": "yes"}]},
    "gpt-oss": {"content": "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>yes<|return|>"},
    "kimi": {"content": "◁think▷hm◁/think▷yes"},
    "surrogate": {"content": "\ud83d half"},
    "nul": {"content": "a\0b"},
}  # fmt: skip
USAGES = {
    "gemini": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 95},
    "silent": None,
}
MODELS = ["text-embedding-3-small", "bge-m3", "whisper-1", "tts-1", "gpt-image-1", "writer"]


async def respond(server: Any, method: str, path: str, request: dict, writer: StreamWriter) -> bool:
    from server import send

    quirk = server.quirk
    if path.startswith("/v1/models"):
        return await send(writer, 200, {"object": "list", "data": [{"id": m, "object": "model"} for m in MODELS]})
    server.sent[json.dumps(request)] += 1
    bad = "bad" in str(request.get("messages"))
    if quirk in CONTENT and bad:
        return await send(writer, *CONTENT[quirk])
    if quirk in PARAMETERS and PARAMETERS[quirk][0] in request:
        return await send(writer, *PARAMETERS[quirk][1:])
    roles = [m["role"] for m in request.get("messages", [])]
    if quirk in SILENT and (SILENT[quirk][0] in request or SILENT[quirk][0] in roles):
        return await send(writer, *SILENT[quirk][1:])
    if quirk == "spent" and server.sent.total() > 3:
        return await send(writer, 400, error("Your credit balance is too low", type="invalid_request_error"))
    if quirk == "breaks" and bad:
        return await send(writer, 500, error("cannot decode", type="InternalServerError"))
    if quirk == "firewall" and bad:
        return await send(writer, 403, "<html>Attention Required</html>")
    if quirk == "elsewhere":
        return await send(writer, 200, {"error": "Unexpected endpoint or method. (POST /chat/completions)"})
    if quirk == "minute" and server.sent.total() % 3 == 0:
        return await send(writer, 429, error("You exceeded your current quota", code="insufficient_quota"))
    limits = [n for n in ("max_tokens", "max_completion_tokens") if request.get(n, 0) > 2000]
    if quirk == "small" and limits:
        return await send(writer, 400, error(f"{limits[0]} is too large", param=limits[0], code="invalid_value"))
    if quirk == "quota":
        return await send(writer, 429, error("You exceeded your current quota", code="insufficient_quota"))
    if quirk == "hours":
        return await send(writer, 429, error("daily limit", code="rate_limit_exceeded"), {"retry-after": "7200"})
    if quirk == "hidden" and server.sent[json.dumps(request)] == 1:
        return await send(writer, 200, error("Provider returned error", code=502))
    if quirk == "page":
        return await send(writer, 200, "<html>Sign in</html>")
    if quirk == "sse":
        return await send(writer, 200, 'data: {"choices": []}\n\n')
    message, finish, usage = {"content": "yes"}, "stop", USAGES.get(quirk, USAGE)
    if quirk in CHOICES:
        message = CHOICES[quirk] if bad or quirk not in ("surrogate", "nul") else message
    if quirk == "used_up" and request.get("max_tokens", 0) < 5000:
        message, finish = {"content": None, "reasoning_content": "hm hm"}, "length"
    if quirk == "filtered" and bad:
        finish = "content_filter"
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}
    server.answered[json.dumps(request)] += 1
    for k in ("prompt", "completion"):
        setattr(server, k, getattr(server, k) + (usage or USAGE)[f"{k}_tokens"])
    return await send(writer, 200,
        {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice],
        "usage": usage})  # fmt: skip
