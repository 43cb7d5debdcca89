"""Cells that were trained elsewhere: a table {arm, size, seed, model}, scored here and judged like our own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from instdata.compare.cell import Grid, read_cells, score_cell
from instdata.compare.cell_store import Cell
from instdata.compare.cells_done import CellsDone
from instdata.read.bytes_to_records import csv_records
from instdata.train.backend import VLLM, computed, is_endpoint, named, open_model
from instdata.util.errors import InputError
from instdata.util.yaml import did_you_mean, load_yaml

COLUMNS = ("arm", "size", "seed", "model")
Problem = tuple[str, int | None, str]


@dataclass(frozen=True)
class Outside:
    """A model that somebody trained: on which arm, how many rows, with which seed. `model`: as `open_model` takes
    it."""

    arm: str
    size: int
    seed: int
    model: str


def read_outside(path: Path, arms: Sequence[str], control: str) -> list[Outside]:
    """The cells that a table names: CSV with a header, or YAML with a list (or `cells:`). A model is a folder (as seen
    from the table), a Hub name, either behind `vllm:`, or `http(s)://host/v1#model`.

    Raises InputError with every problem as file:line, and where an arm lacks a seed or size that another one has."""
    records = _csv(path) if path.suffix.lower() == ".csv" else _yaml(path)
    problems: list[Problem] = []
    found: dict[tuple[str, int, int], Outside] = {}
    for line, record in records:
        try:
            cell = _cell(record, path, arms)
            if (cell.arm, cell.size, cell.seed) in found:
                raise ValueError(f"arm {cell.arm}, size {cell.size}, seed {cell.seed} stands here twice")
            found[cell.arm, cell.size, cell.seed] = cell
        except ValueError as e:
            problems.append((str(path), line, str(e)))
    if problems:
        raise InputError(problems)
    _complete(path, list(found.values()), arms, control)
    return sorted(found.values(), key=lambda c: (c.seed, arms.index(c.arm), c.size))


def _cell(record: Any, path: Path, arms: Sequence[str]) -> Outside:
    """Raises ValueError."""
    if not isinstance(record, dict) or not set(COLUMNS) <= set(record):
        raise ValueError(f"a cell has {', '.join(COLUMNS)}")
    arm, model = str(record["arm"]).strip(), str(record["model"]).strip()
    if arm not in arms:
        raise ValueError(f'unknown arm "{arm}".{did_you_mean(arm, arms)} One of {", ".join(arms)}')
    for key in ("size", "seed"):
        if not str(record[key]).strip().isdigit():
            raise ValueError(f'{key} "{record[key]}" is not a whole number')
    size, seed = int(record["size"]), int(record["seed"])
    if not model:
        raise ValueError("model is empty")
    return Outside(arm, size, seed, _beside(path, model))


def _beside(path: Path, model: str) -> str:
    """A model's spec, a folder or file as seen from the table."""
    if is_endpoint(model):
        return model
    engine, named = (VLLM, model.removeprefix(VLLM)) if model.startswith(VLLM) else ("", model)
    here = path.parent / named
    return engine + (str(here) if here.exists() else named)


def _complete(path: Path, cells: list[Outside], arms: Sequence[str], control: str) -> None:
    """Raises InputError where the arms cannot be compared."""
    by = {arm: {(c.size, c.seed) for c in cells if c.arm == arm} for arm in arms}
    if not by[control] or not by[arms[0]]:
        raise InputError(f"{path}: it needs cells of the arms {arms[0]} and {control}")
    whole = by[control]
    for arm, mine in by.items():
        missing = sorted(whole ^ mine) if mine else []
        if missing:
            size, seed = missing[0]
            lacks = arm if missing[0] in whole else control
            raise InputError(f"{path}: arm {lacks} lacks size {size}, seed {seed}, which another arm has")


def _csv(path: Path) -> list[tuple[int | None, Any]]:
    if not path.is_file():
        raise InputError(f"{path}: no such table")
    found: list[tuple[int | None, Any]] = []
    for n, record in enumerate(csv_records(path, ",")):
        found.append((n + 2, record if isinstance(record, dict) else {}))
    return found


def _yaml(path: Path) -> list[tuple[int | None, Any]]:
    document = load_yaml(path)
    data = document.data
    inside = isinstance(data, dict) and "cells" in data
    cells = data["cells"] if inside else data
    if not isinstance(cells, list):
        raise InputError(f"{path}: a list of cells, each with {', '.join(COLUMNS)}")
    return [(document.line(("cells", n) if inside else (n,)), c) for n, c in enumerate(cells)]


def score_outside(grid: Grid, cells: Sequence[Outside]) -> pa.Table:
    """The scores of these models on the grid's items; those that are there already are not made again."""
    done: list[tuple[Outside, Cell]] = []
    for outside in cells:
        name, digest = named(outside.model, grid.say)
        key = json.dumps(["outside", digest, *computed(outside.model, grid.recipe.dtype)])
        path = grid.folder / "cells" / f"{hashlib.blake2b(key.encode(), digest_size=12).hexdigest()}.parquet"
        label = f"{name}/{outside.arm}/{outside.size}/s{outside.seed}"
        done.append((outside, Cell(label, name, str(outside.size), outside.size, path)))
    grid.done = CellsDone.of([cell for _, cell in done], grid.lacks, grid.say)
    for outside, cell in done:
        if grid.lacks(cell):
            grid.at(cell, "loading")
            _, model = open_model(outside.model, grid.say, grid.recipe.dtype)
            score_cell(grid, cell, model, {})
    tables = []
    for outside, cell in done:
        table = read_cells(grid, [cell])
        for column, value in (("arm", outside.arm), ("rows", outside.size), ("seed", outside.seed)):
            field = table.schema.field(column)
            values = pa.array([value] * len(table), field.type)
            table = table.set_column(table.schema.get_field_index(column), field, values)
        tables.append(table)
    return pa.concat_tables(tables)
