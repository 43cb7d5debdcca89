"""Files of answer pairs: what people said of them, what a judge said of them, in one order or in both.

Read as they come: a build's reviews.jsonl, PandaLM's labels and verdicts, recorded reviews with scores in both orders,
or our own {id, prompt, answer1, answer2, human, verdict, verdict_reverse} (docs/judge.md).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from instdata.builds import kept_messages, messages_of
from instdata.llm.request_cache import digest
from instdata.read.blocks import Bad, kind_of, raw_blocks, records
from instdata.read.column_names import normalise_key, normalise_keys
from instdata.read.field_text import BadRow
from instdata.steps.reviews_file import REVIEWS, Opinion, read_reviews, settle
from instdata.util.errors import InputError
from instdata.util.yaml import did_you_mean

Columns = dict[str, tuple[str, ...]]
_ANSWER, _SAID = ("answer", "response", "output", "completion"), ("verdict", "winner", "result", "gpt_result", "scores")
# What files in use call each field; other names are given (`--map human=rater_1,rater_2`).
COLUMNS: Columns = {
    "id": ("id", "idx", "question_id", "pair_id"),
    "prompt": ("prompt", "instruction", "question", "conversations", "text", "task", "query"),
    "input": ("input",),
    "answer1": tuple(f"{word}{end}" for word in _ANSWER for end in ("1", "_1", "_a", "a")),
    "answer2": tuple(f"{word}{end}" for word in _ANSWER for end in ("2", "_2", "_b", "b")),
    "answers": ("answers", "responses", "outputs"),
    "human": ("human", "humans", "human_verdict", "human_preference", "label", "labels", "preference",
              *(f"annotator{gap}{n}" for gap in ("", "_") for n in range(1, 10))),
    "verdict": _SAID,
    "verdict_reverse": tuple(f"{word}_{end}" for word in _SAID for end in ("reverse", "swapped")),
}  # fmt: skip
WORDS = {
    0: {"0", "tie", "draw", "equal", "both", "c", "平局", "一样"},
    1: {"1", "a", "first", "model_a", "answer1", "response1", "answer 1", "response 1"},
    2: {"2", "b", "second", "model_b", "answer2", "response2", "answer 2", "response 2"},
}


@dataclass(frozen=True)
class Pair:
    """Two answers to a prompt. `humans`: each annotator's verdict. Verdicts are 1, 2, 0 (tie) or None (unreadable), in
    the numbering of the answers as they stand in the file, `swapped` too. `judged`, `twice`: whether there is a verdict
    at all, readable or not; one in each order."""

    id: str | None
    prompt: str
    first: str
    second: str
    humans: tuple[int, ...]
    verdict: int | None = None
    swapped: int | None = None
    judged: bool = False
    twice: bool = False
    file: str = ""

    @property
    def majority(self) -> int | None:
        """What most annotators said; None where there are none, or no most."""
        best = Counter(self.humans).most_common(2)
        return best[0][0] if best and (len(best) == 1 or best[0][1] > best[1][1]) else None

    @property
    def key(self) -> str:
        """The pair's text, in short."""
        return digest([self.prompt, self.first, self.second])

    @property
    def only_verdict(self) -> bool:
        """Whether this says no more than what the judge said."""
        return self.judged and not self.first and not self.second and not self.humans


def columns(words: Sequence[str] = ()) -> Columns:
    """Where the fields of a pair stand: COLUMNS, changed by `FIELD=COLUMN[,COLUMN…]`. Raises InputError."""
    found = dict(COLUMNS)
    for word in words:
        field, equals, names = word.partition("=")
        if field not in COLUMNS or not equals or not names.strip():
            raise InputError(f"--map {word}: FIELD=COLUMN, of {', '.join(COLUMNS)}.{did_you_mean(field, COLUMNS)}")
        found[field] = tuple(normalise_key(name.strip()) for name in names.split(","))
    return found


def read(paths: Sequence[Path], where: Columns = COLUMNS) -> list[Pair]:
    """The pairs of files, or of all data files of a folder; `where` the fields stand. Raises InputError."""
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        files += sorted(p for p in path.iterdir() if kind_of(p)) if path.is_dir() else [path]
    found = [p for file in files for p in (_of_reviews(file) if file.name == REVIEWS else _read(file, where))]
    if not found:
        raise InputError(f"no pairs in {', '.join(map(str, paths))}")
    return found


def with_verdicts(pairs: list[Pair], verdicts: list[Pair]) -> list[Pair]:
    """The pairs with the verdicts of other records: found by the same texts, else by id, else by position.

    A pair without one is left unjudged. Raises InputError where the verdicts cannot belong to these pairs."""
    has = [v for v in verdicts if v.judged]
    if not has:
        raise InputError("no verdicts: a record of verdicts has one of the fields verdict, winner, result or scores")
    if all(v.first or v.second for v in has):
        keys, names = [v.key for v in has], [p.key for p in pairs]
    elif all(v.id is not None for v in has) and all(p.id is not None for p in pairs):
        keys, names = [v.id or "" for v in has], [p.id or "" for p in pairs]
        for ids, what in ((keys, "verdicts"), (names, "labels")):
            double, times = Counter(ids).most_common(1)[0]
            if times > 1:
                raise InputError(
                    f"{times} {what} have id {double}: give one file of labels and one of verdicts at a time"
                )
    elif len(has) == len(pairs):
        keys = names = [str(n) for n in range(len(pairs))]
    else:
        raise InputError(f"{len(has)} verdicts for {len(pairs)} pairs, and no ids that tell which belongs to which")
    by_key = dict(zip(keys, has, strict=True))
    found = [by_key.get(name) for name in names]
    if not any(found):
        raise InputError("none of the verdicts belongs to a pair of the files that --on names")
    return [_judged_as(p, v) for p, v in zip(pairs, found, strict=True)]


