"""What a rule found is where it says it is, whichever turn or view it looked at; and phrases catch their examples."""

import json
import re

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from instdata.cli.main import app
from instdata.corpus.views import thought_of
from instdata.steps.quality import phrases
from instdata.steps.quality.evidence import SHOWS
from instdata.steps.quality.rule_table import RULES, SETS
from instdata.steps.quality.step import Quality
from tests.quality.test_cases import read
from tests.quality.test_hard import corpus, decided, pairs

PERSONAL = {"secret", "id_number", "card_number", "email", "phone"}
ALL = Quality(rules=["strict", "belle"])


@pytest.mark.parametrize("rule", [rule.name for rule in RULES])
def test_evidence_is_where_it_says(rule):
    cases = [c for c in read(rule) if c["fires"]]
    rows = corpus(pairs(cases))
    seen = {view: rows.view(view).to_pylist() for view in ("prompt", "answer", "reasoning")}
    for i, (reason, told) in enumerate(decided(Quality(rules=[rule]), pairs(cases))):
        assert (reason, told["rule"]) == (rule, rule)
        start, end = told["span"]
        words = seen[told["view"]][i][start:end]
        assert 0 <= start <= end
        if rule in PERSONAL:
            assert len(told["text"]) <= 6
            assert words.startswith(told["text"][0]) or told["text"] == "…"
        else:
            assert words[:200] == told["text"]
            assert words or rule in ("empty_prompt", "no_response", "empty_response")


def test_every_rule_shows_something():
    assert set(SHOWS) == {*(r.name for r in RULES), "repetition"}


def test_numbers_in_the_evidence():
    cases = [
        ("3个加5个是几个？", "3 + 5 = 9，一共9个。"),
        ("List five fruits.", "1. Apple\n2. Pear\n3. Fig"),
        ("Describe it in 5 words or less.", "It is a very long and detailed answer indeed, my friend."),
        ("Sum a list in Python.", "Sure:\n```python\ndef f(x):\n    return sum(x\n```"),
        ("Give it as JSON.", '```json\n{\n"a": 1,\n"b": }\n```'),
        ("Say it.", "the cat sat on the mat and looked at me " * 12),
    ]
    got = [told for _, told in decided(Quality(), [[("user", p), ("assistant", r)] for p, r in cases])]
    assert {k: got[0][k] for k in ("span", "text", "stated", "computed")} == {
        "span": [0, 9], "text": "3 + 5 = 9", "stated": "9", "computed": "8",
    }  # fmt: skip
    assert (got[1]["items"], got[1]["of"], got[1]["text"]) == (3, 5, "3. Fig")
    assert (got[2]["words"], got[2]["of"]) == (11, 5)
    assert (got[3]["line"], got[3]["fault"]) == (2, "a bracket that is not closed")
    assert (got[4]["line"], got[4]["text"]) == (3, '"b": }')
    assert got[5]["repetition"] > 0.8
    assert got[5]["text"] == "the cat sat on the mat and looked"


def test_any_assistant_turn():
    said = [("user", "1+1?"), ("assistant", "1 + 1 = 3"), ("user", "Thanks"), ("assistant", "You are welcome.")]
    told = decided(Quality(turns="all"), [said, said[:1], [*said[2:], *said[:2]], said[2:]])
    assert [reason for reason, _ in told] == ["false_arithmetic", None, "false_arithmetic", None]
    assert [t["turn"] for _, t in told if t] == [1, 2]
    assert [reason for reason, _ in decided(Quality(), [said])] == [None]
    trace = [
        ("user", "Hi"),
        ("assistant", "<think>1 + 1 = 3</think>Hello"),
        ("user", "And?"),
        ("assistant", "<nooutput>"),
    ]
    reason, evidence = decided(Quality(turns="all"), [trace])[0]
    assert (reason, evidence["turn"]) == ("empty_response", 2)


def test_one_turn_is_the_same_either_way():
    cases = pairs([c for rule in SETS["strict"] if rule in {r.name for r in RULES} for c in read(rule)])
    one, every = (decided(step, cases) for step in (Quality(rules="strict"), Quality(rules="strict", turns="all")))
    assert [r for r, _ in one] == [r for r, _ in every]


