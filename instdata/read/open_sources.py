"""Sources: which files a recipe means, what format each has, and which column feeds which field."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from instdata.corpus.corpus import versions
from instdata.corpus.rows import UNKNOWN
from instdata.corpus.taxonomy import Taxonomy
from instdata.read.blocks import hub_dataset, raw_blocks, records
from instdata.read.column_names import normalise_key, normalise_keys
from instdata.read.file_kind import Beside, Damaged, form_of
from instdata.read.find_files import find_files
from instdata.read.formats import (
    MAIN,
    Fields,
    columns,
    detect,
    fields_of,
    mapped_formats,
    placeholders,
)
from instdata.read.source_options import Source
from instdata.util.atomic import digest
from instdata.util.build_context import Context
from instdata.util.errors import DamagedInput, InputError, MissingExtra
from instdata.util.file_digests import file_digest
from instdata.util.yaml import did_you_mean

VERSION = 11  # of everything that turns a file into shards
PEEK = 1_000  # records looked at to tell the format and to check `map`


@dataclass(frozen=True)
class Input:
    """One file (or Hub split) of a source, opened: everything that reading it depends on."""

    source: str
    file: str  # as rows name it
    path: str  # where it is, or hub:owner/name
    digest: str
    format: str
    fields: Fields
    origin: str
    hub: tuple[str, str | None, str, str] | None = None  # repo, config, split, commit
    encoding: str | None = None
    delimiter: str | None = None
    sheets: tuple[str, ...] = ()  # of a workbook
    keep: bool = False  # what is there of a damaged file
    stamp: tuple[int, ...] = ()  # the file's size, time and number when it was hashed

    def blocks(self, limit: int | None = None, beside: Beside | None = None) -> Iterator[tuple[int, Any]]:
        """Its records, as raw_blocks gives them."""
        return raw_blocks(self.path, self.hub, limit, self.encoding, self.delimiter, self.sheets, beside)

    def changed(self) -> bool:
        """Whether the file is another one than was opened."""
        return self.hub is None and stamp(Path(self.path)) != self.stamp and digest(Path(self.path)) != self.digest

    def key(self, taxonomy: Taxonomy | None, limit: int | None) -> str:
        """What the shards are cached under."""
        parts = [VERSION, self.source, self.file, self.digest, self.format, self.fields, self.origin, limit]
        parts += [self.encoding, self.delimiter, self.sheets]
        return hashlib.sha256(json.dumps([*parts, taxonomy and taxonomy.digest(), versions()]).encode()).hexdigest()[
            :32
        ]


@dataclass
class Peeked:
    """What the first records of a file show: their columns, and the format of the first that has one. None of their
    texts is kept: a thousand may be as large as the machine's memory."""

    columns: dict[str, None] = field(default_factory=dict)
    format: str | None = None

    def add(self, record: Any) -> None:
        if isinstance(record, dict):
            self.columns |= dict.fromkeys(record)
            self.format = self.format or detect([record])


def source_name(source: Source) -> str:
    """The recipe's name, else the repo's, or the file's or folder's without its suffixes."""
    if source.name:
        return source.name
    text = source.paths[0] if source.paths else source.hub or ""
    name = Path(text.rstrip("/")).name
    if source.hub and not source.paths:
        return "".join(c if c.isalnum() or c in "_-." else "-" for c in name)
    stem = name.split(".")[0] if not set("*?[") & set(name) else Path(text).parent.name
    return "".join(c if c.isalnum() or c in "_-" else "-" for c in stem).strip("-") or "source"


