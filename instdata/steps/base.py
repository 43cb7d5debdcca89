"""What a step is. A step's fields are its YAML options; it scores rows once and decides as often as one likes.

    score(rows)    -> columns for those rows        pure; cached by the rows, the scoring options and the version
    decide(scores) -> Verdicts                      cheap; thresholds only; never cached

Third parties add steps through the entry-point group `instdata.steps` (docs/steps.md shows one).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import Self

from instdata.corpus.rows import Rows
from instdata.util.build_context import Context
from instdata.util.errors import InputError

# rows:   sees a batch, scores every readable row (cheap, row-wise)
# alive:  sees a batch, scores the rows still alive at its place (costly, row-wise: a model, an endpoint)
# corpus: sees all rows still alive at its place at once
# source: sees the rows still alive at its place and adds rows (`produce` instead of `score`)
Scope = Literal["rows", "alive", "corpus", "source"]

GROUP = "instdata.steps"
MISSING = "_missing"  # a score column: why a row that should have a score has none (null elsewhere)
BUILTIN = {
    "generate": "instdata.steps.generate.step:Generate",
    "dedup": "instdata.steps.dedup.step:Dedup",
    "quality": "instdata.steps.quality.step:Quality",
    "decontaminate": "instdata.steps.dedup.decontaminate:Decontaminate",
    "categorize": "instdata.steps.ability.step:Categorize",
    "holdout": "instdata.steps.holdout:Holdout",
    "filter": "instdata.steps.filter:Filter",
    "sample": "instdata.steps.sample_and_mix:Sample",
    "mix": "instdata.steps.sample_and_mix:Mix",
    "select": "instdata.steps.select.step:Select",
    "clean": "instdata.steps.clean:Clean",
    "overrides": "instdata.steps.overrides:Overrides",
    "verify": "instdata.steps.verify.step:Verify",
    "review": "instdata.steps.review:Review",
}


def Threshold(default: Any = ..., **kwargs: Any) -> Any:
    """A field that only `decide` reads: changing it re-scores nothing."""
    return Field(default, json_schema_extra={"threshold": True}, **kwargs)


class Step(BaseModel):
    """One step of a recipe. Subclasses set `kind` and `scope`, declare options as fields, and write score and
    decide."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    kind: ClassVar[str]
    scope: ClassVar[Scope] = "rows"  # an instance may override it with a property, where options make the step costly
    code: ClassVar[str] = ""  # sha256 of the file that a step of one's own comes from (local_step.py)
    version: ClassVar[int] = 1  # raise it when score changes its mind
    # Options, at any depth, whose text may be a path: a file's content is part of the recipe's hash, and of a path that
    # is absolute only the last part is published. Every other text is just text.
    paths: ClassVar[frozenset[str]] = frozenset({"path", "against", "prompt", "model"})
    # Rows of several shards that one call may score, where a call has a price of its own; not with reads_scores.
    together: ClassVar[int] = 0
    reads_scores: ClassVar[bool] = False  # score looks at rows.scores
    reads_labels: ClassVar[bool] = False  # score looks at rows.ability as steps before this one set it
    rewrites: ClassVar[bool] = False  # score gives new text for some rows (see RewriteStep)
    shorthand: ClassVar[str | None] = None  # the option that a bare value sets: `overrides: fixes.jsonl`
    reads_shown: ClassVar[bool] = False  # score looks at rows.shown: what generation may have shown (scope corpus)

    name: str = Field(
        "", description="The step's name; give one to use a kind twice.", json_schema_extra={"threshold": True}
    )

    @classmethod
    def written(cls, options: Any, name: str) -> Self:
        """The step that a recipe writes as `kind: options`: a mapping, nothing, or the bare value of the option that
        `shorthand` names. Raises InputError for anything else, pydantic's ValidationError for wrong options."""
        if isinstance(options, str) and cls.shorthand:
            options = {cls.shorthand: options}
        options = {} if options is None else options
        if not isinstance(options, dict):
            raise InputError(f"the options of step {cls.kind} are a mapping")
        return cls(**{"name": name, **options})

    def resolve(self, context: Context) -> Self:
        """A copy with every `auto` replaced by a concrete value. Must not depend on what is installed."""
        return self

    def check(self, context: Context) -> list[str]:
        """What would stop this step, found before any work: missing files, missing extras. One line each."""
        return []

    def scoring(self, context: Context) -> dict[str, Any]:
        """Everything besides the rows that shapes the scores: the cache key's part. Override to add digests of files,
        the seed or the taxonomy where score uses them."""
        fields = type(self).model_fields
        options = self.model_dump(
            mode="json",
            exclude={n for n, f in fields.items() if isinstance(x := f.json_schema_extra, dict) and x.get("threshold")},
        )
        own = {"code": self.code} if self.code else {}
        return {"kind": self.kind, "version": self.version, "options": options, **own, **self._reading()}

    def _reading(self) -> dict[str, int]:
        """How replies are read, where some are: the same answers may come to other scores when that changes."""
        if not self.asks_models:
            return {}
        from instdata.llm.reply import VERSION

        return {"replies": VERSION}

    def score(self, rows: Rows) -> Mapping[str, Any]:
        """Columns as long as the rows: arrow or numpy arrays. Numbers and strings are published as
        score_<step>_<name>; other types (lists, structs, booleans), and names with a leading underscore, stay in the
        sidecar for decide. Where `_missing` (text) tells of a row why it got no score, or a row raised, the next build
        scores again."""
        return {}

    def decide(self, scores: Scores) -> Verdicts:
        """Keep or drop each row, given its scores."""
        return keep(len(scores))

    @property
    def bounds(self) -> dict[str, str]:
        """What each published score is held against, in words: `why` shows it beside the score of a row."""
        return {}

    @property
    def asks_models(self) -> tuple[str, ...]:
        """The language models that the step asks, as `model:` names them; those without "local:" are an endpoint's:
        they cost, and what they answer may change from day to day. Empty where it asks none."""
        return ()

    def estimate(self, rows: Rows) -> dict[str, Any] | None:
        """What the step would cost, for --dry-run, given a sample of rows: {rows (that it adds), requests, tokens, usd
        (None: no price is known), minutes, every_row (True: they hold for these rows, and grow with them)}; None where
        it asks no model."""
        return None


