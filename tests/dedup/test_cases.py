"""The labelled pairs and groups of tests/cases/dedup: what must go and what must stay, in thirteen languages."""

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from instdata.corpus.rows import MESSAGES, Rows
from instdata.steps.dedup import dedup
from instdata.steps.dedup.step import Dedup
from instdata.util.build_context import Context

from .test_step import run

CASES = Path(__file__).parents[1] / "cases" / "dedup"


def pairs():
    for path in sorted(CASES.glob("*.tsv")):
        for line in path.read_text("utf-8").splitlines():
            lang, kind, label, *texts = line.split("\t")
            yield (
                lang,
                kind,
                label,
                [t.replace("\\n", "\n").replace("\\t", "\t").replace("\\u0301", "\u0301") for t in texts],
            )


PAIRS = list(pairs())
GROUPS = [json.loads(line) for path in sorted(CASES.glob("*.jsonl")) for line in path.read_text("utf-8").splitlines()]
TEXTS, ROWS = ([g for g in GROUPS if key in g] for key in ("texts", "rows"))


def test_there_are_enough():
    assert len(PAIRS) >= 380 and len(GROUPS) >= 70
    assert len(Counter(lang for lang, *_ in PAIRS)) >= 8
    assert all(len(texts) == 2 and label in ("same", "different") for _, _, label, texts in PAIRS)


@pytest.mark.parametrize("label", ["same", "different"])
def test_pairs(label):
    wrong = [
        texts
        for _, _, wanted, texts in PAIRS
        if wanted == label and (len(dedup(texts).dropped) == 1) != (label == "same")
    ]
    assert not wrong


@pytest.mark.parametrize("group", TEXTS, ids=lambda g: f"{g['lang']}: {g['name']}")
def test_groups(group):
    low, high = group["kept"]
    assert low <= len(dedup(group["texts"]).kept) <= high


@pytest.mark.parametrize("group", ROWS, ids=lambda g: f"{g['lang']}: {g['name']}")
def test_groups_of_conversations(group):
    """What a format tells apart: system prompts, tools, earlier turns."""
    _, verdicts = run(Dedup(), Rows(pa.table({"messages": pa.array(group["rows"], MESSAGES)}), Context()))
    low, high = group["kept"]
    assert low <= verdicts.reason.null_count <= high


def test_groups_all_at_once():
    """The groups of texts in one corpus: every passage keeps its questions."""
    texts = [
        t for g in TEXTS for t in g["texts"] if g["kept"][0] == len(g["texts"]) and g["lang"] in ("en", "zh", "code")
    ]
    assert len(dedup(texts).kept) >= 0.99 * len({t.casefold() for t in texts})


def test_all_texts_at_once_treat_each_pair_alike():
    """What happens to a pair does not depend on what else is there: in one set, rows that only differ stay."""
    texts = [t for _, _, label, pair in PAIRS if label == "different" for t in pair]
    folded = {t.strip().casefold() for t in texts}
    found = dedup(texts)
    assert len(found.kept) >= 0.9 * len(folded)
    assert all(s >= 0.7 for s in found.pairs["similarity"].to_pylist())


def test_order_of_a_pair_does_not_matter():
    assert not [t for _, _, _, t in PAIRS if len(dedup(t).kept) != len(dedup(t[::-1]).kept)]
