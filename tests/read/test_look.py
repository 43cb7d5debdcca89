"""What a first look at a source says of labels that came with its rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from instdata.build import prepare

HINT = "{0} holds labels ({1}); to take them: map: {{ability: {0}}}"


def seen(folder: Path, column: str, words: list[str], more: str = "", taxonomy: str = "belle") -> str | None:
    records = [{"instruction": f"第{i}题", "output": f"答{i}", column: w, "note": f"n{i}"} for i, w in enumerate(words)]
    (folder / "a.jsonl").write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in records), "utf-8")
    named = f"taxonomy: {taxonomy}\n" if taxonomy else ""
    (folder / "r.yaml").write_text(f"name: x\n{named}sources: [{{path: a.jsonl{more}}}]\nsteps: []\n", "utf-8")
    (look,) = prepare(folder / "r.yaml", online=False).looks
    assert (look.labelled or "") in look.line
    return look.labelled


@pytest.mark.parametrize("column", ["类别", "任务类型", "category", "class"])
def test_a_column_whose_words_the_taxonomy_knows_is_pointed_at(tmp_path: Path, column: str) -> None:
    assert seen(tmp_path, column, ["数学", "翻译", "数学", "闲聊"]) == HINT.format(column, "数学")


def test_no_labels_no_hint(tmp_path: Path) -> None:
    assert seen(tmp_path, "类别", ["闲聊", "八卦", "数学"]) is None, "most words are nobody's"
    assert seen(tmp_path, "类别", ["数学", "数学"]) is None, "one word tells nothing apart"
    assert seen(tmp_path, "类别", ["数学", "翻译"], more=", map: {ability: 类别}") is None, "they are taken"
    assert seen(tmp_path, "ability", ["数学", "翻译"]) is None, "they are taken, too"
    assert seen(tmp_path, "类别", ["数学", "翻译"], taxonomy="") is None, "nobody asks for labels"
