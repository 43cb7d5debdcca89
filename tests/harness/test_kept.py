"""What a cell is known by, and what is kept of it: nothing old is taken for new, nothing finished is lost."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest

from instdata.builds import find_build
from instdata.compare import cell as cells
from instdata.compare import cell_store, exam_items
from instdata.compare.arm import pool_against, texts_of
from instdata.compare.cell import Cell, Grid, Stream, read_cells, score_cell
from instdata.corpus.rows import message_id
from instdata.score.from_build import taxonomy_of
from instdata.score.suites import read_suite
from instdata.steps.base import Step, drop
from instdata.train.backend import computed, named
from instdata.train.training_recipe import training
from instdata.util.errors import InputError

from .conftest import SET, conversations, run


def weighing(talk: list[dict], weight: float) -> list[dict]:
    return [{**m, "weight": weight} if m["role"] == "assistant" else m for m in talk]


def test_rows_that_differ_in_weights_are_other_cells(tiny_folder, tmp_path):
    talks = conversations(4)
    ids = [message_id(t) for t in talks]
    grid = Grid(tmp_path, str(tiny_folder), training("proxy"), [], ["bits"])

    def stream(of):
        return Stream("all", 0, ids, of, [("2", 2), ("4", 4)])

    plain, ones = stream(talks), stream([weighing(t, 1) for t in talks])
    last = stream([*talks[:3], weighing(talks[3], 0)])
    names = [[c.path.name for c in grid.cells(s)] for s in (plain, ones, last)]
    assert names[0] == names[1]  # as it was before weights counted
    assert names[0][0] == names[2][0] and names[0][1] != names[2][1]
    assert [r.supervised > 0 for r in grid.rows(plain)] == [True] * 4
    assert [r.supervised > 0 for r in grid.rows(last)] == [True] * 3 + [False]


def test_train_takes_no_run_for_done_whose_weights_were_others(bench, tiny_folder, monkeypatch):
    monkeypatch.chdir(bench.folder)
    for name, weight, many in (("first", 1, 6), ("second", 0, 6), ("third", 0, 7)):
        talks = [weighing(t, weight if i == 0 else 1) for i, t in enumerate(conversations(many))]
        bench.jsonl("a.jsonl", [{"messages": t} for t in talks])
        bench.build(sources=[{"path": "a.jsonl"}], steps=[], out=Path("builds") / name)
    line = f"train {{}} --model {tiny_folder} --out runs/x {SET}"
    assert run(line.format("first"))["changed"]
    with pytest.raises(InputError, match="holds another run"):
        run(line.format("second"))
    both = pool_against(Path("builds/first"), Path("builds/third"))
    with pytest.raises(InputError, match="but for their turns' weights"):
        texts_of(both, np.arange(len(both)))


def kept(folder: Path, sizes: list[int]) -> list[Path]:
    paths = [folder / f"{i}.delta" for i in range(len(sizes))]
    for path, size in zip(paths, sizes):
        path.write_bytes(b"x" * size)
    return paths


@pytest.mark.parametrize("when", ["before it is looked at", "before it is removed"])
def test_two_workers_prune_at_once(tmp_path, monkeypatch, when):
    paths = kept(tmp_path, [10, 10, 10])
    real = Path.stat

    def stat(self, **how):  # the other worker is a moment faster
        if self != paths[0] or when == "before it is removed":
            found = real(self, **how)
            if self == paths[0]:
                self.unlink()
            return found
        raise FileNotFoundError(self)

    monkeypatch.setattr(Path, "stat", stat)
    cell_store.prune(tmp_path, 10)
    monkeypatch.undo()
    assert len(list(tmp_path.iterdir())) == 1 + (when == "before it is looked at")


def test_a_finished_cell_survives_housekeeping(tmp_path, monkeypatch):
    said: list[str] = []

    def refuse(*a):
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr("instdata.train.checkpoint.write_delta", lambda *a: None)
    monkeypatch.setattr(cells, "prune", refuse)
    cells._keep(SimpleNamespace(keep=1, say=said.append), Cell("c", "m", "8", 8, tmp_path / "c.parquet"), None, {})
    assert len(said) == 1 and "not permitted" in said[0]


class Says:
    """A model that always answers the same."""

    def answers(self, prompts, like=()):
        return [("yes", True)] * len(prompts)


def test_items_with_one_question_and_other_choices_keep_their_scores_apart(tmp_path):
    """Both questions name both words; which letter is right depends on the choices."""
    both = [{"instruction": "yes or no?", "choices": c, "reference": "A"} for c in (["yes", "no"], ["no", "yes"])]
    more = [{"instruction": "Write f.", "scorer": "unit_tests", "tests": f"assert f() == {n}"} for n in (1, 2)]
    lines = [{"ability": "x", "scorer": "choice"} | r for r in [*both, *more]]
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    (tmp_path / "s.yaml").write_text("items: s.jsonl\nname: s\nout_of_domain: true\n")
    items = read_suite(tmp_path / "s.yaml", SimpleNamespace(match=lambda c: pa.nulls(1), name="t", names=[]))
    assert len({i.id for i in items}) == 4
    grid = Grid(tmp_path, "m", training("proxy"), items[:2], ["answers"])
    cell = Cell("c", "m", "base", 0, tmp_path / "c.parquet")
    score_cell(grid, cell, Says(), {})
    found = {r["item"]: r["value"] for r in read_cells(grid, [cell]).to_pylist()}
    assert found == {items[0].id: 1.0, items[1].id: 0.0}


def test_a_folder_in_vllm_is_known_by_its_weights(tiny_folder, tmp_path):
    def digest(spec):
        return named(f"vllm:{spec}", print)

    name, before = digest(tiny_folder)
    assert name == "tiny" and before.startswith("vllm:") and str(tiny_folder) not in before
    assert before != named(str(tiny_folder), print)[1]  # answers of another engine
    (tiny_folder / "generation_config.json").rename(tmp_path / "aside")
    try:
        assert digest(tiny_folder)[1] != before
    finally:
        (tmp_path / "aside").rename(tiny_folder / "generation_config.json")
    assert digest("some/model") == ("model", "vllm:some/model")


def test_cells_from_outside_are_known_by_device_and_dtype(tmp_path):
    from instdata.compare.trained_elsewhere import read_outside

    assert computed("./tiny", "float32") == ["cpu", "float32"] and computed("./tiny", "bfloat16")[1] == "bfloat16"
    assert computed("http://h/v1#m", "float32") == []
    (tmp_path / "m").mkdir()
    lines = ["arm,size,seed,model", "with,8,0,vllm:m", "without,8,0,vllm:owner/m"]
    (tmp_path / "cells.csv").write_text("\n".join(lines))
    found = read_outside(tmp_path / "cells.csv", ["with", "without"], "without")
    assert [c.model for c in found] == [f"vllm:{tmp_path / 'm'}", "vllm:owner/m"]


class Picky(Step):
    """Drops questions that say "again"; fails on some."""

    kind: ClassVar[str] = "picky"

    def score(self, rows):
        words = rows.prompt.to_pylist()
        if any(fails(w) for w in words):
            raise pa.ArrowInvalid("no such word")
        return {"again": np.array(["again" in w for w in words])}

    def decide(self, scores):
        return drop(scores.again, "again")


def fails(prompt: str) -> bool:
    return prompt == FAILS[0] or FAILS[0] == "all"


FAILS = [""]


@pytest.mark.parametrize("all_of_them", [False, True])
def test_a_row_on_which_a_step_fails_costs_one_item_of_passed_and_dropped(home, monkeypatch, all_of_them):
    build = find_build(Path("planted"))
    names = taxonomy_of(build)
    items = exam_items.exam_items(build, "filter", names)
    FAILS[0] = "all" if all_of_them else items[0].question
    monkeypatch.setattr(exam_items, "read_recipe", lambda path: SimpleNamespace(steps=[Picky(name="picky")]))
    said: list[str] = []
    found = exam_items.passing(build, "picky", names, said.append)
    assert len(said) == 1 and "no such word" in said[0]
    if all_of_them:
        assert found is None
    else:
        assert found == {i.id: "again" not in i.question for i in items[1:]}
