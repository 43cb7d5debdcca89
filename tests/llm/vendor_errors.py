"""Refusals as vendors and gateways write them, from their documents and from people's complaints: (who, status, body,
what it means, and of parameters those left out, or the seconds it asks to wait)."""

from __future__ import annotations

import json
from typing import Any

SENT = ("model", "messages", "max_tokens", "temperature", "seed", "frequency_penalty", "presence_penalty", "response_format",
    "enable_thinking", "logprobs", "top_logprobs")  # fmt: skip


def e(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, **fields}}


def google(code: int, message: str, status: str, *details: dict) -> list[dict[str, Any]]:
    return [{"error": {"code": code, "message": message, "status": status, "details": list(details)}}]


def router(code: int, raw: Any, **more: Any) -> dict[str, Any]:
    raw = raw if isinstance(raw, str) else json.dumps(raw)
    return e("Provider returned error", code=code, metadata={"raw": raw, "provider_name": "P", **more})


VENDORS: list[tuple[str, int, Any, str, Any]] = [
    ("openai flagged", 400, e("Invalid prompt", type="invalid_request_error", param=None, code="invalid_prompt"), "content", None),
    ("openai image", 400, e("x", type="invalid_request_error", param="messages.[0].content", code="string_above_max_length"), "content", None),
    ("openai key", 401, e("x", code="invalid_api_key"), "address", None),
    ("openai model", 400, e("x", code="model_not_found", param="model"), "address", None),
    ("only words", 400, e("invalid api key and model quota"), "unclear", None),
    ("azure filter", 400, e("x", param="prompt", code="content_filter", innererror={"code": "ResponsibleAIPolicyViolation"}), "content", None),
    ("azure no deployment", 404, e("x", code="DeploymentNotFound"), "address", None),
    ("azure pace", 429, e("retry after 20 seconds", code="429"), "wait", None),
    ("dashscope", 400, e("x", type="data_inspection_failed", param=None, code="data_inspection_failed"), "content", None),
    ("dashscope arrears", 400, e("Access denied", type="Arrearage", param=None, code="Arrearage"), "quota", None),
    ("dashscope pace", 429, {"code": "Throttling.RateQuota", "message": "x", "request_id": "1"}, "wait", None),
    ("dashscope thinking", 400, e("parameter.enable_thinking must be set to false for non-streaming calls",
        type="invalid_request_error", param=None, code="invalid_parameter_error"), "parameter", {"enable_thinking"}),
    ("zhipu words", 400, {"error": {"code": "1301", "message": "x"}}, "content", None),
    ("zhipu too long", 400, {"error": {"code": "1261", "message": "x"}}, "content", None),
    ("zhipu pace", 429, {"error": {"code": "1302", "message": "x"}}, "wait", None),
    ("zhipu daily", 429, {"error": {"code": "1304", "message": "x"}}, "quota", None),
    ("zhipu plan", 429, {"error": {"code": "1308", "message": "x"}}, "quota", None),
    ("zhipu model", 400, {"error": {"code": "1211", "message": "x"}}, "address", None),
    ("moonshot words", 400, e("high risk", type="content_filter"), "content", None),
    ("moonshot suspended", 429, e("x", type="exceeded_current_quota_error"), "quota", None),
    ("moonshot busy", 429, e("x", type="engine_overloaded_error"), "wait", None),
    ("moonshot temperature", 400, e("invalid temperature: only 1 is allowed", type="invalid_request_error"), "parameter", {"temperature"}),
    ("gemini seed", 400, google(400, 'Invalid JSON payload received. Unknown name "seed": Cannot find field.', "INVALID_ARGUMENT",
        {"@type": "BadRequest", "fieldViolations": [{"description": "x"}]}), "parameter", {"seed"}),
    ("gemini field", 400, google(400, "x", "INVALID_ARGUMENT",
        {"fieldViolations": [{"field": "generation_config.presencePenalty"}]}), "parameter", {"presence_penalty"}),
    ("gemini key", 400, google(400, "API key not valid", "INVALID_ARGUMENT", {"reason": "API_KEY_INVALID"}), "address", None),
    ("gemini country", 400, google(400, "User location is not supported", "FAILED_PRECONDITION"), "address", None),
    ("gemini minute", 429, google(429, "x", "RESOURCE_EXHAUSTED", {"violations": [{"quotaId": "GenerateRequestsPerMinute"}]},
        {"@type": "RetryInfo", "retryDelay": "34s"}), "wait", 34.0),
    ("gemini day", 429, google(429, "x", "RESOURCE_EXHAUSTED",
        {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}), "quota", None),
    ("gemini busy", 503, google(503, "overloaded", "UNAVAILABLE"), "server", None),
    ("openrouter flagged", 403, e("x", code=403, metadata={"flagged_input": "x", "reasons": ["violence"]}), "content", None),
    ("openrouter credits", 402, e("x", code=402), "quota", None),
    ("openrouter asked openai", 400, router(400, e("x", param="temperature", code="unsupported_value")), "parameter", {"temperature"}),
    ("openrouter asked azure", 400, router(400, e("x", code="content_filter")), "content", None),
    ("openrouter told a page", 502, router(502, "<html>"), "server", None),
    ("openrouter inside a 200", 200, e("x", code=429), "wait", None),
    ("openrouter no provider", 404, e("No endpoints found", code=404), "address", None),
    ("vllm long", 400, {"object": "error", "message": "maximum context", "type": "BadRequestError", "param": None, "code": 400}, "unclear", None),
    ("vllm no model", 404, {"object": "error", "message": "x", "type": "NotFoundError", "param": "model", "code": 404}, "address", None),
    ("vllm key", 401, {"error": "Unauthorized"}, "address", None),
    ("vllm died", 500, {"object": "error", "message": "x", "type": "InternalServerError", "code": 500}, "server", None),
    ("vllm rejects", 400, e("1 validation error: 'frequency_penalty' extra", type="BadRequestError", code=400), "parameter", {"frequency_penalty"}),
    ("sglang long", 400, {"object": "error", "message": "longer than the context", "type": "BadRequestError", "code": 400}, "unclear", None),
    ("litellm budget", 400, e("Budget has been exceeded!", type="budget_exceeded", param=None, code="400"), "quota", None),
    ("litellm params", 400, e("openai does not support parameters: ['frequency_penalty']", type="None", param="None", code="400"),
        "parameter", {"frequency_penalty"}),
    ("litellm model", 400, e("Invalid model name", type="invalid_request_error", param="model", code="400"), "address", None),
    ("litellm key", 401, e("x", type="auth_error", param="None", code="401"), "address", None),
    ("litellm cooling", 429, e("No deployments available, try again in 60 seconds", type="None", code="429"), "wait", None),
    ("groq day", 429, e("tokens per day", type="tokens", code="rate_limit_exceeded"), "wait", None),
    ("groq large", 413, e("Request too large", type="tokens", code="rate_limit_exceeded"), "content", None),
    ("groq flex", 498, e("x", code="capacity_exceeded"), "wait", None),
    ("groq old model", 400, e("x", type="invalid_request_error", code="model_decommissioned"), "address", None),
    ("groq restricted", 400, e("x", type="invalid_request_error", code="organization_restricted"), "address", None),
    ("groq property", 400, e("property 'logprobs' is unsupported", type="invalid_request_error"), "parameter", {"logprobs", "top_logprobs"}),
    ("together long", 422, e("`inputs` tokens + `max_new_tokens` must be <= 4097", type="invalid_request_error", param=None), "unclear", None),
    ("together model", 400, e("x", type="invalid_request_error", code="model_not_available"), "address", None),
    ("fireworks suspended", 412, e("x", code="PRECONDITION_FAILED"), "quota", None),
    ("fireworks model", 404, e("x", object="error", type="invalid_request_error", code="NOT_FOUND"), "address", None),
    ("fireworks extra", 400, e("Extra inputs are not permitted, field: 'seed'", object="error"), "parameter", {"seed"}),
    ("bedrock proxy", 400, {"detail": "An error occurred (ValidationException): system messages"}, "unclear", None),
    ("bedrock proxy key", 401, {"detail": "Invalid API Key"}, "address", None),
    ("bedrock pace", 429, {"message": "Too many tokens, please wait"}, "wait", None),
    ("mistral extra", 422, {"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"]}]},
        "type": "invalid_request_error"}, "parameter", {"seed"}),
    ("mistral model", 400, {"object": "error", "message": "x", "type": "invalid_model", "param": None, "code": "1500"}, "address", None),
    ("xai", 400, {"code": "Client specified an invalid argument", "error": "Argument not supported on this model: presencePenalty"},
        "parameter", {"presence_penalty"}),
    ("xai words", 403, {"code": "Content violates usage guidelines", "error": "Failed check"}, "content", None),
    ("siliconflow balance", 403, {"code": 30001, "message": "x", "data": None}, "quota", None),
    ("siliconflow model", 400, {"code": 20012, "message": "x", "data": None}, "address", None),
    ("ark words", 400, e("x", code="InputTextSensitiveContentDetected", type="BadRequest", param=""), "content", None),
    ("ark overdue", 403, e("x", code="AccountOverdueError", type="Forbidden"), "quota", None),
    ("ark limit", 429, e("x", code="SetLimitExceeded", type="TooManyRequests"), "quota", None),
    ("ark pace", 429, e("x", code="RateLimitExceeded.EndpointTPMExceeded", type="TooManyRequests"), "wait", None),
    ("ark closed", 404, e("x", code="ModelNotOpen", type="NotFound"), "address", None),
    ("qianfan words", 400, e("x", code="unsafe_request", type="invalid_request_error"), "content", None),
    ("qianfan old", 200, {"error_code": 336501, "error_msg": "Rate limit reached"}, "server", None),
    ("minimax pace", 200, {"base_resp": {"status_code": 1002, "status_msg": "x"}, "choices": None}, "wait", None),
    ("minimax words", 200, {"base_resp": {"status_code": 1026, "status_msg": "x"}}, "content", None),
    ("minimax balance", 200, {"base_resp": {"status_code": 1008, "status_msg": "x"}}, "quota", None),
    ("minimax key", 200, {"base_resp": {"status_code": 2049, "status_msg": "x"}}, "address", None),
    ("spark words", 200, {"code": 10013, "message": "audit", "sid": "x"}, "content", None),
    ("stepfun words", 451, e("blocked", type="censorship_blocked"), "content", None),
    ("github model", 400, e("Unavailable model: x", code="unavailable_model"), "address", None),
    ("github large", 413, e("x", code="tokens_limit_reached"), "content", None),
    ("tencent inside a 200", 200, {"Response": {"Error": {"Code": "FailedOperation.EngineRequestTimeout", "Message": "x"}}}, "server", None),
    ("workers ai", 400, {"errors": [{"message": "AiError: 'seed' unknown", "code": 5007}], "success": False}, "parameter", {"seed"}),
    ("cerebras minute", 429, {"message": "x", "type": "too_many_tokens_error", "param": "quota", "code": "token_quota_exceeded"}, "wait", None),
    ("tgi", 424, {"error": "Request failed during generation", "error_type": "generation"}, "server", None),
    ("hub loading", 503, {"error": "loading", "estimated_time": 20.0}, "server", 20.0),
    ("anthropic busy", 529, {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, "server", None),
    ("a firewall", 403, "<html>Attention Required</html>", "unclear", None),
    ("lm studio without /v1", 200, {"error": "Unexpected endpoint or method"}, "server", None),
]  # fmt: skip
