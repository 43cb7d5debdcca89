"""The recipe as pydantic models: reading, `--set`, every error at once, and the form that is hashed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from instdata.errors import InputError
from instdata.overrides import override, substitute
from instdata.step import Step, kinds, step_class
from instdata.yamlfile import Document, did_you_mean, load_yaml

WORD = re.compile(r"^\w[\w.\-]*$")
FORMATS = ("auto", "alpaca", "messages", "sharegpt", "prompt_completion", "seeds")
MAPPED = ("instruction", "input", "output", "system", "history", "messages", "conversations", "prompt", "completion",
          "ability", "origin")  # fmt: skip


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def share(value: Any) -> float:
    """`1%` or `0.01` -> 0.01. Raises ValueError outside 0..1."""
    text = str(value).strip()
    number = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    if not 0 <= number <= 1:
        raise ValueError(f"{value} is not a share: write 0.01 or 1%")
    return number


class Source(Strict):
    """Where rows come from: files (`path`: a file, a glob, a folder, a list of those) or a Hub dataset (`hub`)."""

    path: str | list[str] | None = Field(
        None, description="A file, a folder, a glob, or a list of them; relative to the recipe."
    )
    hub: str | None = Field(
        None,
        description="A dataset on the Hugging Face Hub: owner/name. With a path too, the path is read: a local copy.",
    )
    config: str | None = Field(None, description="The Hub dataset's config.")
    split: str = Field("train", description="The Hub dataset's split.")
    revision: str | None = Field(None, description="The Hub dataset's revision; pinned to a commit in the manifest.")
    name: str = Field("", description="The name in rows and tables; by default the file's or the repo's.")
    format: Literal["auto", "alpaca", "messages", "sharegpt", "prompt_completion", "seeds"] = "auto"
    map: dict[str, str] = Field(
        {}, description="Our field: their column, e.g. {instruction: question, ability: class}."
    )
    origin: str | None = Field(None, description='"human", or the model that wrote the responses.')
    max_bad: float = Field(
        0.01, description="The build stops when more than this share, and at least 10 rows, is unreadable."
    )
    license: str | None = Field(None, description="The licence of these rows, as the Hub spells it.")

    _share = field_validator("max_bad", mode="before")(share)

    @field_validator("map")
    @classmethod
    def _fields(cls, value: dict[str, str]) -> dict[str, str]:
        for ours in value:
            if ours not in MAPPED:
                raise ValueError(
                    f'"{ours}" is not a field that can be mapped ({", ".join(MAPPED)}).{did_you_mean(ours, MAPPED)}'
                )
        return value

    @model_validator(mode="after")
    def _one_place(self) -> Source:
        if self.path is None and self.hub is None:
            raise ValueError("a source needs path: or hub:")
        if self.name and not WORD.match(self.name):
            raise ValueError(f'name "{self.name}": letters, digits, "_", "-" and "." only')
        return self

    @property
    def paths(self) -> list[str]:
        return [] if self.path is None else [self.path] if isinstance(self.path, str) else list(self.path)


@dataclass(frozen=True)
class Size:
    """One size of a ladder: a number of rows or a share of the pool, and the name of its config."""

    name: str
    rows: int | None = None
    share: float | None = None

    def of(self, pool: int) -> int:
        """The number of rows, given the pool's: a share is rounded to the nearest row, at least one."""
        return self.rows if self.rows is not None else max(1, int(pool * self.share + 0.5))


def parse_size(value: Any) -> Size:
    """600, "600", "600k", "0.2M", "10%". Raises ValueError with the accepted forms."""
    text = str(value).strip()
    bad = ValueError(f'"{value}" is not a size: write 600, 200k, 0.2M or 10%')
    unit = {"k": 1_000, "K": 1_000, "m": 1_000_000, "M": 1_000_000}.get(text[-1:], 1)
    digits = text[:-1] if unit > 1 or text.endswith("%") else text
    try:
        number = Decimal(digits.replace("_", ""))
    except InvalidOperation:
        raise bad from None
    if isinstance(value, bool) or not number.is_finite() or not 0 < number < 10**12:
        raise bad
    if text.endswith("%"):
        if number > 100:
            raise ValueError(f'"{value}": a share of the pool is at most 100%')
        return Size(f"{digits}pct", share=float(number / 100))
    rows = number * unit
    if rows != int(rows):
        raise bad
    return Size(text, rows=int(rows))


