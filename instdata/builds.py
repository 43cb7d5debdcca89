"""Questions to a finished build: which one is meant, one row's history, what two builds differ in, its rows again."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from instdata.corpus.cached_tables import read_parquet
from instdata.corpus.find_rows import copy_of, rows_named
from instdata.corpus.forms_and_dropped import DROPPED
from instdata.corpus.optional_columns import filled_columns
from instdata.corpus.read_build_folder import data_files, manifest, recipe_of, run_record
from instdata.corpus.rows import talks_of, told, with_tools
from instdata.read.export_formats import ALPACA_KEYS, write_record
from instdata.read.export_source import source_records
from instdata.read.fast_path import INPUT
from instdata.read.json_numbers import loads
from instdata.util.checksums import part, parts, regular
from instdata.util.database import connected
from instdata.util.errors import BuildError, InputError
from instdata.util.output_files import claimed
from instdata.util.paths import cache_folder
from instdata.util.sealed import sound
from instdata.util.yaml import did_you_mean

__all__ = ["find_build", "manifest", "recipe_of"]
RUN = "run"  # the kind of a trained run, in its run.json
NAMED = 8  # builds that a message names


def find_build(build: Path | None) -> Path:
    """The build folder that is meant: a path, a name under builds/, or the newest one. Raises InputError."""
    home = Path("builds")
    builds = sorted(filter(regular, home.glob("*/manifest.json")), key=lambda p: p.stat().st_mtime)
    if build is None:
        if not builds:
            raise InputError("there is no build under builds/ yet: run `instdata build RECIPE`, or name a build folder")
        return builds[-1].parent
    if (there := build_at(build)) is not None:
        return there
    names = [b.parent.name for b in reversed(builds)]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    others = (
        f"Under builds/: {', '.join(names[:NAMED])}{more}, newest first" if names else "There is none under builds/"
    )
    raise InputError(
        f"{build}: no finished build there (no manifest.json).{did_you_mean(build.name, names)} {others}; `instdata "
        f"build RECIPE` makes one"
    )


def build_at(name: Path) -> Path | None:
    """The finished build at a path, or of a name under builds/; None where there is none."""
    for folder in (name, Path("builds") / name):
        with suppress(OSError):  # a name that no file can have
            if (folder / "manifest.json").is_file():
                return folder
    return None


def run_of(folder: Path) -> dict[str, Any] | None:
    """A trained run's run.json; None where the folder is no run."""
    try:
        found = json.loads((folder / "run.json").read_text("utf-8")) if regular(folder / "run.json") else None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("kind") == RUN else None


def history(build: Path, wanted: str) -> list[dict[str, Any]]:
    """Every row with this id or rid (or the end of a rid, where it is one row's alone): where it came from, what each
    step scored, what became of it, whether it went as an "exact" or a "near" `copy`, and its text where it is still to
    be had. Raises InputError where there is none."""
    found = rows_named(build, wanted)
    texts = _published(build, found) | messages_of(build, {r["rid"] for r in found if r["verdict"] != "kept"})
    raw, written = _raw(build, found), _written_by(build, found)
    steps = [s["name"] for s in manifest(build)["steps"]]
    rows = []
    for row in found:
        scores = {k.removeprefix("score_"): v for k, v in row.items() if k.startswith("score_") and v is not None}
        scores = {k: v for k, v in scores.items() if _had(row, k, steps)}
        facts = {k: v for k, v in row.items() if not k.startswith("score_")}
        facts["evidence"] = json.loads(row["evidence"]) if row["evidence"] else None
        facts |= {"scores": scores, "messages": texts.get(row["rid"])}
        facts |= {"copy": copied[0]} if (copied := copy_of(facts)) else {}
        facts |= {"raw": raw[row["rid"]]} if row["rid"] in raw else {}
        rows.append(facts | ({"written_by": written[row["rid"]]} if row["rid"] in written else {}))
    return rows


def _had(row: dict[str, Any], score: str, steps: list[str]) -> bool:
    """Whether a row was still there when the step of this score had its turn. (Cheap steps score every row at once,
    also those that a step before them dropped.)"""
    if row["step"] not in steps:
        return True
    own = max((name for name in steps if score.startswith(f"{name}_")), key=len, default=row["step"])
    return steps.index(own) <= steps.index(row["step"])


