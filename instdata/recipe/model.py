"""The recipe as pydantic models; draft.py reads them from a file."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from instdata.steps.base import Step, kinds, step_class
from instdata.util.values import Share, Size, parse_size
from instdata.util.yaml import did_you_mean

WORD = re.compile(r"^\w[\w.\-]*$")
FORMATS = ("auto", "alpaca", "messages", "sharegpt", "prompt_completion", "seeds")
MAPPED = ("instruction", "input", "output", "system", "history", "messages", "conversations", "prompt", "completion",
          "ability", "origin")  # fmt: skip


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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
    max_bad: Share = Field(
        0.01, description="The build stops when more than this share, and at least 10 rows, is unreadable."
    )
    license: str | None = Field(None, description="The licence of these rows, as the Hub spells it.")

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
        wrong = []
        for size in self.sizes or []:
            try:
                parse_size(size)
            except ValueError as e:
                wrong.append(str(e))
        if wrong:
            raise ValueError("; ".join(wrong))
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


def json_schema() -> dict[str, Any]:
    """The JSON schema of recipes, with every installed step's options."""
    schema = Recipe.model_json_schema()
    items = []
    for kind in sorted(kinds()):
        options = step_class(kind).model_json_schema(ref_template=f"#/$defs/{kind}.{{model}}")
        for name, definition in options.pop("$defs", {}).items():
            schema["$defs"][f"{kind}.{name}"] = definition
        schema["$defs"][f"step.{kind}"] = options
        short = [{"type": "string"}] if step_class(kind).shorthand else []
        body = {"anyOf": [{"$ref": f"#/$defs/step.{kind}"}, {"type": "null"}, *short]}
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
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "instdata recipe", **schema}
