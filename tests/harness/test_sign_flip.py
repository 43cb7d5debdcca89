"""The toy whose sign turns: a filter that drops one kind of rows, judged on items of both kinds and on those it passes."""

from __future__ import annotations

import json
import random
import shutil
import string
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from .conftest import TAXONOMY, run

ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
STEPS = {"early": ("holdout", "quality"), "late": ("quality", "holdout")}
OPTIONS = {"holdout": "{per_ability: 32, threshold: 1.0}", "quality": "{rules: [], max: {chars: 24}}"}


def toy_rows(n: int, seed: int = 0) -> list[dict[str, str]]:
    """Two abilities, half of each answered in a word or two, half at length: the kind that the filter drops."""
    rng = random.Random(seed)
    found = []
    for i in range(n):
        a, b = rng.randrange(10, 100), rng.randrange(10, 100)
        word = "".join(rng.choice(string.ascii_lowercase) for _ in range(5))
        long = i % 4 > 1
        if i % 2:
            digits = " ".join(ONES[int(d)] for d in str(a + b))
            answer = f"First the tens, then the ones: it makes {digits} in all." if long else f"The sum is {a + b}."
            asked = f"{'Explain how to add' if long else 'Add'} {a} and {b} ({word})."
        else:
            answer = (
                f"Letter by letter it goes {' - '.join(word.upper())}, and that is all." if long else f"I say {word}."
            )
            asked = f"{'Spell' if long else 'Say'} {word}, number {a}{b}."
        found.append({"instruction": asked, "output": answer, "ability": "sums" if i % 2 else "echo"})
    return found


@pytest.fixture
def toy(tmp_path, tiny_folder, monkeypatch):
    """builds/early, which holds out before the filter, builds/late, which does so after it, and ./tiny."""
    from instdata.build import build, prepare

    monkeypatch.setenv("INSTDATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_folder, tmp_path / "tiny")
    (tmp_path / "small.yaml").write_text(TAXONOMY)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in toy_rows(800)))
    for name, steps in STEPS.items():
        lines = "\n".join(f"  - {step}: {OPTIONS[step]}" for step in steps)
        (tmp_path / f"{name}.yaml").write_text(
            f"name: {name}\ntaxonomy: ./small.yaml\nsources: [{{path: rows.jsonl, license: cc0-1.0}}]\nsteps:\n{lines}\n"
            "subsets: {sizes: [128]}\n"
        )
        build(prepare(tmp_path / f"{name}.yaml"), tmp_path / "builds" / name)
    return tmp_path


def own_holdout(build, out):
    """A build's holdout as a suite: the way in that is left for an exam that passed the step."""
    rows = pq.read_table(build / "data/holdout.parquet").to_pylist()
    with open(out, "w") as file:
        for row in rows:
            asked, answer = (turn["content"] for turn in row["messages"])
            print(json.dumps({"instruction": asked, "reference": answer, "ability": row["ability"]}), file=file)


ABLATE = (
    "ablate {} --filter quality --model ./tiny --sizes 128 --seeds 3 --max-seeds 3 --yes "
    "--set lr=3e-3 --set dtype=float32 --set length=256 --set epochs=4"
)


@pytest.mark.slow
def test_items_that_passed_the_filter_turn_the_sign_and_are_refused(toy):
    """About a minute of one core; docs/statistics.md has the figures."""
    refused = subprocess.run(
        [sys.executable, "-m", "instdata", *ABLATE.format("late").split()], capture_output=True, text=True
    )
    assert refused.returncode == 2 and not (toy / "ablations").exists()
    said = " ".join(refused.stderr.split())
    assert "its holdout passed the step quality" in said and "Put the holdout before quality" in said

    own_holdout(toy / "builds/late", toy / "after.jsonl")
    after = run(f"{ABLATE.format('late')} --suite after.jsonl")
    before = run(ABLATE.format("early"))
    for found, verdict, sign in ((after, "better", -1), (before, "worse", 1)):
        effects = {e["ability"]: e for e in found["effects"]}
        assert {a: e["verdict"] for a, e in effects.items()} == dict.fromkeys(("sums", "echo", "macro"), verdict)
        assert all(min(sign * e["low"], sign * e["high"]) > 0 for e in effects.values())
        learned = [a["supervised"] for a in found["arms"]]
        assert max(learned) - min(learned) < 100 and found["seeds"] == 3
    assert after["estimates"] == "items of after" and before["estimates"].startswith("items held out before the step")
    apart = before["apart"]  # what turns it, in one and the same run
    assert apart["passed"]["high"] < 0 < apart["dropped"]["low"]
    assert min(apart["passed"]["items"], apart["dropped"]["items"]) > 20