class SourceStep(Step):
    """A step that adds rows."""

    scope: ClassVar[Scope] = "source"

    def produce(self, rows: Rows) -> Produced:
        """New rows, from the rows still alive. Resumable through its own caches."""
        raise TypeError(f"{type(self).__name__} adds rows, so it must define produce()")


class RewriteStep(Step):
    """A step that changes the text of rows: one row in, one row out. The rid stays; the id, which is the text's, is
    new, and the old one is published as `score_<step>_derived_from`. Steps after it see the new text."""

    scope: ClassVar[Scope] = "alive"
    rewrites: ClassVar[bool] = True

    def rewrite(self, rows: Rows) -> Rewritten:
        """The rows whose text changes, and how. Pure, like score."""
        raise TypeError(f"{type(self).__name__} rewrites rows, so it must define rewrite()")

    def score(self, rows: Rows) -> Mapping[str, Any]:
        return self.rewrite(rows).columns(rows)

    def decide(self, scores: Scores) -> Verdicts:
        """Keep every row, with a note of what was changed."""
        return replace(keep(len(scores)), notes=scores.column("_edits"))


@dataclass
class Rewritten:
    """New text for the rows at some positions, in ascending order. `messages` has a whole conversation for each of
    them, in the type of rows.messages (null where it stays), `edits` what was changed in each: [{"kind", "turn",
    "before", "after", …}]. `origin`: the rows' new origin, where their author is another one now. `pairs`: the new
    turns of the columns chosen and rejected, null where they stay."""

    at: np.ndarray
    messages: pa.Array
    edits: list[list[dict[str, Any]]]
    origin: str | None = None
    pairs: Mapping[str, pa.Array] = field(default_factory=dict)

    def columns(self, rows: Rows) -> dict[str, pa.Array]:
        """As a step's scores: derived_from (the id, where the conversation changed) and edits (kinds, comma-joined) are
        published, null where nothing changed."""
        index = np.full(len(rows), -1, np.int64)
        index[self.at] = np.arange(len(self.at))
        back = pa.array(index, mask=index < 0)
        kinds_ = [",".join(dict.fromkeys(e["kind"] for e in edits)) for edits in self.edits]
        old = rows.id.take(pa.array(self.at))
        notes = [
            json.dumps({"changes": [{"derived_from": i, "edits": edits}]}, ensure_ascii=False)
            for i, edits in zip(old.to_pylist(), self.edits)
        ]
        return {
            "derived_from": pc.if_else(pc.is_valid(self.messages), old, None).take(back),
            "edits": pa.array(kinds_, pa.string()).take(back),
            "_messages": self.messages.take(back),
            "_origin": pa.array([self.origin] * len(self.at), pa.string()).take(back),
            "_edits": pa.array(notes, pa.string()).take(back),
            **{f"_{name}": turns.take(back) for name, turns in self.pairs.items()},
        }


