"""The nested sizes of a build as a recipe writes them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from instdata.util.sizes_and_shares import Size, Strict, parse_size


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
