"""What the labelling reads of a row: its texts, the label it came with, whether a generator wrote it. Imports no
kernel."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from instdata.corpus.rows import UNKNOWN, Rows


def texts(rows: Rows) -> tuple[pa.Array, pa.Array]:
    """(prompt, response) as the models read them: what is asked, a blank line, what is given. Responses null where
    none."""
    asked, given = rows.view("asked"), rows.view("given")
    both = pc.binary_join_element_wise(asked, given, "\n\n")
    prompt = pc.if_else(pc.equal(given, ""), asked, both)
    return pc.if_else(pc.equal(asked, ""), rows.prompt, prompt), rows.view("answer")


def known_labels(ability: pa.Array) -> pa.Array:
    """The labels, null in place of "unknown"."""
    return pc.if_else(pc.equal(ability, UNKNOWN), pa.scalar(None, pa.string()), ability)


def was_generated(meta: pa.Array) -> pa.Array:
    """Which rows a generate step of this build wrote (bool): their meta says how."""
    return pc.fill_null(pc.starts_with(meta, '{"generate": '), False)