class Subsets(Strict):
    """The nested sizes that are published as configs."""

    by: Literal["ability"] = "ability"
    sizes: list[str] | None = Field(None, description="Rows or shares of the pool: 600, 200k, 0.2M, 10%.")
    per_ability: list[int] | None = Field(None, description="Rows of each ability: [1, 4, 16, 64].")
    on_short: Literal["error", "clip"] = Field("error", description="What to do with a size that the pool cannot fill.")

    @model_validator(mode="before")
    @classmethod
    def _spellings(cls, data: Any) -> Any:
        # `sizes: {per_ability: […]}` says the same as `per_ability: […]`.
        if isinstance(data, dict) and isinstance(data.get("sizes"), dict):
            data = {**{k: v for k, v in data.items() if k != "sizes"}, **data["sizes"]}
        if isinstance(data, dict) and isinstance(data.get("sizes"), list):
            data = {**data, "sizes": [v if isinstance(v, str) else repr(v) for v in data["sizes"]]}
        return data

    @model_validator(mode="after")
    def _readable(self) -> Subsets:
        if (self.sizes is None) == (self.per_ability is None):
            raise ValueError("give either sizes: or per_ability:")
        names = [s.name for s in self.parsed]
        if not names:
            raise ValueError("at least one size is needed")
        if len(set(names)) < len(names):
            raise ValueError("two sizes are the same")
        if self.per_ability and min(self.per_ability) < 1:
            raise ValueError("per_ability sizes start at 1")
        return self

    @property
    def parsed(self) -> list[Size]:
        """The sizes in the recipe's order; per-ability ones count rows of each ability."""
        if self.per_ability is not None:
            return [Size(f"{n}-per-ability", rows=n) for n in self.per_ability]
        return [parse_size(s) for s in self.sizes or []]


class Publish(Strict):
    repo: str | None = None
    license: str | None = None
    private: bool = True
    meta: bool = Field(False, description="Publish the unmapped source columns too.")


class Ablate(Strict):
    model: str = "auto"
    seeds: int = Field(3, ge=1)


