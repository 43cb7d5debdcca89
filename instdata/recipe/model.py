"""The recipe as pydantic models; load.py reads them from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from instdata.corpus.subset_options import Subsets
from instdata.read.source_options import Source
from instdata.steps.base import BUILTIN, Step, kinds, step_class
from instdata.util.licences import hub_licence
from instdata.util.sizes_and_shares import WORD, Strict
from instdata.util.yaml import did_you_mean


class Publish(Strict):
    repo: str | None = None
    license: str | None = Field(None, description="The licence of the whole set, as the Hub spells it.")
    license_name: str | None = Field(None, description="With license: other, its name.")
    license_link: str | None = Field(None, description="With license: other, where its text is.")
    private: bool = True
    meta: bool = Field(False, description="Publish the unmapped source columns too.")

    @field_validator("license")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        return value if value is None else hub_licence(value)

    @model_validator(mode="after")
    def _named(self) -> Publish:
        if self.license == "other" and not (self.license_name and self.license_link):
            raise ValueError(
                "license: other needs license_name: and license_link:, since the Hub shows them in its place"
            )
        if self.license_name and self.license != "other":
            raise ValueError("license_name: belongs to license: other")
        return self


class Ablate(Strict):
    model: str = "auto"
    seeds: int = Field(3, ge=1)


def named_step(item: Any) -> Any:
    """A step from `{kind: options}`, or a Step; named after its kind where it has no name."""
    if isinstance(item, str):
        item = {item: None}
    if isinstance(item, Mapping):
        kind, options = next((k, v) for k, v in item.items() if k != "name")
        if kind not in kinds():
            raise ValueError(f'unknown step "{kind}".{did_you_mean(kind, kinds())}')
        return step_class(kind).written(options, item.get("name", kind))
    return item.model_copy(update={"name": item.kind}) if isinstance(item, Step) and not item.name else item


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

    @field_validator("steps", mode="before")
    @classmethod
    def _made(cls, value: Any) -> Any:
        """Steps as `{kind: options}` are made; a step without a name has that of its kind."""
        return [named_step(item) for item in value] if isinstance(value, (list, tuple)) else value

    def plain(self) -> dict[str, Any]:
        """The recipe as plain data that reads back as the same recipe; step names only where they differ from kinds."""
        out = self.model_dump(mode="json", exclude={"steps"}, exclude_none=True)
        steps = []
        for step in self.steps:
            options = step.model_dump(mode="json", exclude_none=True)
            if options.get("name") == step.kind:
                del options["name"]
            steps.append({step.kind: options})
        head: dict[str, Any] = {k: out[k] for k in ("name", "seed", "taxonomy", "sources") if k in out}
        return {**head, "steps": steps, **{k: v for k, v in out.items() if k not in head}}


def json_schema() -> dict[str, Any]:
    """The JSON schema of recipes, with the options of every step of instdata's own; of others' steps it knows the
    names, for it imports nobody's code."""
    schema = Recipe.model_json_schema()
    items: list[dict[str, Any]] = []
    for kind in sorted(kinds()):
        if kind not in BUILTIN:
            items.append({"type": "object", "required": [kind]})
            continue
        options = step_class(kind).model_json_schema(ref_template=f"#/$defs/{kind}.{{model}}")
        for name, definition in options.pop("$defs", {}).items():
            schema["$defs"][f"{kind}.{name}"] = definition
        schema["$defs"][f"step.{kind}"] = options
        short = [{"type": "string"}] if step_class(kind).shorthand else []
        body: dict[str, Any] = {"anyOf": [{"$ref": f"#/$defs/step.{kind}"}, {"type": "null"}, *short]}
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
