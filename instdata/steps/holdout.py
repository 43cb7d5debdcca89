"""Holdout: evaluation items, taken out before any subset, and nothing left behind that holds them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import chain, count
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from instdata.corpus.ladder import priority
from instdata.corpus.rows import TEXT, UNKNOWN, Rows
from instdata.corpus.shard_tables import spread
from instdata.corpus.word_codes import Words
from instdata.steps.ability.label_inputs import was_generated
from instdata.steps.base import Scope, Scores, Step, Verdicts, drop
from instdata.steps.kept_texts import texts_at
from instdata.util.build_context import Context

if TYPE_CHECKING:
    from instdata.steps.dedup.api import Near
    from instdata.steps.dedup.leaks import Leaks
    from instdata.steps.dedup.token_codes import Texts


HELD = 1 << 28  # bytes of prompts that are held at once
SURE = 0.9  # confidence from which a model's label is good enough for an exam


class Holdout(Step):
    """Set rows of each ability aside for evaluation (config `holdout`); drop near copies of them ("near_holdout") and
    rows that hold one as `decontaminate` means it ("contaminated").

    Rows are chosen by a pseudo-random priority of (seed, id), people's before models', answered rows only, never a seed
    task that generation may have shown, nor one whose label is not sure: it came with the row, or with a confidence of
    .9. An ability gives at most half of its rows, with a warning. Of rows whose ability nobody can say none is chosen,
    with a warning, unless nothing is labelled at all. Two chosen rows are never near copies.
    """

    kind: ClassVar[str] = "holdout"
    scope: ClassVar[Scope] = "corpus"
    reads_labels: ClassVar[bool] = True
    reads_scores: ClassVar[bool] = True  # how sure categorize is of a label
    reads_shown: ClassVar[bool] = True
    version: ClassVar[int] = 6

    per_ability: int = Field(20, ge=1, description="Rows of each ability to hold out.")
    threshold: float = Field(
        0.7, gt=0, le=1, description="Jaccard similarity of prompts from which a row is a near copy."
    )

    def scoring(self, context: Context) -> dict[str, Any]:
        return {**super().scoring(context), "seed": context.seed}

    def score(self, rows: Rows) -> Mapping[str, Any]:
        """`boilerplate`: of a chosen row, the words that many rows share; see Items. For decide `_held`: chosen;
        `_near`: position of the chosen row that this one copies or holds, -1 for none; `similarity`: of the two where
        it copies; `_holds`: evidence where it holds."""
        words = Words()
        codes = words.encode(pc.fill_null(rows.ability, UNKNOWN))
        names = words.words
        answered, made, ids = _answered_made_ids(rows, self)
        first = np.argsort(priority(ids, rows.context.seed, "holdout"), kind="stable")
        first = first[np.argsort(made[first], kind="stable")]
        confidence = _confidence(rows)
        free = answered & ~rows.shown & (confidence >= SURE)
        # Where nobody labels anything, the rows are one stratum, and an exam of them is better than none.
        asked = np.array([name != UNKNOWN or (len(names) == 1 and not _labellers(rows)) for name in names], bool)
        most = np.where(asked, self.per_ability, 0)
        wanted = np.minimum(most, np.bincount(codes[answered], minlength=len(names)) // 2)

        held = np.zeros(len(rows), bool)
        copy_of, similarity = np.full(len(rows), -1, np.int64), np.full(len(rows), np.nan, np.float32)
        asked_of: dict[int, str] = {}  # the prompts of chosen rows
        read = _reader(rows, self, "prompt")
        # Rows are chosen in rounds: near copies of the chosen ones stop being free, and the next in line fill up.
        while True:
            chosen = _next(
                codes, first, free & ~held & (copy_of < 0), wanted - np.bincount(codes[held], minlength=len(names))
            )
            if not len(chosen):
                break
            near, prompts = _near(rows, self, chosen, read)
            asked_of |= zip(chosen.tolist(), prompts.to_pylist())
            for query, other, value in zip(*near):
                row, other = chosen[query], int(other)
                # Of two chosen rows that are near, the one that comes first stays.
                if (
                    other != row
                    and copy_of[row] < 0
                    and not held[other]
                    and not value <= np.nan_to_num(similarity[other])
                ):
                    copy_of[other], similarity[other] = row, value
            held[chosen[copy_of[chosen] < 0]] = True
        boilerplate, holds = _holding(rows, self, held, copy_of, asked_of)
        return {
            "boilerplate": pa.array(boilerplate, pa.string()),
            "_held": held,
            "_near": copy_of,
            "similarity": similarity,
            "_holds": pa.array(holds, pa.string()),
            "_short": _short(names, codes, held, answered, most),
            "_purity": _purity(names, codes, held, confidence),
        }

    def decide(self, scores: Scores) -> Verdicts:
        holds = scores.column("_holds").combine_chunks()
        contaminated = np.asarray(holds.is_valid())
        near = drop((scores._near >= 0) & ~contaminated, "near_holdout", other=scores._near)
        verdicts = near | drop(contaminated, "contaminated", other=scores._near)
        at = np.flatnonzero(~np.isnan(scores.similarity))
        share = pa.array([f'{{"similarity": {s:.4f}}}' for s in scores.similarity[at]], pa.string())
        verdicts.evidence = pc.coalesce(holds, spread(share, at, len(holds)))
        verdicts.config = pc.if_else(
            scores.column("_held").combine_chunks(), pa.scalar("holdout"), pa.scalar(None, pa.string())
        )
        short, purity = ([s for s in scores.column(n).unique().to_pylist() if s] for n in ("_short", "_purity"))
        if len(short) > 3:  # a small set: one line, not one for each ability
            gave = ", ".join(s.partition(" rows:")[0].replace(" gives ", " ") for s in short)
            short = [f"{gave}: at most half of an ability's rows may go, and no seed, near copy or unsure label"]
        verdicts.warnings = [f"holdout: {s}" for s in [*short, *purity]]
        return verdicts


def _sketches(rows: Rows, step: Holdout, columns: list[str]) -> Iterator[pa.Table]:
    """Columns of every row, in order: whether it has a response (`answered`), whether a model wrote it (`made`), its
    `id`, the band keys of its prompt (`keys`), the codes of the tokens of all of it (`codes`). They are kept with the
    row's shard: when other rows come, or others are chosen, the text of this one is not read for it."""
    from instdata.steps.dedup.minhash import scheme

    s = scheme(step.threshold, script=True)
    key = json.dumps([step.kind, step.version, "sketch and codes", len(s.a), s.ngram, s.bands, s.rows, s.script])
    return rows.scored(key, partial(_sketched, step.threshold), columns, (*TEXT, "id", "origin"))


