"""One step over the corpus: score what is not cached, decide, record. The build calls `apply` once a step."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.corpus.cached_tables import read_cached, write_cached
from instdata.corpus.corpus import CONFIGS, Corpus, Shard, Sidecar
from instdata.corpus.row_states import Tally
from instdata.corpus.rows import Rows
from instdata.corpus.word_codes import ability_codes
from instdata.steps.added_rows import produce
from instdata.steps.base import Scores, SourceStep, Step, Verdicts, drop
from instdata.steps.rewritten_rows import rewritten
from instdata.steps.score_files import RAISED, part_of, place, seen, wanted
from instdata.steps.score_shards import Task, grouped, score_shard, score_together, scores_of, table_of
from instdata.util.engine import Engine
from instdata.util.errors import BuildError, InstdataError
from instdata.util.machine_limits import trouble
from instdata.util.progress import track

EVIDENCE = 1 << 20  # dropped rows whose evidence is written together


def apply(step: Step, number: int, corpus: Corpus, engine: Engine, cache: Path) -> Corpus:
    """The corpus after a step: its rows scored (from the cache where it has them) and decided on."""
    before = corpus.state.step < 0
    made: list[Any] = []
    try:
        if isinstance(step, SourceStep):
            after, decided, verdicts, made = produce(step, corpus, cache)
        elif step.scope == "corpus":
            after, decided, verdicts = _score_corpus(step, corpus, engine, cache)
        else:
            after, decided, verdicts = _score_rows(step, corpus, engine, cache)
        after = rewritten(after, cache, engine) if step.rewrites else after
    except (InstdataError, KeyboardInterrupt):
        raise
    except Exception as e:
        raise BuildError(f"step {step.name}: {trouble(e, cache) or f'{type(e).__name__}: {e}'}") from e
    return tally(_record(after, number, decided, verdicts), step.name, step.kind, number, before, made)


def _score_rows(step: Step, corpus: Corpus, engine: Engine, cache: Path) -> tuple[Corpus, np.ndarray, Verdicts]:
    """Row-wise: a part a shard. Cheap steps score every row, costly ones those still alive."""
    scoring = json.dumps(step.scoring(corpus.context), sort_keys=True)
    alive = corpus.alive
    places: dict[int, tuple[str, Path, np.ndarray | None]] = {}
    for i, shard in enumerate(corpus.shards):
        at = None if step.scope == "rows" else np.flatnonzero(alive[corpus.span(i)])
        if shard.rows and (at is None or len(at)):
            which = None if at is None else at.tobytes()
            places[i] = (*place(cache, scoring, shard.key, which, seen(step, corpus, i)), at)
    made = [i for i, w in zip(places, wanted(step, corpus, [path for _, path, _ in places.values()])) if w]
    context = corpus.context.silent

    def tasks() -> Any:
        for i in made:
            _, path, at = places[i]
            labels = corpus.abilities.decode(corpus.state.ability[corpus.span(i)])
            scores = dict(corpus.scores(i)) if step.reads_scores else {}
            yield Task(step, context, corpus.shards[i], at, labels, scores, path)

    engine = engine.near() if step.asks_models else engine
    if step.together and not step.reads_scores and engine.near() is engine:
        most = min(step.together, -(-sum(corpus.shards[i].rows for i in made) // engine.jobs))
        scored = engine.map(score_together, grouped(tasks(), most))
    else:
        scored = engine.map(score_shard, tasks())
    total = sum(corpus.shards[i].rows if (at := places[i][2]) is None else len(at) for i in made)
    for _ in track(scored, total, int, size=int):
        pass
    parts = {
        i: part_of(path, 0, corpus.shards[i].rows if at is None else len(at), at, key)
        for i, (key, path, at) in places.items()
    }
    after = replace(corpus, sidecars=[*corpus.sidecars, Sidecar(step.name, parts)])
    rows, verdicts = [], []
    for i, part in parts.items():
        table = read_cached(part.path)
        local = np.arange(corpus.shards[i].rows) if part.at is None else part.at
        rows.append(local + corpus.starts[i])
        verdicts.append(_decide(step, table))
    return after, np.concatenate(rows) if rows else np.empty(0, np.int64), _joined(verdicts)


def _score_corpus(step: Step, corpus: Corpus, engine: Engine, cache: Path) -> tuple[Corpus, np.ndarray, Verdicts]:
    """Corpus-wide: one table for all rows alive, of which each shard has a part."""
    positions = np.flatnonzero(corpus.alive)
    looked = [seen(step, corpus, i) for i in range(len(corpus.shards))]
    shown = corpus.state.shown.tobytes() if step.reads_shown else b""
    scoring = json.dumps(step.scoring(corpus.context), sort_keys=True)
    key, path = place(cache, scoring, corpus.key(positions), looked, shown)
    if wanted(step, corpus, [path])[0]:
        # What other machines may do of it; on this one a shard's scoring has all the cores already.
        far = engine if engine.near() is not engine else None
        scored = step.score(corpus.view(positions, far)) if len(positions) else {}
        write_cached(table_of(step, scored, len(positions)), path)
    bounds = np.searchsorted(positions, corpus.starts)
    parts = {
        i: part_of(path, int(lo), int(hi), positions[lo:hi] - corpus.starts[i], key)
        for i, (lo, hi) in enumerate(zip(bounds, bounds[1:]))
        if len(positions)
    }
    after = replace(corpus, sidecars=[*corpus.sidecars, Sidecar(step.name, parts)])
    if not len(positions):
        return after, positions, _joined([])
    return after, positions, _decide(step, read_cached(path))


def verdicts_of(step: Step, rows: Rows) -> Verdicts:
    """A step's verdicts on rows outside of a build; `errors` of those on which it fails. Raises what a build would."""
    return _decide(step, scores_of(step, rows))


