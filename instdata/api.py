"""The Python API: builds made and opened. docs/python.md shows it by example."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from instdata import build as making
from instdata.builds import find_build, history, manifest, rows_of
from instdata.corpus.cached_tables import read_parquet
from instdata.read.in_memory import is_rows, stored
from instdata.read.source_options import Source
from instdata.recipe import model
from instdata.recipe.load import read_recipe
from instdata.util.checksums import part
from instdata.util.errors import InputError
from instdata.util.notebook import CellBar, in_notebook
from instdata.util.paths import cache_folder, cores

if TYPE_CHECKING:
    import datasets


class Recipe(model.Recipe):
    """A recipe written in Python, read from YAML, or kept as it."""

    @classmethod
    def from_yaml(cls, path: Path | str) -> Recipe:
        """Read a recipe. Raises InputError with every problem found, each with its line."""
        return cls(**dict(read_recipe(path)))

    def to_yaml(self, path: Path | str | None = None) -> str:
        """The recipe as YAML, written to `path` where one is given."""
        text = yaml.safe_dump(self.plain(), allow_unicode=True, sort_keys=False)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text


class OpenBuild:
    """A finished build, to be asked. `changed` says whether making it had anything to do."""

    def __init__(self, path: Path, changed: bool = False):
        self.path, self.changed = path, changed

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Counts, hashes and versions: manifest.json."""
        return manifest(self.path)

    def rows(self, config: str = "full", columns: list[str] | None = None) -> pa.Table:
        """The rows of a config in the ladder's order. Raises InputError for an unknown config."""
        return pa.Table.from_batches(list(rows_of(self.path, config, columns)))

    def dropped(self, step: str | None = None, reason: str | None = None) -> pa.Table:
        """The rows that were dropped, with their text, step, reason and evidence; of one step or reason."""
        table = read_parquet(part(self.path, "dropped.parquet"))
        for column, wanted in (("step", step), ("reason", reason)):
            if wanted is not None:
                table = table.filter(pc.equal(table[column], wanted))
        return table

    def why(self, id: str) -> list[dict[str, Any]]:
        """The history of every row with this id or rid: where it came from, what each step scored and decided."""
        return history(self.path, id)

    def batches(self, config: str = "full") -> Iterator[pa.RecordBatch]:
        """The rows of a config, a batch at a time."""
        return rows_of(self.path, config)

    def to_dataset(self, config: str = "full") -> datasets.Dataset:
        """A config as a datasets.Dataset (extra `hub`)."""
        from datasets import Dataset

        return Dataset(self.rows(config))

    def __repr__(self) -> str:
        totals = self.manifest["totals"]
        return f"OpenBuild({str(self.path)!r}, kept={totals['kept']:,}, dropped={totals['dropped']:,})"

    def _repr_html_(self) -> str:
        """The funnel and the ability table, for notebooks."""
        steps = [(s["name"], s["in"] + s["added"], s["kept"], s["dropped"]) for s in self.manifest["steps"]]
        abilities = sorted(self.manifest["configs"]["full"]["by_ability"].items(), key=lambda a: -a[1])
        funnel = _html_table(("step", "in", "kept", "dropped"), steps)
        return f"<b>{html.escape(self.manifest['name'])}</b>{funnel}{_html_table(('ability', 'rows'), abilities)}"


def _html_table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    def line(values: tuple[Any, ...], cell: str) -> str:
        shown = (f"{v:,}" if isinstance(v, int) else str(v) for v in values)
        return "<tr>" + "".join(f"<{cell}>{html.escape(v)}</{cell}>" for v in shown) + "</tr>"

    return "<table>" + line(head, "th") + "".join(line(r, "td") for r in rows) + "</table>"


