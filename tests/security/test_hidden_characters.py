"""Characters that command a terminal, move others or show nothing: in lines, pages, cards, JSON and YAML that hold what
data, file names, labels and recipes say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from instdata.audit.masked_rows import visible as spelled
from instdata.cli.common import json_text
from instdata.corpus.write_build_folder import write_json
from instdata.publish.card import environment as card_environment
from instdata.report.page import LONGEST, environment
from instdata.util.safe_text import HIDDEN, escaped, plain, visible
from instdata.util.yaml import parse_yaml, written_yaml

BAD = [
    "\x1b[31m", "\x1b]0;title\x07", "\x9b31m", "\x90q\x9c", "\x00", "\x07", "\x08", "\x7f", "\x85", "\u202e", "\u202d", "\u2066",
    "\u2069", "\u061c", "\u200b", "\u200e", "\u2028", "\u2029", "\u2060", "\u2064", "\xad", "\ufeff", "\u034f", "\u115f", "\u3164",
    "\uffa0", "\u180e", "\ufff9", "\U000e0041", "\U000e0100", "\U0001d173", "\ud800", "\udcff",
]  # fmt: skip
RAW = re.compile(f"[\x0b-\x1f]|{HIDDEN.pattern}")


@pytest.mark.parametrize("bad", BAD)
def test_nothing_hidden_is_printed(bad: str) -> None:
    assert not RAW.search(plain(f"a{bad}b")) and plain(f"a{bad}b").replace("\ufffd", "") == "ab"


@pytest.mark.parametrize("bad", BAD)
def test_json_files_and_answers_escape_it_and_mean_the_same(bad: str, tmp_path: Path) -> None:
    value = {f"k{bad}": [f"a{bad}b"]}
    write_json(tmp_path / "a.json", value)
    for text in (
        (tmp_path / "a.json").read_text("utf-8"),
        json_text(value),
        escaped(json.dumps(value, ensure_ascii=False)),
    ):
        assert not RAW.search(text) and json.loads(text) == value


@pytest.mark.parametrize("bad", [b for b in BAD if not "\ud800" <= b <= "\udfff"])
def test_a_recipe_that_is_kept_escapes_it_and_means_the_same(bad: str) -> None:
    value = {"name": "a", "origin": f"中文{bad}b"}
    text = written_yaml(value)
    assert not RAW.search(text) and yaml.safe_load(text) == value == parse_yaml(text, "x").data


def test_other_recipes_are_written_as_they_were() -> None:
    assert written_yaml({"a": "中文 é 👩‍👧 ❤️"}) == yaml.safe_dump({"a": "中文 é 👩‍👧 ❤️"}, allow_unicode=True)


@pytest.mark.parametrize("bad", BAD)
def test_a_page_spells_it_out(bad: str) -> None:
    """In text, in attributes, and in what its script reads."""
    page = environment().from_string('<p title="{{ x }}">{{ x }}{{ [x] | json }}{{ {x: {"a": (x,)}} | json }}</p>')
    text = page.render(x=f"a{bad}b")
    assert not RAW.search(text) and "\\u202e" not in text.lower() and "⟨U+" in text


def test_a_page_leaves_other_text_and_bounds_it() -> None:
    page = environment().from_string("{{ x }}")
    for text in ("中文 é 👩‍👧 ❤️ עברית العربية", "a\n\tb"):
        assert page.render(x=text) == text == visible(text)
    assert page.render(x="a\r\nb") == "a\nb"
    assert len(page.render(x="x" * 10**6)) < LONGEST + 100
    assert page.render(x="<b>") == "&lt;b&gt;"


def test_towers_of_accents_are_cut() -> None:
    tower = "a" + "\u0301" * 500
    assert len(plain(tower)) == len(visible(tower)) == 5


def test_a_cell_of_a_card() -> None:
    cell = card_environment().from_string("| {{ x | cell }} |")
    for bad in BAD:
        assert not RAW.search(cell.render(x=f"a{bad}b"))
    assert cell.render(x="a\n|b") == r"| a \|b |" and len(cell.render(x="x" * 10**6)) < 1100


def test_an_audit_spells_joiners_too() -> None:
    assert spelled("a\u200db\u202e") == "a⟨U+200D⟩b⟨U+202E⟩"


def test_the_scripts_of_served_pages_spell_the_same_characters() -> None:
    import instdata.report.page as page

    script = (page.HERE / "served_page.js").read_text("utf-8")
    pattern: Any = re.search(r"const HIDDEN = /\[(.*)\]/gu", script)
    ranges = re.sub(r"\\u\{([0-9a-f]+)\}", lambda m: f"\\U{int(m[1], 16):08x}", pattern[1])
    theirs = re.compile(f"[{ranges}]")
    for code in [
        *range(0x3200),
        *range(0xD800, 0xE000),
        *range(0xFE00, 0x10000),
        *range(0x1BCA0, 0x1BCA5),
        *range(0xE0000, 0xE1001),
    ]:
        if chr(code) != "\r":  # a page's text has line ends as they are
            assert bool(theirs.match(chr(code))) == bool(HIDDEN.match(chr(code))), hex(code)