def _sketched(threshold: float, rows: Rows) -> dict[str, pa.Array]:
    from instdata.steps.dedup import Index
    from instdata.steps.dedup.sketch_shards import as_bytes
    from instdata.steps.dedup.token_codes import packed

    keys = as_bytes(np.ascontiguousarray(Index(threshold, script=True).keys(rows.prompt).T))
    made = pc.not_equal(pc.fill_null(rows.origin, "human"), "human")
    own = {"answered": rows.response.is_valid(), "made": made, "id": as_bytes(rows.id_bytes)}
    return {**own, "keys": keys, "codes": packed(rows.full)}


def _answered_made_ids(rows: Rows, step: Holdout) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(whether each row has a response, whether a model wrote it, the bytes of its id: uint64[rows, 2])."""
    from instdata.steps.dedup.sketch_shards import of_bytes

    parts = [
        (np.asarray(t["answered"]), np.asarray(t["made"]), of_bytes(t["id"], np.uint64))
        for t in _sketches(rows, step, ["answered", "made", "id"])
    ]
    answered, made, ids = map(np.concatenate, zip(*parts))
    return answered, made, ids


def _keys(table: pa.Table) -> np.ndarray:
    """uint32[bands, rows] of what `_sketched` gave."""
    from instdata.steps.dedup.sketch_shards import of_bytes

    return np.ascontiguousarray(of_bytes(table["keys"], np.uint32).T)


def _reader(rows: Rows, step: Holdout, view: str) -> Texts:
    """What reads (numbers, texts) of some of the rows; see texts_at. What each call reads is kept by itself."""
    calls = count()

    def read(at: np.ndarray) -> Iterator[tuple[np.ndarray, pa.Array]]:
        name = json.dumps([step.kind, step.scoring(rows.context), view, next(calls)])
        for some, batch in texts_at(rows, name, at):
            yield some, batch.view(view)

    return read


def _near(rows: Rows, step: Holdout, chosen: np.ndarray, read: Texts) -> tuple[Near, pa.Array]:
    """Pairs (place in `chosen`, row, similarity) of rows whose prompts are near, sorted; the prompts of the chosen
    ones. Only the text of rows that share a band's key with a chosen one is read."""
    from instdata.steps.dedup import Index, Near
    from instdata.steps.dedup.band_buckets import Buckets

    index = Index(step.threshold, script=True)
    buckets, sharing = Buckets(index.scheme.bands), []
    for table in _sketches(rows.only(np.sort(chosen)), step, ["keys"]):
        buckets.add(_keys(table))
    start = 0
    for table in _sketches(rows, step, ["keys"]):
        sharing.append(np.unique(buckets.sharing(_keys(table)) >> np.uint64(32)).astype(np.int64) + start)
        start += len(table)
    some = np.concatenate(sharing)  # the chosen ones among them
    held: list[tuple[np.ndarray, pa.Array]] = []  # their prompts: read once, where all can be held
    mine: list[tuple[np.ndarray, pa.Array]] = []
    size = 0
    for at, prompts in read(some):
        own = np.isin(at, chosen)
        mine.append((at[own], prompts.filter(pa.array(own))))
        size += prompts.nbytes
        held = [*held, (at, prompts)] if size <= HELD else []
    own_prompts = _in_order(chosen, mine)
    index.add(own_prompts)
    parts = []
    for at, prompts in held or read(some):
        found = index.query_all(prompts)
        parts.append((found.indexed, at[found.query], found.similarity))
    query, other, similarity = map(np.concatenate, zip(*parts))
    by = np.lexsort((other, query))
    return Near(query[by], other[by], similarity[by]), own_prompts