def _judged_as(pair: Pair, by: Pair | None) -> Pair:
    by = by or Pair(None, "", "", "", ())
    return replace(pair, verdict=by.verdict, swapped=by.swapped, judged=by.judged, twice=by.twice)


def _of_reviews(file: Path) -> Iterator[Pair]:
    """The pairs in a build's reviews: where somebody wrote a better answer, it and the row's own, in an order that a
    hash decides. Who failed the row and wrote that answer prefers it, who passed the row prefers the row's; of others
    nobody knows: they did not see that answer."""
    said = settle(read_reviews(file))
    edited = {s.rid: s for s in said.values() if any(map(_edits, s.opinions))}
    if not edited:
        raise InputError(
            f"{file}: a judge is asked to compare two answers, and nobody edited one here (key E in `instdata review`)"
        )
    if not (file.parent / "manifest.json").is_file():
        raise InputError(f"{file}: the rows' texts are in the build that was reviewed: name the file in its folder")
    kept = kept_messages(file.parent, {s.id for s in edited.values()})
    gone = messages_of(file.parent, {rid for rid, s in edited.items() if s.id not in kept})
    for rid, s in edited.items():
        turns = kept.get(s.id) or gone.get(rid)
        if not turns or turns[-1]["role"] != "assistant":
            continue
        prompt = "\n".join(t["content"] for t in turns[:-1])
        answer, better = turns[-1]["content"], [o.value for o in s.opinions if _edits(o)][-1]
        first = int(digest([rid, s.id])[:8], 16) % 2  # whether the row's own answer is the first
        edit, own = (2, 1) if first else (1, 2)
        votes = [
            edit if _edits(o) else own for o in s.opinions if o.verdict == "pass" or (_edits(o) and o.value == better)
        ]
        one, two = (answer, better) if first else (better, answer)
        yield Pair(rid, prompt, one, two, tuple(votes), file=file.name)


def _edits(said: Opinion) -> bool:
    """Whether somebody failed a row and wrote the answer that it should have. With a row that is passed, an answer is
    a remark: the row's own is right."""
    return said.verdict == "fail" and bool(said.value)


def _read(file: Path, where: Columns) -> Iterator[Pair]:
    if kind_of(file) is None:
        raise InputError(f"{file}: not a data file (.json, .jsonl, .csv, .parquet)")
    for n, record in enumerate(_unwrapped(records(raw_blocks(str(file))))):
        if isinstance(record, Bad):
            raise InputError([(str(file), n + 1, record.error)])
        pair = _pair(record, file.name, where)
        if not (pair.judged or pair.humans or pair.first or pair.second):
            fields = ", ".join(list(record)[:8])
            raise InputError(
                [
                    (
                        str(file),
                        n + 1,
                        f"neither answers, labels nor a verdict in a record of {fields} (--map names columns)",
                    )
                ]
            )
        yield pair


def _unwrapped(found: Iterator[dict[str, Any] | Bad]) -> Iterator[dict[str, Any] | Bad]:
    """The records; those of a list inside an object ({…, data: [{…}, …]}) in place of the object."""
    for record in found:
        inner = None if isinstance(record, Bad) else next((v for v in record.values() if _is_records(v)), None)
        if inner is None:
            yield record
            continue
        for each in inner:
            try:
                yield normalise_keys(each)
            except BadRow as e:
                yield Bad(str(e))


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) and len(v) > 2 for v in value)


def _pair(record: dict[str, Any], file: str, where: Columns) -> Pair:
    def first_of(field: str, default: Any = None) -> Any:
        return next((record[k] for k in where[field] if record.get(k) is not None), default)

    both = first_of("answers")
    if not (isinstance(both, list) and len(both) == 2):
        both = [first_of("answer1", ""), first_of("answer2", "")]
    prompt = _text(first_of("prompt", ""))
    if first_of("input"):
        prompt += "\n" + _text(first_of("input"))
    labels = [record[k] for k in where["human"] if k in record]
    humans = [_verdict(v) for value in labels for v in (value if isinstance(value, list) else [value])]
    given, reverse = (
        next((record[k] for k in where[f] if k in record), _Nothing) for f in ("verdict", "verdict_reverse")
    )
    id, swapped = first_of("id"), _verdict(reverse)
    return Pair(
        None if id is None else str(id), prompt, _text(both[0]), _text(both[1]),
        tuple(h for h in humans if h is not None), _verdict(given), 3 - swapped if swapped else swapped,
        given is not _Nothing, reverse is not _Nothing, file,
    )  # fmt: skip


class _Nothing:
    """No such field: not the same as a field that holds null, which is a verdict that could not be read."""


def _verdict(value: Any) -> int | None:
    """1, 2, 0 for a tie; None for anything else. Two scores, in JSON or not, are compared; a negative one is a common
    way to say that there is none."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    if isinstance(value, list):
        if len(value) != 2 or not all(isinstance(v, int | float) and v >= 0 for v in value):
            return None
        return 0 if value[0] == value[1] else 1 if value[0] > value[1] else 2
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    word = "" if isinstance(value, bool) else str(value).strip().casefold()
    return next((verdict for verdict, words in WORDS.items() if word in words), None)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
