"""Named views of a row: steps look at a row through these, never at everything joined.

system, given (passage, input, tools, earlier turns), asked (what the last user turn wants, its options), prompt (all before
the last answer), reasoning, answer (the last answer without its reasoning), answers (every assistant turn), full.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

VIEWS = ("system", "given", "asked", "prompt", "reasoning", "answer", "answers", "full")
# Reasoning that stands inside an answer, as models mark it, and what marks the rest as the answer.
THOUGHT = (
    r"(?s)^\s*(?:<(?:think|thinking|thought|reasoning)>|<\|begin_of_thought\|>|\[THINK\]|◁think▷)(?P<thought>.*?)"
    r"(?:</(?:think|thinking|thought|reasoning)>|<\|end_of_thought\|>|\[/THINK\]|◁/think▷)\s*"
)
ANSWER_MARK = r"^(?:<answer>|<\|begin_of_solution\|>)\s*|\s*(?:</answer>|<\|end_of_solution\|>)\s*$"


def thought_of(answers: pa.Array) -> tuple[pa.Array, pa.Array]:
    """(reasoning, answer without it) of assistant texts; reasoning is null where there is none."""
    thought = pc.struct_field(pc.extract_regex(answers, THOUGHT), "thought")
    rest = pc.replace_substring_regex(answers, THOUGHT, "", max_replacements=1)
    if thought.null_count == len(thought):
        return thought, rest
    return thought, pc.if_else(pc.is_valid(thought), pc.replace_substring_regex(rest, ANSWER_MARK, ""), rest)


def turn_texts(messages: pa.Array, wanted: str) -> pa.Array:
    """`asked`, `given` or `answers` of a messages array (string, never null).

    asked: the last user turn. given: every turn before it but the system's. answers: all assistant turns without their
    reasoning. Turns are joined by a newline."""
    offsets = np.asarray(messages.offsets).astype(np.int64)
    base, rows = offsets[0], np.diff(offsets)
    values = messages.values.slice(base, offsets[-1] - base)
    roles, contents = values.field("role"), values.field("content")
    at = np.arange(len(roles)) + base
    row = np.repeat(np.arange(len(rows)), rows)
    user = np.asarray(pc.fill_null(pc.equal(roles, "user"), False))
    last = np.full(len(rows), -1, np.int64)
    last[row[user]] = at[user]  # ascending: the last one stays
    if wanted == "asked":
        chosen = at == last[row]
    elif wanted == "given":
        chosen = (at < last[row]) & ~np.asarray(pc.fill_null(pc.equal(roles, "system"), False))
    else:
        chosen = np.asarray(pc.fill_null(pc.equal(roles, "assistant"), False))
        contents = thought_of(contents)[1]
    counts = np.bincount(row[chosen], minlength=len(rows))
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(ends), contents.filter(pa.array(chosen))), "\n")
