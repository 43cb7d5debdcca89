"""A classifier from the user's own good and bad rows: fastText (Joulin et al. 2017) in floret's build."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from instdata.corpus.corpus import versions
from instdata.corpus.rows import Rows
from instdata.util.atomic import write_text
from instdata.util.build_context import Context
from instdata.util.errors import InputError, MissingExtra
from instdata.util.sealed import seal, sound

HELD_OUT = 5  # every fifth row, by the hash of its text, judges the classifier and is not learned from at first
CHARS = 2000  # of a prompt and of a response that are looked at
VERSION = 2


class Learned(BaseModel):
    """Rows to learn from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    good: str | list[str] = Field(description="Rows to keep more of: a file, folder or glob; relative to the recipe.")
    bad: str | list[str] = Field(description="Rows to keep less of.")
    map: dict[str, str] = Field({}, description="Our field: their column, e.g. {instruction: question}.")


def inputs(learned: Learned, context: Context) -> list[Any]:
    """[the good files, the bad files], opened. Raises InputError with every problem."""
    from instdata.read.open_sources import open_sources
    from instdata.read.source_options import Source

    sources = [Source(path=getattr(learned, name), map=learned.map, name=name) for name in ("good", "bad")]
    return open_sources(list(enumerate(sources)), context.base)


def digest(learned: Learned, context: Context) -> list[Any]:
    """What the classifier depends on."""
    return [VERSION, *([[i.digest, i.format, i.fields] for i in files] for files in inputs(learned, context))]


def score(learned: Learned, rows: Rows) -> np.ndarray:
    """The probability that each row is good (float32). Trains first, where no classifier for these files is cached."""
    context = rows.context
    model, held_out = classifier(learned, context)
    context.say(f"quality: learned: {describe(held_out)}")
    return predict(model, _lines(rows.view("prompt"), rows.view("answer")))


def classifier(learned: Learned, context: Context) -> tuple[Any, dict[str, float]]:
    """(the floret model, its held-out precision, recall and counts), from the cache or trained. Raises InputError
    where one class has no rows."""
    from instdata.util.paths import cache_folder

    floret = _floret()
    told = json.dumps([sorted(versions().items()), digest(learned, context)])
    key = hashlib.sha256(told.encode()).hexdigest()[:32]
    folder = (context.cache or cache_folder()) / "learned"
    path, notes = folder / f"{key}.bin", folder / f"{key}.json"
    there = sound(path) and sound(notes)
    if not there or context.fresh:
        if path.exists() and not context.fresh:
            context.say("quality: learned: the cached classifier is damaged; it is trained again")
        lines = [_read(files, context) for files in inputs(learned, context)]
        for name, found in zip(("good", "bad"), lines, strict=True):
            if len(found) < HELD_OUT:
                raise InputError(
                    f"quality: learned: {name}: {len(found)} different rows, at least {HELD_OUT} are needed"
                )
        both = set(lines[0]) & set(lines[1])
        if both:
            raise InputError(f"quality: learned: {len(both)} rows are in both files: {sorted(both)[0][:80]!r}")
        model, held_out = train(*lines)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as new:
            model.save_model(str(Path(new, "model")))
            Path(new, "model").replace(path)
        seal(path)
        write_text(notes, json.dumps(held_out, indent=1))
        seal(notes)
    return floret.load_model(str(path)), json.loads(notes.read_text())


def train(good: list[str], bad: list[str]) -> tuple[Any, dict[str, float]]:
    """(a classifier of all lines, how one of four fifths of them does on the rest). One thread, so reproducible."""
    parts = [(line, label) for label, lines in (("good", good), ("bad", bad)) for line in sorted(set(lines))]
    held = np.array([int(hashlib.sha256(line.encode()).hexdigest(), 16) % HELD_OUT == 0 for line, _ in parts])
    is_good = np.array([label == "good" for _, label in parts])
    tried = _fit([p for p, h in zip(parts, held, strict=True) if not h])
    said = predict(tried, [p[0] for p, h in zip(parts, held, strict=True) if h]) >= 0.5
    truth = is_good[held]
    right = int((said & truth).sum())
    held_out = {
        "precision": right / max(int(said.sum()), 1),
        "recall": right / max(int(truth.sum()), 1),
        "rows": int(held.sum()),
        "good": len(set(good)),
        "bad": len(set(bad)),
    }
    return _fit(parts), held_out


def describe(held_out: dict[str, float]) -> str:
    """The classifier's quality in words."""
    return (
        f"{held_out['good']:,} good and {held_out['bad']:,} bad rows; on {held_out['rows']:,} held out, "
        f"precision {held_out['precision']:.2f}, recall {held_out['recall']:.2f}"
    )


def predict(model: Any, lines: list[str]) -> np.ndarray:
    """The probability of "good" for each line (float32). Line by line: over many, this build repeats the first
    label's probability, and its check of arrays fails on numpy 2."""
    ask = model.f.predict
    found = [dict((label, p) for p, label in ask(line + "\n", 2, 0.0, "replace")) for line in lines]
    return np.clip(np.array([f.get("__label__good", 0.0) for f in found], np.float32), 0, 1)


def _fit(parts: list[tuple[str, str]]) -> Any:
    # An even mix: fastText walks through the file in order, and the last lines weigh most.
    parts = sorted(parts, key=lambda p: hashlib.sha256(p[0].encode()).digest())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train.txt")
        path.write_text("".join(f"__label__{label} {line}\n" for line, label in parts), encoding="utf-8")
        return _floret().train_supervised(
            input=str(path),
            dim=32,
            epoch=25,
            lr=0.5,
            wordNgrams=2,
            minCount=1,
            bucket=1 << 17,
            thread=1,
            seed=1,
            verbose=0,
        )


def _lines(prompts: pa.Array, responses: pa.Array) -> list[str]:
    """Each row as one line of words: Chinese characters and punctuation apart, the response behind a mark."""
    texts = []
    for column in (prompts, responses):
        text = pc.utf8_lower(pc.utf8_slice_codeunits(pc.fill_null(column, ""), 0, CHARS))
        text = pc.replace_substring_regex(text, r"([\p{Han}\p{Hiragana}\p{Katakana}\pP\p{Sm}])", r" \1 ")
        texts.append(pc.utf8_trim_whitespace(pc.replace_substring_regex(text, r"[\s\pC]+|__label__", " ")))
    return pc.binary_join_element_wise(texts[0], texts[1], " ⏎ ").to_pylist()


def _read(files: list[Any], context: Context) -> list[str]:
    """The different lines of some files, in their order."""
    from instdata.read.shards import tables

    parts = (Rows(table) for item in files for table in tables(item, context.taxonomy) if len(table))
    return list(dict.fromkeys(line for rows in parts for line in _lines(rows.view("prompt"), rows.view("answer"))))


def _floret() -> Any:
    try:
        import floret
    except ImportError as e:
        raise MissingExtra("quality: learned", "classify") from e
    return floret