def build(
    recipe: Path | str | Mapping[str, Any] | model.Recipe, out: Path | str | None = None, *, jobs: int | None = None,
    limit: int | None = None, fresh: bool = False, engine: str = "local", quiet: bool | None = None, **overrides: Any,
) -> OpenBuild:  # fmt: skip
    """Build a recipe (a YAML file, a mapping, a Recipe) into a folder, by default builds/<name>.

    A source may be rows in memory: an Arrow table, a datasets.Dataset, a frame, an iterable of mappings. `overrides`
    are `--set` with underscores for dots: dedup__threshold=0.8. quiet: False says what happens, a line a step; by
    default a notebook gets one bar and a script nothing. Raises InputError and the other errors of util.errors.
    """
    if isinstance(recipe, Mapping) and "sources" in recipe:
        recipe = {**recipe, "sources": [_source(s, i) for i, s in enumerate(recipe["sources"])]}
    sets = [f"{key.replace('__', '.')}={yaml.safe_dump(value, default_flow_style=True).strip().removesuffix('...').strip()}"  # noqa: E501
            for key, value in overrides.items()]  # fmt: skip
    bar = CellBar("instdata build") if in_notebook() and not quiet else None
    say: Callable[[str], None] = bar or (print if quiet is False else lambda line: None)
    plan = making.prepare(recipe, sets, limit, jobs or cores(), fresh, say, bars=quiet is False and bar is None)
    if bar:
        bar.expect(["read", *(step.name for step in plan.recipe.steps)])
    done = making.build(plan, Path(out) if out else making.folder_of(plan.recipe.name, sets, limit), engine)
    if bar:
        bar.done(
            f"{done.path} {'done' if done.changed else 'unchanged'}, {done.manifest['totals']['kept']:,} rows kept"
        )
    return OpenBuild(done.path, done.changed)


def _source(value: Any, number: int) -> Any:
    """A source as a recipe writes it; rows in memory are written to a file first, also those under `rows`."""
    if isinstance(value, Source):
        return value.model_dump(exclude_unset=True)
    given = dict(value) if isinstance(value, Mapping) else {"rows": value} if is_rows(value) else value
    if isinstance(given, dict) and "rows" in given:
        path = stored(given.pop("rows"), cache_folder() / "rows")
        return {"name": f"rows{number or ''}", **given, "path": str(path)}
    return given


def open_build(path: Path | str | None = None) -> OpenBuild:
    """A finished build: a folder, a name under builds/, by default the newest. Raises InputError where there is
    none."""
    return OpenBuild(find_build(None if path is None else Path(path)))


def build_to_compare(against: Path, own: Path, say: Callable[[str], None], only_plan: bool = False) -> Path:
    """The build that `own` is compared with: a folder, or the build of a recipe, which is brought up to date, unless
    that would ask a model or only a plan is wanted. Raises InputError."""
    if against.suffix not in (".yaml", ".yml"):
        return find_build(against)
    plan = making.prepare(against, jobs=cores(), say=say)
    folder = Path("builds") / plan.recipe.name
    if folder.resolve() == own.resolve():
        raise InputError(
            f"{against}: its name is that of {own.name}; give it another `name:`, so that both builds can exist"
        )
    if (folder / "manifest.json").is_file() and manifest(folder)["recipe_sha256"] == plan.sha256:
        return folder
    if only_plan or any(s.kind == "generate" for s in plan.recipe.steps):
        raise InputError(f"{against}: {folder} is not its build yet; run `instdata build {against}` first")
    return making.build(plan, folder).path


def build_of_paper(paper: str, given: Path | None, say: Callable[[str], None], only_plan: bool) -> Path | None:
    """The build that a paper's protocol runs on: the one given, that of a recipe given (made now), builds/<paper>, or
    None. Raises InputError."""
    if given is not None and given.suffix in (".yaml", ".yml"):
        plan = making.prepare(given, jobs=cores(), say=say)
        folder = Path("builds") / plan.recipe.name
        if only_plan:
            return folder if (folder / "manifest.json").is_file() else None
        return making.build(plan, folder).path
    if given is not None or (Path("builds") / paper / "manifest.json").is_file():
        return find_build(given or Path(paper))
    return None


def recipe_problems(path: Path) -> list[str]:
    """What `instdata validate` says of a recipe."""
    try:
        making.prepare(path, online=False)
    except InputError as e:
        return [message for _, _, message in e.problems]
    return []