def _in_order(rows: np.ndarray, read: Iterable[tuple[np.ndarray, pa.Array]]) -> pa.Array:
    """The texts of rows, in the order that they are given in, of what a reader gave."""
    numbers, texts = zip(*read)
    at = np.concatenate(numbers)
    by = np.argsort(at)
    return pa.concat_arrays(texts).take(pa.array(by[np.searchsorted(at, rows, sorter=by)]))


def _holding(
    rows: Rows, step: Holdout, held: np.ndarray, near: np.ndarray, prompts: dict[int, str]
) -> tuple[np.ndarray, np.ndarray]:
    """(boilerplate, evidence): of each row held its words that do not count, of each row that holds one of them what it
    holds; writes to `near` which. Rows that are near copies already are left out. `prompts`: of the rows held, by
    number."""
    from instdata.steps.dedup.leaks import Items
    from instdata.steps.dedup.token_codes import matches_in

    boilerplate, evidence = np.full(len(rows), None, object), np.full(len(rows), None, object)
    if not held.any():
        return boilerplate, evidence
    chosen = np.flatnonzero(held)
    items = Items([prompts[row] for row in chosen.tolist()], threshold=None)
    read = _reader(rows, step, "full")
    codes = (table["codes"].combine_chunks() for table in _sketches(rows, step, ["codes"]))
    found = matches_in(items, codes, ~held & (near < 0), read)
    counting = items.counting(found)
    boilerplate[chosen] = items.boilerplate(counting)
    for row, item, rule, text, _ in zip(*items.explain(found, counting, lambda at: _in_order(at, read(at)))):
        near[row] = chosen[item]
        evidence[row] = json.dumps({"rule": rule, "text": text}, ensure_ascii=False)
    return boilerplate, evidence