def open_sources(
    sources: list[tuple[int, Source]],
    base: Path,
    reserved: AbstractSet[str] = frozenset(),
    online: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> list[list[Input]]:
    """The inputs of each source. Raises what `try_sources` returns as the error."""
    opened, error = try_sources(sources, base, reserved, online, say)
    if error is not None:
        raise error
    return list(opened.values())


def try_sources(
    sources: list[tuple[int, Source]],
    base: Path,
    reserved: AbstractSet[str] = frozenset(),
    online: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[dict[int, list[Input]], InputError | None]:
    """The inputs of each source that can be opened, by its place in the recipe, files in the order of their names; and
    what is wrong with the others. Looks at the first records of each file; Hub datasets are left out where `online` is
    false. `reserved` names are taken by steps.

    `say` gets a line about each file that is not what its name says, and about files left out.

    The error is an InputError with every problem, its file being `sources.<place>`: missing files, unknown formats,
    columns in `map` that no record has; DamagedInput where all of them are damaged files.
    """
    damaged = True
    misnamed = False
    problems: list[tuple[str, int | None, str]] = []
    opened: dict[int, list[Input]] = {}
    names: set[str] = set()
    for i, source in sources:
        where, name = f"sources.{i}", source_name(source)
        if name in names:
            problems.append((where, None, f'two sources are named "{name}": give this one a `name:`'))
        if name in reserved:
            problems.append((where, None, f'source and step are both named "{name}": give this one another `name:`'))
        misnamed = misnamed or name in names or name in reserved
        names.add(name)
        if not source.local and not online:
            continue
        try:
            told = partial(_named, say, name)
            opened[i] = _open_files(source, name, base, told) if source.paths else _open_hub(source, name)
        except InputError as e:
            damaged = damaged and isinstance(e, DamagedInput)
            problems += [(where, None, m) for _, _, m in e.problems]
    if not problems:
        return opened, None
    return opened, DamagedInput(problems) if damaged and not misnamed else InputError(problems)


def _named(say: Callable[[str], None], name: str, line: str) -> None:
    say(f"{name}: {line}")


def _open_files(source: Source, name: str, base: Path, say: Callable[[str], None]) -> list[Input]:
    found: list[Input] = []
    problems: list[tuple[str, int | None, str]] = []
    damaged = 0
    how: dict[str, Any] = {"encoding": source.encoding, "delimiter": source.delimiter, "sheets": source.sheets}
    for path, file in find_files(source, base, say):
        peeked = Peeked()
        try:
            seen = stamp(path)  # before its bytes are looked at: a change under way is then noticed
            if said := form_of(path, source.encoding).said if path.stat().st_size else "":
                say(f"{file} {said}")
            for record in records(raw_blocks(str(path), None, PEEK, **how)):
                peeked.add(record)
            if not peeked.columns:
                say(f"{file} holds no record that can be read")
        except Damaged as e:
            message = str(e) if str(e).startswith(path.name) else f"{path.name}: {e}"
            if source.damaged != "keep":
                problems.append(("", None, f"{message}. Or go on with what is there: damaged: keep"))
                damaged += 1
                continue
        except InputError as e:
            problems += [("", None, m if m.startswith(path.name) else f"{path.name}: {m}") for _, _, m in e.problems]
            continue
        try:
            format, fields = _understand(source, peeked, file, partial(raw_blocks, str(path), **how))
            found.append(
                Input(
                    name,
                    file,
                    str(path),
                    file_digest(path),
                    format,
                    fields,
                    _origin(source, format),
                    stamp=seen,
                    keep=source.damaged == "keep",
                    **how,
                )
            )
        except InputError as e:
            problems += e.problems
    if problems:
        raise DamagedInput(problems) if damaged == len(problems) else InputError(problems)
    return found


def stamp(path: Path) -> tuple[int, ...]:
    """What changes when a file does: its size, time and number."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _origin(source: Source, format: str) -> str:
    return source.origin or ("human" if format == "seeds" else UNKNOWN)


def _open_hub(source: Source, name: str) -> list[Input]:
    """A Hub dataset at a pinned commit. `datasets` downloads it into its own cache."""
    try:
        import datasets  # noqa: F401  (hub_dataset uses it; say early that it is missing)
        from huggingface_hub import HfApi
    except ImportError as e:
        raise MissingExtra(f"hub: {source.hub}", "hub") from e
    try:
        commit = HfApi().dataset_info(source.hub, revision=source.revision).sha
        hub = (str(source.hub), source.config, source.split, str(commit))
        dataset = hub_dataset(hub)
    except Exception as e:  # the clients raise many kinds: network, missing repo, gated repo, unknown split
        said = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise InputError(
            f"hub: {source.hub}: {said}. Is it spelled right, public or logged in to, and the network up?"
        ) from e
    peeked = Peeked()
    for record in dataset.select(range(min(PEEK, len(dataset)))):
        peeked.add(normalise_keys(record))
    format, fields = _understand(source, peeked, f"hub: {source.hub}")
    file = f"{source.config or 'default'}-{source.split}"
    identity = f"hub:{source.hub}@{commit}:{source.config}:{source.split}"
    return [Input(name, file, f"hub:{source.hub}", identity, format, fields, _origin(source, format), hub)]


def _understand(
    source: Source,
    peeked: Peeked,
    where: str,
    blocks: Callable[[], Iterator[tuple[int, Any]]] | None = None,
) -> tuple[str, Fields]:
    """(format, fields) of a file, from its first records and the recipe; `blocks` gives all of it, for columns that are
    rare. Raises InputError with every problem."""
    seen = list(peeked.columns)
    shown = ", ".join(seen[:20])
    problems = [
        (
            "",
            None,
            f'{where}: map: {ours}: there is no column "{theirs}".{did_you_mean(normalise_key(theirs), seen)} '
            f"Columns: {shown}",
        )
        for ours, text in source.map.items()
        for theirs in placeholders(text) or [text]
        if seen and normalise_key(theirs) not in seen and not (blocks and _occurs(normalise_key(theirs), blocks()))
    ]
    fitting = mapped_formats(source.map)
    if not fitting:
        problems.append(("", None, f"{where}: map: {', '.join(source.map)} are fields of different formats"))
    if problems:
        raise InputError(problems)
    format = source.format
    if format == "auto":
        format = _fitting(fitting, peeked.format, source.map, seen)
    elif format not in fitting:
        raise InputError(
            f"{where}: map: the format {format} has no "
            f"{' or '.join(m for m in source.map if m not in fields_of(format))}"
        )
    if not format and not seen:
        format = fitting[0]
    if not format:
        raise InputError(
            f"{where}: the format is not clear from its columns ({shown}): give format: or map: "
            "{instruction: …, output: …}" + (", or its delimiter:" if len(seen) == 1 and ".csv" in where else "")
        )
    return format, columns(format, source.map, source.roles)


def _fitting(fitting: list[str], detected: str | None, mapping: dict[str, str], seen: list[str]) -> str | None:
    """Of the formats that have all mapped fields: the one whose main field is mapped, else the one that the columns
    show, else one whose main field has a column; None where there is none."""
    for format in fitting:
        if MAIN[format] in mapping:
            return format
    if detected in fitting:
        return detected
    return next((f for f in fitting if mapping and any(k in seen for k in fields_of(f)[MAIN[f]])), None)


def _occurs(column: str, blocks: Iterator[tuple[int, Any]]) -> bool:
    """Whether any record of a file has a column: a rare one need not be among the first."""
    try:
        return any(isinstance(r, dict) and column in r for r in records(blocks))
    except Damaged:
        return False


def reopened(source: Source, inputs: list[Input], context: Context) -> list[Input]:
    """The inputs of a resolved source as its files are now. Raises as open_sources does."""
    return inputs if source.hub and not source.paths else open_sources([(0, source)], context.base, say=context.say)[0]


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


def manifest_of(inputs: list[Input], notes: Mapping[str, Mapping[str, int]], context: Context) -> dict[str, Any]:
    """What a source was: its files by content, or its Hub dataset at a commit; and what reading it did to how many
    rows."""
    noted = {"notes": notes[inputs[0].source]} if inputs[0].source in notes else {}
    if inputs[0].hub:
        repo, config, split, revision = inputs[0].hub
        return {"name": inputs[0].source, "hub": repo, "config": config, "split": split, "revision": revision, **noted}
    return {"name": inputs[0].source, "files": [_file(i, context) for i in inputs], **noted}


def _file(item: Input, context: Context) -> dict[str, Any]:
    key = f"{item.source}/{item.file}"
    lost = context.lost.get(key)
    return {"file": item.file, "sha256": item.digest, **({"lost": lost} if lost else {}), **context.beside.get(key, {})}
