"""A model on loopback that says what a function of the prompt says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.loopback import answering, said


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`with model(says) as asked:` serves says(prompt, body); `asked` lists the bodies."""
    pytest.importorskip("openai")

    @contextmanager
    def serve(says: Callable[[str, dict], str]) -> Iterator[list[dict]]:
        def answer(path: str, body: dict) -> tuple[int, Any]:
            if path.endswith("/v1/completions"):  # a text to go on with, not a conversation
                text = {"text": says(body["prompt"], body), "finish_reason": "stop"}
                return 200, {"choices": [text], "usage": {"prompt_tokens": 100, "completion_tokens": 10}}
            return said(says(body["messages"][-1]["content"], body))

        with answering(answer) as (address, asked):
            monkeypatch.setenv("OPENAI_BASE_URL", address)
            yield asked

    return serve