def leaking(rows: Iterable[pa.Array], held: pa.Table, threshold: float = 0.7) -> Leaks:
    """Rows that leak what is held out, by the rule of the holdout step: what a build has kept leaks nothing.

    `rows` are messages arrays, batch by batch, and are counted on from 0; `held` is the table of data/holdout.parquet,
    whose score columns say which words the build found to be boilerplate (none, where it has no such column);
    `threshold` is the step's.
    """
    from instdata.steps.dedup.leaks import Items, Leaks

    items = Items(Rows(held).prompt, threshold=threshold)
    said = [held[n] for n in held.column_names if n.startswith("score_") and n.endswith("_boilerplate")]
    counting = items.without(pc.coalesce(*said).to_pylist() if said else [None] * len(held))
    total, parts = 0, [Leaks(np.empty(0, np.int64), np.empty(0, np.int64), [], [], np.empty(0))]
    for messages in rows:
        batch = Rows(pa.table({"messages": messages}))
        found = items.search([(batch.prompt, batch.full)])
        leaks = items.explain(found, counting, partial(_taken, batch.full))
        parts.append(leaks._replace(row=leaks.row + total))
        total += len(batch)
    row, item, rule, text, similarity = zip(*parts)
    joined = np.concatenate
    return Leaks(joined(row), joined(item), [*chain(*rule)], [*chain(*text)], joined(similarity))


def _next(codes: np.ndarray, first: np.ndarray, free: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The next rows in line: of each ability as many as are wanted, in order of priority."""
    line = first[free[first]]
    own = codes[line].astype(np.min_scalar_type(len(wanted)))  # few bits are sorted sooner
    by = np.argsort(own, kind="stable")
    rank = np.arange(len(by)) - np.searchsorted(own[by], np.arange(len(wanted)))[own[by]]
    return line[np.sort(by[rank < wanted[own[by]]])]


def _taken(texts: pa.Array, at: np.ndarray) -> pa.Array:
    return texts.take(pa.array(at))


def _confidence(rows: Rows) -> np.ndarray:
    """How likely each row's label is right (float64): 1 where it came with the row, else what the last categorize step
    says."""
    found = np.ones(len(rows))
    for step in _labellers(rows)[-1:]:
        given, label, sure = (rows.scores[step + end].combine_chunks() for end in ("given", "label", "confidence"))
        asked_for, told = np.zeros(len(rows), bool), np.flatnonzero(np.asarray(given.is_valid()))
        generated = [np.asarray(was_generated(b.meta)) for b in rows.only(told).batches(columns=["meta"])]
        asked_for[told] = np.concatenate([np.empty(0, bool), *generated])
        sure = np.asarray(pc.fill_null(sure.cast(pa.float64()), 0.0))
        agrees = np.asarray(pc.fill_null(pc.equal(label, given), True))
        found = np.where(asked_for & ~agrees, 0.0, np.where(np.asarray(given.is_valid()) & ~asked_for, 1.0, sure))
    return found


def _labellers(rows: Rows) -> list[str]:
    """The categorize steps before this one, as the beginnings of their scores' names."""
    return [n[: -len("given")] for n in rows.scores if n.startswith("score_") and n.endswith("_given")]


def _purity(names: list[str], codes: np.ndarray, held: np.ndarray, confidence: np.ndarray) -> pa.Array:
    """A line on the first held row of each ability some of whose held labels a model gave, and on the first row of no
    known ability where none is held, null elsewhere."""
    lines = np.full(len(codes), None, object)
    for code, name in enumerate(names):
        mine = held & (codes == code)
        if name == UNKNOWN and not mine.any():
            count = np.count_nonzero(codes == code)
            lines[np.argmax(codes == code)] = f"{count:,} rows are of no known ability: none of them is held out"
        elif name != UNKNOWN and (told := mine & (confidence < 1)).any():
            purity = confidence[mine].mean()
            lines[np.argmax(mine)] = (
                f"{name}: a model gave {told.sum()} of {mine.sum()} labels; {purity:.0%} should be right"
            )
    return pa.array(lines, pa.string())


def _short(names: list[str], codes: np.ndarray, held: np.ndarray, answered: np.ndarray, most: np.ndarray) -> pa.Array:
    """A line on the first row of each ability that gave fewer rows than wanted (`most` of each), null elsewhere."""
    lines = np.full(len(codes), None, object)
    have, gave = np.bincount(codes[answered], minlength=len(names)), np.bincount(codes[held], minlength=len(names))
    for code, name in enumerate(names):
        if gave[code] < most[code]:
            why = (
                "at most half of it may go"
                if gave[code] == have[code] // 2
                else f"the others are seeds, unanswered, near copies or of a label less sure than {SURE}"
            )
            told = f"{name} gives {gave[code]} of {most[code]} rows: it has {have[code]}, {why}"
            lines[np.argmax(codes == code)] = told
    return pa.array(lines, pa.string())
