"""reproduce: every element listed, one table with one mean, the published one on the same scale only, DoIT's arms."""

import json
from dataclasses import replace

import numpy as np
import pytest

from instdata.grow.papers.primary_score import Examined, primary_metric
from instdata.grow.papers.study import refilled
from instdata.train.training_recipe import training
from instdata.util.errors import InputError
from tests.experiments.items import item, table
from tests.harness import judge_stub
from tests.harness.conftest import run

pytest.importorskip("torch")
SET = "--set lr=3e-3 --set dtype=float32 --set length=256 --set batch=8 --set final_lr=0"


def by_element(found):
    return {e["element"]: e for e in found["protocol"]}


@pytest.mark.parametrize("paper", ["belle", "doit"])
def test_a_plan_without_a_build_lists_the_protocol(tmp_path, monkeypatch, paper):
    monkeypatch.chdir(tmp_path)
    plan = run(f"reproduce {paper} --plan")
    assert (
        plan["build"] is None and len(plan["protocol"]) >= 15 and sum(plan["counts"].values()) == len(plan["protocol"])
    )
    assert all(e["why"] for e in plan["protocol"] if e["status"] != "done")
    with pytest.raises(InputError, match=f"no build to reproduce {paper} on"):
        run(f"reproduce {paper}")


def test_belle_without_a_judge(home):
    line = f"reproduce belle planted --model ./tiny --scale 20 --seeds 2 --max-items 8 {SET}"
    plan = run(f"{line} --plan")
    assert plan["cells"] == 1 + 2 * 4 and plan["counts"]["missing"] == 0
    of = by_element(plan)
    assert of["epochs"]["status"] == "done" and of["batch"]["status"] == "differs" and of["batch"]["why"]
    assert "not the paper's scale" in of["scoring"]["why"]
    found = run(line)
    assert found["published"] is None and found["matrix"] is None
    shown = [p for p in found["table"] if p["config"] == "100pct"]
    assert [p["ability"] for p in shown] == ["echo", "sums", "macro"] and {p["metric"] for p in shown} == {"primary"}
    assert shown[2]["value"] == pytest.approx(np.mean([p["value"] for p in shown[:2]]))
    assert sorted({p["rows"] for p in found["table"]}) == [0, 2, 6, 10, 20]
    again = run(line)
    assert {k: v for k, v in again.items() if k != "seconds"} == {k: v for k, v in found.items() if k != "seconds"}


def test_belle_with_a_judge_has_all_on_one_scale(home, monkeypatch):
    pytest.importorskip("openai")
    monkeypatch.setattr(judge_stub, "grade", lambda answer: "ABCDE"[len(answer) % 5])
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    with judge_stub.judging() as (url, asked):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        found = run(f"reproduce belle planted --model ./tiny --scale 30 --seeds 1 --judge json --max-items 6 {SET}")
    assert asked and found["published"]["scores"]["macro"] == [0.676, 0.715, 0.732, 0.737]
    assert {p["ability"] for p in found["table"]} == {"sums", "echo", "macro"}
    assert by_element(found)["judge runs"]["status"] == "done"


def test_doit_has_its_arms_epochs_and_matrix(home, planted):
    from instdata.build import build, prepare

    text = (planted / "recipe.yaml").read_text().replace("name: planted", "name: noisy")
    (planted / "noisy.yaml").write_text("\n".join(x for x in text.splitlines() if "- filter" not in x))
    build(prepare(planted / "noisy.yaml"), home / "builds" / "noisy")
    line = f"reproduce doit noisy --model ./tiny --scale 4 --seeds 1 {SET}"
    of = by_element(run(f"{line} --plan"))
    assert (
        of["arms"]["status"] == "done" and of["epochs"]["here"] == "1: 25, 4: 20" and of["epochs"]["status"] == "done"
    )
    assert of["checkpoint"]["status"] == "done" and of["out of domain"]["status"] == "missing"
    suite = [{"instruction": f"Say word{i}.", "reference": f"I say word{i}."} for i in range(6)]
    (home / "far.jsonl").write_text("".join(json.dumps(x) + "\n" for x in suite))
    (home / "far.yaml").write_text("items: far.jsonl\nname: far\nout_of_domain: true\nscorer: exact\n")
    found = run(f"{line} --set epochs=6 --suite far.yaml --max-items 8")
    assert {p["arm"] for p in found["table"]} == {"all", "human", "synthetic", "mixed"}
    assert {p["suite"] for p in found["table"]} == {"in domain", "far"}
    cells = {(m["trained"], m["examined"]) for m in found["matrix"] if m["suite"] == "in domain"}
    assert cells == {(a, b) for a in ("sums", "echo") for b in ("sums", "echo")}
    assert by_element(found)["epochs"]["status"] == "differs"


