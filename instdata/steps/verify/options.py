"""The options of verify, alone or inside generate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from instdata.llm.budget import Price, Wait
from instdata.steps.base import Threshold
from instdata.steps.verify.case import Finding
from instdata.steps.verify.checks_by_ability import BY_NAME
from instdata.steps.verify.model_checks import ASKS
from instdata.util.yaml import did_you_mean

VERSION = 5
MAJORITY = 0.6  # of the draws, from which the model agrees: more than half, so of two both


class Checking(BaseModel):
    """What is checked, and which scores pass."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    draws: int = Field(
        2,
        ge=0,
        le=16,
        description="Times that the model is asked about each row that passes the rules; 0: rules alone.",
    )
    min: dict[str, float] = Threshold(
        {},
        description="Scores that pass, by check, where the built-in ones (docs/generation.md) do not do: "
        "{not_shorter: 0.3}.",
    )
    skip: list[str] = Threshold([], description="Checks that decide nothing.")

    @field_validator("min", "skip")
    @classmethod
    def _known(cls, value: Any) -> Any:
        names = (*BY_NAME, *ASKS)
        for name in value:
            if name not in names:
                raise ValueError(f'there is no check "{name}".{did_you_mean(name, names)}')
        return value

    def least(self, name: str) -> float:
        """The score from which a check is passed."""
        return self.min.get(name, BY_NAME[name].least if name in BY_NAME else MAJORITY)

    def fault(self, said: Mapping[str, Finding]) -> tuple[str, dict[str, Any]] | None:
        """(reason, evidence) of the first check that is not passed; "no_verdict" for one that could not be told; None
        where all are."""
        for name, finding in said.items():
            if name in self.skip:
                continue
            if finding.score is None:
                return "no_verdict", {"check": name, **finding.evidence}
            if finding.score < self.least(name):
                return name, {"score": round(finding.score, 4), "least": self.least(name), **finding.evidence}
        return None


class VerifyOptions(Checking):
    """The same, and who is asked at what cost."""

    model: str = Field(
        "auto",
        description="A model of the endpoint, local:NAME or local:FILE.gguf. auto: the endpoint's, else the embedded "
        "one.",
    )
    language: str | None = Field(None, pattern="^[a-z]{2}$", description="The language to ask in; default: each row's.")
    base_url: str | None = Threshold(None, description="The endpoint's address; default: OPENAI_BASE_URL.")
    max_usd: float | None = Threshold(
        None, ge=0, description="Never spend more than this; exit code 4 when it is reached."
    )
    max_requests: int | None = Threshold(None, ge=0)
    max_tokens: int | None = Threshold(None, ge=0)
    price: Price | None = Threshold(
        None, description="USD per million tokens, where the built-in list is wrong or lacks the model."
    )
    params: dict[str, Any] | None = Field(None, description="Further parameters of the API, as they are.")
    timeout: float | None = Threshold(None, gt=0, description="Seconds that an answer may take at first.")
    max_wait: Wait | None = Threshold(
        None, description="What a server may ask us to wait; beyond it the run stops with exit code 4. Default: 10m."
    )
    concurrency: int | None = Threshold(None, ge=1, le=1024, description="Requests at once, at most.")
    rpm: float | None = Threshold(None, gt=0, description="Requests a minute, at most.")
    tpm: float | None = Threshold(None, gt=0, description="Tokens a minute, at most.")


def told(evidence: Mapping[str, Any]) -> str:
    """Evidence as JSON text, the same bytes whenever it is the same."""
    return json.dumps(evidence, ensure_ascii=False, sort_keys=True, default=str)
