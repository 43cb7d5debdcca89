"""What categorize learns from: labelled rows of the corpus, the user's file, and the taxonomy's own examples."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from instdata.corpus.rows import TEXT, UNKNOWN, Rows
from instdata.steps.ability.label_inputs import known_labels, texts, was_generated
from instdata.steps.ability.linear import MAX_ROWS
from instdata.util.build_context import Context
from instdata.util.errors import InputError
from instdata.util.resources import resource

if TYPE_CHECKING:
    from instdata.read.open_sources import Input

FEW = 20
TEXTS = pa.schema([("prompt", pa.string()), ("response", pa.string()), ("ability", pa.string()), ("row", pa.int64())])


class TrainFile(BaseModel):
    """Labelled rows to learn from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str | list[str] = Field(description="A file, folder or glob; relative to the recipe.")
    map: dict[str, str] = Field(
        {}, description="Our field: their column, e.g. {instruction: question, ability: class}."
    )


@dataclass(frozen=True)
class Examples:
    """Labelled texts. `row` is the position in the corpus, -1 where the example comes from elsewhere."""

    prompts: pa.Array
    responses: pa.Array
    labels: np.ndarray  # int64: position in `classes`
    classes: list[str]
    row: np.ndarray
    taught: np.ndarray  # bool: labelled by a teacher
    sources: dict[str, int]

    def describe(self) -> str:
        parts = ", ".join(f"{n:,} {name}" for name, n in self.sources.items() if n)
        none = UNKNOWN in self.classes
        return f"learned {len(self.classes) - none} abilities{' and none of them' * none} from {parts}"


def labelled(rows: Rows, file: TrainFile | None, none: bool = False) -> Examples:
    """Everything there is to learn from. The taxonomy's examples and its shipped seeds help out for abilities that
    fewer than FEW labelled rows show. With `none`, where no row is labelled, the class "unknown" is learned, too, from
    the taxonomy's examples of none of its abilities. Of more than MAX_ROWS rows, an even share of each ability is
    taken.

    Raises InputError where fewer than two abilities have an example, over all or in the train file."""
    context = rows.context
    mine = _labelled_rows(rows)
    theirs = _from_files(inputs(file, context, seeds=False), context)
    if file is not None:
        _enough(theirs, file, context)
    learned = {"labelled rows": _known(mine), "rows of the train file": _known(theirs)}
    count = Counter(a for t in learned.values() for a in t["ability"].to_pylist())
    enough = sorted(a for a, n in count.items() if n >= FEW)
    spare = pa.concat_tables([_own_examples(context), _known(_from_files(inputs(None, context), context))])
    if count or not none:  # what a set's labels are is theirs to say: our "none of these" might be one of them
        spare = _known(spare)
    missing = pc.invert(pc.is_in(spare["ability"], value_set=pa.array(enough, pa.string())))
    learned["examples of the taxonomy"] = spare.filter(missing)
    table = pa.concat_tables(learned.values()).combine_chunks()
    classes = sorted(set(table["ability"].to_pylist()))
    if context.taxonomy:
        classes = [a for a in [*context.taxonomy.names, UNKNOWN] if a in set(classes)]
    if len(classes) < 2:
        have = f'all {len(table):,} labelled rows are "{classes[0]}"' if classes else "there is no labelled row"
        raise InputError(
            f"categorize: {have}, and nothing can be learned from that. Map a label column to ability: in a source, "
            "give train: {path: …}, or name a taxonomy: (belle, doit or your own, with examples of two abilities or "
            "more)"
        )
    table = table.filter(pc.is_in(table["ability"], value_set=pa.array(classes)))
    labels = np.asarray(pc.index_in(table["ability"], value_set=pa.array(classes)).combine_chunks())
    order = np.argsort(labels, kind="stable")
    order = order[np.unique(np.linspace(0, len(order) - 1, MAX_ROWS).astype(int))] if len(order) > MAX_ROWS else order
    table = table.take(pa.array(order)).combine_chunks()
    prompt, response, _, row = (c.chunk(0) for c in table.columns)
    taught = np.zeros(len(table), bool)
    return Examples(
        prompt, response, labels[order], classes, np.asarray(row), taught, {k: len(v) for k, v in learned.items()}
    )


