"""The build folder: rows in the ladder's order, ledger, quarantine, manifest, card; each file whole or not there."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.corpus.corpus import HOLDOUT, ROW_GROUP, Corpus, Writer
from instdata.corpus.ladder import Ladder
from instdata.corpus.ledger import score_fields
from instdata.corpus.optional_columns import fields_used, published_schema
from instdata.corpus.parquet_file import parquet_file
from instdata.corpus.rows import SHARD, with_fields
from instdata.util.atomic import whole
from instdata.util.checksums import regular
from instdata.util.errors import BuildError, InputError
from instdata.util.redaction import redacted
from instdata.util.remote_files import no_url
from instdata.util.safe_text import escaped

LOCK = ".instdata.lock"
OURS = re.compile(r"(\d\d-.+|holdout)\.parquet")  # what a build calls its data files
BUCKET = 256 << 20  # bytes of rows that are put in order in memory at once


def is_build(folder: Path) -> bool:
    """Whether a folder is a whole build, not one that only has something like a manifest: what is there may be
    replaced."""
    if not regular(folder / "manifest.json"):
        return False
    try:
        found = json.loads((folder / "manifest.json").read_text("utf-8"))
        names = [name for config in found["configs"].values() for name in config["files"]]
        whole = {"recipe_sha256", "schema_version", "totals", "steps"} <= set(found) and bool(names)
        ours = all(OURS.fullmatch(n.removeprefix("data/")) for n in names)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False
    return whole and ours and all((folder / n).is_file() for n in [*names, "ledger.parquet", "recipe.yaml"])


def _no_links(folder: Path) -> None:
    """Raise InputError where a link in the folder would lead writing elsewhere."""
    for name in (LOCK, "data"):
        if (folder / name).is_symlink():
            raise InputError(
                f"{folder / name}: this is a link to {os.readlink(folder / name)}, where nothing of a build belongs; "
                f"remove it, or choose another folder (--out)"
            )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time per folder: of a build, a run, curves, an ablation. The system frees the lock when its
    owner dies. Raises BuildError if it is taken, InputError where the folder is not empty and neither a build nor
    locked before: what is there may be replaced."""
    new = not no_url(folder).exists()
    folder.mkdir(parents=True, exist_ok=True)
    _no_links(folder)
    if any(folder.iterdir()) and not (folder / LOCK).exists() and not is_build(folder):
        raise InputError(
            f"{folder}: this folder is not empty, and instdata did not write it (no {LOCK}); choose a new or empty "
            f"one (--out)"
        )
    with open(folder / LOCK, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise BuildError(
                f"{folder}: another instdata process ({file.read().strip() or '?'}) is writing here; wait for it, or "
                f"choose another folder"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        except BaseException:
            if new and [p.name for p in folder.iterdir()] == [LOCK]:  # nothing came of it: nothing stays
                (folder / LOCK).unlink()
                folder.rmdir()
            raise


def side_by_side(*writers: Writer) -> list[Any]:
    """What writers return. Each has its turn with a shard before the next one is read: what one has read of it, the
    others find at hand."""
    left, found = dict(enumerate(writers)), dict[int, Any]()
    with ExitStack() as opened:
        for writer in writers:
            opened.enter_context(closing(writer))
        while left:
            for i, writer in list(left.items()):
                try:
                    next(writer)
                except StopIteration as e:
                    found[i] = e.value
                    del left[i]
    return [found[i] for i in range(len(writers))]


def write_data(corpus: Corpus, pool: np.ndarray, ladder: Ladder, folder: Path) -> Writer:
    """Write data/*.parquet of the pool's rows (their numbers) and of the holdout; returns the manifest's configs."""
    place = np.full(corpus.n, -1, np.int64)  # row -> its place: the ladder first, then the holdout
    place[pool[ladder.order]] = np.arange(len(pool))
    held = np.flatnonzero((corpus.state.step < 0) & (corpus.state.config == HOLDOUT))
    held = held[np.argsort(np.asarray(corpus.view(held).id.to_numpy(zero_copy_only=False)), kind="stable")]
    place[held] = len(pool) + np.arange(len(held))
    files = [(f"data/{i:02d}-{name}.parquet", end) for i, (name, end) in enumerate(ladder.cuts)]
    if len(held):
        files.append(("data/holdout.parquet", len(pool) + len(held)))
    yield from _write_in_order(corpus, place, files, folder)
    labels = np.full(len(pool) + len(held), -1, np.int32)
    labels[place[place >= 0]] = corpus.state.ability[place >= 0]

    def config(names: list[str], start: int, end: int, sha256: str) -> dict[str, Any]:
        codes, counts = np.unique(labels[start:end], return_counts=True)
        by = dict(sorted((corpus.abilities.words[c], int(n)) for c, n in zip(codes, counts)))
        return {"rows": end - start, "files": names, "sha256": sha256, "by_ability": by}

    shas = _running_sha256([folder / f for f, _ in files[: len(ladder.cuts)]])
    configs = {
        name: config([f for f, _ in files[:k]], 0, files[k - 1][1], shas[k - 1]) for name, k in ladder.configs.items()
    }
    if len(held):
        configs["holdout"] = config([files[-1][0]], len(pool), len(labels), _running_sha256([folder / files[-1][0]])[0])
    return configs


def _running_sha256(paths: list[Path]) -> list[str]:
    """For each k, the sha256 of the bytes of the first k files, one after the other."""
    sha, out = hashlib.sha256(), []
    for path in paths:
        with open(path, "rb") as file:
            while data := file.read(1 << 20):
                sha.update(data)
        out.append(sha.hexdigest())
    return out


def _write_in_order(corpus: Corpus, place: np.ndarray, files: list[tuple[str, int]], folder: Path) -> Writer:
    """Rows sorted by place, cut into files. A distribution sort: rows go to buckets of neighbouring places on disk,
    then each bucket is sorted in memory, so that memory is bounded whatever the corpus holds."""
    schema = published_schema(fields_used(corpus, place >= 0), score_fields(corpus))
    total = files[-1][1]
    size = sum(s.size for s in corpus.shards)
    buckets = max(1, -(-size // BUCKET))
    edges = np.linspace(0, total, buckets + 1).astype(np.int64)
    scratch = Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder))
    try:
        writers = [
            pa.ipc.new_file(scratch / str(b), schema.append(pa.field("place", pa.int64()))) for b in range(buckets)
        ]
        for shard in range(len(corpus.shards)):
            yield
            mine = place[corpus.span(shard)]
            at = np.argsort(mine, kind="stable")[np.count_nonzero(mine < 0) :]
            rows = _published(corpus, shard, at, schema).append_column("place", pa.array(mine[at]))
            cuts = np.searchsorted(mine[at], edges)
            for writer, start, end in zip(writers, cuts, cuts[1:]):
                if start < end:
                    writer.write_table(rows.slice(start, end - start))
        for writer in writers:
            writer.close()
        _merge(scratch, edges, schema, files, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _merge(scratch: Path, edges: np.ndarray, schema: pa.Schema, files: list[tuple[str, int]], folder: Path) -> None:
    """Cut the sorted rows into files, row groups of ROW_GROUP rows."""
    rows = _sorted(scratch, edges)
    held = schema.empty_table()
    start = 0
    for name, end in files:
        with parquet_file(folder / name, schema) as append:
            left = end - start
            while left:
                while len(held) < min(left, ROW_GROUP):
                    held = pa.concat_tables([held, next(rows)])
                take = min(left, ROW_GROUP)
                append(held.slice(0, take).combine_chunks())
                held = held.slice(take)
                left -= take
        start = end


def _sorted(scratch: Path, edges: np.ndarray) -> Iterator[pa.Table]:
    """All rows by place, some at a time: of the pieces of a bucket, sorted each, those that come next are put in
    order together. Rows are copied where they are few: a bucket sorted as a whole would be copied twice."""
    for bucket, (first, end) in enumerate(pairwise(edges.tolist())):
        with pa.memory_map(str(scratch / str(bucket))) as file:
            reader = pa.ipc.open_file(file)
            pieces = [reader.get_batch(i) for i in range(reader.num_record_batches)]
            starts = [*range(first, end, ROW_GROUP), end]
            cuts = [np.searchsorted(np.asarray(piece["place"]), starts) for piece in pieces]
            for i in range(len(starts) - 1):
                next_ones = [p.slice(c[i], c[i + 1] - c[i]) for p, c in zip(pieces, cuts) if c[i] < c[i + 1]]
                table = pa.Table.from_batches(next_ones).combine_chunks()
                yield table.take(pc.sort_indices(table["place"])).drop_columns(["place"])
        (scratch / str(bucket)).unlink()


def _published(corpus: Corpus, shard: int, at: np.ndarray, schema: pa.Schema) -> pa.Table:
    """The rows `at` of a shard as they are published."""
    stored = [n for n in schema.names if n in SHARD.names]
    table = corpus.columns(shard, stored).take(pa.array(at))
    confidence = corpus.state.confidence[corpus.span(shard)][at]
    columns: dict[str, Any] = {n: table[n] for n in stored}
    columns["messages"] = with_fields(table["messages"].combine_chunks(), schema.field("messages").type)
    columns["ability_confidence"] = pa.array(confidence, pa.float32(), from_pandas=True)
    columns |= corpus.scores(shard, at)
    return pa.table([columns[n] for n in schema.names], schema=schema)


def write_json(path: Path, value: Any, hide: bool = False) -> None:
    """Indented JSON, keys as given, hidden characters escaped; with `hide`, without secrets. (What is published is not
    redacted but refused.)"""
    with whole(path, "w") as file:
        file.write(escaped(json.dumps(redacted(value) if hide else value, ensure_ascii=False, indent=2)))
        file.write("\n")


def move_into_place(staged: Path, out: Path) -> None:
    """Put a finished build into its folder: the manifest leaves first and comes back last, so that a folder with a
    manifest is whole. Files of an older build that the new one does not have go."""
    (out / "manifest.json").unlink(missing_ok=True)
    (out / "data").mkdir(exist_ok=True)
    new = sorted(p.relative_to(staged) for p in staged.rglob("*") if p.is_file())
    for old in [
        *(p for p in (out / "data").iterdir() if OURS.fullmatch(p.name)),
        out / "report.html",
        out / "dropped.parquet",
    ]:
        if old.relative_to(out) not in new:
            old.unlink(missing_ok=True)
    for name in sorted(new, key=lambda p: p.name == "manifest.json"):
        os.replace(staged / name, out / name)
    shutil.rmtree(staged, ignore_errors=True)
