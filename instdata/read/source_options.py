"""A source as a recipe writes it."""

from __future__ import annotations

import codecs
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from instdata.corpus.rows import ROLES
from instdata.read.encoding import known
from instdata.read.formats import KEYS, fields_of
from instdata.util.remote_address import is_url
from instdata.util.sizes_and_shares import WORD, Share, Strict
from instdata.util.yaml import did_you_mean

FORMATS = ("auto", "alpaca", "messages", "sharegpt", "prompt_completion", "preference", "seeds")
MAPPED = tuple(dict.fromkeys(field for format in KEYS for field in fields_of(format) if format != "seeds"))


class Source(Strict):
    """Where rows come from: files (`path`: a file, a glob, a folder, a list of those) or a Hub dataset (`hub`)."""

    path: str | list[str] | None = Field(
        None,
        description="A file, a folder, a glob, or a list of them; relative to the recipe, or addresses (s3://, "
        "https://).",
    )
    hub: str | None = Field(
        None,
        description="A dataset on the Hugging Face Hub: owner/name. With a path too, the path is read: a local copy.",
    )
    config: str | None = Field(None, description="The Hub dataset's config.")
    split: str = Field("train", description="The Hub dataset's split.")
    revision: str | None = Field(None, description="The Hub dataset's revision; pinned to a commit in the manifest.")
    name: str = Field("", description="The name in rows and tables; by default the file's or the repo's.")
    format: Literal[FORMATS] = "auto"  # type: ignore[valid-type]
    map: dict[str, str] = Field(
        {},
        description="Our field: their column, e.g. {instruction: question, ability: class}, or a template of columns: "
        '{instruction: "{passage}\\n{question}"}.',
    )
    roles: dict[Literal[ROLES], list[str]] = Field(  # type: ignore[valid-type]
        {}, description="Role: the words that this source has for it, e.g. {user: [me], assistant: [bot]}."
    )
    origin: str | None = Field(None, description='"human", or the model that wrote the responses.')
    max_bad: Share = Field(
        0.01, description="The build stops when more than this share, and at least 10 rows, is unreadable."
    )
    damaged: Literal["stop", "keep"] = Field(
        "stop", description="A file that is cut off or no data stops the build (exit 4), or what is there is kept."
    )
    encoding: str | None = Field(None, description="The text's encoding; by default told by its bytes.")
    delimiter: str | None = Field(None, description="What separates CSV fields; by default told by the first records.")
    sheet: str | list[str] = Field([], description="The sheets of a workbook that are read; by default the first.")
    exclude: list[str] = Field([], description='Globs of files that are left out: ["*dev*", "old/*"].')
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

    @field_validator("exclude", mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("encoding")
    @classmethod
    def _encoding(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not known(value):
            raise ValueError(f'"{value}" is no encoding known here; write utf-8, gb18030, shift_jis, utf-16, …')
        return codecs.lookup(value).name

    @field_validator("delimiter")
    @classmethod
    def _delimiter(cls, value: str | None) -> str | None:
        value = {"tab": "\t", "\\t": "\t"}.get(value or "", value)
        if value is not None and (len(value) != 1 or value in '"\r\n'):
            raise ValueError(f'"{value}" is no delimiter: one character, such as ";" or tab')
        return value

    @model_validator(mode="after")
    def _one_place(self) -> Source:
        if self.path is None and self.hub is None:
            raise ValueError("a source needs path: or hub:")
        if self.name and not WORD.match(self.name):
            raise ValueError(f'name "{self.name}": letters, digits, "_", "-" and "." only')
        return self

    @property
    def local(self) -> bool:
        """Whether its files can be looked at without a network."""
        return bool(self.paths) and not any(map(is_url, self.paths))

    @property
    def sheets(self) -> tuple[str, ...]:
        return (self.sheet,) if isinstance(self.sheet, str) else tuple(self.sheet)

    @property
    def paths(self) -> list[str]:
        return [] if self.path is None else [self.path] if isinstance(self.path, str) else list(self.path)
