"""Which checks an ability has, and from which score on a row passes each.

A check's name is the reason that it drops for, and what `min` calls it."""

from __future__ import annotations

from dataclasses import dataclass

from instdata.steps.verify import code_checks, text_checks
from instdata.steps.verify.case import Case, Finding


@dataclass(frozen=True)
class Check:
    """One check without a model. `least`: the score that passes. `abilities`: those that it is about; none: every
    one."""

    name: str
    rule: text_checks.Rule
    least: float
    abilities: tuple[str, ...] = ()


FACTS = ("math", "cot", "open_qa", "closed_qa", "extract", "classification", "biology", "history", "chinese",
         "logical_reasoning", "dialogue_understanding")  # fmt: skip
READS = ("closed_qa", "extract", "summarization", "translation", "rewrite", "classification", "dialogue_understanding")
WRITES = ("generation", "brainstorming", "creative_writing", "role_play")
CHECKS = (
    Check(
        "unknowable",
        text_checks.unknowable,
        1.0,
        ("open_qa", "closed_qa", "extract", "classification", "brainstorming", "history"),
    ),
    Check("cannot_say", text_checks.answered, 1.0, FACTS),
    Check("stock_phrase", text_checks.stock, 1.0),
    Check("repeats", text_checks.repeats, 0.7),
    Check(
        "not_asked",
        text_checks.asked_for,
        1.0,
        ("translation", "summarization", "rewrite", "classification", "extract", "code"),
    ),
    Check("asks_for_anything", text_checks.definite, 1.0, ("extract", "closed_qa")),
    Check("made_for_eyes", text_checks.for_eyes, 1.0),
    Check("no_material", text_checks.material, 1.0),
    Check("too_long_for_task", text_checks.length, 0.8),
    Check("no_source", text_checks.source, 1.0, READS),
    Check("false_sum", text_checks.sums, 1.0, ("math", "cot", "logical_reasoning")),
    Check("no_result", text_checks.result, 1.0, ("math",)),
    Check("no_reasoning", text_checks.reasoned, 1.0, ("cot", "logical_reasoning")),
    Check("no_code", code_checks.there, 1.0, ("code",)),
    Check("invalid_python", code_checks.parses, 1.0, ("code",)),
    Check("made_up", code_checks.computed, 1.0, ("code",)),
    Check("fails_tests", code_checks.runs, 1.0, ("code",)),
    Check("label_not_offered", text_checks.labels, 1.0, ("classification",)),
    Check("told_by_task", text_checks.not_told, 1.0, ("open_qa",)),
    Check("not_in_source", text_checks.spans, 0.75, ("extract",)),
    Check("answer_not_in_source", text_checks.from_source, 0.6, ("closed_qa",)),
    Check(
        "whole_source",
        text_checks.whole_source,
        1.0,
        ("extract", "closed_qa", "summarization", "dialogue_understanding"),
    ),
    Check("not_shorter", text_checks.shorter, 0.1, ("summarization",)),
    Check("new_numbers", text_checks.numbers_from, 1.0, ("summarization",)),
    Check("strange_summary", text_checks.from_source, 0.4, ("summarization",)),
    Check("wrong_target", text_checks.target_language, 1.0, ("translation",)),
    Check("untranslated", text_checks.translated, 0.75, ("translation",)),
    Check("not_rewritten", text_checks.changed, 0.5, ("rewrite",)),
    Check("not_polite", text_checks.manner, 1.0, ("rewrite",)),
    Check("lost_numbers", text_checks.numbers_kept, 1.0, ("translation", "rewrite")),
    Check("wrong_count", text_checks.count, 0.7, (*WRITES, "summarization")),
    Check("wrong_verse", text_checks.verse, 0.75, WRITES),
    Check("copied", text_checks.no_copy, 1.0, (*WRITES, "open_qa", "cot", "math")),
    Check("off_topic", text_checks.on_topic, 0.5, WRITES),
)
BY_NAME = {check.name: check for check in CHECKS}


def check(c: Case) -> dict[str, Finding]:
    """What every check that is about the case's ability says of it, by name, in the table's order."""
    said = {k.name: k.rule(c) for k in CHECKS if not k.abilities or c.ability in k.abilities}
    return {name: finding for name, finding in said.items() if finding is not None}