def messages_of(build: Path, rids: set[str], tools: bool = False) -> dict[str, list[dict[str, Any]]]:
    """The conversations of rows by rid: of dropped ones from the build's dropped.parquet, of others from the cache's
    shards; those whose shard was cleaned away are left out. `tools`: each with its tools, as for training."""
    found = _of(build, rids, "messages")
    given = _of(build, set(found), "tools") if tools else {}
    return {rid: with_tools([told(t) for t in turns], given.get(rid)) for rid, turns in found.items()}


def _of(build: Path, rids: set[str], column: str) -> dict[str, Any]:
    """A column's values by rid, of the dropped rows' file before the cache's shards."""
    gone = part(build, DROPPED)
    found = _by_rid(gone, rids, column) if gone.is_file() else {}
    return found | _cached(build, rids - found.keys(), column)


def kept_messages(build: Path, ids: set[str], tools: bool = False) -> dict[str, list[dict[str, Any]]]:
    """The conversations of kept rows by id, from the data itself; ids that it does not have are left out. `tools`: each
    with its tools, as for training."""
    found: dict[str, list[dict[str, str]]] = {}
    wanted = pa.array(sorted(ids), pa.string())
    for path in data_files(build) if ids else []:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                at = pc.indices_nonzero(pc.is_in(file.read_row_group(group, ["id"])["id"], wanted))
                if len(at):
                    columns = ["id", "messages", *(["tools"] if tools else [])]
                    table = file.read_row_group(group, columns).take(at)
                    found |= dict(zip(table["id"].to_pylist(), talks_of(table)))
    return found


def _cached(build: Path, rids: set[str], column: str) -> dict[str, Any]:
    """A column's values by rid, from the cache's shards."""
    found: dict[str, Any] = {}
    for name in run_record(build).get("shards", []):
        path = cache_folder() / name
        if len(found) == len(rids):
            break
        if sound(path):
            with suppress(BuildError):  # a patch whose shard was cleaned away
                found |= _by_rid(path, rids, column)
    return found


def _by_rid(path: Path, rids: set[str], column: str) -> dict[str, Any]:
    """A column's values in a Parquet file, by rid."""
    at = pc.indices_nonzero(pc.is_in(read_parquet(path, ["rid"])["rid"], pa.array(sorted(rids), pa.string())))
    if not len(at):
        return {}
    table = read_parquet(path, filled_columns(path, ["rid", column])).take(at)
    if column not in table.column_names:
        return {}
    return dict(zip(table["rid"].to_pylist(), table[column].to_pylist()))


