"""A recipe file as far as it can be read, with every problem found: line, what was expected, and the fix."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from instdata.read.source_options import Source
from instdata.recipe.model import Recipe, named_step
from instdata.recipe.set_and_environment import override, substitute
from instdata.steps.base import Step, kinds, step_class
from instdata.steps.filter import Filter
from instdata.steps.local_step import local_step
from instdata.util.errors import InputError
from instdata.util.sizes_and_shares import WORD
from instdata.util.yaml import HALF, Document, did_you_mean, load_yaml

Problem = tuple[str, "int | None", str]


@dataclass
class Draft:
    """What could be read: the recipe where all of it is fine (None elsewhere), else its valid sources and steps with
    their places in the file, so that these can be checked too; and the problems."""

    document: Document
    base: Path = Path()
    recipe: Recipe | None = None
    sources: list[tuple[int, Source]] = field(default_factory=list)
    steps: list[tuple[int, Step]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def problem(self, path: tuple[str | int, ...], message: str) -> None:
        """Note a problem at a place of the file."""
        self.problems.append((self.document.file, self.document.line(path), message))

    def fail(self, kind: type[InputError] = InputError) -> None:
        """Raise InputError (or one of its kinds) with the problems, in the order of their lines, where there are
        any."""
        if self.problems:
            raise kind(sorted(dict.fromkeys(self.problems), key=lambda p: p[1] or 0))


def read_recipe(recipe: Path | str | Mapping[str, Any], sets: Sequence[str] = (), limit: int | None = None) -> Recipe:
    """Read and validate a recipe. Raises InputError with every problem found, each with its line."""
    draft = read_draft(*open_document(recipe), sets, limit)
    draft.fail()
    assert draft.recipe is not None  # without a problem it was read
    return draft.recipe


def open_document(recipe: Path | str | Mapping[str, Any] | Recipe) -> tuple[Document, Path]:
    """(what a recipe says, the folder that its paths start from) of a YAML file, a mapping or a Recipe, whose paths
    start here. Raises InputError."""
    if isinstance(recipe, (str, Path)):
        path = Path(recipe)
        if not path.is_file():
            there = [f.name for f in path.parent.glob("*.y*ml") if get_close_matches(path.stem, [f.stem])]
            hint = did_you_mean(path.name, there) or " `instdata init` writes one"
            what = "a folder, where a recipe is needed" if path.is_dir() else "no such recipe"
            raise InputError(f"{path}: {what}.{hint}")
        document = load_yaml(path)
        if isinstance(document.data, dict):
            stem = re.sub(r"[^\w.\-]+", "-", path.stem).strip("-.")
            document.data.setdefault("name", stem or "dataset")
        return document, path.parent
    if isinstance(recipe, Recipe):
        data = {**recipe.plain(), "steps": list(recipe.steps)}
    else:
        data = {"name": "dataset", **copy.deepcopy(dict(recipe))}
    for key in _keys(data):
        if not isinstance(key, str):
            raise InputError(f"a key of the recipe is {str(key)[:60]}: keys are words")
    if any(HALF.search(text) for text in _texts(data)):
        raise InputError("the recipe holds half a character (a lone surrogate): no text does")
    return Document("the recipe", data, {}), Path()


def _keys(value: Any) -> Iterator[Any]:
    """The keys in plain data."""
    if isinstance(value, Mapping):
        yield from value
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        yield from (key for inner in value for key in _keys(inner))


def _texts(value: Any) -> Iterator[str]:
    """The texts in plain data, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (text for key, inner in value.items() for part in (key, inner) for text in _texts(part))
    elif isinstance(value, (list, tuple)):
        yield from (text for inner in value for text in _texts(inner))


def read_draft(document: Document, base: Path, sets: Sequence[str] = (), limit: int | None = None) -> Draft:
    """Read a recipe as far as it goes; step files lie in `base`. Raises InputError where it is no mapping or a `--set`
    has no place in it."""
    if not isinstance(document.data, dict):
        raise InputError([(document.file, 1, "a recipe is a mapping with name:, sources: and steps:")])
    for item in sets:
        override(document, item, Recipe.model_fields)
    if limit is not None:
        document.data["limit"] = limit
    draft = Draft(document, base)
    steps = document.data.get("steps") or []
    made = (
        {i: named_step(step) for i, step in enumerate(steps) if isinstance(step, Step)}
        if isinstance(steps, list)
        else {}
    )
    for i, step in made.items():
        substitute(step.model_dump(mode="json"), ("steps", i, step.kind), document, draft.problems)
    if made:  # written in Python: nothing to read
        document.data["steps"] = [{} if i in made else step for i, step in enumerate(steps)]
    data = substitute(document.data, (), document, draft.problems)
    draft.steps = _steps(data.pop("steps", None) or [], draft, made)
    sources = data.get("sources") or []
    try:
        draft.recipe = Recipe(**{**data, "sources": sources}, steps=[])
        draft.recipe = draft.recipe.model_copy(update={"steps": [s for _, s in draft.steps]})
        draft.sources = list(enumerate(draft.recipe.sources))
    except ValidationError as e:
        draft.problems += _explain(e, Recipe, (), document, "the recipe")
        for i, item in enumerate(sources if isinstance(sources, list) else []):
            try:
                draft.sources.append((i, Source.model_validate(item)))
            except ValidationError:
                continue
    return draft


