"""The files of scores: what each is kept under, and which of them a build goes by again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from instdata.corpus.cached_tables import read_cached
from instdata.corpus.corpus import Corpus, Part, versions
from instdata.steps.base import MISSING, Step
from instdata.util.sealed import all_sound, sealed

RAISED = "_raised"  # the column of a sidecar that says why a row's scoring raised


def place(cache: Path, *parts: Any) -> tuple[str, Path]:
    """(key, file) of scores that `parts` shape, beside the versions of what scores."""
    key = hashlib.sha256(repr((sorted(versions().items()), parts)).encode()).hexdigest()[:40]
    return key, cache / "scores" / key[:2] / f"{key}.parquet"


def part_of(path: Path, lo: int, hi: int, at: np.ndarray | None, key: str) -> Part:
    """A shard's part of a file that is there. Its key names what is in it: a row that raised, or got no answer, may be
    scored the next time, under the same name."""
    return Part(path, lo, hi, at, f"{key}-{sealed(path)}")


def wanted(step: Step, corpus: Corpus, paths: list[Path]) -> list[bool]:
    """Which of these files are to be made: those that are not there, and those on which something failed that may have
    passed since. Damaged ones are told."""
    there = all_sound(paths)
    damaged = sum(path.exists() and not fine for path, fine in zip(paths, there))
    if damaged and not corpus.context.fresh:
        corpus.context.say(f"{step.name}: damaged files of scores in the cache, made again: {damaged:,}")
    return [corpus.context.fresh or not fine or _unsettled(path) for path, fine in zip(paths, there)]


def seen(step: Step, corpus: Corpus, shard: int) -> list[str]:
    """What scoring looks at besides the text: the current labels, the scores of earlier steps."""
    found = []
    if step.reads_labels:
        labels = corpus.abilities.decode(corpus.state.ability[corpus.span(shard)]).dictionary_encode()
        told = hashlib.sha256(repr(labels.dictionary.to_pylist()).encode())
        told.update(np.asarray(pc.fill_null(labels.indices, -1)).tobytes())
        found.append(told.hexdigest())
    if step.reads_scores:
        found += [f"{s.step}:{s.parts[shard].key}" for s in corpus.sidecars if shard in s.parts]
    return found


def _unsettled(path: Path) -> bool:
    names = pq.read_schema(path).names
    if RAISED in names:
        return True
    if MISSING not in names:
        return False
    told = read_cached(path, [MISSING])
    return told[MISSING].null_count < len(told)