def _decide(step: Step, table: pa.Table) -> Verdicts:
    """decide, over the rows that could be scored; `errors` of the others go in as a column of the verdicts."""
    if RAISED not in table.column_names:
        return step.decide(Scores(table))
    raised = table[RAISED].combine_chunks()
    fine = np.flatnonzero(np.asarray(raised.is_null()))
    verdicts = step.decide(Scores(table.take(pa.array(fine)))) if table.num_columns > 1 else None
    index = np.full(table.num_rows, -1, np.int64)
    index[fine] = np.arange(len(fine))
    back = pa.array(index, mask=index < 0)

    def spread(column: pa.Array | None) -> pa.Array | None:
        return None if column is None else column.take(back)

    if verdicts is None:
        out = Verdicts(pa.nulls(table.num_rows, pa.string()))
    else:
        other = None if verdicts.other is None else np.where(index < 0, -1, verdicts.other[index])
        sets = {k: spread(v) for k, v in verdicts.set.items()}
        out = Verdicts(
            spread(verdicts.reason), spread(verdicts.evidence), other, sets, spread(verdicts.config), verdicts.warnings,
            spread(verdicts.notes), spread(verdicts.pinned), spread(verdicts.set_where),
        )  # fmt: skip
    out.errors = raised
    return out


def _joined(parts: list[Verdicts]) -> Verdicts:
    """The verdicts of several shards as one."""
    if len(parts) == 1:
        return parts[0]

    def column(values: list[pa.Array | None], kind: pa.DataType) -> pa.Array | None:
        if all(v is None for v in values):
            return None
        made = [pa.nulls(len(p.reason), kind) if v is None else v.cast(kind) for v, p in zip(values, parts)]
        return pa.concat_arrays([c for m in made for c in (m.chunks if isinstance(m, pa.ChunkedArray) else [m])])

    if any(p.other is not None for p in parts):
        raise BuildError("a row-wise step cannot point at other rows")
    names = list(dict.fromkeys(n for p in parts for n in p.set))
    sets = {
        n: column([p.set.get(n) for p in parts], pa.float32() if n == "ability_confidence" else pa.string())
        for n in names
    }
    out = Verdicts(
        column([p.reason for p in parts], pa.string()) if parts else pa.nulls(0, pa.string()),
        column([p.evidence for p in parts], pa.string()),
        None, sets, column([p.config for p in parts], pa.string()),
        list(dict.fromkeys(w for p in parts for w in p.warnings)),
        column([p.notes for p in parts], pa.string()), column([p.pinned for p in parts], pa.bool_()),
        column([p.set_where for p in parts], pa.bool_()),
    )  # fmt: skip
    out.errors = column([p.errors for p in parts], pa.string())
    return out


# ---------------------------------------------------------------- recording


def _record(corpus: Corpus, number: int, rows: np.ndarray, verdicts: Verdicts, closing: bool = False) -> Corpus:
    """The corpus with verdicts on `rows` written into its state. Only rows still alive are decided on; pinned ones are
    dropped at the close alone, where they cannot be published."""
    alive = corpus.alive[rows]
    state = corpus.state.copy()
    errors = dict(corpus.errors)
    if verdicts.errors is not None:
        raised = alive & np.asarray(verdicts.errors.is_valid())
        at = rows[raised]
        state.step[at], state.quarantined[at] = number, True
        errors.update(zip(at.tolist(), verdicts.errors.filter(pa.array(raised)).to_pylist()))
        alive = alive & ~raised
    reasons = corpus.reasons.encode(verdicts.reason)
    drops = alive & (reasons >= 0) & (closing | ~state.pinned[rows])
    state.step[rows[drops]] = number
    state.reason[rows[drops]] = reasons[drops]
    if verdicts.config is not None:
        held = alive & ~drops & np.asarray(pc.fill_null(pc.equal(verdicts.config, CONFIGS[1]), False))
        state.config[rows[held]] = 1
    kept = alive & ~drops
    if verdicts.pinned is not None:
        state.pinned[rows[kept & _holds(verdicts.pinned)]] = True
    kept = kept if verdicts.set_where is None else kept & _holds(verdicts.set_where)
    if "ability" in verdicts.set:
        state.ability[rows[kept]] = ability_codes(verdicts.set["ability"], corpus.abilities)[kept]
    if "ability_confidence" in verdicts.set:
        values = verdicts.set["ability_confidence"]
        state.confidence[rows[kept]] = np.asarray(pc.fill_null(values.cast(pa.float32()), np.nan))[kept]
    evidence = _evidence(corpus, rows, drops, verdicts) + _notes(rows, alive & ~drops, verdicts)
    for line in verdicts.warnings:
        corpus.context.say(line)
    return replace(corpus, state=state, errors=errors, evidence=[*corpus.evidence, *evidence])


