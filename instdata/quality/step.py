"""The quality step: every rule is scored once, the recipe's rules, languages and thresholds decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import field_validator
from typing_extensions import Self

from instdata.quality import rules as rule_table
from instdata.quality.form import repetition
from instdata.quality.text import Text
from instdata.record import Rows
from instdata.step import Scores, Step, Threshold, Verdicts, drop, keep
from instdata.yamlfile import did_you_mean


class Quality(Step):
    """Drop rows by named rules, by language and by length.

    Rows without a response are judged by their prompt alone, unless the rule set is strict or belle.
    """

    kind: ClassVar[str] = "quality"

    rules: str | list[str] = Threshold(
        "default", description="default, strict, belle, or a list of those and of rule names; -name leaves one out."
    )
    language: list[str] = Threshold([], description="Languages to keep, as ISO 639-1 codes: [zh, en]. Empty: all.")
    min_confidence: float = Threshold(
        0.5, ge=0, le=1, description="Confidence below which a language counts as undecided; such rows stay."
    )
    max_repetition: float = Threshold(0.8, ge=0, le=1, description="Largest share of repeated text in a response.")
    min_chars: int = Threshold(1, ge=0, description="Fewest characters of a response.")
    max_chars: int = Threshold(50_000, ge=1, description="Most characters of a response.")

    @field_validator("rules")
    @classmethod
    def _known(cls, value: str | list[str]) -> str | list[str]:
        try:
            rule_table.select([value] if isinstance(value, str) else value)
        except ValueError as e:
            known = (*rule_table.SETS, *rule_table.NAMES)
            raise ValueError(f'"{e}" is neither a rule nor a set of rules.{did_you_mean(str(e), known)}') from None
        return value

    @field_validator("language", mode="before")
    @classmethod
    def _codes(cls, value: Any) -> Any:
        codes = [value] if isinstance(value, str) else value
        if isinstance(codes, list) and not all(
            isinstance(c, str) and len(c) == 2 and c.isascii() and c.islower() for c in codes
        ):
            raise ValueError("languages are ISO 639-1 codes, two lower-case letters each: [zh, en]")
        return codes

    @property
    def chosen(self) -> tuple[str, ...]:
        """The names of the rules that decide, in order."""
        return rule_table.select([self.rules] if isinstance(self.rules, str) else self.rules)

    @property
    def outside(self) -> str:
        """The reason for rows in another language: not_zh, not_en_zh."""
        return "not_" + "_".join(sorted(self.language))

    def without(self, rule: str) -> Self:
        """This step less one rule (an ablation of `quality.<rule>`). Raises ValueError where it does not use it."""
        if self.language and rule == self.outside:
            return self.model_copy(update={"language": []})
        if rule not in self.chosen:
            raise ValueError(f'step {self.name or self.kind} has no rule "{rule}".{did_you_mean(rule, self.chosen)}')
        return self.model_copy(update={"rules": [name for name in self.chosen if name != rule]})

    def score(self, rows: Rows) -> Mapping[str, Any]:
        """chars (int32), repetition (float32, 0..1), lang_confidence (float32), flags (string: the rules that fired,
        comma-joined), and the languages of prompt and row (kept in the sidecar)."""
        text = Text(rows.prompt, rows.response)
        asked, _ = text.prompt_language
        given, sure = text.response_language
        _, sure_asked = text.prompt_language
        undecided = np.equal(given, None)
        return {
            "chars": text.chars.astype(np.int32),
            "repetition": repetition(text),
            "lang_confidence": np.where(undecided, sure_asked, sure).astype(np.float32),
            "flags": rule_table.flags(rule_table.fired(text)),
            "lang": pa.array(np.where(undecided, asked, given), pa.string()).dictionary_encode(),
            "prompt_lang": pa.array(asked, pa.string()).dictionary_encode(),
        }

    def decide(self, scores: Scores) -> Verdicts:
        """The first rule, in the table's order, owns the row; then length and repetition, then language."""
        flags = scores.column("flags").combine_chunks()
        chosen = self.chosen
        measured = {
            "repetition": (scores.repetition > self.max_repetition, scores.repetition),
            "too_short": ((scores.chars < self.min_chars) & (scores.chars > 0), scores.chars),
            "too_long": (scores.chars > self.max_chars, scores.chars),
        }
        verdicts = keep(len(scores))
        for name in chosen:
            if name in measured:
                mask, value = measured[name]
                verdicts |= drop(mask, name, _evidence(mask, "share" if name == "repetition" else "chars", value))
            else:
                verdicts |= drop(pc.match_substring_regex(flags, rf"(^|,){name}(,|$)"), name)
        if self.language:
            verdicts |= self._language(scores)
        return verdicts

    def _language(self, scores: Scores) -> Verdicts:
        lang, prompt_lang = (scores.column(name).cast(pa.string()).combine_chunks() for name in ("lang", "prompt_lang"))
        wanted = pa.array(self.language, pa.string())
        spoken = pc.or_(pc.is_in(lang, wanted), pc.is_in(prompt_lang, wanted))
        outside = np.asarray(pc.and_(pc.is_valid(lang), pc.invert(spoken))) & (
            scores.lang_confidence >= self.min_confidence
        )
        return drop(outside, self.outside, _evidence(outside, "lang", lang.to_numpy(zero_copy_only=False)))


def _evidence(mask: np.ndarray, name: str, values: np.ndarray) -> list[str | None]:
    """JSON text for the rows of a mask: {"chars": 3}."""
    import json

    shown = [None] * len(mask)
    for row in np.flatnonzero(mask):
        value = values[row]
        shown[row] = json.dumps({name: value if isinstance(value, str) else round(float(value), 3)})
    return shown
