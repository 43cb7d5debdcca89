"""Which checks an ability has, and from which score on a row passes each.

A check's name is the reason that it drops for, and what `min` calls it."""

from __future__ import annotations

from dataclasses import dataclass

from instdata.steps.verify import program, rules
from instdata.steps.verify.case import Case, Finding


@dataclass(frozen=True)
class Check:
    """One check without a model. `least`: the score that passes. `abilities`: those that it is about; none: every
    one."""

    name: str
    rule: rules.Rule
    least: float
    abilities: tuple[str, ...] = ()


FACTS = ("math", "cot", "open_qa", "closed_qa", "extract", "classification", "biology", "history", "chinese",
         "logical_reasoning", "dialogue_understanding")  # fmt: skip
READS = ("closed_qa", "extract", "summarization", "translation", "rewrite", "classification", "dialogue_understanding")
WRITES = ("generation", "brainstorming", "creative_writing", "role_play")
CHECKS = (
    Check(
        "unknowable",
        rules.unknowable,
        1.0,
        ("open_qa", "closed_qa", "extract", "classification", "brainstorming", "history"),
    ),
    Check("cannot_say", rules.answered, 1.0, FACTS),
    Check("stock_phrase", rules.stock, 1.0),
    Check("repeats", rules.repeats, 0.7),
    Check(
        "not_asked",
        rules.asked_for,
        1.0,
        ("translation", "summarization", "rewrite", "classification", "extract", "code"),
    ),
    Check("asks_for_anything", rules.definite, 1.0, ("extract", "closed_qa")),
    Check("made_for_eyes", rules.for_eyes, 1.0),
    Check("no_material", rules.material, 1.0),
    Check("too_long_for_task", rules.length, 0.8),
    Check("wrong_count", rules.count, 0.7, WRITES),
    Check("no_source", rules.source, 1.0, READS),
    Check("false_sum", rules.sums, 1.0, ("math", "cot", "logical_reasoning")),
    Check("no_result", rules.result, 1.0, ("math",)),
    Check("no_reasoning", rules.reasoned, 1.0, ("cot", "logical_reasoning")),
    Check("no_code", program.there, 1.0, ("code",)),
    Check("invalid_python", program.parses, 1.0, ("code",)),
    Check("fails_tests", program.runs, 1.0, ("code",)),
    Check("label_not_offered", rules.labels, 1.0, ("classification",)),
    Check("not_in_source", rules.spans, 0.75, ("extract",)),
    Check("answer_not_in_source", rules.from_source, 0.6, ("closed_qa",)),
    Check("whole_source", rules.whole_source, 1.0, ("extract", "closed_qa", "summarization", "dialogue_understanding")),
    Check("not_shorter", rules.shorter, 0.1, ("summarization",)),
    Check("new_numbers", rules.numbers_from, 1.0, ("summarization",)),
    Check("strange_summary", rules.from_source, 0.4, ("summarization",)),
    Check("wrong_target", rules.target_language, 1.0, ("translation",)),
    Check("untranslated", rules.translated, 0.75, ("translation",)),
    Check("not_rewritten", rules.changed, 0.5, ("rewrite",)),
    Check("not_polite", rules.manner, 1.0, ("rewrite",)),
    Check("lost_numbers", rules.numbers_kept, 1.0, ("translation", "rewrite")),
    Check("wrong_verse", rules.verse, 0.75, WRITES),
    Check("copied", rules.no_copy, 1.0, (*WRITES, "open_qa", "cot", "math")),
    Check("off_topic", rules.on_topic, 0.5, WRITES),
)
BY_NAME = {check.name: check for check in CHECKS}


def check(c: Case) -> dict[str, Finding]:
    """What every check that is about the case's ability says of it, by name, in the table's order."""
    said = {k.name: k.rule(c) for k in CHECKS if not k.abilities or c.ability in k.abilities}
    return {name: finding for name, finding in said.items() if finding is not None}