def test_reasoning_is_not_the_answer():
    good = "<think>12 x 7 = 82. " + "Wait. " * 20_000 + "</think>84"
    assert decided(Quality(max={"chars": 10}), [[("user", "12 x 7?"), ("assistant", good)]]) == [(None, None)]
    thought, answer = thought_of(
        pa.array(["◁think▷a◁/think▷b", "<answer>x</answer>", "[THINK]a[/THINK]\n<answer>b</answer>"])
    )
    assert thought.to_pylist() == ["a", None, "a"]
    assert answer.to_pylist() == ["b", "<answer>x</answer>", "b"]


@pytest.mark.parametrize(
    ("prompt", "response", "stays"),
    [
        ("日本国憲法第九条", "戦争放棄", True),
        ("関東地方の県名を列挙", "茨城県、栃木県、群馬県、埼玉県、千葉県、東京都、神奈川県", True),
        ("请解释光合作用的过程。", "植物利用光能制造养分。", False),
        ("中国首都", "北京是中华人民共和国首都", False),
        ("這是什麼", "這是一本書", False),
        ("Name the capital of the country, please.", "It is called Tokyo, a very large city.", False),
    ],
)
def test_japanese_in_kanji_alone(prompt, response, stays):
    reason = decided(Quality(rules=[], language=["ja"]), [[("user", prompt), ("assistant", response)]])[0][0]
    assert reason == (None if stays else "not_ja")


# -- phrases ---------------------------------------------------------------------------------------------------------


def test_every_phrase_catches_its_example():
    for name, listed in phrases.lists().items():
        assert listed, name
        for p in listed:
            assert pc.match_substring_regex(pa.array([p.example]), phrases.matcher(p))[0].as_py(), (name, p)
            assert pc.match_substring_regex(pa.array([p.example]), phrases.pattern(name))[0].as_py(), (name, p)
            if phrases.NEEDS_EXAMPLE.intersection(p.text.replace("\\$", "")):
                assert p.example != phrases.simplest(p.text), (name, p.text)


def test_phrases_are_read_when_asked_for():
    import subprocess
    import sys

    code = (
        "import sys, instdata.steps.quality.step as s; from instdata.steps.quality import phrases as p; "
        "print(p.lists.cache_info().currsize)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "0"
    )


@pytest.mark.parametrize(
    ("text", "catches", "spares"),
    [
        ("apolog*", ["an apology", "Apologise!"], ["an apple"]),
        ("can[ ]not", ["cannot", "can not"], ["can", "cannots"]),
        ("(a|b) word", ["A word", "b word"], ["ab word", "a wordy"]),
        ("no…5end", ["no big end"], ["no. end", "no very long end"]),
        ("^yes", ["Yes, it is", "“yes”"], ["oh yes"]),
        ("i'm #", ["I’m 30", "i'm 3"], ["I am 3"]),
        ("¶please go", ["Please go", "Well. Please go"], ["If you please go"]),
        ("c\\#", ["in C# only"], ["c3"]),
    ],
)
def test_notation(text, catches, spares):
    regex = phrases.matcher(phrases.Phrase(text, "en", ""))
    for example, wanted in [*((c, True) for c in catches), *((s, False) for s in spares)]:
        assert pc.match_substring_regex(pa.array([example]), regex)[0].as_py() == wanted, example


def test_evidence_is_json_of_dropped_rows_alone():
    rows = [
        [("user", "Name a fruit."), ("assistant", "Pear")],
        [("user", "Name a fruit."), ("assistant", "<nooutput>")],
    ]
    told = decided(ALL, rows)
    assert told[0] == (None, None)
    assert json.dumps(told[1][1])


