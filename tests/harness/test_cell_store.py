"""What is kept of cells: scores and models, so that one more item, metric or suite trains nothing."""

from __future__ import annotations

import json
import shutil

import pytest

from instdata.util.errors import InputError

from .conftest import SET, run


def test_what_shapes_a_cell_is_in_its_name(home, monkeypatch):
    from dataclasses import replace

    from instdata.grow.curve import grids
    from instdata.train.forward import Validation
    from instdata.train.training_recipe import training

    [(grid, [stream])] = grids(
        home / "builds/planted", ["./tiny"], 1, training("proxy"), ["bits"], sizes="16", say=print
    )
    same = grid.cells(stream)[0].path.name
    names = [same]
    for change in ({"recipe": training("proxy", ["lr=1e-4"])}, {"validate": Validation(grid.items[:2])}):
        names.append(replace(grid, **change).cells(stream)[0].path.name)
    for change in (  # what is asked of a cell is no part of it
        {"kinds": ["bits", "distractors"]},
        {"items": [replace(grid.items[0], ability="other"), *grid.items[1:]]},
        {"items": [replace(grid.items[0], tests="assert 1"), *grid.items[1:]]},
    ):
        assert replace(grid, **change).cells(stream)[0].path.name == same
    with monkeypatch.context() as patch:
        patch.setattr("transformers.__version__", "0.0.0")
        names.append(replace(grid).cells(stream)[0].path.name)
    for stream_change in ({"seed": 5}, {"arm": "human"}, {"ids": [*stream.ids[1:], stream.ids[0]]}):
        names.append(grid.cells(replace(stream, **stream_change))[0].path.name)
    assert len(set(names)) == len(names)


def test_a_cut_line_of_metrics_costs_nothing(home):
    command = f"curves planted --model ./tiny --seeds 1 --sizes 16 --metrics bits {SET}"
    run(command)
    with open(home / "builds/planted/curves/metrics.jsonl", "a") as file:
        file.write('{"arm": "all", "se')
    assert run(command)["cells"]


@pytest.fixture
def counted(monkeypatch):
    """How many steps were trained, as a list that grows."""
    from instdata.train import loop

    steps, real = [], loop.train

    def train(run, rows, plan, until, *more):
        steps.extend(range(run.step, until))
        return real(run, rows, plan, until, *more)

    monkeypatch.setattr(loop, "train", train)
    return steps


def test_one_more_item_metric_or_suite_trains_nothing_and_gives_the_same_scores(home, counted):
    line = f"curves planted --model ./tiny --seeds 1 --sizes 16,32 {SET}"
    run(f"{line} --metrics bits --max-items 6")
    trained = len(counted)
    assert trained > 0
    more = run(f"{line} --metrics bits,distractors,answers")  # more items, more metrics
    suite = [{"ability": "sums", "instruction": f"What is {n} plus 1?", "reference": f"{n + 1}"} for n in range(3)]
    (home / "more.jsonl").write_text("\n".join(map(json.dumps, suite)))
    apart = run(f"{line} --metrics bits --suite more.jsonl")
    assert len(counted) == trained and apart["items"] == 3
    again = run(f"{line} --metrics bits,distractors,answers")
    assert again["table"] == more["table"] and len(counted) == trained
    shutil.rmtree(home / "builds/planted/curves")
    fresh = run(f"{line} --metrics bits,distractors,answers")
    key = ("config", "metric", "ability")
    values = {tuple(p[k] for k in key): p["value"] for p in fresh["table"]}
    assert values == {tuple(p[k] for k in key): pytest.approx(p["value"], abs=1e-6) for p in more["table"]}


def test_a_kept_model_is_the_trained_one_to_the_bit_and_a_damaged_one_is_trained_again(home, counted, capsys):
    line = f"curves planted --model ./tiny --seeds 1 --sizes 32 --metrics bits {SET}"
    first = run(line)
    cells = home / "builds/planted/curves/cells"
    trained, [delta] = len(counted), list(cells.glob("*.delta"))
    delta.with_suffix(".parquet").unlink()
    assert run(line)["table"] == first["table"] and len(counted) == trained
    content = bytearray(delta.read_bytes())
    content[-9] ^= 1
    delta.write_bytes(content)
    delta.with_suffix(".parquet").unlink()
    assert run(line)["table"] == first["table"] and len(counted) == 2 * trained


def test_models_are_kept_within_a_limit_and_what_is_gone_is_trained_again(home, counted):
    line = f"curves planted --model ./tiny --seeds 1 --sizes 16,32 --metrics bits {SET}"
    run(f"{line} --keep 0 --max-items 6")
    trained, cells = len(counted), home / "builds/planted/curves/cells"
    assert not list(cells.glob("*.delta"))
    run(line)
    assert len(counted) == 2 * trained
    size = max(p.stat().st_size for p in cells.glob("*.delta"))
    shutil.rmtree(cells)
    run(f"{line} --keep {size + 1000}")
    assert len(list(cells.glob("*.delta"))) == 1  # the one that came last
    with pytest.raises(InputError, match="--keep .*write 20GB"):
        run(f"{line} --keep much")


def test_a_changed_label_costs_no_score(home, counted):
    """What an item is called shapes no score: another taxonomy's ability, another name of a suite."""
    from instdata.compare.cell_store import score_key
    from instdata.score.item import Item

    item = Item("1", "sums", [{"role": "user", "content": "1+1?"}], "2", None, "number", None, "a")
    from dataclasses import replace

    assert score_key(item, "bits") == score_key(replace(item, id="2", ability="x", suite="b", scorer="exact"), "bits")
    assert score_key(item, "answers") != score_key(replace(item, scorer="exact"), "answers")
    assert score_key(item, "distractors") != score_key(replace(item, fine="3"), "distractors")


def test_a_card_is_scored_without_training_and_bits_speak_of_references(home, counted):
    line = f"ablate planted --filter filter --model ./tiny --sizes 16,32 --seeds 2 --max-seeds 2 --yes {SET}"
    found = run(line, None)
    assert {e["reads"] for e in found["effects"]} <= {
        "its references became likelier", "its references became less likely", "equivalent", "undecided"
    } and found["card"] == []  # fmt: skip
    trained = len(counted)
    carded = run(f"{line} --card", None)
    assert len(counted) == trained and {a["metric"] for a in carded["card"]} == {"distractors", "exact", "number"}
    shutil.copytree(found["folder"], "elsewhere")
    again = run(f"{line} --transfer elsewhere", None)
    assert again["transfer"]["sign"] == 1.0 and again["transfer"]["pairs"] == 2
    with pytest.raises(InputError, match="holds no result"):
        run(f"{line} --transfer nowhere")