class Recipe(BaseModel):
    """A recipe. `steps` holds Step objects; see docs/recipes.md for the grammar by example."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    name: str
    seed: int = Field(0, ge=0, lt=2**63)
    taxonomy: str | None = Field(None, description="A name in taxonomy/, or a path.")
    sources: list[Source] = Field(min_length=1)
    steps: list[Step] = []
    subsets: Subsets | None = None
    publish: Publish = Publish()
    ablate: Ablate = Ablate()
    limit: int | None = Field(None, ge=1, description="Read at most this many rows of each source (`--limit`).")

    @field_validator("name")
    @classmethod
    def _word(cls, value: str) -> str:
        if not WORD.match(value):
            raise ValueError(f'"{value}" names a folder: letters, digits, "_", "-" and "." only')
        return value

    def plain(self) -> dict[str, Any]:
        """The recipe as plain data that reads back as the same recipe; step names only where they differ from kinds."""
        out = self.model_dump(mode="json", exclude={"steps"}, exclude_none=True)
        steps = []
        for step in self.steps:
            options = step.model_dump(mode="json", exclude_none=True)
            if options.get("name") == step.kind:
                del options["name"]
            steps.append({step.kind: options})
        head = {k: out[k] for k in ("name", "seed", "taxonomy", "sources") if k in out}
        return {**head, "steps": steps, **{k: v for k, v in out.items() if k not in head}}


def read_recipe(
    path: Path, sets: list[str] = (), limit: int | None = None, shown: str | None = None
) -> tuple[Recipe, Document]:
    """Read and validate a recipe. Raises InputError with every problem found, each with its line."""
    document = load_yaml(path, shown)
    if not isinstance(document.data, dict):
        raise InputError([(document.file, 1, "a recipe is a mapping with name:, sources: and steps:")])
    for item in sets:
        override(document, item, Recipe.model_fields)
    if limit is not None:
        document.data["limit"] = limit
    document.data.setdefault("name", path.stem)
    problems: list[tuple[str, int | None, str]] = []
    data = substitute(document.data, (), document, problems)
    steps = _steps(data.pop("steps", None) or [], document, problems)
    recipe = None
    try:
        recipe = Recipe(**{**data, "sources": data.get("sources") or []}, steps=[])
    except ValidationError as e:
        problems += _explain(e, Recipe, (), document, "the recipe")
    if problems or recipe is None:
        raise InputError(sorted(problems, key=lambda p: p[1] or 0))
    return recipe.model_copy(update={"steps": steps}), document


def _steps(items: Any, document: Document, problems: list) -> list[Step]:
    """Step objects from `[{kind: options}, …]`; a bare word is a step with default options."""
    steps: list[Step] = []
    if not isinstance(items, list):
        problems.append((document.file, document.line(("steps",)), "steps: is a list; start each step with a dash"))
        return steps
    for i, item in enumerate(items):
        at: tuple[str | int, ...] = ("steps", i)
        item = {item: {}} if isinstance(item, str) else item
        words = [k for k in item if k != "name"] if isinstance(item, dict) else []
        if len(words) != 1:
            problems.append((document.file, document.line(at), "a step is one `kind: {options}` (and perhaps `name:`)"))
            continue
        kind = words[0]
        options = item[kind] if item[kind] is not None else {}
        if kind not in kinds():
            text = (
                f'unknown step "{kind}".{did_you_mean(kind, kinds()) or " Known: " + ", ".join(sorted(kinds())) + "."}'
            )
            problems.append((document.file, document.line((*at, kind)), text))
            continue
        if not isinstance(options, dict):
            problems.append((document.file, document.line((*at, kind)), f"the options of step {kind} are a mapping"))
            continue
        try:
            cls = step_class(kind)
            steps.append(cls(**{"name": item.get("name", kind), **options}))
        except InputError as e:
            problems.append((document.file, document.line((*at, kind)), str(e)))
        except ValidationError as e:
            problems += _explain(e, cls, (*at, kind), document, f"step {kind}")
    seen: dict[str, int] = {}
    for i, step in enumerate(steps):
        if not WORD.match(step.name):
            problems.append(
                (
                    document.file,
                    document.line(("steps", i)),
                    f'step name "{step.name}": letters, digits, "_", "-" and "." only',
                )
            )
        if step.name in seen:
            problems.append(
                (
                    document.file,
                    document.line(("steps", i)),
                    f'two steps are named "{step.name}": give this one a `name:`',
                )
            )
        seen[step.name] = i
    placed = [s.kind for s in steps]
    if "holdout" in placed and "generate" in placed[placed.index("holdout") :]:
        line = document.line(("steps", len(placed) - 1 - placed[::-1].index("generate")))
        problems.append(
            (document.file, line, "generate comes after holdout: new rows could copy held-out ones; move it before")
        )
    return steps


def _explain(error: ValidationError, model: type[BaseModel], at: tuple, document: Document, where: str) -> list:
    """pydantic's errors as (file, line, message) with the fix."""
    found = []
    for item in error.errors():
        path = (*at, *item["loc"])
        key = str(item["loc"][-1]) if item["loc"] else ""
        owner = _owner(model, item["loc"][:-1])
        names = [f for f in owner.model_fields if owner is not Recipe or f != "steps"] if owner else []
        place = ".".join(str(p) for p in item["loc"][:-1]) or where
        if item["type"] == "extra_forbidden":
            hint = did_you_mean(key, names) or f" Known: {', '.join(names)}."
            message = f'unknown key "{key}" in {place}.{hint}'
        elif item["type"] == "missing":
            message = f'"{key}" is missing in {place}'
        else:
            words = item["msg"].removeprefix("Value error, ")
            got = "" if item["type"] in ("value_error", "too_short") else f" (got {str(item['input'])[:60]!r})"
            message = f"{'.'.join(str(p) for p in item['loc']) or where}: {words[:1].lower()}{words[1:]}{got}"
            message = message if where == "the recipe" or not item["loc"] else f"{where}: {message}"
        found.append((document.file, document.line(path), message))
    return found


def _owner(model: type[BaseModel], path: tuple) -> type[BaseModel] | None:
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


def json_schema() -> dict[str, Any]:
    """The JSON schema of recipes, with every installed step's options."""
    schema = Recipe.model_json_schema()
    items = []
    for kind in sorted(kinds()):
        options = step_class(kind).model_json_schema(ref_template=f"#/$defs/{kind}.{{model}}")
        for name, definition in options.pop("$defs", {}).items():
            schema["$defs"][f"{kind}.{name}"] = definition
        schema["$defs"][f"step.{kind}"] = options
        body = {"anyOf": [{"$ref": f"#/$defs/step.{kind}"}, {"type": "null"}]}
        items.append(
            {
                "type": "object",
                "properties": {kind: body, "name": {"type": "string"}},
                "required": [kind],
                "additionalProperties": False,
            }
        )
    schema["properties"]["steps"] = {
        "type": "array",
        "items": {"anyOf": [{"enum": sorted(kinds())}, *items]},
        "default": [],
    }
    schema["required"] = ["sources"]
    sizes = {"type": "array", "items": {"type": ["string", "integer", "number"]}}
    schema["$defs"]["Subsets"]["properties"]["sizes"] = {
        "anyOf": [
            sizes,
            {"type": "object", "properties": {"per_ability": {"type": "array", "items": {"type": "integer"}}}},
        ]
    }
    schema["$defs"]["Source"]["properties"]["max_bad"] = {"type": ["number", "string"], "default": "1%"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "instdata recipe", **schema}
