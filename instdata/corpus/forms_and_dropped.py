"""What a build keeps so that every record that came in can be given back: how each was written, and the rows it
dropped."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from instdata.corpus.cached_tables import read_cached
from instdata.corpus.corpus import Corpus, Shard, versions
from instdata.corpus.ledger import evidence_of
from instdata.corpus.optional_columns import fields_used, published_schema
from instdata.corpus.parquet_file import parquet_file
from instdata.util.atomic import copy_whole
from instdata.util.sealed import seal, sound

FORMS, DROPPED = "forms.parquet", "dropped.parquet"
FORM = pa.schema([("source", pa.string()), ("source_file", pa.string()), ("source_row", pa.int64()),
                  ("id", pa.string()), ("form", pa.string())])  # fmt: skip
NOTES = {
    "cut_back": "{n:,} conversations end with turns that nobody answered; they are cut back to their last answer",
    "unclosed": "{n:,} records have an answer that begins with a thought which never ends; it stays the answer's text",
    "weights": "{n:,} records have a turn that says two things of whether it is learned (weight, loss, train); the "
    "smaller holds",
    "tie": "{n:,} records have two answers of which neither is the better one; the first is taken",
    "nan": "{n:,} records have NaN where a value is expected; it counts as none",
}
NOTED = re.compile(r'\{"notes":\[([^\]]*)\]')  # how a form begins that has any


def write_forms(corpus: Corpus, path: Path) -> dict[str, int]:
    """Write forms.parquet: how each record that became a row was written (read/source_form.py), in reading order. The
    cache keeps it: no step's decision changes it.

    Returns {records, reconstructed}: the records that were read, and those of them that can be given back."""
    shards = [s for s in corpus.shards if s.step is None]
    name = hashlib.sha256(repr((FORMS, sorted(versions().items()), [s.key for s in shards])).encode()).hexdigest()
    kept = corpus.context.folder / "scores" / name[:2] / f"{name[:40]}.parquet"
    if corpus.context.fresh or not sound(kept):
        with parquet_file(kept, FORM) as append:
            for shard in shards:
                forms = read_cached(shard.path, FORM.names)
                forms = forms.filter(pc.is_valid(forms["form"])).cast(FORM)
                if len(forms):
                    append(forms)
        seal(kept)
    copy_whole(kept, path)
    rows = pq.read_metadata(path).num_rows
    raws = [read_cached(shard.bad_path, ["raw"])["raw"] for shard in shards if shard.bad]
    whole_texts = sum(int(pc.sum(pc.greater(pc.binary_length(raw), 0)).as_py() or 0) for raw in raws)
    return {"records": rows + sum(map(len, raws)), "reconstructed": rows + whole_texts}


@contextmanager
def dropped_file(corpus: Corpus, folder: Path) -> Iterator[tuple[pa.Schema, Callable[[int, Path], None]]]:
    """dropped.parquet, the rows that a step dropped or raised on with all their text, where there are any.

    (What is asked of each shard, and a function that appends a shard's dropped rows: an Arrow file of these.)"""
    gone = corpus.state.step >= 0
    if not gone.any():
        yield pa.schema([]), lambda shard, path: None
        return
    body = published_schema(fields_used(corpus, gone))
    asked = pa.schema([pa.field("rid", pa.string()), *(f for f in body if f.name != "ability_confidence")])
    own = [pa.field(n, pa.string()) for n in ("step", "reason", "evidence")]
    schema = pa.schema([asked[0], *own, *(f for f in asked if f.name != "rid")])
    names = pa.array([t.name for t in corpus.done], pa.string())

    def drop(shard: int, path: Path) -> None:
        at = np.flatnonzero(gone[corpus.span(shard)])
        if not len(at):
            return
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        columns = {n: table[n] for n in table.column_names}
        rows = at + corpus.span(shard).start
        columns["step"] = names.take(pa.array(corpus.state.step[rows].astype(np.int64)))
        reasons = corpus.reasons.decode(corpus.state.reason[rows])
        columns["reason"] = pc.if_else(pa.array(corpus.state.quarantined[rows]), "step_error", reasons)
        columns["evidence"] = evidence_of(corpus, shard).take(pa.array(at))
        append(pa.table([columns[n] for n in schema.names], schema=schema))

    with parquet_file(folder / DROPPED, schema) as append:
        yield asked, drop


def notes_of(shards: list[Shard], say: Callable[[str], None]) -> dict[str, dict[str, int]]:
    """Source -> what reading it did that one may want to know (the words of NOTES), in rows; said, a line each."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for shard in shards:
        if shard.step is not None or not shard.rows:
            continue
        forms = read_cached(shard.path, ["source", "form"])
        noted = forms.filter(pc.fill_null(pc.starts_with(forms["form"], '{"notes"'), False))
        for source, form in zip(noted["source"].to_pylist(), noted["form"].to_pylist()):
            if said := NOTED.match(form):
                found[source].update(word.strip('"') for word in said[1].split(","))
    for source, counts in found.items():
        for note in sorted(counts):
            say(f"source {source}: {NOTES[note].format(n=counts[note])}")
    return {source: dict(sorted(counts.items())) for source, counts in found.items()}
