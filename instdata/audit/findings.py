"""What the steps of a build say of a set, each asked about all of its rows: no step hides a row from the next.

Every function returns plain data for audit.json; rows stand in it by their number until `run` puts them in.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from instdata.audit.masked_rows import SHOWN, some, visible
from instdata.corpus.cached_tables import read_cached
from instdata.corpus.corpus import Corpus
from instdata.corpus.forms_and_dropped import NOTES, notes_of
from instdata.corpus.optional_columns import fields_used
from instdata.corpus.rows import SHARD, UNKNOWN, Rows
from instdata.read.open_sources import PEEK, Input
from instdata.read.shards import tables
from instdata.report.build_facts import histogram
from instdata.steps.ability.step import Categorize
from instdata.steps.base import Scores, Step
from instdata.steps.dedup.decontaminate import Decontaminate
from instdata.steps.dedup.step import Dedup
from instdata.steps.quality.rule_table import MEASURED, RULES, SETS
from instdata.steps.quality.step import BOUNDS, Quality
from instdata.steps.run import apply
from instdata.util.build_context import Context
from instdata.util.engine import Engine

PERSONAL = ("email", "phone", "id_number", "card_number")
UNREADABLE = 10  # errors shown
NAMED = 200  # values of a column that are told apart: licences, languages
THRESHOLDS = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
ABOUT = {rule.name: rule.about for rule in RULES} | MEASURED
RULE_NAMES = tuple(name for name in ABOUT if name not in ("no_response", "belle_word", "too_short"))
DEFECTS = tuple(name for name in RULE_NAMES if name in SETS["default"] and name not in (*PERSONAL, "secret"))


def shape(corpus: Corpus) -> dict[str, Any]:
    """The form of the rows: how many have each field, how many turns, what could not be read; languages, lengths,
    licences."""
    fields: Counter[str] = Counter()
    turns: Counter[int] = Counter()
    parts: dict[str, list[np.ndarray]] = {"prompt": [], "answer": [], "answered": []}
    named: dict[str, list[pa.Array]] = {"lang": [], "license": [], "source_file": []}
    used = fields_used(corpus, np.ones(corpus.n, bool))
    for batch in corpus.view(np.arange(corpus.n)).batches():
        turns.update(np.asarray(pc.list_value_length(batch.messages)).tolist())
        answer = pc.fill_null(batch.view("answer"), "")
        for name, texts in {"system": batch.system, "reasoning": batch.view("reasoning"), "answer": answer}.items():
            fields[name] += _filled(texts)
        for name in used & set(batch.table.column_names):
            fields[name] += len(batch) - batch.table[name].null_count
        parts["prompt"].append(np.asarray(pc.utf8_length(batch.prompt)))
        parts["answer"].append(np.asarray(pc.utf8_length(answer)))
        parts["answered"].append(np.asarray(pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(answer)), 0)))
        for name, columns in named.items():
            columns.append(getattr(batch, name))
    has = np.concatenate(parts["answered"])
    lengths = {"prompt": np.concatenate(parts["prompt"]), "answer": np.concatenate(parts["answer"])[has]}
    notes = next(iter(notes_of(corpus.shards, corpus.context.say).values()), {})
    ids = corpus.view(np.arange(corpus.n)).id
    return {
        "files": {
            v["values"]: v["counts"] for v in pc.value_counts(pa.chunked_array(named["source_file"])).to_pylist()
        },
        "unlicensed": sum(part.null_count for part in named["license"]),
        "fields": {k: n for k, n in sorted(fields.items(), key=lambda f: (-f[1], f[0])) if n},
        "notes": [NOTES[note].format(n=n) for note, n in notes.items()],
        "turn_fields": sorted(used - set(fields)),
        "turns": [{"turns": k, "rows": n} for k, n in sorted(turns.items())],
        "exact_copies": corpus.n - len(pc.unique(ids)),
        "unanswered": {"rows": int((~has).sum()), "examples": some(~has)},
        "languages": _counted(named["lang"], "lang"),
        "licences": _counted(named["license"], "license"),
        "lengths": {view: histogram(values) for view, values in lengths.items() if len(values)},
    }


def _filled(texts: pa.Array) -> int:
    return int(pc.sum(pc.greater(pc.utf8_length(pc.fill_null(texts, "")), 0)).as_py() or 0)


def _counted(parts: list[pa.Array], name: str) -> list[dict[str, Any]]:
    """Each value of a column, its rows and some of them, the most frequent first; None: nobody said."""
    column = pa.chunked_array(parts, pa.string())
    counts = [(v["values"], v["counts"]) for v in pc.value_counts(column).to_pylist()]
    codes = pc.dictionary_encode(column, null_encoding="encode").combine_chunks()
    number, words = np.asarray(codes.indices), codes.dictionary.to_pylist()
    return [
        {name: value, "rows": n, "examples": some(number == words.index(value))}
        for value, n in sorted(counts, key=lambda v: (-v[1], str(v[0])))[:NAMED]
    ]


def unreadable(corpus: Corpus) -> dict[str, Any]:
    """How many records could not be read, and the first ones with the reason."""
    first = [
        {"file": bad["source_file"], "row": bad["source_row"], "error": bad["error"]}
        for shard in corpus.shards
        if shard.bad
        for bad in read_cached(shard.bad_path).slice(0, UNREADABLE).to_pylist()
    ]
    return {"rows": sum(s.bad for s in corpus.shards), "examples": first[:UNREADABLE]}


def scored(step: Step, corpus: Corpus, engine: Engine) -> pa.Table:
    """A step's scores of every row, from the cache of builds where they are there."""
    step = step.resolve(corpus.context)
    after = apply(step, 0, corpus, engine, corpus.context.folder)
    parts = after.sidecars[-1].parts
    if step.scope == "corpus":
        return read_cached(parts[min(parts)].path)
    tables = [read_cached(parts[i].path) for i in sorted(parts)]
    return pa.concat_tables(tables, promote_options="default")