@dataclass
class Produced:
    """What a source step made. `table` has CORPUS's columns except rid, id, source and lang, those of OPTIONAL and
    asked_span that it fills, plus `reason` and `evidence` (why the step itself dropped the row, null where accepted)
    and `error` and `raw` (set for a record that could not be parsed: it is quarantined and its messages are null). Row
    order is the order of acceptance."""

    table: pa.Table
    shown: np.ndarray  # positions (in the rows given) of rows that a prompt showed: never held out


class Scores:
    """A step's score columns. Attributes are numpy arrays (null numbers are NaN); `column` gives the arrow column."""

    def __init__(self, table: pa.Table):
        self.table = table

    def __len__(self) -> int:
        return self.table.num_rows

    def __getattr__(self, name: str) -> np.ndarray:
        if name.startswith("__") or name not in self.table.column_names:
            raise AttributeError(name)
        return self.table[name].to_numpy()

    def column(self, name: str) -> pa.ChunkedArray:
        return self.table[name]


@dataclass
class Verdicts:
    """One verdict a row: `reason` is null where the row is kept. `evidence` is JSON text. `other` is the position
    (in the rows given) of the row that the verdict points at, -1 for none: the build adds its id and rid to the
    evidence. `set` holds columns that the step assigns: ability, ability_confidence. `config` names the config of
    rows set aside from training ("holdout"), null elsewhere. `warnings` are lines for the user."""

    reason: pa.Array
    evidence: pa.Array | None = None
    other: np.ndarray | None = None
    set: dict[str, pa.Array] = field(default_factory=dict)
    config: pa.Array | None = None
    warnings: list[str] = field(default_factory=list)
    notes: pa.Array | None = None
    pinned: pa.Array | None = None
    set_where: pa.Array | None = None
    errors: pa.Array | None = None  # filled by the build: why a row could not be scored

    def __or__(self, later: Verdicts) -> Verdicts:
        """Both verdicts, the left one owning the rows that both drop."""
        mine = np.asarray(pc.is_valid(self.reason))
        return Verdicts(
            reason=pc.coalesce(self.reason, later.reason),
            evidence=_either(mine, self.evidence, later.evidence),
            other=None if self.other is None and later.other is None else np.where(mine, _others(self), _others(later)),
            set={**later.set, **self.set},
            config=self.config
            if later.config is None
            else later.config
            if self.config is None
            else pc.coalesce(self.config, later.config),
            warnings=self.warnings + later.warnings,
            **{name: _first(getattr(self, name), getattr(later, name)) for name in ("notes", "pinned", "set_where")},
        )


def keep(rows: int) -> Verdicts:
    """Keep them all."""
    return Verdicts(pa.nulls(rows, pa.string()))


def drop(where: Any, reason: str, evidence: Any = None, other: np.ndarray | None = None) -> Verdicts:
    """Drop the rows where a boolean mask (numpy or arrow, null counts as False) holds, for one reason word."""
    mask = (
        pa.array(where)
        if isinstance(where, np.ndarray)
        else where.combine_chunks()
        if isinstance(where, pa.ChunkedArray)
        else where
    )
    mask = pc.fill_null(mask, False)
    reasons = pc.if_else(mask, pa.scalar(reason), pa.scalar(None, pa.string()))
    return Verdicts(reasons, None if evidence is None else pa.array(evidence, pa.string()), other)


def _first(a: pa.Array | None, b: pa.Array | None) -> pa.Array | None:
    return b if a is None else a if b is None else pc.coalesce(a, b)


def _others(v: Verdicts) -> np.ndarray:
    return np.full(len(v.reason), -1, np.int64) if v.other is None else v.other


def _either(mine: np.ndarray, a: pa.Array | None, b: pa.Array | None) -> pa.Array | None:
    if a is None and b is None:
        return None
    none = pa.scalar(None, pa.string())
    return pc.if_else(pa.array(mine), none if a is None else a, none if b is None else b)


@cache
def kinds() -> dict[str, EntryPoint]:
    """Every step kind that recipes may use: the built-in ones and installed entry points."""
    found = {ep.name: ep for ep in entry_points(group=GROUP)}
    return {**found, **{kind: EntryPoint(kind, place, GROUP) for kind, place in BUILTIN.items()}}


@cache
def step_class(kind: str) -> type[Step]:
    """The class of a step kind. Raises KeyError for an unknown kind, InputError where a third-party step cannot be
    loaded."""
    found = kinds()[kind]
    try:
        return found.load()
    except Exception as e:  # whatever somebody's module raises when it is imported
        raise InputError(f"step {kind}: {found.value} cannot be loaded: {type(e).__name__}: {e}") from e
