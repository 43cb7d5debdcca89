"""A file that was cut is damaged, wherever it was cut; a line that is merely wrong costs itself; nothing between values
is dropped without a word."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from instdata.build import prepare
from instdata.publish.verify import verify
from instdata.read.blocks import raw_blocks
from instdata.read.bytes_to_records import Bad
from instdata.read.export_source import source_records
from instdata.read.file_kind import Damaged
from instdata.read.truncated_json import breaks_off
from instdata.util.errors import DamagedInput, InputError
from tests.conftest import rows

VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(), v, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, min_size=1, max_size=4), st.booleans(), st.data())
@settings(max_examples=300, deadline=None)
@example({"a": "\\"}, True, None)
def test_every_beginning_of_an_object_breaks_off_and_no_whole_one_does(value, plain, data):
    text = json.dumps(value, ensure_ascii=plain).encode("utf-8", "surrogatepass")
    try:
        text.decode()
    except UnicodeDecodeError:
        return
    at = data.draw(st.integers(1, len(text) - 1)) if data else len(text) - 2
    assert breaks_off(text[:at])
    assert not breaks_off(text) and not breaks_off(text + b"}")


@pytest.mark.parametrize(
    "line",
    [
        b"bad",
        b"{bad",
        b'{"a": b',
        b'{"a": 1]',
        b'{"a" 1',
        b'{"a": 1}}',
        b'{"a": "x}\n',
        b'"a',
        b"{'a': 1",
        b"[1, x",
        b"",
    ],
)
def test_a_wrong_line_does_not_break_off(line):
    assert not breaks_off(line)


LINES = [json.dumps(r, ensure_ascii=False, separators=(",", ":")).encode() for r in rows(6)]
ARRAY = b"[" + b",\n".join(LINES) + b"]"
DOCUMENT = b'{"version": "1", "data": ' + ARRAY + b', "end": [1]}'
PRETTY = json.dumps(rows(6), indent=2).encode()
SERIES = b"\n".join(json.dumps(r, indent=2).encode() for r in rows(6))
CSV = b"instruction,output\n" + b"".join(b"Name %d,It is %d\n" % (i, i) for i in range(6))
CUTS = [
    ("a.jsonl", b"\n".join(LINES)[:-9]),
    ("a.jsonl", b"\n".join(LINES)[:-1]),
    ("a.jsonl", SERIES[:-20]),
    ("a.json", ARRAY[:-1]),
    ("a.json", ARRAY[:-2]),
    ("a.json", ARRAY[:-20]),
    ("a.json", PRETTY[:-30]),
    ("a.json", SERIES[:-3]),
    ("a.json", DOCUMENT[:-1]),
    ("a.json", DOCUMENT[:-8]),
    ("a.json", b'[{"a": {"b": 1}}, {"a": {"b": 1}'),
    ("a.csv", CSV[:-9]),
    ("a.csv", CSV + b'"a quote'),
]


@pytest.mark.parametrize(("name", "content"), CUTS, ids=range(len(CUTS)))
def test_a_cut_file_is_damaged(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Damaged, match=r"truncated; fetch it again"):
        list(raw_blocks(str(tmp_path / name)))


@pytest.mark.parametrize(
    ("name", "content", "bad"),
    [
        ("a.jsonl", b"\n".join(LINES), 0),
        ("a.jsonl", b"\n".join(LINES)[:-9] + b"\n", 1),
        ("a.csv", CSV[:-1], 0),
        ("a.csv", CSV[:-9] + b"\n", 1),
        ("a.json", DOCUMENT, 0),
    ],
)
def test_an_end_without_a_newline_or_a_wrong_line_is_no_cut(tmp_path, name, content, bad):
    from instdata.read.blocks import records

    (tmp_path / name).write_bytes(content)
    found = list(records(raw_blocks(str(tmp_path / name))))
    assert len(found) == 6 and sum(isinstance(r, Bad) for r in found) == bad


def test_a_cut_file_stops_the_build_and_kept_it_loses_one_record(bench):
    (bench.folder / "a.jsonl").write_bytes(b"\n".join(LINES)[:-9])
    for online in (True, False):
        with pytest.raises(DamagedInput, match=r"a.jsonl: the last line breaks off.*damaged: keep") as stopped:
            prepare(bench.recipe(sources=[{"path": "a.jsonl"}]), online=online)
        assert stopped.value.exit_code == 4
    done = bench.build(sources=[{"path": "a.jsonl", "damaged": "keep"}])
    assert done.manifest["totals"]["kept"] == 5 and done.manifest["totals"]["quarantined"] == 1
    assert "breaks off" in done.manifest["sources"][0]["files"][0]["lost"]


STRAY = {
    "between": (LINES[0] + b"\n}\n" + LINES[1] + b"\n", ["}"]),
    "behind": (b"[" + LINES[0] + b",\n" + LINES[1] + b"]}", ["}"]),
    "twice": (LINES[0] + b"}}" + LINES[1] + b"]", ["}}", "]"]),
    "in an array": (b"[" + LINES[0] + b"},\n" + LINES[1] + b"]", ["}"]),
    "before": (b"} " + LINES[0] + b"\n" + LINES[1], ["}"]),
    "none": (b"[\n" + LINES[0] + b" ,\n\t" + LINES[1] + b",\n]\n", []),
}


@pytest.mark.parametrize("where", STRAY)
def test_a_bracket_too_many_is_a_record_that_cannot_be_read(bench, where):
    content, stray = STRAY[where]
    (bench.folder / "a.json").write_bytes(content)
    done = bench.build(sources=[{"path": "a.json"}])
    assert done.manifest["totals"]["kept"] == 2 and done.manifest["totals"]["quarantined"] == len(stray)
    lines = list(map(json.loads, (done.path / "quarantine.jsonl").read_text().splitlines()))
    assert [r["raw"] for r in lines] == stray and all("bracket too many" in r["error"] for r in lines)
    assert sorted(source_records(done.path)) == sorted([*LINES[:2], *(s.encode() for s in stray)])
    assert verify(done.path)["ok"]


def test_every_problem_of_every_source_at_once(bench):
    bench.jsonl("a.jsonl", [{"instruction": "q", "foo": "the answer"}])
    bench.jsonl("b.jsonl", [{"x": 1}])
    (bench.folder / "c.parquet").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 42\n")
    bench.jsonl("e.jsonl", [{"instruction": "q", "bar": "the answer"}])
    paths = ("a.jsonl", "b.jsonl", "c.parquet", "none.jsonl", "e.jsonl")
    for online in (True, False):
        with pytest.raises(InputError) as stopped:
            prepare(bench.recipe(sources=[{"path": p} for p in paths]), online=online)
        said = [message for _, _, message in stopped.value.problems]
        assert len(said) == 5 and stopped.value.exit_code == 2
        for word in (
            "source a: no row has an answer",
            "format is not clear",
            "Git LFS",
            "no such file",
            "source e: no row",
        ):
            assert sum(word in line for line in said) == 1, word


def test_what_cannot_be_read_is_counted_with_its_reasons(bench):
    (bench.folder / "a.jsonl").write_text('bad\n[1]\nworse\n{"instruction": "q", "output": "a"}\n')
    (look,) = prepare(bench.recipe(sources=[{"path": "a.jsonl"}]), online=False).looks
    assert "3 of 4 records cannot be read: a.jsonl row 0: invalid JSON" in look.glance
    assert "(2 such)" in look.glance and "a.jsonl row 1: expected a JSON object, got list" in look.glance
    (bench.folder / "a.jsonl").write_text("bad\n" * 12 + '{"instruction": "q", "output": "a"}\n' * 30)
    with pytest.raises(InputError, match=r"12 of 42 records cannot be read.*more than max_bad \(1.00%\)"):
        prepare(bench.recipe(sources=[{"path": "a.jsonl"}]), online=False)
    assert prepare(bench.recipe(sources=[{"path": "a.jsonl", "max_bad": 0.5}]), online=False).looks
