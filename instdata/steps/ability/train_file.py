"""The option `train` of categorize."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class TrainFile(BaseModel):
    """Labelled rows to learn from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str | list[str] = Field(description="A file, folder or glob; relative to the recipe.")
    map: dict[str, str] = Field(
        {}, description="Our field: their column, e.g. {instruction: question, ability: class}."
    )