def _labelled_rows(rows: Rows) -> pa.Table:
    """The corpus' rows with a label, as TEXTS: batch by batch, and of more than MAX_ROWS an even share of each ability.

    What a generator was asked for is nobody's judgement: such labels are checked by the model, so they cannot teach
    it."""
    labels = []
    for batch in rows.batches(columns=["ability", "meta"]):
        label = known_labels(batch.ability)
        labels.append(pc.if_else(was_generated(batch.meta), pa.scalar(None, pa.string()), label))
    label = pa.chunked_array(labels, pa.string()).combine_chunks()
    at = np.flatnonzero(np.asarray(label.is_valid()))
    order = at[np.argsort(np.asarray(label.take(pa.array(at)).dictionary_encode().indices), kind="stable")]
    at = np.sort(order[np.unique(np.linspace(0, len(order) - 1, MAX_ROWS).astype(int))] if len(at) > MAX_ROWS else at)
    parts, first = [TEXTS.empty_table()], 0
    for batch in rows.batches(columns=TEXT) if len(at) else []:
        here = at[(at >= first) & (at < first + len(batch))]
        if len(here):
            found = texts(batch.take(here - first))
            parts.append(pa.table([*found, label.take(pa.array(here)), pa.array(here)], schema=TEXTS))
        first += len(batch)
    return pa.concat_tables(parts)


def _enough(table: pa.Table, file: TrainFile, context: Context) -> None:
    """Whether a train file can teach anything. Raises InputError."""
    known = _known(table)["ability"].to_pylist()
    if len(set(known)) < 2:
        have = f'all {len(known):,} labelled rows are "{known[0]}"' if known else "no row has a label of the taxonomy"
        raise InputError(
            f"categorize: train: {file.path}: {have}; it takes two abilities. map: {{ability: …}} names the column"
        )
    if len(known) < len(table):
        context.say(f"categorize: {len(table) - len(known):,} rows of the train file have no label of the taxonomy")


def inputs(file: TrainFile | None, context: Context, seeds: bool = True) -> list[Input]:
    """The files to learn from: the user's, and the seeds that ship with the taxonomy. Raises InputError."""
    from instdata.read.open_sources import open_sources
    from instdata.read.source_options import Source

    found: list[Input] = []
    if file is not None:
        source = Source(path=file.path, map=file.map, name="train")
        found += open_sources([(0, source)], context.base)[0]
    name = context.taxonomy.name if seeds and context.taxonomy else ""
    if name.isidentifier() and list(resource("recipes/seeds").glob(f"{name}_*.jsonl")):
        source = Source(path=f"{name}_*.jsonl", format="seeds", name="seeds")
        found += open_sources([(0, source)], resource("recipes/seeds"))[0]
    return found


def _from_files(files: list[Input], context: Context) -> pa.Table:
    from instdata.read.shards import tables

    parts = [Rows(t) for item in files for t in tables(item, context.taxonomy) if len(t)]
    nowhere: list[Any] = [pa.array(np.full(len(r), -1)) for r in parts]
    return pa.concat_tables(
        [
            TEXTS.empty_table(),
            *(pa.table([*texts(r), r.ability, n], schema=TEXTS) for r, n in zip(parts, nowhere)),
        ]
    )


def _own_examples(context: Context) -> pa.Table:
    if context.taxonomy is None:
        return TEXTS.empty_table()
    shown = [(a.name, e) for a in context.taxonomy.abilities for e in a.examples]
    shown += [(e.ability, e) for e in context.taxonomy.labelled]
    columns = [
        [f"{e.instruction}\n\n{e.input}" if e.input else e.instruction for _, e in shown],
        [e.response or None for _, e in shown],
        [name for name, _ in shown],
        [-1] * len(shown),
    ]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, TEXTS)], schema=TEXTS)


def _known(table: pa.Table) -> pa.Table:
    """The rows with a label."""
    return table.filter(pc.and_(pc.is_valid(table["ability"]), pc.not_equal(table["ability"], UNKNOWN)))
