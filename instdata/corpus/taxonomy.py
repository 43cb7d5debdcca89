"""The taxonomy: which abilities there are, how each is described, shown, named elsewhere and scored."""

from __future__ import annotations

import glob
import hashlib
import json
import re
import unicodedata
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import ConfigDict, Field, PrivateAttr, StringConstraints, TypeAdapter, ValidationError

from instdata.corpus.rows import UNKNOWN
from instdata.util.errors import InputError
from instdata.util.resources import resource
from instdata.util.sizes_and_shares import Strict
from instdata.util.yaml import did_you_mean, load_yaml

SCORERS = ("exact", "number", "choice", "label", "contains", "f1", "json", "unit_tests", "distractors", "judge")

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")
]


class Entry(Strict):
    """A part of a taxonomy file: nothing is converted, so a number where text belongs is an error."""

    model_config = ConfigDict(strict=True)


class Example(Entry):
    """A task that shows an ability."""

    instruction: Text
    input: str = ""
    response: str = ""


class Judge(Entry):
    """How a judge scores an ability's answers. `solve`: where it is shown no reference, it solves the task before it
    judges."""

    reference: bool = False
    solve: bool = False
    rubric: dict[str, Text] = {}  # by language


class Ability(Entry):
    """One class of the taxonomy; `name` is what the ability column holds."""

    name: Name
    description: Text
    examples: list[Example] = []
    scorer: Literal[SCORERS] = "judge"  # type: ignore[valid-type]
    judge: Judge = Judge()
    label: dict[str, Text] = {}  # how people read it, by language
    aliases: list[Name] = []  # what other datasets call it


class Labelled(Entry):
    """A line of an examples file. These teach `categorize` what rows look like; generation is shown Ability.examples
    only."""

    ability: Name
    instruction: Text
    input: str = ""
    response: str = ""