def _written_by(build: Path, rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """For generated rows, by rid: the request that gave them, the rows it showed, its prompt, the
    model's answer and its cost (USD: None where no price is known)."""
    makers = {s["name"] for s in manifest(build)["steps"] if s["kind"] == "generate"}
    metas = _cached(build, {r["rid"] for r in rows if r["source"] in makers}, "meta")
    found = {}
    for rid, meta in metas.items():
        made = loads(meta or "{}").get("generate") or {}
        if key := made.get("request"):
            from instdata.llm.request_cache import show
            from instdata.llm.response_fields import content

            asked = show(key)
            if asked is not None:
                prompt = [m["content"] for m in asked["request"].get("messages", [])]
                answer = content(asked["response"]).text
                found[rid] = {
                    "request": key,
                    "model": asked["model"],
                    "seeds": made["seeds"] if "seeds" in made else [made["from"]],
                    "prompt": prompt,
                    "answer": answer,
                    "tokens": (asked["prompt_tokens"], asked["completion_tokens"]),
                    "usd": asked["usd"],
                }
    return found


def _published(build: Path, rows: list[dict[str, Any]]) -> dict[str, list[dict[str, str]]]:
    """The conversations of kept rows by rid, from the data itself."""
    found = kept_messages(build, {r["id"] for r in rows if r["verdict"] == "kept"})
    return {r["rid"]: found[r["id"]] for r in rows if r["verdict"] == "kept" and r["id"] in found}


def _raw(build: Path, rows: list[dict[str, Any]]) -> dict[str, str]:
    """The raw text of quarantined rows."""
    wanted = {(r["source"], r["source_file"], r["source_row"]): r["rid"] for r in rows if r["verdict"] == "quarantined"}
    found: dict[str, str] = {}
    if wanted:
        with open(part(build, "quarantine.jsonl"), "rb") as file:
            for line in file:
                record = orjson.loads(line)
                rid = wanted.get((record["source"], record["source_file"], record["source_row"]))
                if rid:
                    found[rid] = record["raw"]
    return found


def difference(a: Path, b: Path) -> dict[str, Any]:
    """What build b has that a has not, by id: rows in and out, labels and decisions that changed."""
    with connected(a=[part(a, "ledger.parquet")], b=[part(b, "ledger.parquet")]) as db:
        # An id may have several rows: it is kept where any is; its label and what became of it are then that row's.
        best = "arg_min({}, case verdict when 'kept' then 0 else 1 end)"
        one = f"""select id, bool_or(verdict = 'kept') kept, {best.format("ability")} ability,
                         {best.format("case verdict when 'kept' then 'kept' else step || ': ' || reason end")} became
                  from {{}} where id is not null group by id"""
        db.execute(f"create temp table x as {one.format('a')}")
        db.execute(f"create temp table y as {one.format('b')}")
        joined = "from x full join y using (id)"

        def number(what: str) -> int:
            return db.execute(f"select count(*) {joined} where {what}").fetchone()[0]

        count: dict[str, Any] = {
            "rows_in": number("coalesce(y.kept, false) and not coalesce(x.kept, false)"),
            "rows_out": number("coalesce(x.kept, false) and not coalesce(y.kept, false)"),
            "labels_changed": number("x.kept and y.kept and x.ability <> y.ability"),
        }
        cases = f"""select coalesce(x.became, 'absent') before, coalesce(y.became, 'absent') after, count(*) n
                    {joined} group by 1, 2 having before <> after order by n desc, before, after"""
        count["decisions"] = [dict(zip(("before", "after", "rows"), r)) for r in db.execute(cases).fetchall()]
    return count


def rows_of(build: Path, config: str = "full", columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of a config, in order. Raises InputError for an unknown config."""
    configs = manifest(build)["configs"]
    if config not in configs:
        raise InputError(
            f'{build}: no config "{config}".{did_you_mean(config, configs) or " There are: " + ", ".join(configs) + "."}'  # noqa: E501
        )
    for path in parts(build, configs[config]["files"]):
        yield from pq.ParquetFile(path).iter_batches(columns=columns)


def export(
    build: Path, format: str, out: Path, config: str = "full", abilities: Collection[str] = (), ids: bool = False
) -> dict[str, int]:
    """Write a config as a file that trainers read: JSON lines, or one JSON array where `out` ends in .json. The format
    `source` gives every record that was read as it came in, whatever became of it. `abilities`: only rows of these.
    `ids`: each record has its `id` and `ability`, too.

    Returns the rows written and left out (conversations that alpaca cannot hold, records whose row was changed)."""
    if out.suffix not in (".jsonl", ".json"):
        raise InputError(f"{out}: give a file that ends in .jsonl (a record a line) or .json (one array)")
    if format == "source" and (config != "full" or abilities or ids):
        raise InputError(
            "--format source gives back every record that was read; it takes no --config, --ability or --ids"
        )
    known = manifest(build)["configs"].get(config, {}).get("by_ability", {})
    for name in (a for a in abilities if known and a not in known):
        raise InputError(
            f'{build}: no row of {config} has the ability "{name}".{did_you_mean(name, known)} There are: '
            f"{', '.join(known)}"
        )
    written = skipped = 0
    array = out.suffix == ".json"
    with claimed(out) as file:
        file.write(b"[\n" if array else b"")
        for line in source_records(build) if format == "source" else _lines(build, format, config, abilities, ids):
            if line is None:
                skipped += 1
                continue
            file.write((b",\n" if array and written else b"") + (_as_json(line) if array else line + b"\n"))
            written += 1
        file.write(b"\n]\n" if array else b"")
    return {"written": written, "left_out": skipped}


def _as_json(line: bytes) -> bytes:
    """A record in a JSON array: what was no JSON is text there."""
    try:
        loads(line)
        return line
    except ValueError:
        return orjson.dumps(line.decode())


def _lines(
    build: Path, format: str, config: str, abilities: Collection[str] = (), ids: bool = False
) -> Iterator[bytes | None]:
    """Each row of a config as a record of the format; None for a row that it cannot hold.

    Loaders take a file's keys and types from its first records, so the first row that uses an optional one comes
    first."""
    # Trainers take all rows for what the first one is: texts, or messages where any row needs them.
    plain = format != "prompt_completion" or all(
        _single(b["messages"]) for _, b in _numbered(build, config, ["messages"], abilities)
    )
    leaders = _leaders(build, config, format, abilities)
    keys = leaders.keys() if format == "alpaca" else ()

    def line(row: dict[str, Any]) -> bytes | None:
        try:
            chars = _input_chars(row.get("meta"))
            named = {"id": row["id"], "ability": row["ability"]} if ids else {}
            return orjson.dumps(named | write_record(format, row["messages"], chars, plain, row.get("tools"), keys))
        except ValueError:
            return None

    first = set(leaders.values())
    for leading in (True, False) if first else (False,):
        for start, batch in _numbered(build, config, ("id", "ability", "messages", "meta", "tools"), abilities):
            at = pa.array([i for i in range(len(batch)) if (start + i in first) == leading], pa.int64())
            yield from map(line, batch.take(at).to_pylist() if first else batch.to_pylist())


def _numbered(
    build: Path, config: str, columns: Collection[str], abilities: Collection[str] = ()
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(number of the first row, rows) of a config, with those of the columns that its files have; only rows of
    `abilities` where some are named."""
    start, wanted = 0, pa.array(sorted(abilities), pa.string())
    for batch in rows_of(build, config):
        batch = batch.filter(pc.is_in(batch["ability"], wanted)) if len(wanted) else batch
        yield start, batch.select([n for n in batch.schema.names if n in columns])
        start += len(batch)


def _leaders(build: Path, config: str, format: str, abilities: Collection[str] = ()) -> dict[str, int]:
    """Each optional key that records of the format have here -> the number of the first row that uses it."""
    found: dict[str, int] = {}
    for start, batch in _numbered(build, config, ("messages", "tools"), abilities):
        messages = batch["messages"]
        if format == "alpaca":
            long = pc.indices_nonzero(pc.greater(pc.list_value_length(messages), 2))
            for i in long.to_pylist() if len(found) < len(ALPACA_KEYS) else ():
                try:
                    record = write_record(format, messages[i].as_py())
                except ValueError:
                    continue
                for key in record.keys() & set(ALPACA_KEYS):
                    found.setdefault(key, start + i)
            continue
        parents, turns = pc.list_parent_indices(messages), messages.flatten()
        columns = {f.name: turns.field(f.name) for f in messages.type.value_type if f.name not in ("role", "content")}
        columns = {n: parents.filter(c.is_valid()) for n, c in columns.items() if n != "extra"}
        if "tools" in batch.schema.names:
            columns["tools"] = pc.indices_nonzero(batch["tools"].is_valid())
        for name, rows in columns.items():
            if len(rows):
                found.setdefault(name, start + rows[0].as_py())
    return found


def _single(messages: pa.ListArray) -> bool:
    """Whether every conversation is one user turn and its answer, which is learned."""
    turns = messages.flatten()
    learned = "weight" not in [f.name for f in turns.type] or not pc.any(pc.equal(turns.field("weight"), 0)).as_py()
    two = bool(pc.all(pc.equal(pc.list_value_length(messages), 2)).as_py())
    return learned and two and "system" not in turns.field("role").unique().to_pylist()


def _input_chars(meta: str | None) -> int:
    value = loads(meta).get(INPUT) if meta else 0
    return value if isinstance(value, int) else 0
