"""Curves and ablations in report.html and in an ablation's own page: figures as in the files, old ones marked, data
text."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from instdata.report import curves_and_effects
from instdata.report.curve_and_effect_charts import curve_charts
from instdata.report.page import ablation_page, gather, page
from instdata.util.checksums import write_sums
from instdata.util.errors import InputError
from tests.report.harness_folders import ABILITIES, points, write_curves
from tests.report.test_page import Checker, valid


def specs(text: str) -> dict[str, Any]:
    return json.loads(re.search(r'<script type="application/json" id="charts">(.*?)</script>', text, re.DOTALL)[1])


def test_a_build_shows_its_curves_and_ablations(trained: Path) -> None:
    text = page(trained)
    Checker(text)
    valid(text)
    drawn = specs(text)
    for view in range(4):
        assert {f"curves-view{view}-{i}" for i in range(len(ABILITIES) + 1)} <= set(drawn)
    assert {"ablation0-effects", "ablation0-aa", "ablation1-effects", "ablation0-view2-0"} <= set(drawn)
    assert text.count('class="choice"') == 3 and "earlier build" not in text
    assert len(text.encode()) < 3_000_000
    for said in ("growing", "not shown to beat &lt;b&gt;", "CPU, 2 cores", "0.538", "裁判卡", "未评审"):
        assert said in text, said


def test_figures_are_those_of_the_files(trained: Path) -> None:
    table = pq.read_table(trained / "curves/curves.parquet").to_pylist()
    found = curves_and_effects.read_curves(trained)
    shown = [p for v in found["views"] for a in v["abilities"] for p in a["points"]]
    key = lambda p: (p["suite"], p["metric"], p["ability"], p["config"])  # noqa: E731
    assert {key(p): (p["value"], p["low"], p["high"]) for p in shown} == {
        key(p): (p["value"], p["low"], p["high"]) for p in table
    }
    assert [(v["suite"], v["metric"]) for v in found["views"]] == [
        ("holdout", "judge"), ("holdout", "distractors"), ("holdout", "bits"), ("exam", "choice"),
    ]  # fmt: skip
    drawn = specs(page(trained))["curves-view1-1"]["layer"]
    values = {p["rows"]: p["value"] for p in drawn[-1]["data"]["values"]}
    code = [p for p in table if (p["metric"], p["ability"]) == ("distractors", "code")]
    assert values == {p["rows"]: p["value"] for p in code} and len(values) == 4
    assert drawn[0]["data"]["values"] == [{"value": 1 / 3}]


def test_belles_curve_is_an_overlay_of_scores_of_the_same_name(trained: Path) -> None:
    assert (
        curves_and_effects.belle_scores("Closed QA")
        == curves_and_effects.belle_scores("closed_qa")
        == [0.695, 0.741, 0.755, 0.769]
    )
    assert curves_and_effects.belle_scores("COT") and curves_and_effects.belle_scores("macro")[-1] == 0.737
    assert curves_and_effects.belle_scores("ethics") is None
    found = {v["metric"]: v for v in curves_and_effects.read_curves(trained)["views"]}
    drawn = specs(page(trained))

    def overlay(metric: str, ability: str) -> list:
        view = found[metric]
        at = [a["ability"] for a in view["abilities"]].index(ability)
        layers = drawn[f"curves-{view['key']}-{at}"]["layer"]
        return [x["data"]["values"] for x in layers if x["mark"].get("strokeDash") == [5, 3]]

    [math] = overlay("judge", "math")
    assert [p["value"] for p in math] == curves_and_effects.belle_scores("math")
    assert [p["rows"] for p in math] == [6.4, 19.2, 32, 64]
    assert not overlay("judge", "macro"), "a mean over four use cases is not one over twelve"
    assert not any(overlay(m, "math") for m in ("bits", "distractors", "choice")), "other scorers have other scales"


def test_belles_mean_stands_beside_one_over_all_of_its_use_cases() -> None:
    every = tuple(a for a in curves_and_effects.belle()["scores"] if a != "macro")
    found = {v["metric"]: v["belle"] for v in curves_and_effects.views(points({"all": 0.0}, ("m",), every), [])}
    assert found["judge"]["macro"] == curves_and_effects.belle_scores("macro") and len(found["judge"]) == 13
    assert found["bits"] == found["distractors"] == {}


def test_what_an_earlier_build_gave_says_so(trained: Path) -> None:
    manifest = json.loads((trained / "manifest.json").read_text())
    (trained / "manifest.json").write_text(json.dumps(manifest | {"seed": 5}))
    write_sums(trained)
    assert page(trained).count("From an earlier build") == 3
    assert curves_and_effects.read_curves(trained)["earlier"]


def test_what_is_published_shows_no_items_text_and_no_machine(trained: Path) -> None:
    private, public = page(trained), page(trained, private=False)
    assert (
        "of math &lt;script&gt;" in private
        and "altered answer" in private
        and "<script>" not in private.split("<main")[1].split("</main>")[0]
    )
    assert "of math &lt;script" not in public and "altered answer" not in public and "2 cores" not in public
    assert "before training" in public and 'class="choice"' in public


def test_distractors_are_shown_with_what_the_model_knew_before(trained: Path) -> None:
    found = gather(trained)["curves"]["distractors"]
    by = {(r["side"], r["kind"]): r for r in found["by_kind"]}
    assert set(by) == {("fine", "number"), ("fine", "negation"), ("coarse", "other answer")}
    assert by["coarse", "other answer"]["score"] == 1 and sum(r["n"] for r in by.values()) == 160
    assert {e["kind"] for e in found["shown"]} == {"number", "negation", "other answer"}
    example = found["shown"][0]
    assert example["reference"].startswith("answer") and example["distractor"].startswith("altered")
    assert "no signal" in page(trained)


def test_models_and_arms_are_series_and_base_starts_each(small: Path, tmp_path: Path) -> None:
    build = Path(shutil.copytree(small, tmp_path / "builds" / "small"))
    folder = write_curves(build, models=("/data/models/a", "b"), arms={"human": 0.0, "synthetic": 0.05})
    rows = [
        p | ({"arm": "all"} if p["config"] == "base" else {})
        for p in pq.read_table(folder / "curves.parquet").to_pylist()
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "curves.parquet")
    view = curves_and_effects.read_curves(build)["views"][0]
    assert view["series"] == ["a human", "a synthetic", "b human", "b synthetic"]
    macro = view["abilities"][0]
    assert macro["ability"] == "macro" and len(macro["points"]) == 16
    assert sum(p["config"] == "base" for p in macro["points"]) == 4
    assert "/data/models" not in page(build, private=False)


def test_an_ablation_has_a_page_of_its_own(trained: Path) -> None:
    folder = trained.parents[1] / "ablations/small-quality"
    assert ablation_page(folder) == folder / "report.html"
    text = (folder / "report.html").read_text("utf-8")
    valid(text)
    links = [v for _, attrs in Checker(text).tags for k, v in attrs.items() if k in ("src", "href")]
    assert len(text.encode()) < 3_000_000 and all(v.startswith(("#", "data:,")) for v in links)
    drawn = specs(text)
    assert {"ablation0-effects", "ablation0-aa", "ablation0-view0-0", "ablation0-view3-4"} <= set(drawn)
    names = [layer["data"]["values"] for layer in drawn["ablation0-effects"]["layer"]][-1]
    assert {p["ability"]: p["verdict"] for p in names} == dict(
        zip((*ABILITIES, "macro"), ("better", "worse", "equivalent", "undecided", "better"))
    )
    for said in ("−0.0210", "[−0.0290, −0.0130]", "0.0120", "更好", "等价", "0.716", "margin of equivalence"):
        assert said in text, said
    assert re.findall(r'<option value="[^"]*">([^<]*)', text)[0] == "bits", "its own metric first"
    assert "its references became likelier" not in text
    before = text
    ablation_page(folder)
    assert (folder / "report.html").read_text("utf-8") == before
    effects = json.loads((folder / "effects.json").read_text("utf-8"))
    effects["effects"][0]["reads"] = "its references became likelier"
    (folder / "effects.json").write_text(json.dumps(effects))
    assert "its references became likelier" in ablation_page(folder).read_text("utf-8")


def test_gaps_in_the_figures_are_gaps_on_the_page(trained: Path) -> None:
    folder = trained / "curves"
    rows = points({"all": 0.0}, ("m",))
    for p in rows:
        if p["ability"] == "code":
            p |= {"value": float("nan"), "low": None, "high": None}
    pq.write_table(pa.Table.from_pylist([p for p in rows if p["rows"] in (0, 64)]), folder / "curves.parquet")
    effects = trained.parents[1] / "ablations/small-quality/effects.json"
    content = json.loads(effects.read_text())
    content["effects"][0] |= dict.fromkeys(("effect", "low", "high", "p_holm", "mde", "with"))
    content |= {"aa": [], "margin": None}
    effects.write_text(json.dumps(content))
    text = page(trained)
    Checker(text)
    assert (
        "NaN" not in json.dumps(specs(text))
        and len(specs(text)["ablation1-effects"]["layer"][-1]["data"]["values"]) == 4
    )
    shutil.rmtree(folder)
    assert gather(trained)["curves"] is None


def test_wide_intervals_stay_in_their_charts(trained: Path) -> None:
    table = pq.read_table(trained / "curves/curves.parquet").to_pylist()
    for p in table:
        p |= {"low": p["value"] - 9, "high": p["value"] + 9} if p["ability"] == "math" else {}
    pq.write_table(pa.Table.from_pylist(table), trained / "curves/curves.parquet")
    effects = trained.parents[1] / "ablations/small-quality/effects.json"
    content = json.loads(effects.read_text())
    content["effects"][0] |= {"low": -9.0, "high": 9.0}
    effects.write_text(json.dumps(content))
    drawn = specs(page(trained))
    for view, least, most in ((0, 0, 1), (2, 0.5, 1)):
        ((points,),) = ([layer["data"]["values"] for layer in spec["layer"] if layer["mark"]["type"] == "area"] for name, spec in drawn.items() if name == f"curves-view{view}-2")  # fmt: skip
        assert all(least <= p["from"] <= p["value"] <= p["to"] <= most for p in points)
        assert points[0]["high"] > 8, "what the tooltip says"
    span = drawn["ablation1-effects"]["layer"][1]["encoding"]["x"]["scale"]["domain"]
    assert -0.1 < span[0] < -0.029 and 0.026 <= span[1] < 0.1


@pytest.mark.parametrize(
    ("name", "text"),
    [("summary.json", "{"), ("summary.json", "[]"), ("curves.parquet", "no"), ("scores.parquet", "no")],
)
def test_broken_files_are_one_clear_line(trained: Path, name: str, text: str) -> None:
    (trained / "curves" / name).write_text(text)
    with pytest.raises(InputError, match=f"^[^\n]*{name}[^\n]*run the harness again$"):
        page(trained)


def test_another_versions_scores_and_effects_are_one_clear_line(trained: Path, tmp_path: Path) -> None:
    scores = trained / "curves/scores.parquet"
    pq.write_table(pq.read_table(scores).drop_columns(["reason"]), scores)
    with pytest.raises(InputError, match="scores.parquet: not a table of scores with their texts .*reason"):
        page(trained)
    folder = tmp_path / "ablations/small-dedup"
    (folder / "effects.json").write_text("{}")
    with pytest.raises(InputError, match="effects.json: lacks effects, arms, filter, .*: run the harness again"):
        curves_and_effects.read_ablation(folder)


def test_a_broken_ablation_is_named_as_the_build_was(trained: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "ablations/small-dedup/effects.json").write_text("{")
    for here, build, named in (("", "builds/small", ""), ("builds", "small", "../"), ("", trained, "")):
        monkeypatch.chdir(tmp_path / here)
        with pytest.raises(InputError, match=f"^{named}ablations/small-dedup/effects.json: cannot be read"):
            curves_and_effects.read_ablations(Path(build))


def test_charts_are_written_as_pictures(trained: Path) -> None:
    found = curve_charts(trained / "curves")
    assert [p.name for p in found] == [
        "holdout-judge.png",
        "holdout-distractors.png",
        "holdout-bits.png",
        "exam-choice.png",
    ]
    assert all(p.read_bytes().startswith(b"\x89PNG") and 10_000 < p.stat().st_size < 400_000 for p in found)
