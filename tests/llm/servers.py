"""Servers that people run, each a mode of the tests' server: `running(quirk="vllm")`. What is imitated is what differs: how
models are listed, what stands beside an answer, how one content is refused, how a start looks."""

from __future__ import annotations

import json
from asyncio import StreamWriter
from typing import Any

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
FLAT = {"object": "error", "message": "maximum context length is 4096 tokens", "type": "BadRequestError", "param": None,
    "code": 400}  # fmt: skip
AZURE_PATH = "/openai/deployments/writer/chat/completions?api-version=2024-10-21"
# models: those listed, the first that writes is `writer`. answer, choice, message: what stands beside the usual fields.
# refuses: status and body for a content that it cannot take. first: what the first request gets.
SERVERS: dict[str, dict[str, Any]] = {
    "vllm": {
        "models": [{"id": "writer", "object": "model", "owned_by": "vllm", "root": "writer", "max_model_len": 4096}],
        "answer": {"prompt_logprobs": None, "kv_transfer_params": None},
        "choice": {"stop_reason": None, "token_ids": None},
        "message": {"reasoning_content": None, "tool_calls": [], "refusal": None},
        "refuses": (400, {"error": {**FLAT, "type": "BadRequestError"}}),
    },
    "sglang": {
        "models": [{"id": "writer", "object": "model", "owned_by": "sglang", "max_model_len": 4096}],
        "answer": {"metadata": {"weight_version": "default"}},
        "choice": {"matched_stop": 151645},
        "message": {"reasoning_content": None, "tool_calls": None},
        "refuses": (400, FLAT),  # no "error" around it
    },
    "llama.cpp": {
        "models": [{"id": "writer", "object": "model", "owned_by": "llamacpp", "meta": {"n_ctx_train": 32768}}],
        "answer": {"timings": {"prompt_n": 10, "predicted_n": 5}, "system_fingerprint": "b6000"},
        "refuses": (400, {"error": {"code": 400, "message": "the request exceeds the available context size",
            "type": "exceed_context_size_error", "n_prompt_tokens": 9000, "n_ctx": 4096}}),
        "first": (503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}),
    },
    "lmstudio": {
        "models": [{"id": "text-embedding-nomic-embed-text-v1.5", "object": "model"}, {"id": "writer"}],
        "answer": {"stats": {}, "system_fingerprint": "writer"},
        "refuses": (400, {"error": "The number of tokens to keep from the initial prompt is greater than the context"}),
    },
    "openrouter.ai": {
        "models": [{"id": "writer", "architecture": {"modality": "text->text"}, "pricing": {"prompt": "0.0000004"}}],
        "answer": {"provider": "Somebody"},
        "choice": {"native_finish_reason": "stop", "logprobs": None},
        "message": {"reasoning": None, "refusal": None},
        "usage": {"cost": 0.0001, "cost_details": {"upstream_inference_cost": None}},
        "refuses": (403, {"error": {"code": 403, "message": "flagged", "metadata": {"reasons": ["violence"], "flagged_input": "x"}}}),
        "first": (200, {"choices": [{"finish_reason": "error", "error": {"code": 502, "message": "Provider returned error"},
            "message": {"role": "assistant", "content": ""}}], "usage": USAGE}),
    },
    "litellm": {
        "models": [{"id": "azure/text-embedding-3-large", "object": "model"}, {"id": "writer", "owned_by": "openai"}],
        "choice": {"provider_specific_fields": {}},
        "message": {"function_call": None, "tool_calls": None, "provider_specific_fields": {"refusal": None}},
        "refuses": (400, {"error": {"message": "litellm.ContentPolicyViolationError", "type": None, "param": None,
            "code": "400"}}),  # codes are texts
        "first": (429, {"error": {"message": "litellm.RateLimitError", "type": "throttling_error", "code": "429"}}),
    },
    "ollama": {
        "models": [{"id": "nomic-embed-text:latest", "owned_by": "library"}, {"id": "writer", "owned_by": "library"}],
        "message": {"reasoning": "hm"},
        "answer": {"system_fingerprint": "fp_ollama"},
        "refuses": (400, {"error": {"message": "invalid message content", "type": "invalid_request_error", "param": None,
            "code": None}}),
        "first": (500, {"error": {"message": "llama runner process no longer running", "type": "api_error"}}),
    },
    "azure-classic": {
        "models": [],
        "answer": {"prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]},
        "choice": {"content_filter_results": {"hate": {"filtered": False, "severity": "safe"}}},
        "refuses": (400, {"error": {"message": "filtered", "type": None, "param": "prompt", "code": "content_filter",
            "status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation"}}}),
    },
}  # fmt: skip


async def serve(server: Any, path: str, request: dict, writer: StreamWriter) -> bool:
    """One reply of the server that `server.quirk` names."""
    from server import send

    mode = SERVERS[server.quirk]
    if server.quirk == "azure-classic":
        if server.headers.get("api-key") != "secret":
            denied = {"code": "401", "message": "Access denied due to invalid subscription key"}
            return await send(writer, 401, {"error": denied})
        if path != AZURE_PATH:
            return await send(writer, 404, {"error": {"code": "404", "message": "Resource not found"}})
    elif path == "/v1/models":
        both = {"models": mode["models"]} if server.quirk == "llama.cpp" else {}
        return await send(writer, 200, {"object": "list", "data": mode["models"], **both})
    server.sent[json.dumps(request)] += 1
    if "first" in mode and server.sent.total() == 1:
        return await send(writer, *mode["first"])
    if "bad" in str(request.get("messages")):
        return await send(writer, *mode["refuses"])
    server.answered[json.dumps(request)] += 1
    server.prompt += USAGE["prompt_tokens"]
    server.completion += USAGE["completion_tokens"]
    message = {"role": "assistant", "content": "yes", **mode.get("message", {})}
    choice = {"index": 0, "finish_reason": "stop", "message": message, **mode.get("choice", {})}
    usage = {**USAGE, **mode.get("usage", {})}
    return await send(writer, 200, {"id": "1", "object": "chat.completion", "created": 0, "model": "writer",
        "choices": [choice], "usage": usage, **mode.get("answer", {})})  # fmt: skip