def _evidence(
    corpus: Corpus, rows: np.ndarray, drops: np.ndarray, verdicts: Verdicts
) -> list[tuple[np.ndarray, pa.Array]]:
    """The evidence of dropped rows, with the id and rid of the row it points at."""
    if verdicts.evidence is None and verdicts.other is None:
        return []
    at = np.flatnonzero(drops)
    parts = [at[i : i + EVIDENCE] for i in range(0, len(at), EVIDENCE)]  # no array of texts without an end
    return [found for part in parts for found in _evidence_of(corpus, rows, part, verdicts)]


def _evidence_of(
    corpus: Corpus, rows: np.ndarray, at: np.ndarray, verdicts: Verdicts
) -> list[tuple[np.ndarray, pa.Array]]:
    texts = [None] * len(at) if verdicts.evidence is None else verdicts.evidence.take(pa.array(at)).to_pylist()
    if verdicts.other is not None:
        others = verdicts.other[at]
        pointing = np.flatnonzero(others >= 0)
        view = corpus.view(np.sort(np.unique(rows[others[pointing]])))
        names = dict(zip(view.positions.tolist(), zip(view.id.to_pylist(), view.rid.to_pylist())))
        for i in pointing:
            other_id, rid = names[int(rows[others[i]])]
            texts[i] = json.dumps({"id": other_id, "rid": rid, **json.loads(texts[i] or "{}")}, ensure_ascii=False)
    there = [i for i, t in enumerate(texts) if t is not None]
    return [(rows[at[there]], pa.array([texts[i] for i in there], pa.string()))] if there else []


def _holds(mask: pa.Array) -> np.ndarray:
    return np.asarray(pc.fill_null(mask, False))


def _notes(rows: np.ndarray, kept: np.ndarray, verdicts: Verdicts) -> list[tuple[np.ndarray, pa.Array]]:
    """What is noted of rows that stay, and their numbers."""
    if verdicts.notes is None:
        return []
    at = np.flatnonzero(kept & np.asarray(pc.is_valid(verdicts.notes)))
    notes = verdicts.notes.take(pa.array(at))
    return [(rows[at], notes.combine_chunks() if isinstance(notes, pa.ChunkedArray) else notes)] if len(at) else []


def close(corpus: Corpus) -> Corpus:
    """The pseudo-step after the last one: rows that still lack a response are dropped as "no_response"."""
    before = corpus.state.step < 0
    answered = np.concatenate([_answered(s) for s in corpus.shards]) if corpus.shards else np.zeros(0, bool)
    if not (before & ~answered).any():
        return corpus
    number, rows = len(corpus.done), np.arange(corpus.n)
    told = pc.if_else(pa.array(answered), None, pa.scalar('{"view": "answer", "text": ""}'))
    after = _record(corpus, number, rows, drop(~answered, "no_response", told), closing=True)
    return tally(after, "close", "close", number, before, [])


def _answered(shard: Shard) -> np.ndarray:
    """Which rows of a shard end with the assistant's turn."""
    roles = read_cached(shard.path, ["messages.list.element.role"])["messages"].combine_chunks()
    if not len(roles):
        return np.zeros(0, bool)
    offsets = np.asarray(roles.offsets)
    return np.asarray(pc.equal(roles.values.field("role").take(pa.array(offsets[1:] - 1)), "assistant"))


def tally(corpus: Corpus, name: str, kind: str, number: int, before: np.ndarray, made: list[Shard]) -> Corpus:
    """The corpus with a step counted, and the count checked. `before` masks the rows that reached the step, held-out
    ones included: they pass. `made` are the shards that it added."""
    state = corpus.state
    reached = np.ones(corpus.n, bool)  # the rows that were there before, and those the step added
    reached[: len(before)] = before
    mine, bad = state.step == number, sum(s.bad for s in made)
    added = sum(s.rows for s in made) + bad
    quarantined = int((mine & state.quarantined).sum()) + bad
    codes = Counter(state.reason[mine & ~state.quarantined].tolist())
    reasons = dict(sorted((corpus.reasons.words[c], n) for c, n in codes.items()))
    kept = int((reached & (state.step < 0)).sum())
    counted = Tally(name, kind, int(before.sum()), added, kept, sum(reasons.values()), quarantined, reasons)
    if counted.before + added != kept + counted.dropped + quarantined:
        raise BuildError(
            f"step {name} lost rows: {counted.manifest()}. This is a bug in the step or in instdata; nothing was "
            f"written"
        )
    return replace(corpus, done=[*corpus.done, counted])