def test_every_drop_of_a_build_has_evidence(bench):
    """Of every reason that steps without a model have; and a row that stays shows its scores and their bounds."""
    rivers = [
        "Oder",
        "Aare",
        "Drau",
        "Isar",
        "Ruhr",
        "Saale",
        "Mulde",
        "Eider",
        "Weser",
        "Havel",
        "Spree",
        "Lahn",
        "Naab",
        "Regen",
        "Ilz",
        "Inn",
        "Iller",
        "Lech",
    ]
    rows = [
        {"instruction": f"Where does the {r} rise?", "output": f"The {r} rises in hills to the south."} for r in rivers
    ]
    rows += [
        {"instruction": "Where does the Oder rise?", "output": "The Oder rises somewhere in the hills."},
        {"instruction": "3个加5个是几个？", "output": "3 + 5 = 9"},
        {"instruction": "Wo liegt der Fluss Werra?", "output": "Die Werra fließt durch Thüringen und Hessen in Deutschland."},
        {"instruction": "Name a lake.", "output": "Ohrid."},
        {"instruction": "Name the lake that feeds the Neva near Shlisselburg.", "output": "It is Lake Ladoga, of course."},
        {"instruction": "Describe a ford.", "output": ""},
        {"instruction": "Tell me of a long sandbank near here.", "output": "A sandbank is a long bar of sand. " * 3},
    ]  # fmt: skip
    bench.jsonl("a.jsonl", rows)
    bench.jsonl("e.jsonl", [{"question": "Name the lake that feeds the Neva near Shlisselburg."}])
    steps = [
        {"dedup": {}},
        {"quality": {"language": ["en", "zh"], "min": {"chars": 12}, "max": {"chars": 80}}},
        {"decontaminate": {"against": ["e.jsonl"]}},
        {"filter": {"where": "prompt not like '%Lech%'"}},
        {"select": {"method": "longest", "keep": "90%"}},
        {"sample": {"rows": 12}},
        {"mix": {"by": "lang", "weights": {"en": 1}}},
    ]
    done = bench.build(sources=[{"path": "a.jsonl"}], steps=steps)
    ledger = pq.read_table(done.path / "ledger.parquet").to_pylist()
    dropped = [r for r in ledger if r["verdict"] == "dropped"]
    assert {r["reason"] for r in dropped} >= {
        "near_duplicate", "false_arithmetic", "not_en_zh", "too_short", "too_long", "contaminated", "filtered", "no_score",
        "not_selected", "not_sampled",
    }  # fmt: skip
    assert [r["rid"] for r in dropped if not json.loads(r["evidence"] or "{}")] == []
    kept = next(r["rid"] for r in ledger if r["verdict"] == "kept" and r["score_dedup_similarity"] is None)
    said = CliRunner().invoke(app, ["why", kept, "--build", str(done.path)])
    assert "quality_chars = " in said.stdout and "(at least 12, at most 80)" in said.stdout
    told = json.loads(CliRunner().invoke(app, ["why", kept, "--build", str(done.path), "--json"]).stdout)["rows"][0]
    assert told["bounds"]["quality_repetition"] == "at most 0.8"


def test_other_steps_evidence(bench):
    bench.jsonl("a.jsonl", [{"instruction": f"Name {i} hills.", "output": f"Hill {i}."} for i in range(9)])
    bench.jsonl("b.jsonl", [{"instruction": "Describe a ford.", "output": ""}])
    steps = [{"sample": {"rows": 8}}, {"mix": {"by": "source", "weights": {"a": 1, "b": 1}}}]
    done = bench.build(sources=[{"path": "a.jsonl"}, {"path": "b.jsonl"}], steps=steps)
    rows = [r for r in pq.read_table(done.path / "ledger.parquet").to_pylist() if r["verdict"] == "dropped"]
    told = {r["reason"]: json.loads(r["evidence"]) for r in rows}
    assert told.keys() == {"not_sampled", "over_share", "no_response"}
    assert told["not_sampled"]["kept"] == 8 and told["not_sampled"]["place"] > 8
    assert told["over_share"] == {"source": "a", "rows": 7, "kept": 1}


@pytest.mark.parametrize("form", ["AWS_SECRET_ACCESS_KEY={}", 'aws_secret_access_key = "{}"', "SecretAccessKey: {}"])
def test_a_secret_key_with_slashes_is_found(form: str) -> None:
    """Amazon's second key has forty characters, slashes among them; the first one (AKIA…) is not always beside it."""
    from instdata.util.secrets import CREDENTIAL

    key = "q7/Zp0Lw+Rr2Tf/8Vb1Nc" + "/5Xk9Jd3Ms/4Hg6Yt0We"[:19]
    assert len(key) == 40 and re.search(CREDENTIAL, form.format(key)) and not re.search(CREDENTIAL, key)