QUALITY, DEDUP, CATEGORIZE = Quality(name="quality"), Dedup(name="dedup"), Categorize(name="categorize")


def rules(corpus: Corpus, engine: Engine) -> dict[str, Any]:
    """Every rule that fires, whatever set it is in, with the rows and what it found in some of them. Rows may have
    several."""
    return _fired(scored(QUALITY, corpus, engine))


def preview(item: Input, context: Context) -> tuple[int, dict[str, Any]]:
    """(rows, what `rules` finds in them) of a file's first records, before the rest is read."""
    rows = Rows(pa.concat_tables([SHARD.empty_table(), *tables(item, context.taxonomy, PEEK)]), context)
    return len(rows), _fired(pa.table(dict(QUALITY.score(rows)))) if len(rows) else {"fired": [], "defects": 0}


def _fired(scores: pa.Table) -> dict[str, Any]:
    flags = pc.fill_null(scores["flags"], "")
    masks = {
        rule: np.asarray(pc.match_substring_regex(flags, rf"(^|,){rule}(,|$)"))
        for rule in RULE_NAMES
        if rule not in MEASURED
    }
    masks["repetition"] = scores["repetition"].to_numpy() > BOUNDS["repetition"]
    masks["too_long"] = scores["chars"].to_numpy() > BOUNDS["chars"]
    fired = [
        {
            "rule": rule, "about": ABOUT[rule], "set": "default" if rule in SETS["default"] else "strict",
            "rows": int(mask.sum()), "examples": [{"row": at, **_evidence(scores, at, rule)} for at in some(mask)],
        }
        for rule, mask in sorted(masks.items(), key=lambda m: (-int(m[1].sum()), m[0]))
        if mask.any()
    ]  # fmt: skip
    return {
        "fired": fired,
        **{name: int(np.any([masks[r] for r in group], axis=0).sum())
           for name, group in (("defects", DEFECTS), ("personal_data", PERSONAL), ("secrets", ("secret",)))},
    }  # fmt: skip


def _evidence(scores: pa.Table, at: int, rule: str) -> dict[str, Any]:
    stored = scores["_found"][at].as_py()
    found = orjson.loads(stored).get(rule, {}) if stored else {}
    return {"found": visible(found.get("text") or ""), "view": found.get("view", "answer")}


def near_copies(corpus: Corpus, engine: Engine) -> dict[str, Any]:
    """Rows that ask what an earlier row asks: pairs with their similarity, and what would be left at each threshold."""
    step = DEDUP.resolve(corpus.context)
    table = scored(DEDUP, corpus, engine)
    left = []
    for threshold in THRESHOLDS:
        verdicts = step.model_copy(update={"threshold": threshold}).decide(Scores(table))
        gone = np.asarray(pc.is_valid(verdicts.reason))
        left.append({"threshold": threshold, "left": int((~gone).sum())})
        if threshold == step.threshold:
            at, others = np.flatnonzero(gone), np.asarray(verdicts.other)
            said = [orjson.loads(e)["similarity"] for e in pc.drop_null(pa.array(verdicts.evidence)).to_pylist()]
            order = np.argsort(said, kind="stable")
            chosen = order[np.unique(np.linspace(0, len(at) - 1, min(SHOWN, len(at))).astype(int))] if len(at) else []
            pairs = [{"row": int(at[i]), "kept": int(others[at[i]]), "similarity": said[i]} for i in chosen]
            rows = len(at)
    return {"rows": rows, "threshold": step.threshold, "left": left, "pairs": pairs}


def leaks(corpus: Corpus, engine: Engine, against: list[str]) -> dict[str, Any]:
    """Rows that hold items of the suites, by the rule that tells it and the file of the item, with the text that is
    shared."""
    table = scored(Decontaminate(name="decontaminate", against=against), corpus, engine)
    hit = np.asarray(pc.is_valid(table["rule"]))
    found = [orjson.loads(e) for e in table["_evidence"].drop_null().to_pylist()]
    at = np.flatnonzero(hit).tolist()
    of = dict(zip(at, found))
    where = Counter(str(f["item"]).rpartition(":")[0] or str(f["item"]) for f in found)
    return {
        "rows": len(at),
        "notes": [line for text in table["_said"].drop_null().to_pylist() for line in text.split("\n")],
        "by_suite": [{"suite": name, "rows": n} for name, n in sorted(where.items(), key=lambda w: (-w[1], w[0]))],
        "examples": [{"row": i, **of[i]} for i in some(hit)],
    }


def abilities(corpus: Corpus, engine: Engine) -> list[dict[str, Any]]:
    """Each ability: its rows and some of them, and `precision`, the share of the labels that the model gave which
    calibration expects to be right (None: the rows came labelled, or are unknown)."""
    verdicts = CATEGORIZE.resolve(corpus.context).decide(Scores(scored(CATEGORIZE, corpus, engine)))
    ability, confidence = verdicts.set["ability"], verdicts.set["ability_confidence"]
    sure = np.asarray(pc.fill_null(confidence.cast(pa.float64()), np.nan))
    found = _counted([ability.combine_chunks() if isinstance(ability, pa.ChunkedArray) else ability], "ability")
    for one in found:
        mask = np.asarray(pc.equal(ability, one["ability"]))
        told = sure[mask & (sure < 1)]
        silent = one["ability"] == UNKNOWN or not len(told)
        one["precision"] = None if silent else round(float(np.nanmean(told)), 3)
    return sorted(found, key=lambda a: (a["ability"] == UNKNOWN, -a["rows"], a["ability"]))