def _steps(items: Any, draft: Draft, made: Mapping[int, Step]) -> list[tuple[int, Step]]:
    """(place, step) from `[{kind: options}, …]`; a bare word is a step with default options."""
    if not isinstance(items, list):
        draft.problem(("steps",), "steps: is a list; start each step with a dash")
        return []
    steps = [(i, step) for i, item in enumerate(items) if (step := made.get(i) or _step(i, item, draft)) is not None]
    seen: set[str] = set()
    for i, step in steps:
        if not WORD.match(step.name):
            draft.problem(("steps", i), f'step name "{step.name}": letters, digits, "_", "-" and "." only')
        if step.name in seen:
            draft.problem(("steps", i), f'two steps are named "{step.name}": give this one a `name:`')
        if step.kind == "generate" and "holdout" in {s.kind for j, s in steps if j < i}:
            draft.problem(
                ("steps", i), "generate comes after holdout: new rows could copy held-out ones; move it before"
            )
        if isinstance(step, Filter) and len(seen) == i and (message := step.unknown_column(seen)):
            draft.problem(("steps", i, "filter", "where"), f"step {step.name}: where: {message}")
        seen.add(step.name)
    return steps


def _step(i: int, item: Any, draft: Draft) -> Step | None:
    """One step, or None with its problems noted."""
    item = {item: {}} if isinstance(item, str) else item
    words = [k for k in item if k != "name"] if isinstance(item, dict) else []
    if len(words) != 1:
        draft.problem(("steps", i), f"steps.{i}: a step is one `kind: {{options}}` (and perhaps `name:`)")
        return None
    kind = words[0]
    at = ("steps", i, kind)
    local = ".py:" in kind
    if not local and kind not in kinds():
        near = did_you_mean(kind, kinds()) or f" Known: {', '.join(sorted(kinds()))}."
        draft.problem(at, f'unknown step "{kind}".{near}')
        return None
    try:
        cls = local_step(kind, draft.base) if local else step_class(kind)
        return cls.written(item[kind], item.get("name", cls.__name__ if local else kind))
    except InputError as e:
        draft.problem(at, str(e))
    except ValidationError as e:
        draft.problems += _explain(e, cls, at, draft.document, f"step {kind}")
    return None


# pydantic names the branch of a union that it tried: `list[str]`, `constrained-float`, `literal['auto']`.
BRANCH = re.compile(r"[\[\-(]|^(str|int|float|bool|dict|list)$")
WANTED = {
    "model_type": "a mapping is needed, {key: value}", "dict_type": "a mapping is needed, {key: value}",
    "list_type": "a list is needed, [a, b]", "string_type": "text is needed",
    "float_type": "a number is needed", "float_parsing": "a number is needed",
    "int_type": "a whole number is needed", "int_parsing": "a whole number is needed", "bool_parsing": "true or false",
}  # fmt: skip


def _explain(
    error: ValidationError, model: type[BaseModel], at: tuple[Any, ...], document: Document, where: str
) -> list[Any]:
    """pydantic's errors as (file, line, message) with the fix."""
    found = []
    for item in _alternatives(error):
        loc = item["loc"]
        path = (*at, *loc)
        key = str(loc[-1]) if loc else ""
        owner = _owner(model, loc[:-1])
        names = [f for f in owner.model_fields if owner is not Recipe or f != "steps"] if owner else []
        place = ".".join(map(str, loc[:-1])) or where
        if item["type"] == "extra_forbidden":
            hint = did_you_mean(key, names) or f" Known: {', '.join(names)}."
            message = f'unknown key "{key}" in {place}.{hint}'
        elif item["type"] == "missing":
            message = f'"{key}" is missing in {place}'
        else:
            words = WANTED.get(item["type"]) or item["msg"].removeprefix("Value error, ")
            got = "" if item["type"] in ("value_error", "too_short") else f" (got {str(item['input'])[:60]!r})"
            hint = did_you_mean(str(item["input"]), re.findall("'([^']+)'", words)).rstrip()
            message = f"{'.'.join(map(str, loc)) or where}: {words[:1].lower()}{words[1:]}{got}{'.' * bool(hint)}{hint}"
            message = message if where == "the recipe" or not loc else f"{where}: {message}"
        found.append((document.file, document.line(path), message))
    return found


def _alternatives(error: ValidationError) -> list[dict[str, Any]]:
    """pydantic's errors; where a value may be of several kinds, one for all of them, which says all that may be."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    models = _model_names(BaseModel)
    for item in error.errors():
        loc = tuple(p for p in item["loc"] if isinstance(p, int) or not (BRANCH.search(p) or p in models))
        if item["type"] in ("extra_forbidden", "missing") or loc not in found:
            found[loc if loc not in found else (*loc, item["type"])] = {**item, "loc": loc}
        else:
            first = found[loc]
            words = WANTED.get(first["type"]) or first["msg"]
            more = (WANTED.get(item["type"]) or item["msg"]).removeprefix("Input should be ")
            found[loc] = first | {"type": "alternatives", "msg": f"{words}, or {more}"}
    other_kind = {at for at, e in found.items() if e["type"].endswith(("_type", "_parsing"))}
    # Where another branch got further, that one was meant.
    meant = [at for at in other_kind if any(d[: len(at)] == at and d != at for d in found)]
    return [e for at, e in found.items() if at not in meant]


def _model_names(model: type[BaseModel]) -> set[str]:
    """The names of all models: pydantic names a branch of a union by them, too."""
    return {name for m in model.__subclasses__() for name in (m.__name__, *_model_names(m))}


def _owner(model: type[BaseModel], path: tuple[Any, ...]) -> type[BaseModel] | None:
    """The model that a location inside another one belongs to."""
    for part in path:
        if isinstance(part, int):
            continue
        info = model.model_fields.get(str(part))
        inner = [a for a in _types(info.annotation) if isinstance(a, type) and issubclass(a, BaseModel)] if info else []
        if not inner:
            return model if info is None else None
        model = inner[0]
    return model


def _types(annotation: Any) -> list[Any]:
    inner = getattr(annotation, "__args__", ())
    return [annotation, *(t for a in inner for t in _types(a))]
