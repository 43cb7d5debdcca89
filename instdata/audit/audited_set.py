"""The set that is audited: a file, folder, glob, Hub dataset or build, opened and read as a recipe's source would
be."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instdata.build import as_read
from instdata.builds import find_build, manifest
from instdata.corpus.corpus import Corpus
from instdata.corpus.taxonomy import load_taxonomy
from instdata.read.file_kind import SUFFIXES
from instdata.read.find_files import find_files
from instdata.read.first_look import Look, look
from instdata.read.open_sources import Input, open_sources, source_name
from instdata.read.shards import read_sources
from instdata.read.source_options import Source
from instdata.util.build_context import Context
from instdata.util.checksums import part
from instdata.util.engine import Engine
from instdata.util.errors import InputError
from instdata.util.paths import cache_folder, expanded

TAXONOMY = "belle"
HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Subject:
    """An opened set: the source that a recipe would name, its files (or Hub split), and a look at its first records."""

    name: str
    source: Source
    inputs: list[Input]
    look: Look
    context: Context


def open_subject(given: str, jobs: int, say: Say) -> Subject:
    """Open a set. Every file that is damaged is kept as far as it goes: that it is, is a finding. Raises InputError
    where nothing is there, or no file can be understood."""
    source = _source(given)
    context = Context(0, load_taxonomy(TAXONOMY), Path(), cache_folder(), jobs, False, frozenset(), say)
    try:
        inputs = open_sources([(0, source)], Path(), say=say)[0]
    except InputError as e:  # no recipe: its places mean nothing here
        raise InputError([("", None, message) for _, _, message in e.problems]) from e
    return Subject(source_name(source), source, inputs, look(inputs, context.taxonomy), context)


def _source(given: str) -> Source:
    path = expanded(given)
    folder = next((f for f in (path, Path("builds") / given) if (f / "manifest.json").is_file()), None)
    if folder is not None:
        build = find_build(folder)
        found = manifest(build)
        files = [str(part(build, name)) for name in found["configs"]["full"]["files"]]
        return Source(path=files, name=str(found["name"]), damaged="keep", max_bad=1.0)
    named = path.exists() or path.parent.is_dir() or given.lower().endswith(tuple(SUFFIXES))
    if HUB.fullmatch(given) and not named:
        return Source(hub=given, damaged="keep", max_bad=1.0)
    source = Source(path=given, damaged="keep", max_bad=1.0)
    find_files(source, Path())  # raises where nothing is there
    return source


def read(subject: Subject, engine: Engine, limit: int | None) -> Corpus:
    """Every row of the set that can be read (of at most `limit` records), all of them alive."""
    shards = read_sources([subject.inputs], [1.0], engine, subject.context, limit)
    return as_read(shards, subject.context)


def files_of(subject: Subject) -> list[dict[str, Any]]:
    """{file, format, sha256} of each file, or {hub, split, revision, format}; `lost`, where one is damaged: what is
    missing."""
    found = []
    for item in subject.inputs:
        if item.hub:
            repo, _, split, revision = item.hub
            found.append({"file": repo, "split": split, "revision": revision, "format": item.format})
            continue
        lost = subject.context.lost.get(f"{item.source}/{item.file}")
        damage = {"lost": lost} if lost else {}
        found.append({"file": item.file, "format": item.format, "sha256": item.digest, **damage})
    return found
