"""What the report says about a build, as plain data: counts from the manifest, the ledger and the rows' columns."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from instdata.corpus.find_rows import copy_of
from instdata.corpus.rows import UNKNOWN, split_messages
from instdata.util.checksums import part
from instdata.util.database import connected

SAMPLE = 10  # dropped rows shown for a step and reason, fewer where there are many reasons
SAMPLES = 320  # dropped rows shown in all
PIECE = 200_000  # ledger rows looked at at once
PASSED = 5  # kept rows shown beside them
CLUSTERS, MEMBERS, CLOSE = 20, 6, 15  # near-duplicate clusters, rows of each, and pairs closest to the threshold
MEASURED = 100_000  # rows whose lengths are measured: the ladder's order makes a prefix a fair sample
SOURCES = 12  # sources told apart in the table of abilities by source
MIXED = 5  # pairs of abilities that are mixed up
TEXT_BYTES = 1_200_000  # of rows' text in the page, which stays under 3 MB with Vega's 0.9 MB


def open_ledger(folder: Path, manifest: dict[str, Any]) -> Any:
    """A DuckDB connection with the views `ledger` and `rows` (data/*.parquet of full) of a build folder."""
    full = [part(folder, f) for f in manifest["configs"]["full"]["files"]]
    return connected(ledger=[part(folder, "ledger.parquet")], rows=full)


def abilities(db: Any) -> list[dict[str, Any]]:
    """For each ability: `before`, the rows read or generated under that label, `after`, those in full, `confidence`,
    the mean of their labels', and `precision`, the share of the labels that a model gave which calibration expects to
    be right (None where no label was scored, or a model gave none)."""
    sql = """select ability, count(*) as before, count(*) filter (verdict = 'kept' and config = 'train') as after
             from ledger where id is not null group by ability order by after desc, before desc, ability"""
    mean = "avg(ability_confidence) filter (not isnan(ability_confidence)"
    sql_sure = f"""select ability, {mean}), {mean} and ability_confidence < 1 and ability <> 'unknown')
                   from rows group by ability"""
    sure = {name: {"confidence": c, "precision": p} for name, c, p in db.execute(sql_sure).fetchall()}
    nothing = {"confidence": None, "precision": None}
    return [a | sure.get(a["ability"], nothing) for a in _dicts(db.execute(sql))]


def by_source(db: Any) -> dict[str, Any] | None:
    """How the rows of full come by source and ability: {sources, abilities, rows: one list a source}, the largest first;
    sources beyond SOURCES are one, None. None where there is a single source."""
    sql = """with counted as (select source, ability, count(*) as n from ledger where verdict = 'kept' and config = 'train'
                group by source, ability),
             ranked as (select source, row_number() over (order by sum(n) desc, source) as rank from counted group by source)
             select case when rank <= $most then source end as source, ability, sum(n)::bigint as n, min(rank) as rank
             from counted join ranked using (source) group by 1, 2 order by 1, 2"""
    counts = db.execute(sql, {"most": SOURCES}).fetchall()
    ranks = {source: rank for source, _, _, rank in sorted(counts, key=lambda c: -c[3])}
    sources = sorted(ranks, key=lambda s: ranks[s])
    if len(sources) < 2:
        return None
    table = {(source, ability): n for source, ability, n, _ in counts}
    sums: dict[str, int] = {}
    for _, ability, n, _ in counts:
        sums[ability] = sums.get(ability, 0) + n
    abilities = sorted(sums, key=lambda a: (a == UNKNOWN, -sums[a], a))
    rows = [[table.get((s, a), 0) for a in abilities] for s in sources]
    return {"sources": sources, "abilities": abilities, "rows": rows}


def confusion(db: Any, manifest: dict[str, Any]) -> dict[str, Any] | None:
    """ability.summary's confusion of a build: {abilities, rows, n, agreement}, and `mixed`, the pairs mixed up most
    often, (own label, the model's, rows). None where no row came with a label, or the ledger is of an older
    instdata."""
    from instdata.steps.ability import confusion

    last = [s["name"] for s in manifest["steps"] if s["kind"] == "categorize"][-1:]
    columns = {name for (name, *_) in db.execute("describe ledger").fetchall()}
    if not {f"score_{name}_{end}" for name in last for end in ("given", "label")} <= columns:
        return None
    found = confusion.confusion(db, manifest)
    if found is None:
        return None
    names, rows = found["abilities"], found["rows"]
    pairs = [(rows[i][j], names[i], names[j]) for i in range(len(names)) for j in range(len(names)) if i != j]
    mixed = [(a, b, n) for n, a, b in sorted(pairs, key=lambda p: (-p[0], p[1:])) if n]
    return {**found, "mixed": mixed[:MIXED]}


def languages(db: Any) -> list[dict[str, Any]]:
    """Rows of full in each language, the most frequent first."""
    return _dicts(db.execute("select lang, count(*) as n from rows group by lang order by n desc, lang limit 10"))


def lengths(folder: Path, files: list[str]) -> dict[str, Any]:
    """Histograms of the characters of prompts and responses: for each, `bins` of {low, high, n}, bins doubling every
    second one, and the median. Of the first MEASURED rows."""
    parts: dict[str, list[np.ndarray]] = {"prompt": [], "response": []}
    seen = 0
    for name in files:
        with pq.ParquetFile(folder / name) as file:
            for batch in file.iter_batches(batch_size=10_000, columns=["messages"]):
                for view, texts in zip(parts, split_messages(batch["messages"])):
                    parts[view].append(np.asarray(pc.fill_null(pc.utf8_length(texts), 0)))
                seen += len(batch)
                if seen >= MEASURED:
                    break
        if seen >= MEASURED:
            break
    return {"rows": seen, **{view: histogram(np.concatenate(p)) for view, p in parts.items() if p}}


def histogram(chars: np.ndarray) -> dict[str, Any]:
    edges = np.unique(np.round(2 ** np.arange(0, 20.5, 0.5)).astype(int))
    counts, _ = np.histogram(np.minimum(chars, edges[-1] - 1), np.concatenate([[0], edges]))
    some = np.flatnonzero(counts)
    lows = [0, *edges.tolist()]
    bins = [{"low": lows[i], "high": lows[i + 1], "n": int(counts[i])} for i in range(some[0], some[-1] + 1)]
    return {"bins": bins, "median": float(np.median(chars)), "longest": int(chars.max())}


def dropped(db: Any, steps: list[str]) -> list[dict[str, Any]]:
    """For each step and reason, in the recipe's order: `n`, how many rows were dropped or quarantined for it, `about`,
    what it means, the `rids` of some of them (quality.sample's choice), `others`, the rows that decided, and `kept`,
    some kept rows to set beside them."""
    from instdata.steps.quality.rule_samples import sample

    chosen: dict[str, list[pa.Table]] = {}
    counts: dict[tuple[str, str], int] = {}
    # Piece by piece, so that memory is bounded: a piece's choice holds what the choice among all would take from it.
    gone = "select step, 'dropped' as verdict, reason, rid from ledger where verdict <> 'kept'"
    for batch in db.sql(gone).to_arrow_reader(PIECE):
        piece = pa.table(batch)
        for step in piece["step"].unique().to_pylist():
            found = sample(piece, step, SAMPLE)
            for s in found:
                counts[step, s.reason] = counts.get((step, s.reason), 0) + s.count
            rids = pa.array([r for s in found for r in s.rids], pa.string())
            chosen.setdefault(step, []).append(piece.filter(pc.is_in(piece["rid"], rids)))
    groups: list[dict[str, Any]] = [
        {"step": step, "reason": s.reason, "n": counts[step, s.reason], "about": s.about, "rids": s.rids}
        for step, pieces in chosen.items()
        for s in sample(pa.concat_tables(pieces), step, SAMPLE)
    ]
    groups.sort(key=lambda g: (steps.index(g["step"]) if g["step"] in steps else -1, -g["n"], g["reason"]))
    most = max(2, SAMPLES // max(1, len(groups)))
    passed = "select rid from ledger where verdict = 'kept' order by md5(rid), rid limit 100"
    kept = [r for (r,) in db.execute(passed).fetchall()]
    for i, group in enumerate(groups):
        start = (i * PASSED) % max(1, len(kept))
        group["rids"] = group["rids"][:most]
        group["kept"] = (kept[start:] + kept[:start])[: min(PASSED, len(kept))]
    decided = _decided_by(db, {r for g in groups for r in g["rids"]})
    for group in groups:
        group["others"] = [decided[r] for r in group["rids"] if r in decided]
    return groups


def _decided_by(db: Any, rids: set[str]) -> dict[str, str]:
    """The row that a dropped row's evidence points at, by rid."""
    sql = """select rid, json_extract_string(evidence, '$.rid') from ledger
             where rid in (select unnest($rids)) and json_valid(evidence) and json_extract_string(evidence, '$.rid') is not null"""
    return dict(db.execute(sql, {"rids": sorted(rids)}).fetchall())


def duplicates(db: Any) -> dict[str, Any]:
    """Rows dropped because they are near a kept one: `n`, the largest `clusters` {rid, n, rids, low}, the `close` pairs
    of lowest similarity {rid, other, similarity, step}, and a histogram of similarity `bins` {low, n}."""
    db.execute("""create temp table pairs as
        select rid, step, json_extract_string(evidence, '$.rid') as other, try_cast(json_extract_string(evidence, '$.similarity') as double) as similarity
        from ledger where verdict = 'dropped' and json_valid(evidence) and json_extract_string(evidence, '$.rid') is not null""")
    clusters = """select other as rid, count(*) as n, min(similarity) as low, list(rid order by similarity desc, rid)[:$members] as rids,
            list(similarity order by similarity desc, rid)[:$members] as similarities
        from pairs group by other order by n desc, md5(other), other limit $clusters"""
    close = "select * from pairs where similarity is not null order by similarity, rid limit $close"
    bins = _dicts(
        db.execute("""select least(floor(similarity * 50) / 50, 0.98) as low, count(*) as n
        from pairs where similarity is not null group by low order by low""")
    )
    return {
        "n": db.execute("select count(*) from pairs").fetchall()[0][0],
        "clusters": _dicts(db.execute(clusters, {"members": MEMBERS, "clusters": CLUSTERS})),
        "close": _dicts(db.execute(close, {"close": CLOSE})),
        "bins": bins,
    }


def rows_by_rid(db: Any, build: Path, rids: Iterable[str], steps: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The rows with these rids: their ledger columns, `history` (a line for each step: name, decision, scores) and
    `turns`, the text, shortened so that all of them fit the page; rows whose text is gone have none."""
    from instdata.builds import messages_of

    wanted = sorted(set(rids))
    db.register("wanted", pa.table({"rid": pa.array(wanted, pa.string())}))
    table = db.sql("select ledger.* from ledger semi join wanted using (rid) order by rid").to_arrow_table()
    texts = messages_of(build, set(wanted))
    names = [s["name"] for s in steps]
    rows = {}
    for row in table.to_pylist():
        scores = {k.removeprefix("score_"): v for k, v in row.items() if k.startswith("score_") and v is not None}
        row = {k: v for k, v in row.items() if not k.startswith("score_")}
        evidence = json.loads(row["evidence"]) if row["evidence"] else {}
        row["evidence"] = evidence if isinstance(evidence, dict) else {"value": evidence}
        row["copy"] = copied[0] if (copied := copy_of(row)) else None
        row["history"] = row_history(row, scores, names)
        rows[row["rid"]] = row
    for limit in (800, 400, 200, 100, 50):
        for rid, row in rows.items():
            row["turns"] = shortened(texts.get(rid), limit)
        if sum(len(t["text"].encode()) for r in rows.values() for t in r["turns"]) <= TEXT_BYTES:
            break
    return rows


def row_history(row: dict[str, Any], scores: dict[str, Any], names: list[str]) -> list[dict[str, Any]]:
    """What each step decided and scored. A generated row enters at the step that made it."""
    entered = names.index(row["source"]) if row["source"] in names else -1
    left = names.index(row["step"]) if row["step"] in names else len(names) if row["step"] is None else -1
    lines = []
    for i, name in enumerate(names):
        others = [n for n in names if n.startswith(f"{name}_")]
        mine = {
            k[len(name) + 1 :]: v
            for k, v in scores.items()
            if k.startswith(f"{name}_") and not any(k.startswith(f"{o}_") for o in others)
        }
        decision = (
            "" if i < entered or i > left else "made" if i == entered else row["verdict"] if i == left else "kept"
        )
        if decision or mine:
            lines.append(
                {"name": name, "decision": decision, "reason": row["reason"] if i == left else None, "scores": mine}
            )
    return lines


def shortened(messages: list[dict[str, str]] | None, limit: int) -> list[dict[str, Any]]:
    """The first two turns and the last one, each cut after `limit` characters; `more` counts what was cut."""
    messages = messages or []
    shown = (
        messages
        if len(messages) <= 4
        else [*messages[:2], {"role": "", "content": f"… {len(messages) - 3} turns …"}, messages[-1]]
    )
    return [{"role": m["role"], "text": m["content"][:limit], "more": max(0, len(m["content"]) - limit)} for m in shown]


def _dicts(result: Any) -> list[dict[str, Any]]:
    names = [d[0] for d in result.description]
    return [dict(zip(names, row)) for row in result.fetchall()]
