"""report.html: what it says, that data stays text, and that every kind of build has one."""

from __future__ import annotations

import html.parser
import json
import re
import shutil
import sys
from collections import Counter
from pathlib import Path

import html5lib
import pyarrow.parquet as pq
import pytest
import yaml

from instdata.report import build_charts, build_facts
from instdata.report.funnel import flow
from instdata.report.page import gather, page, write_report
from instdata.util.checksums import write_sums
from instdata.util.errors import MissingExtra
from instdata.util.resources import resource
from tests.conftest import Bench, rows
from tests.report.conftest import EVIL

VOID = {"meta", "link", "input", "br", "img", "hr"}


class Checker(html.parser.HTMLParser):
    """Elements and attributes of a page; raises where elements are not closed in order."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_it_is_one_small_page_without_network(small: Path, tmp_path: Path) -> None:
    path = write_report(Path(shutil.copytree(small, tmp_path / "copy")))
    text = path.read_text("utf-8")
    assert path.name == "report.html" and len(text.encode()) < 3_000_000
    checker = Checker(text)
    outside = [
        v
        for _, attrs in checker.tags
        for k, v in attrs.items()
        if k in ("src", "href", "action") and v and not v.startswith(("#", "data:,"))
    ]
    assert not outside
    ids = [a["id"] for _, a in checker.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert all(f"#{a['href'][1:]}" == a["href"] and a["href"][1:] in ids for t, a in checker.tags if t == "a")


def valid(text: str) -> None:
    """Raises where a page is not HTML5. (Scripts are text to HTML: they are left out, for the parser takes its
    time.)"""
    html5lib.HTMLParser(strict=True).parse(re.sub(r"(<script[^>]*>).*?(?=</script>)", r"\1", text, flags=re.DOTALL))


def test_it_is_valid_html(small: Path) -> None:
    valid(page(small))
    valid(page(small, private=False))
    with pytest.raises(html5lib.html5parser.ParseError):
        valid(page(small).replace("</table>", "", 1))


def test_it_is_the_same_for_the_same_build(small: Path) -> None:
    assert page(small) == page(small)


def test_data_stays_text(small: Path) -> None:
    text = page(small)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&lt;/style&gt;]]&gt;&lt;img" in text
    assert EVIL not in text and "<img" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)


def test_labels_and_names_stay_text_in_the_charts(bench: Bench) -> None:
    evil = "</script><script>alert(1)</script>"
    made = bench.build(
        sources=[{"path": str(bench.jsonl("r.jsonl", [{**r, "ability": evil} for r in rows(6)])), "name": "mine"}]
    )
    text = page(made.path)
    assert evil not in text
    specs = json.loads(re.search(r'<script type="application/json" id="charts">(.*?)</script>', text, re.DOTALL)[1])
    assert "funnel" not in specs and "prompt" in specs


def test_figures_are_the_manifests(small: Path) -> None:
    found = gather(small)
    manifest = json.loads((small / "manifest.json").read_text())
    assert sum(g["n"] for g in found["groups"]) == manifest["totals"]["dropped"] + manifest["totals"]["quarantined"]
    for step in manifest["steps"]:
        assert {g["reason"]: g["n"] for g in found["groups"] if g["step"] == step["name"]} == step["reasons"]
    assert {a["ability"]: a["after"] for a in found["abilities"] if a["after"]} == manifest["configs"]["full"][
        "by_ability"
    ]
    assert sum(b["n"] for b in found["lengths"]["response"]["bins"]) == manifest["configs"]["full"]["rows"]
    assert sum(row["n"] for row in found["languages"]) == manifest["configs"]["full"]["rows"]


def test_the_flow_is_the_manifests_and_its_bands_are_as_wide_as_their_rows(small: Path) -> None:
    manifest = json.loads((small / "manifest.json").read_text())
    read, *steps = flow(manifest)
    assert read["in"] == manifest["totals"]["in"] and read["quarantined"] == manifest["totals"]["quarantined"] == 1
    assert read["kept"] == steps[0]["in"]
    for part, step in zip(steps, manifest["steps"], strict=True):
        assert (part["kept"], part["dropped"]) == (step["kept"], step["dropped"])
        assert sum(n for _, n in part["reasons"]) <= step["dropped"]
        assert len(part["reasons"]) + part["more"] == len(step["reasons"])
    widths = [[float(re.findall(r"H([\d.]+)V", d)[0]) for kind, d in p["shapes"] if kind == "kept"] for p in steps]
    for (came, went), part, later in zip(widths, steps, [*widths[1:], None]):
        assert abs(went / came - part["kept"] / part["in"]) < 0.001 and (later is None or later[0] == went)
    gone = [p for p in steps if any(kind == "dropped" for kind, _ in p["shapes"])]
    assert [p["name"] for p in gone] == [s["name"] for s in manifest["steps"] if s["dropped"]]
    made = {**manifest["steps"][0], "name": "generate", "in": 0, "added": 10, "kept": 10, "dropped": 0, "reasons": {}}
    none_read = {"in": 0, "quarantined": 0}
    joins = flow({"totals": none_read, "steps": [made]})[1]["shapes"]
    assert [kind for kind, _ in joins] == ["kept", "kept", "added"] and joins[0][1].startswith("M0 0H0V")
    assert flow({"totals": none_read, "steps": []}) == []


def test_abilities_by_source_add_up(small: Path, bench: Bench) -> None:
    assert gather(small)["by_source"] is None  # one source is the table above
    words = ("rain", "snow", "hail", "fog")
    rows = [{"instruction": f"Tell of {w} number {n}.", "output": "It falls."} for w in words for n in range(3)]
    for n in range(14):
        bench.jsonl(f"s{n}.jsonl", [dict(r, instruction=f"{n} {r['instruction']}") for r in rows[: 1 + n % 5]])
    made = bench.build(sources=[{"path": f"s{n}.jsonl"} for n in range(14)], steps=[])
    found = gather(made.path)["by_source"]
    assert found["sources"][-1] is None and len(found["sources"]) == build_facts.SOURCES + 1
    sums = [sum(line) for line in found["rows"]]
    assert sum(sums) == made.manifest["configs"]["full"]["rows"] and sums[:-1] == sorted(sums[:-1], reverse=True)
    text = page(made.path)
    assert "other sources" in text and "其他来源" in text


def test_scores_are_shown_with_the_bounds_that_decided(bench: Bench) -> None:
    rows = [{"instruction": f"第{n}题：请写一句话", "output": "答案" * (n % 40) + f"{n}"} for n in range(200)]
    bench.jsonl("a.jsonl", rows)
    quality = {"rules": [], "min": {"chars": 9}, "max": {"repetition": 0.9}}
    made = bench.build(sources=[{"path": "a.jsonl"}], steps=[{"quality": quality}])
    found = {s["score"]: s for s in gather(made.path)["scores"]}
    assert next(iter(found)) == "chars" and (found["chars"]["low"], found["chars"]["high"]) == (9, None)
    reasons = made.manifest["steps"][0]["reasons"]
    assert found["chars"]["dropped"] == reasons["too_short"] > 0
    assert sum(b["kept"] + b["mine"] + b["others"] for b in found["chars"]["bins"]) == 200
    drawn = build_charts.specs(gather(made.path))["score-0"]
    assert drawn["layer"][1]["data"]["values"] == [{"at": 9.0}]
    assert "format" in json.dumps(drawn) and "≥ 9" in page(made.path)
    recipe = made.path / "recipe.yaml"  # a build of another instdata, with an option that this one does not know
    plain = yaml.safe_load(recipe.read_text())
    plain["steps"][0]["quality"]["later"] = 1
    recipe.write_text(yaml.safe_dump(plain))
    write_sums(made.path)
    assert all(s["low"] is None and s["high"] is None for s in gather(made.path)["scores"])


def test_dropped_rows_stand_beside_the_rows_that_decided(small: Path) -> None:
    found = gather(small)
    group = next(g for g in found["groups"] if g["reason"] == "near_duplicate")
    assert group["rids"] and set(group["others"]) <= set(found["rows"])
    for rid in group["rids"]:
        row = found["rows"][rid]
        assert row["turns"][0]["role"] == "user" and row["history"][0]["decision"] == "dropped"
        assert found["rows"][row["evidence"]["rid"]]["verdict"] == "kept" or row["evidence"]["similarity"] >= 0.7
    clusters = found["duplicates"]["clusters"]
    assert max(c["n"] for c in clusters) >= 3 and sum(c["n"] for c in clusters) == found["duplicates"]["n"]


def test_what_is_published_shows_no_row(small: Path) -> None:
    text = page(small, private=False)
    assert "rain forms" in page(small) and "rain forms" not in text and 'class="row' not in text
    assert "near_duplicate" in text and gather(small, private=False)["seconds"] is None


@pytest.mark.parametrize("cleaned", [False, True])
def test_builds_of_every_kind_have_one(bench: Bench, monkeypatch: pytest.MonkeyPatch, cleaned: bool) -> None:
    kinds = {
        "one row": ([{"instruction": "说一句话", "output": "好"}], []),
        "no steps": (rows(7), []),
        "nothing dropped": (rows(7), [{"filter": {"where": "true"}}]),
        "long": (
            [{"instruction": "字" * 50_000, "output": "a" * 200_000}, *rows(3)],
            [{"filter": {"where": "length(response) < 1000"}}],
        ),
        "odd name": ([{"instruction": "a [b]*?", "output": "c"}], []),
    }
    for name, (records, steps) in kinds.items():
        file = bench.jsonl(f"{name}.jsonl", records)
        made = bench.build(f"{name} [x]", sources=[{"path": str(file), "name": "mine"}], steps=steps)
        if cleaned:
            monkeypatch.setenv("INSTDATA_CACHE", str(bench.folder / "elsewhere"))
        Checker(page(made.path))
        if steps and name == "long":
            assert "字" * 100 in page(made.path)  # from dropped.parquet: it needs no cache
        monkeypatch.setenv("INSTDATA_CACHE", str(bench.folder / "cache"))


def test_without_the_extra_one_line_says_what_to_install(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(MissingExtra, match=r"instdata\[report\]"):
        write_report(small)


def test_what_models_cost_is_told(small: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "set")
    run = json.loads((small / "run.json").read_text())
    run["usage"] = {
        "generate": {
            "model": "gpt-<b>",
            "requests": 1200,
            "cache_hits": 3,
            "prompt_tokens": 5,
            "completion_tokens": 7,
            "retries": 0,
            "usd": 0.5,
        }
    }
    (tmp_path / "set/run.json").write_text(json.dumps(run))
    write_sums(tmp_path / "set")
    text = page(tmp_path / "set")
    assert "gpt-&lt;b&gt;" in text and '<td class="num">1,200</td>' in text and '<td class="num">0.5000</td>' in text
    (tmp_path / "set/run.json").write_text("{}")
    write_sums(tmp_path / "set")
    assert "No model was asked" in page(tmp_path / "set")


def test_the_build_writes_it_with_the_text_of_dropped_rows(small: Path) -> None:
    assert (small / "report.html").read_text("utf-8") == page(small)


def test_labels_that_came_with_rows_are_held_against_the_models(bench: Bench) -> None:
    lines = (resource("recipes") / "seeds/belle_zh.jsonl").read_text("utf-8").splitlines()
    seeds = [json.loads(line) for line in lines]
    wrong = [seed | {"ability": "code"} for seed in seeds if seed["ability"] == "math"][:4]
    file = bench.jsonl("seeds.jsonl", [*wrong, *(s for s in seeds if s["ability"] != "math")])
    sources = [{"path": str(file), "name": "seeds", "format": "seeds"}]
    made = bench.build(taxonomy="belle", sources=sources, steps=["categorize"])
    found = gather(made.path)["confusion"]
    ledger = pq.read_table(made.path / "ledger.parquet", columns=["score_categorize_given", "score_categorize_label"])
    pairs = Counter(zip(*(c.to_pylist() for c in ledger.columns)))
    assert found["n"] == sum(n for (own, label), n in pairs.items() if own and label != "unknown")
    names = found["abilities"]
    assert all(found["rows"][i][j] == pairs[a, b] for i, a in enumerate(names) for j, b in enumerate(names))
    own, other, most = found["mixed"][0]
    assert pairs[own, other] == most == max(n for (a, b), n in pairs.items() if a and a != b and b != "unknown")
    text = page(made.path)
    Checker(text)
    assert 'aria-label="Confusion matrix"' in text
    card = (made.path / "README.md").read_text("utf-8")
    assert most >= 2 and own == "code" and f"Mixed up most often: {own} with {other} ({most})" in card
    pq.write_table(ledger.rename_columns(["a", "b"]), made.path / "ledger.parquet")
    write_sums(made.path)
    with build_facts.open_ledger(made.path, made.manifest) as db:
        assert build_facts.confusion(db, made.manifest) is None, "a ledger of an older instdata"


def test_every_rule_is_told_in_chinese_too() -> None:
    import json

    from instdata.report.page import HERE
    from instdata.steps.quality.rule_table import MEASURED, RULES

    told = json.loads((HERE / "rule_meanings.zh.json").read_text("utf-8"))
    assert set(told) == {r.name for r in RULES} | set(MEASURED)
    assert all(any("\u4e00" <= c <= "\u9fff" for c in text) for text in told.values())


def test_what_charts_name_is_told_in_chinese_too() -> None:
    import re

    from instdata.report.page import HERE

    table = (HERE / "page.js").read_text("utf-8")
    words, fields = (
        set(re.findall(r'"?([A-Za-z_][\w ]*)"?: "[^"]*[\u4e00-\u9fff]', re.search(rf"const {n} = {{(.*)}};", table)[1]))
        for n in ("CHINESE", "FIELDS")
    )
    charts = "".join((HERE / f).read_text("utf-8") for f in ("build_charts.py", "curve_and_effect_charts.py"))
    titles = set(re.findall(r'title="([^"]+)"', charts))
    shown = {
        f
        for line in re.findall(r"tip[a-z_]*\"?(?:: | = )\[(.*?)\]\s*[,}\n]", charts, re.DOTALL)
        for f in re.findall(r'(?:name|number)\("([a-z]+)"(?!, title)', line)
    }
    assert len(titles) > 3 and titles <= words, titles - words
    assert len(shown) > 10 and shown <= words | fields, shown - words - fields


def test_every_label_for_the_ear_has_a_chinese_one() -> None:
    import re

    from instdata.report.page import HERE

    for each in HERE.glob("*.html"):
        text = each.read_text("utf-8")
        bare = re.findall(r'aria-label="([^"]*)"', text)
        assert set(bare) <= {"中文 / English"} | ({"{{ en }}"} if each.name == "macros.html" else set()), each.name
        for en, zh in re.findall(r'label\("([^"]*)", "([^"]*)"\)', text):
            assert en != zh and any("\u4e00" <= c <= "\u9fff" for c in zh), (each.name, en)