class Taxonomy(Entry):
    """Abilities, in the order in which tables and charts show them."""

    name: Name
    abilities: Annotated[list[Ability], Field(min_length=1)]
    _labelled: list[Labelled] = PrivateAttr(default_factory=list)
    _read: dict[str, tuple[float, float]] = PrivateAttr(default_factory=dict)

    @property
    def read(self) -> dict[str, tuple[float, float]]:
        """(slope, offset) of each ability from the log-odds of a label learned from `labelled` to what readers of
        natural rows found; from examples/<file>.read.json, empty where there is none."""
        return self._read

    @property
    def labelled(self) -> list[Labelled]:
        """Examples to learn from that lie beside the taxonomy's file, in examples/<file>.*.jsonl; see read_labelled."""
        return self._labelled

    @property
    def names(self) -> list[str]:
        return [a.name for a in self.abilities]

    @cached_property
    def known(self) -> dict[str, str]:
        """Normalised label -> ability name, over names, readable labels and aliases."""
        return {normalise_label(word): a.name for a in self.abilities for word in _words(a)}

    def match(self, labels: pa.Array | pa.ChunkedArray) -> pa.StringArray:
        """The ability that each raw label names; null where it names none."""
        column = labels.combine_chunks() if isinstance(labels, pa.ChunkedArray) else labels
        coded = column.cast(pa.string()).dictionary_encode()
        names = [self.known.get(normalise_label(word)) for word in coded.dictionary.to_pylist()]
        return pa.array(names, pa.string()).take(coded.indices)

    def digest(self) -> str:
        """Changes when anything in the taxonomy does."""
        return self._digest

    @cached_property  # each of some thousand files asks for it
    def _digest(self) -> str:
        content = self.model_dump(mode="json") | {
            "labelled": [e.model_dump() for e in self.labelled],
            "read": self.read,
        }
        text = json.dumps(content, ensure_ascii=False, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def normalise_label(text: str) -> str:
    """One spelling for a label: NFKC, lower case, no invisible characters, every run of blanks, hyphens and
    underscores one underscore. `closed\\u00a0QA`, `Closed-QA` and `closed_qa` are the same."""
    visible = "".join(c for c in _nfkc(_nfkc(text).casefold()) if unicodedata.category(c) != "Cf")
    return re.sub(r"[\s_\-\u2010-\u2015]+", "_", visible).strip("_")


def _nfkc(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def load_taxonomy(name_or_path: str | Path, base: Path = Path()) -> Taxonomy:
    """A shipped taxonomy by its bare name, or any YAML file (relative paths start at `base`).

    Raises InputError with every problem as file:line."""
    path = _find(str(name_or_path), base)
    document = load_yaml(path)
    if not isinstance(document.data, dict):
        raise InputError([(document.file, 1, "a taxonomy is a mapping with `name` and `abilities`")])
    try:
        taxonomy = Taxonomy.model_validate(document.data)
        problems = _clashes(taxonomy)
    except ValidationError as e:
        problems = [(error["loc"], _explain(error)) for error in e.errors()]
    if problems:
        raise InputError([(document.file, document.line(loc), message) for loc, message in problems])
    taxonomy._labelled = read_labelled(path, taxonomy)
    beside = path.parent / "examples" / f"{path.stem}.read.json"
    if beside.is_file():
        try:
            taxonomy._read = TypeAdapter(dict[str, tuple[float, float]]).validate_json(beside.read_bytes())
        except (OSError, ValidationError) as e:
            raise InputError(f"{beside}: not a mapping from abilities to [slope, offset]") from e
    return taxonomy


def read_labelled(path: Path, taxonomy: Taxonomy) -> list[Labelled]:
    """The lines of examples/<stem>.*.jsonl beside a taxonomy's file, files by name; none where there is no such file.

    Raises InputError with every bad line as file:line."""
    found, problems = [], []
    for file in sorted(path.parent.glob(f"examples/{glob.escape(path.stem)}.*.jsonl")):
        try:
            lines = file.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as e:
            raise InputError(f"{file}: cannot be read as UTF-8: {e}") from e
        for number, line in enumerate(lines, 1):
            try:
                example = Labelled.model_validate_json(line)
            except ValidationError as e:
                problems.append((str(file), number, _explain(e.errors()[0])))
                continue
            found.append(example)
            if example.ability not in {*taxonomy.names, UNKNOWN}:
                hint = did_you_mean(example.ability, taxonomy.names)
                problems.append((str(file), number, f'unknown ability "{example.ability}".{hint}'))
    if problems:
        raise InputError(problems)
    return found


def _find(name: str, base: Path) -> Path:
    if "/" in name or "\\" in name or name.endswith((".yaml", ".yml")):
        return base / name
    path = resource(f"taxonomy/{name}.yaml")
    if not path.is_file():
        shipped = sorted(p.stem for p in resource("taxonomy").glob("*.yaml"))
        hint = did_you_mean(name, shipped)
        raise InputError(
            f'unknown taxonomy "{name}".{hint} Shipped: {", ".join(shipped)}; or give a path to a YAML file'
        )
    return path


def _clashes(taxonomy: Taxonomy) -> list[tuple[tuple[Any, ...], str]]:
    """Labels that would name two abilities."""
    owner: dict[str, str] = {}
    found = []
    for i, ability in enumerate(taxonomy.abilities):
        for word in _words(ability):
            key = normalise_label(word)
            if key in ("", UNKNOWN):
                found.append((("abilities", i), f'"{word}" cannot name an ability'))
            elif owner.setdefault(key, ability.name) != ability.name or (
                word is ability.name and ability.name in taxonomy.names[:i]
            ):
                found.append((("abilities", i), f'"{word}" already names ability "{owner[key]}"'))
    return found


def _words(ability: Ability) -> list[str]:
    return [ability.name, *ability.label.values(), *ability.aliases]


FIELDS = sorted({f for model in (Taxonomy, Ability, Example, Judge) for f in model.model_fields})


def _explain(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    kind = error["type"]
    if kind == "extra_forbidden":
        return (
            f'unknown key "{error["loc"][-1]}" in '
            f"{where.rpartition('.')[0] or 'the taxonomy'}.{did_you_mean(str(error['loc'][-1]), FIELDS)}"
        )
    if kind == "missing":
        return f"{where} is missing"
    if kind == "too_short":
        return f"{where} is empty: a taxonomy needs at least one ability"
    if kind == "literal_error":
        return (
            f'{where}: unknown scorer "{error["input"]}".{did_you_mean(str(error["input"]), SCORERS)} One of '
            f"{', '.join(SCORERS)}"
        )
    return f"{where or 'the taxonomy'}: {error['msg'].lower()}"
