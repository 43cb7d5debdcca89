"""leaderboard: equal supervised tokens, one family of verdicts, a planted selector that is found, and what it
refuses."""

import json

import numpy as np
import pytest

from instdata.compare import leaderboard
from instdata.util.errors import InputError
from tests.harness.conftest import SET, run

pytest.importorskip("torch")
LINE = f"leaderboard noisy --model ./tiny --keep 40 {SET}"


@pytest.fixture
def noisy(home, planted, monkeypatch):
    """builds/noisy: the planted rows with the nonsense among them, nothing filtered."""
    from instdata.build import build, prepare

    text = (planted / "recipe.yaml").read_text().replace("name: planted", "name: noisy")
    lines = [line for line in text.splitlines() if "- filter" not in line]
    (planted / "noisy.yaml").write_text("\n".join(lines))
    build(prepare(planted / "noisy.yaml"), home / "builds" / "noisy")
    return home


def clean_first(rows, query, model):
    """A selector that knows the truth."""
    return np.array([float(s == "clean") for s in rows.source.to_pylist()])


def test_it_finds_what_was_planted(noisy, monkeypatch):
    pytest.importorskip("jinja2")
    monkeypatch.setattr(leaderboard, "selectors", lambda: {"clean": clean_first})
    found = run(f"{LINE} --methods clean,longest")
    by = {r["selector"]: r for r in found["selectors"]}
    assert (
        next(iter(by)) == "clean" and list(by)[-1] == "random again" and set(by) == {"clean", "longest", "random again"}
    )
    assert by["clean"]["verdict"] == "better" and by["clean"]["effect"] < 0 and by["clean"]["p_holm"] <= 0.05
    assert by["random again"]["verdict"] in ("undecided", "equivalent")
    assert found["better_after_holm"] >= 1 and found["compared"] == 2 and found["known"]["better_after_holm"] == 19
    assert {a["ability"] for a in by["clean"]["abilities"]} == {"sums", "echo"}
    folder = noisy / found["folder"]
    assert json.loads((folder / "leaderboard.json").read_text())["selectors"] == found["selectors"]
    assert "random again" in (folder / "report.html").read_text("utf-8")
    before = (folder / "leaderboard.json").read_bytes()
    again = run(f"{LINE} --methods clean,longest")  # nothing is trained or chosen twice
    assert (folder / "leaderboard.json").read_bytes() == before and again["seconds"] < found["seconds"]


def test_arms_hold_as_many_supervised_tokens(noisy):
    from instdata.train.training_recipe import training

    board = leaderboard.prepare(
        noisy / "builds/noisy", methods="longest", keep="30", seeds=5, model="./tiny", proxy=None, metric="bits",
        recipe=training(), suites=[], query=[], max_items=None, taxonomy=None, out=None, say=lambda line: None,
    )  # fmt: skip
    leaderboard._select(board)
    streams = board.streams()
    assert len(streams) == 5 * 3 and {s.planned for s in streams} == {(30,)}
    by_id = dict(zip(board.pool.ids.to_pylist(), range(len(board.pool))))
    for s in streams:
        held = board.pool.lengths([by_id[i] for i in s.ids], board.grid)
        assert held.sum() >= board.budget > held[:-1].sum()
    chosen = [s.ids for s in streams if s.arm == "longest"]
    assert all(ids == chosen[0] for ids in chosen)
    assert len({tuple(s.ids) for s in streams if s.arm == "random"}) == 5
    assert not {q.id for q in board.query} & {i.id for i in board.grid.items}


def test_a_plan_trains_nothing(noisy):
    plan = run(f"{LINE} --methods longest,ifd --plan")
    assert plan["selectors"] == ["longest", "ifd"] and plan["missing"] == plan["cells"] == 1 + 5 * 4
    assert plan["selecting"]["ifd"]["tokens"] > 0 == plan["selecting"]["longest"]["tokens"] and plan["mde"] > 0
    assert not (noisy / "leaderboards").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("--seeds 4", "at least 5"),
        ("--methods longst", 'Did you mean "longest"'),
        ("--keep lots", "--keep lots"),
        ("--keep 100k", "more than the"),
        ("--metric judges", "bits, distractors"),
    ],
)
def test_what_does_not_fit_is_exit_2(noisy, more, words):
    with pytest.raises(InputError, match=words) as e:
        run(f"{LINE} {more}")
    assert e.value.exit_code == 2


def test_a_selector_that_gives_too_few_scores(noisy, monkeypatch):
    monkeypatch.setattr(leaderboard, "selectors", lambda: {"bad": lambda rows, query, model: np.zeros(3)})
    with pytest.raises(InputError, match="not one each"):
        run(f"{LINE} --methods bad")


def test_a_selector_that_cannot_be_loaded(monkeypatch):
    from importlib.metadata import EntryPoint

    point = EntryPoint("broken", "nowhere:nothing", leaderboard.GROUP)
    monkeypatch.setattr(leaderboard, "entry_points", lambda group: [point])
    with pytest.raises(InputError, match="selector broken: nowhere:nothing cannot be loaded"):
        leaderboard.selectors()
