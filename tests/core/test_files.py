"""Bytes to records: cutting, compression, damage; and files that appear whole or not at all."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from instdata.read import bytes_to_records as files
from instdata.read.bytes_to_records import Damaged, csv_records, lines, pieces
from instdata.read.json_documents import elements
from instdata.read.split_json import split_values
from instdata.util.atomic import whole

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.lists(json_values), st.sampled_from([None, 0, 2]), st.integers(1, 40))
@settings(deadline=None, max_examples=150)
def test_a_json_array_is_cut_into_its_elements(tmp_path_factory, values, indent, piece):
    path = tmp_path_factory.mktemp("a") / "a.json"
    path.write_text(json.dumps(values, indent=indent, ensure_ascii=False), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "PIECE", piece)
        found = [json.loads(e) for block in elements(path) for e in block]
    assert found == values


@given(st.lists(st.dictionaries(st.text(), json_values), min_size=1), st.sampled_from([None, 2]))
@settings(deadline=None)
def test_json_values_that_follow_each_other_are_cut(values, indent):
    data = "\n".join(json.dumps(v, indent=indent) for v in values).encode()
    found, used, _ = split_values(data, False)
    assert [json.loads(data[a:b]) for a, b in found] == values
    assert used == len(data)


def test_one_broken_element_costs_itself(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(
        '[\n  {"a": "fine"},\n  {"a": "no end of the text},\n  {"a": "fine too"},\n  {"a": 1,,},\n  {"a": 4}\n]'
    )
    found = [e for block in elements(path) for e in block]
    assert len(found) == 5
    assert [json.loads(found[i]) for i in (0, 2, 4)] == [{"a": "fine"}, {"a": "fine too"}, {"a": 4}]


def test_a_broken_element_of_a_minified_array_costs_itself(tmp_path):
    rows = [{"a": f"row {i}", "b": [{"c": i}, {"c": "}, {"}]} for i in range(100)]
    text = json.dumps(rows).replace('"row 20"', '"row 20').replace('"row 70"', 'row 70"')
    (tmp_path / "a.json").write_text(text)
    found = []
    for block in elements(tmp_path / "a.json"):
        for element in block:
            try:
                found.append(json.loads(element)["a"])
            except (ValueError, KeyError, TypeError):
                continue
    assert found == [f"row {i}" for i in range(100) if i not in (20, 70)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[}", None),
        ('[{"a": "x\n}]', None),
        ('[{"a": "x\ny", "b": 1}]', ['{"a": "x\ny", "b": 1}]']),
        ('[{"a": 1},\n{"a": 2}},\n{"a": 3}]', ['{"a": 1}', '{"a": 2}', "}", '{"a": 3}']),
        ('[1}2, "x"]', ["1", "}", "2", '"x"']),
    ],
)
def test_stray_brackets_and_open_quotes_end(tmp_path, text, found):
    """Each of these wrote outside an array or never came back. In a child: a crash is its own."""
    (tmp_path / "a.json").write_text(text)
    code = (
        "import sys; from instdata.read.json_documents import elements; print([e.decode() if type(e) is bytes else e.raw for b in "
        "elements(__import__('pathlib').Path(sys.argv[1])) for e in b])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.json")], capture_output=True, text=True, timeout=60
    )
    if found is None:
        assert "Damaged: the JSON array does not end" in done.stderr
    else:
        assert done.stdout.strip() == repr(found)


def test_the_cutter_stays_inside_its_arrays(tmp_path):
    """100,000 damaged texts with numba's bounds checks on."""
    script = Path(__file__).with_name("fuzz_json_split.py")
    env = os.environ | {"NUMBA_BOUNDSCHECK": "1", "INSTDATA_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(script), "100000"], env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("text", ['[{"a": 1}, {"a": 2}', '[{"a": 1},'])
def test_an_array_that_does_not_end_is_damaged(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(Damaged, match="does not end"):
        list(elements(tmp_path / "a.json"))


# (A \r before the first \n would be an old Macintosh's line end, in pieces as small as these.)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\r"))), st.integers(1, 20))
@settings(deadline=None)
@example(["one\r", "two\r"], 4)
@example(["\r"], 1)
def test_lines_come_whole_whatever_the_pieces(tmp_path_factory, texts, piece):
    path = tmp_path_factory.mktemp("l") / "l.jsonl"
    path.write_bytes("".join(t + "\n" for t in texts).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "PIECE", piece)
        assert [x.decode() for block in lines(path) for x in block] == texts


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_compressed_files_of_several_members(tmp_path, suffix):
    data = [random.Random(i).randbytes(200_000) for i in range(2)]
    pack = gzip.compress if suffix == "gz" else zstandard.compress
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"".join(map(pack, data)))
    assert b"".join(pieces(path)) == b"".join(data)


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_truncated_file_gives_what_is_there(tmp_path, suffix):
    text = "".join(f'{{"row": {i}, "text": "{random.Random(i).getrandbits(200)}"}}\n' for i in range(3000)).encode()
    packed = gzip.compress(text) if suffix == "gz" else zstandard.compress(text)
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(packed[: len(packed) * 4 // 5])
    found = []
    with pytest.raises(Damaged, match="ends too early"):
        for block in lines(path):
            found += block
    assert len(found) > (1000 if suffix == "gz" else -1)
    assert [json.loads(x)["row"] for x in found] == list(range(len(found)))


def test_damage_in_the_middle(tmp_path):
    packed = bytearray(gzip.compress(random.Random(1).randbytes(300_000)))
    packed[150_000:150_020] = b"\0" * 20
    path = tmp_path / "a.gz"
    path.write_bytes(packed)
    with pytest.raises(Damaged):
        list(pieces(path))


def test_csv_with_broken_records(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(
        '\ufeffinstruction,output\r\nfine,one\r\n"two\nlines",ok\r\ntoo,many,fields\r\n"never '
        "closed,oops\r\nafter,it\r\n".encode()
        + b"latin,caf\xe9\r\n"
        + "中文,好\r\n".encode()
    )
    found = list(csv_records(path, ","))
    assert [r for r in found if isinstance(r, dict)] == [
        {"instruction": "fine", "output": "one"},
        {"instruction": "two\nlines", "output": "ok"},
        {"instruction": "after", "output": "it"},
        {"instruction": "中文", "output": "好"},
    ]
    assert [error for error, _ in (r for r in found if not isinstance(r, dict))] == [
        "3 fields, expected 2",
        "not valid CSV: unexpected end of data",
        "not UTF-8; these encodings fit its bytes: cp1251, cp1252: write it as UTF-8",
    ]


def test_files_appear_whole_or_not_at_all(tmp_path):
    path = tmp_path / "f"
    path.write_text("old")
    with pytest.raises(RuntimeError), whole(path, "w") as file:
        file.write("half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
