"""What ranks of a job array may be asked to do: read a block of records, score a shard, put its rows in order, write a
data file. No code travels: every rank prepares the same recipe, a task names its input, its step or one of FUNCTIONS,
and brings columns.

What has no such form stays with rank 0: blocks of a workbook with dates, say.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from instdata.corpus.corpus import Part, Scoring, Shard, Sidecar
from instdata.corpus.write_data_files import DataFile, ShardRows, alone
from instdata.read.bytes_to_records import Bad
from instdata.read.open_sources import Input
from instdata.read.shards import Block, read_block
from instdata.score.sandbox.run import chosen
from instdata.steps.base import Step
from instdata.steps.score_shards import Task, score_shard
from instdata.util.build_context import Context
from instdata.util.engine import PlainCall

# What corpus-wide steps ask, of each shard (Rows.scored) or otherwise (PlainCall): partial calls of these, with plain
# arguments, files of the cache, or a model.
FUNCTIONS = {
    "labels": ("instdata.steps.ability.step", "_scores"),
    "holdout": ("instdata.steps.holdout", "_sketched"),
    "dedup": ("instdata.steps.dedup.sketch_shards", "sketched"),
    "join": ("instdata.steps.dedup.search_tasks", "join_task"),
    "texts": ("instdata.steps.dedup.search_tasks", "texts_task"),
    "verify": ("instdata.steps.dedup.search_tasks", "verify_task"),
}
Packed = tuple[dict[str, Any], pa.Table]
RECORDS = pa.schema([("bytes", pa.large_binary()), ("fields", pa.large_string()), ("error", pa.string()), ("raw", pa.large_string())])  # fmt: skip  # noqa: E501


class BuildCalls:
    """The calls of a build (util/tasks.Calls): `read` and `score`, against inputs and steps that every rank has."""

    def __init__(self, inputs: list[list[Input]], steps: list[Step], context: Context):
        self.inputs = {(i.source, i.file): i for files in inputs for i in files}
        self.steps = {step.name: step for step in steps}
        self.context = context.silent
        self.sandbox = chosen()  # by this rank's command
        self._model: tuple[Any, str] | None = None  # the last one that was written, and where

    def pack(self, function: Callable[..., Any], item: Any) -> Packed | None:
        """A call as (what is to be done, columns); None where it has to run on rank 0."""
        if function is read_block and self.inputs.get((item.input.source, item.input.file)) == item.input:
            return self._pack_block(item)
        if function is score_shard and self.steps.get(item.step.name) == item.step:
            return self._pack_score(item)
        if function is Scoring.into_cache:
            return self._pack_kept(item)
        if function is ShardRows.write:
            return self._pack_rows(item)
        if function is DataFile.write:
            return self._pack_file(item)
        if function is PlainCall.do and (asked := self._pack_call(item.call)):
            return {"call": "asked", **asked}, pa.table({})
        return None

    def run(self, spec: dict[str, Any], table: pa.Table) -> Any:
        """Do what `pack` described. Raises what reading and scoring raise."""
        if spec["call"] == "score":
            return score_shard(self._task(spec, table))
        if spec["call"] == "kept":
            path, out = (self.context.folder / spec[place] for place in ("path", "out"))
            return Scoring(self._call(spec), path, self.context, out, tuple(spec["sees"])).into_cache()
        if spec["call"] == "asked":
            return PlainCall(self._call(spec)).do()
        if spec["call"] == "rows":
            return self._shard_rows(spec, table).write()
        if spec["call"] == "file":
            return self._data_file(spec, table).write()
        made = read_block(self._block(spec, table))
        return {"path": self._inside(made.path), "rows": made.rows, "bad": made.bad, "key": made.key, "size": made.size}

    def result(self, function: Callable[..., Any], value: Any) -> Any:
        """What the function returns, of what `run` returned."""
        return Shard(**{**value, "path": self.context.folder / value["path"]}) if function is read_block else value

    def _inside(self, path: Path) -> str:
        """A path in the cache, which ranks may have mounted at different places."""
        return path.relative_to(self.context.folder).as_posix()

    def _pack_block(self, block: Block) -> Packed | None:
        records = _table_of(block.records)
        if records is None:
            return None
        spec = {"call": "read", "source": block.input.source, "file": block.input.file, "first": block.first}
        spec |= {"path": self._inside(block.path), "key": block.key, "fresh": block.fresh}
        return spec | {"form": type(block.records).__name__}, records

    def _block(self, spec: dict[str, Any], table: pa.Table) -> Block:
        records: Any = _records_of(table) if spec["form"] == "list" else table.combine_chunks()
        if spec["form"] == "RecordBatch":
            records = records.to_batches()[0]
        item, path = self.inputs[spec["source"], spec["file"]], self.context.folder / spec["path"]
        return Block(item, spec["first"], records, path, spec["key"], self.context.taxonomy, spec["fresh"])

    def _pack_score(self, task: Task) -> Packed | None:
        shard = task.shard
        if not shard.path.is_relative_to(self.context.folder):
            return None
        spec = {"call": "score", "step": task.step.name, "shard": self._of_shard(shard), "out": self._inside(task.out)}
        columns: dict[str, Any] = {"label": task.labels, **{f"score {n}": c for n, c in task.scores.items()}}
        if task.at is not None:
            chosen = np.zeros(shard.rows, bool)
            chosen[task.at] = True
            columns["chosen"] = chosen
        return spec, pa.table(columns)

    def _of_shard(self, shard: Shard) -> dict[str, Any]:
        return {**vars(shard), "path": self._inside(shard.path)}

    def _shard(self, told: dict[str, Any]) -> Shard:
        return Shard(**{**told, "path": self.context.folder / told["path"]})

    def _pack_rows(self, task: ShardRows) -> Packed | None:
        shard = task.corpus.shards[0]
        parts = {s.step: s.parts[0] for s in task.corpus.sidecars}
        if not all(
            path.is_relative_to(self.context.folder) for path in (shard.path, *(p.path for p in parts.values()))
        ):
            return None
        spec = {"call": "rows", "shard": self._of_shard(shard), "out": self._inside(task.out), "edges": task.edges}
        spec["asked"] = {kind: schema.serialize().to_pybytes().hex() for kind, schema in task.asked.items()}
        spec["parts"] = {step: [self._inside(p.path), p.lo, p.hi, p.key] for step, p in parts.items()}
        columns = {name: task.told[name] for name in task.told.column_names}
        for step, part in parts.items():
            if part.at is not None:
                columns[f"seen {step}"] = np.isin(np.arange(shard.rows), part.at)
        return spec, pa.table(columns)

    def _shard_rows(self, spec: dict[str, Any], table: pa.Table) -> ShardRows:
        sidecars = []
        for step, (path, lo, hi, key) in spec["parts"].items():
            seen = f"seen {step}"
            at = np.flatnonzero(table[seen]) if seen in table.column_names else None
            sidecars.append(Sidecar(step, {0: Part(self.context.folder / path, lo, hi, at, key)}))
        asked = {kind: pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(told))) for kind, told in spec["asked"].items()}
        corpus = alone(self._shard(spec["shard"]), sidecars)
        return ShardRows(corpus, {}, table, spec["edges"], asked, self.context.folder / spec["out"])

    def _pack_file(self, task: DataFile) -> Packed:
        buckets = [[(self._inside(path), batch) for path, batch in bucket] for bucket in task.buckets]
        return {"call": "file", "buckets": buckets, "out": self._inside(task.out)}, task.schema.empty_table()

    def _data_file(self, spec: dict[str, Any], table: pa.Table) -> DataFile:
        buckets = [[(self.context.folder / path, batch) for path, batch in bucket] for bucket in spec["buckets"]]
        return DataFile(buckets, table.schema, self.context.folder / spec["out"])

    def _pack_kept(self, task: Scoring) -> Packed | None:
        asked = self._pack_call(task.score)
        assert task.out is not None
        if asked is None or not task.shard.is_relative_to(self.context.folder):
            return None
        spec = {"call": "kept", **asked, "path": self._inside(task.shard), "out": self._inside(task.out)}
        return spec | {"sees": task.sees}, pa.table({})

    def _pack_call(self, asked: Any) -> dict[str, Any] | None:
        """A partial call as JSON: the function's name and its arguments; None for others than FUNCTIONS."""
        if not isinstance(asked, partial) or asked.keywords:
            return None
        called = (asked.func.__module__, asked.func.__qualname__)
        name = next((name for name, function in FUNCTIONS.items() if function == called), None)
        given = [self._told(value) for value in asked.args]
        return None if name is None or None in given else {"by": name, "given": given}

    def _call(self, spec: dict[str, Any]) -> partial[Any]:
        """What `_pack_call` was given."""
        module, name = FUNCTIONS[spec["by"]]
        return partial(getattr(import_module(module), name), *map(self._meant, spec["given"]))

    def _told(self, value: Any) -> dict[str, Any] | None:
        """An argument as JSON; a file by its place in the cache; a model lies in one, written once. None for what has
        no such form."""
        from instdata.steps.ability.kept_model import write_model
        from instdata.steps.ability.linear import Linear

        if isinstance(value, str | int | float | bool | None):
            return {"value": value}
        if isinstance(value, Path) and value.is_relative_to(self.context.folder):
            return {"path": self._inside(value)}
        if not isinstance(value, Linear):
            return None
        if self._model is None or self._model[0] is not value:
            self._model = value, self._inside(write_model(value, self.context.folder / "learned"))
        return {"model": self._model[1]}

    def _meant(self, told: dict[str, Any]) -> Any:
        """What `_told` was given."""
        if "path" in told:
            return self.context.folder / told["path"]
        return _model(self.context.folder / told["model"]) if "model" in told else told["value"]

    def _task(self, spec: dict[str, Any], table: pa.Table) -> Task:
        shard = self._shard(spec["shard"])
        at = np.flatnonzero(np.asarray(table["chosen"])) if "chosen" in table.column_names else None
        scores = {n.removeprefix("score "): table[n] for n in table.column_names if n.startswith("score ")}
        labels, out = table["label"].combine_chunks(), self.context.folder / spec["out"]
        return Task(self.steps[spec["step"]], self.context, shard, at, labels, scores, out, self.sandbox)