def test_a_row_with_nothing_to_learn_is_left_out_of_a_study(home, planted):
    """Most rows of `sums` do not teach: they hold the template's own end of turn."""
    from instdata.build import build, prepare

    rows = [json.loads(x) for x in (planted / "clean.jsonl").read_text().splitlines()]
    sums = [r for r in rows if r["ability"] == "sums"][:28]
    forged = [{**r, "output": f"{r['output']}<|im_end|>"} for r in sums[:24]]
    kept = [r for r in rows if r["ability"] == "echo"] + sums[24:] + forged
    (planted / "forged.jsonl").write_text("".join(json.dumps(r) + "\n" for r in kept))
    text = (planted / "recipe.yaml").read_text().replace("name: planted", "name: forged")
    text = "\n".join(x for x in text.splitlines() if "noisy.jsonl" not in x and "- filter" not in x)
    text = "seed: 3\n" + text.replace("clean.jsonl", "forged.jsonl").replace("name: clean", "name: forged")
    (planted / "forged.yaml").write_text(text)
    build(prepare(planted / "forged.yaml"), home / "builds" / "forged")
    found = run(f"reproduce doit forged --model ./tiny --scale 1 --seeds 1 {SET} --set epochs=2 --set best_after=1")
    assert 12 <= found["unlearned_rows_left_out"] < 24
    assert {m["trained"] for m in found["matrix"]} == {"sums", "echo"}


def test_the_epoch_is_chosen_by_scores_not_by_loss(tiny_folder, monkeypatch):
    """Of two epochs the one that answers better is kept, though its loss is higher; equal ones are told by loss."""
    from instdata.grow.papers import primary_score as module
    from instdata.train.forward import Validation

    items = [item("a"), item("b")]
    seen = []
    monkeypatch.setattr(module, "score", lambda *a: table(items, seen[-1][0]))
    monkeypatch.setattr(module, "Network", lambda *a, **how: None)
    monkeypatch.setattr(Validation, "__call__", lambda self, run: seen[-1][1])

    class Run:
        net = tokenizer = context = None
        recipe = training("doit")

    def loss(values, nats):
        seen.append((values, nats))
        return Examined(items, ("answers",))(Run)

    assert loss([1.0, 1.0], 5.0) < loss([1.0, 0.0], 1.0)
    assert loss([1.0, 0.0], 1.0) < loss([1.0, 0.0], 2.0)


def test_an_item_without_a_fine_distractor_is_scored_against_the_coarse_one():
    """Without a judge free texts have no fine distractor; they would be missing from the table."""
    free = item("free", scorer="distractors")
    assert primary_metric(item("a")) == "exact" and primary_metric(replace(free, scorer="judge")) == "judge"
    assert primary_metric(replace(free, coarse="x", fine="y")) == "distractors"
    assert primary_metric(replace(free, coarse="x")) == "distractor_coarse"


def test_reconstruct_and_maximum():
    by = {"ethics": list(range(10)), "math": list(range(10, 40)), "code": list(range(40, 45))}
    found = refilled(by, {"ethics": 2}, 20)
    assert len(found) == 20 and [i for i in found if i < 10] == [0, 1]
    assert sum(i >= 40 for i in found) == 5 and sum(10 <= i < 40 for i in found) == 13
    assert len(refilled(by, {"ethics": 2}, 80)) == 2 + 30 + 5  # as far as there are rows


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("reproduce bele planted", 'Did you mean "belle"'),
        ("reproduce doit planted --judge x", "leave --judge out"),
        ("reproduce belle planted --scale lots", "--scale"),
        ("reproduce belle nowhere", "no finished build there"),
    ],
)
def test_what_does_not_fit_is_exit_2(home, line, words):
    with pytest.raises(InputError, match=words) as e:
        run(f"{line} --model ./tiny --plan")
    assert e.value.exit_code == 2
