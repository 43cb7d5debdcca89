"""Sources: which files a recipe means, what format each has, and which column feeds which field."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from instdata.ability.taxonomy import Taxonomy
from instdata.adapters import columns, detect, mapped_format, normalise_key, normalise_keys
from instdata.errors import InputError, MissingExtra
from instdata.files import digest
from instdata.formats import SUFFIXES, hub_dataset, kind_of, raw_blocks, records
from instdata.recipe import Source
from instdata.record import UNKNOWN
from instdata.yamlfile import did_you_mean

VERSION = 1  # of everything that turns a file into shards
PEEK = 1_000  # records looked at to tell the format and to check `map`


@dataclass(frozen=True)
class Input:
    """One file (or Hub split) of a source, opened: everything that reading it depends on."""

    source: str
    file: str  # as rows name it
    path: str  # where it is, or hub:owner/name
    digest: str
    format: str
    fields: dict[str, tuple[str, ...]]
    origin: str
    hub: tuple[str, str | None, str, str] | None = None  # repo, config, split, commit

    def key(self, taxonomy: Taxonomy | None, limit: int | None) -> str:
        """What the shards are cached under."""
        parts = [VERSION, self.source, self.file, self.digest, self.format, self.fields, self.origin, limit]
        return hashlib.sha256(json.dumps([*parts, taxonomy and taxonomy.digest()]).encode()).hexdigest()[:32]


def source_name(source: Source) -> str:
    """The recipe's name, else the repo's, or the file's or folder's without its suffixes."""
    if source.name:
        return source.name
    text = source.hub or source.paths[0]
    name = Path(text.rstrip("/")).name
    stem = name.split(".")[0] if not set("*?[") & set(name) else Path(text).parent.name
    return "".join(c if c.isalnum() or c in "_-" else "-" for c in stem).strip("-") or "source"


def open_sources(sources: list[Source], base: Path, online: bool = True) -> list[list[Input]]:
    """The inputs of each source, files in the order of their names. Looks at the first records of each file; Hub
    datasets are left out where `online` is false.

    Raises InputError with every problem: missing files, unknown formats, columns in `map` that no record has.
    """
    problems: list[tuple[str, int | None, str]] = []
    opened = []
    names = [source_name(s) for s in sources]
    for i, (source, name) in enumerate(zip(sources, names)):
        if name in names[:i]:
            problems.append((f"sources.{i}", None, f'two sources are named "{name}": give this one a `name:`'))
            continue
        if not source.paths and not online:
            continue
        try:
            opened.append(_open_files(source, name, base) if source.paths else _open_hub(source, name))
        except InputError as e:
            problems += [(f or f"sources.{i}", line, m) for f, line, m in e.problems]
    if problems:
        raise InputError(problems)
    return opened


def _open_files(source: Source, name: str, base: Path) -> list[Input]:
    found = []
    for path, file in find_files(source, base):
        peeked = list(islice(records(raw_blocks(str(path))), PEEK))
        format, fields = _understand(source, [r for r in peeked if isinstance(r, dict)], str(path))
        found.append(Input(name, file, str(path), digest(path), format, fields, _origin(source, format)))
    return found


def _origin(source: Source, format: str) -> str:
    return source.origin or ("human" if format == "seeds" else UNKNOWN)


def find_files(source: Source, base: Path) -> list[tuple[Path, str]]:
    """(path, name in rows) of each file of a source, sorted by name. Names are the files' without folder; where two
    are alike, the path below their common folder."""
    found: list[Path] = []
    for text in source.paths:
        given = Path(text).expanduser()
        given = given if given.is_absolute() else base / given
        try:
            found += _matches(given, text)
        except PermissionError as e:
            raise InputError(f"{e.filename or text}: no permission to read it") from e
    found = sorted({p.resolve(): p for p in found}.values(), key=lambda p: (p.name, str(p)))
    for path in found:
        try:
            path.open("rb").close()
        except OSError as e:
            raise InputError(f"{path}: cannot be read: {e.strerror}") from e
    names = [p.name for p in found]
    if len(set(names)) < len(names):
        parents = [p.resolve().parent.parts for p in found]
        shared = next((i for i, parts in enumerate(zip(*parents)) if len(set(parts)) > 1), min(map(len, parents)))
        names = ["/".join(p.resolve().parts[shared:]) for p in found]
    return sorted(zip(found, names), key=lambda item: item[1])


def _matches(given: Path, text: str) -> list[Path]:
    if given.is_dir():
        inside = sorted(p for p in given.iterdir() if p.is_file() and kind_of(p))
        if not inside:
            raise InputError(f"{text}: the folder has no data file ({', '.join(SUFFIXES)}, also .gz and .zst)")
        return inside
    if given.exists():
        if not kind_of(given):
            raise InputError(f"{text}: unknown kind of file; known are {', '.join(SUFFIXES)}, also .gz and .zst")
        return [given]
    if set("*?[") & set(text):
        anchor = Path(given.anchor) if given.is_absolute() else Path()
        found = sorted(p for p in anchor.glob(str(given.relative_to(anchor))) if p.is_file() and kind_of(p))
        if found:
            return found
        raise InputError(f"{text}: no data file matches")
    near = did_you_mean(given.name, [p.name for p in given.parent.iterdir()]) if given.parent.is_dir() else ""
    raise InputError(f"{text}: no such file or folder.{near}")


def _open_hub(source: Source, name: str) -> list[Input]:
    """A Hub dataset at a pinned commit. `datasets` downloads it into its own cache."""
    try:
        import datasets  # noqa: F401  (hub_dataset uses it; say early that it is missing)
        from huggingface_hub import HfApi
    except ImportError as e:
        raise MissingExtra(f"hub: {source.hub}", "hub") from e
    try:
        commit = HfApi().dataset_info(source.hub, revision=source.revision).sha
        hub = (source.hub, source.config, source.split, commit)
        dataset = hub_dataset(hub)
    except Exception as e:  # the clients raise many kinds: network, missing repo, gated repo, unknown split
        said = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise InputError(
            f"hub: {source.hub}: {said}. Is it spelled right, public or logged in to, and the network up?"
        ) from e
    records = [normalise_keys(r) for r in dataset.select(range(min(PEEK, len(dataset))))]
    format, fields = _understand(source, records, f"hub: {source.hub}")
    file = f"{source.config or 'default'}-{source.split}"
    identity = f"hub:{source.hub}@{commit}:{source.config}:{source.split}"
    return [Input(name, file, f"hub:{source.hub}", identity, format, fields, _origin(source, format), hub)]


def _understand(source: Source, records: list[dict[str, Any]], where: str) -> tuple[str, dict[str, tuple[str, ...]]]:
    """(format, fields) of a file, from its first records and the recipe."""
    seen = list(dict.fromkeys(k for r in records for k in r))
    for ours, theirs in source.map.items():
        if records and normalise_key(theirs) not in seen:
            raise InputError(
                f'{where}: map: {ours}: there is no column "{theirs}".{did_you_mean(normalise_key(theirs), seen)} Columns: {", ".join(seen[:20])}'
            )
    format = source.format
    if format == "auto":
        format = mapped_format(source.map) or detect(records) or ("" if records else "alpaca")
    if not format:
        raise InputError(
            f"{where}: the format is not clear from its columns ({', '.join(seen[:20])}): give format: or map: {{instruction: …, output: …}}"
        )
    return format, columns(format, source.map)


def with_commit(source: Source, inputs: list[Input]) -> Source:
    """The source as it was resolved: named, its format said where all files share it, its Hub commit pinned."""
    formats = {i.format for i in inputs}
    update: dict[str, Any] = {"name": inputs[0].source if inputs else source_name(source)}
    if len(formats) == 1:
        update["format"] = formats.pop()
    if inputs and inputs[0].hub:
        update["revision"] = inputs[0].hub[3]
    update["origin"] = inputs[0].origin if len({i.origin for i in inputs}) == 1 else source.origin
    return source.model_copy(update=update)