@lru_cache(maxsize=2)
def _model(path: Path) -> Any:
    from instdata.steps.ability.kept_model import read_model

    return read_model(path)


def _table_of(records: Any) -> pa.Table | None:
    """A block's records as a table; None where they hold what JSON would change (dates, say)."""
    if not isinstance(records, list):  # a batch, or a table of the Hub
        return records if isinstance(records, pa.Table) else pa.Table.from_batches([records])
    fields = [r if isinstance(r, dict) else None for r in records]
    if any(f is not None for f in fields):
        texts = [None if f is None else json.dumps(f) for f in map(_plain, fields)]
        if any(f is not None and (t is None or repr(json.loads(t)) != repr(f)) for f, t in zip(fields, texts)):
            return None
    else:
        texts = [None] * len(records)
    bad = [r if isinstance(r, Bad) else None for r in records]
    columns = [
        [r if isinstance(r, bytes) else None for r in records], texts,
        [b and b.error for b in bad], [b and b.raw for b in bad],
    ]  # fmt: skip
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, RECORDS)], RECORDS)


def _plain(fields: dict[str, Any] | None) -> dict[str, Any] | None:
    """The fields, where they are text, numbers, truth values and nothing."""
    fine = fields is not None and all(isinstance(v, str | int | float | bool | None) for v in fields.values())
    return fields if fine else None


def _records_of(table: pa.Table) -> list[Any]:
    """What `_table_of` was given."""
    rows = zip(*(column.to_pylist() for column in table.columns))
    return [b if b is not None else json.loads(f) if f is not None else Bad(e, r) for b, f, e, r in rows]
