"""Files that are not what they should be: damage is a failed input, odd spellings are read, and all of it is said."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from instdata.build import build, prepare
from instdata.read import bytes_to_records as reading
from instdata.read import json_documents, parquet_and_workbooks
from instdata.read.blocks import raw_blocks, records
from instdata.read.bytes_to_records import Bad
from instdata.read.file_kind import Damaged
from instdata.read.open_sources import PEEK, open_sources
from instdata.read.source_options import Source
from instdata.util.errors import InputError

RECORDS = [{"instruction": f"Name thing {i}.", "output": f"Thing {i}."} for i in range(20)]
TEXT = "".join(json.dumps(r) + "\n" for r in RECORDS).encode()
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4242\n"
PAGE = b"<!DOCTYPE html>\n<html><body>Please log in</body></html>\n"


def read(path):
    return list(records(raw_blocks(str(path))))


def parquet(path, rows=2000):
    pq.write_table(pa.table({"instruction": [f"Name {i}." for i in range(rows)], "output": ["x"] * rows}), path)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("b.parquet", POINTER, "Git LFS pointer, not the file of 4,242 bytes.*git lfs pull"),
        ("b.jsonl", POINTER, "Git LFS pointer"),
        ("b.csv", PAGE, "a web page, not data.*fetch it again"),
        ("b.json", PAGE, "a web page"),
        ("b.jsonl", b"PK\x03\x04" + b"\0" * 60, "a zip archive.*unzip it"),
        ("b.jsonl.gz", b"\x00\x01\x02" * 50, "not gz data.*half a download"),
        ("b.parquet", b"", "not a Parquet file: it has 0 bytes"),
        ("b.jsonl", b"", "the file is empty.*half a download.*exclude:"),
        ("b.csv.gz", b"", "the file is empty"),
        ("b.jsonl", bytes(range(128, 256)) * 40, "not text in an encoding known here.*fetch it again"),
        ("b.jsonl", b"Entry not found", "a server's error message"),
        ("b.json", b'{"error": "Repository not found"}', "a server's error message"),
        ("b.jsonl", b"x/".ljust(257, b"a") + b"ustar\x0000", "a tar archive.*unpack it"),
        ("b.json", b"\x80\x04\x95\x10\0\0\0\0\0\0\0}", "a Python pickle.*run code"),
        ("b.csv", b"\0" * 5000, "zero bytes stand where its text should go on"),
        ("b.parquet", b"x" * 400, "not a Parquet file: it begins with b'xxxx'"),
    ],
)
def test_what_is_no_data_fails_before_any_work(bench, name, content, says):
    bench.jsonl("a.jsonl", RECORDS)
    (bench.folder / name).write_bytes(content)
    recipe = bench.recipe(sources=[{"path": ["a.jsonl", name], "name": "s"}])
    for online in (True, False):
        with pytest.raises(InputError, match=says) as stopped:
            prepare(recipe, online=online)
        assert stopped.value.exit_code == 4
    done = bench.build(sources=[{"path": ["a.jsonl", name], "name": "s", "damaged": "keep"}])
    assert done.manifest["totals"] == {"in": 20, "generated": 0, "kept": 20, "dropped": 0, "quarantined": 0}
    (lost,) = [f["lost"] for f in done.manifest["sources"][0]["files"] if "lost" in f]
    assert name in lost


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_a_hole_in_a_text_is_damage(bench, name):
    """A download that reserves a file's whole size first, and was ended."""
    text = {
        "a.jsonl": TEXT,
        "a.json": b"[" + b",\n".join(TEXT.splitlines()) + b"]",
        "a.csv": b"instruction,output\n" + b"".join(b"Name %d,Thing %d\n" % (i, i) for i in range(20)),
    }[name]
    for hole in (text[: len(text) // 2].ljust(len(text), b"\0"), text[:200] + b"\0" * 200 + text[400:]):
        (bench.folder / name).write_bytes(hole)
        with pytest.raises(InputError, match="half a download") as stopped:
            bench.build(sources=[{"path": name}])
        assert stopped.value.exit_code == 4
    done = bench.build(sources=[{"path": name, "damaged": "keep"}])
    assert done.manifest["totals"]["kept"] > 2 and "zero bytes" in done.manifest["sources"][0]["files"][0]["lost"]


def test_half_a_parquet_file_and_one_with_a_hole(bench):
    whole = parquet(bench.folder / "a.parquet")
    (bench.folder / "a.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="a Parquet file without its end") as stopped:
        bench.build(sources=[{"path": "a.parquet"}])
    assert stopped.value.exit_code == 4
    (bench.folder / "a.parquet").write_bytes(whole[:40] + b"\xff" * 40 + whole[80:])
    with pytest.raises(InputError, match=r"damaged|promises"):
        bench.build(sources=[{"path": "a.parquet"}])


def test_several_problems_are_told_at_once_and_damage_among_others_is_a_bad_recipe(bench):
    (bench.folder / "a.jsonl").write_bytes(POINTER)
    (bench.folder / "b.jsonl").write_bytes(PAGE)
    bench.jsonl("c.jsonl", RECORDS)
    with pytest.raises(InputError) as stopped:
        prepare(
            bench.recipe(
                sources=[{"path": "a.jsonl"}, {"path": "b.jsonl"}, {"path": "c.jsonl", "map": {"output": "nope"}}]
            )
        )
    assert len(stopped.value.problems) == 3 and stopped.value.exit_code == 2


def test_the_rows_before_a_cut_are_kept_and_the_cut_record_is_quarantined(bench):
    text = b"".join(b'{"instruction": "Name %d.", "output": "%d"}\n' % (i, i * 7919**5) for i in range(4000))
    packed = gzip.compress(text)
    (bench.folder / "a.jsonl.gz").write_bytes(packed[: len(packed) * 2 // 3])
    with pytest.raises(InputError, match=r"truncated.* rows stand before that") as stopped:
        bench.build(sources=[{"path": "a.jsonl.gz"}])
    assert stopped.value.exit_code == 4 and not (bench.folder / "out/manifest.json").exists()
    first = bench.build(sources=[{"path": "a.jsonl.gz", "damaged": "keep"}])
    again = bench.build(out="again", sources=[{"path": "a.jsonl.gz", "damaged": "keep"}])
    assert first.manifest == again.manifest and first.manifest["totals"]["kept"] > 1000


@pytest.mark.parametrize(
    ("content", "count"),
    [
        (b"[\n" + b",\n".join(TEXT.splitlines()) + b"\n]\n", 20),
        (json.dumps(RECORDS).encode(), 20),
        (json.dumps(RECORDS, indent=2).encode(), 20),
        (b"\n".join(json.dumps(r, indent=2).encode() for r in RECORDS), 20),
        (TEXT.replace(b"}\n", b"},\n"), 20),
        (b"\xef\xbb\xbf" + TEXT, 20),
        (gzip.compress(TEXT), 20),
        (zstandard.compress(TEXT), 20),
    ],
)
def test_almost_json_lines_are_read(tmp_path, content, count):
    (tmp_path / "a.jsonl").write_bytes(content)
    assert [dict(r) for r in read(tmp_path / "a.jsonl")] == RECORDS[:count]


def test_documents_that_hold_their_records_under_a_key(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"version": "1", "n": 3, "data": RECORDS, "end": [1]}))
    assert [dict(r) for r in read(tmp_path / "a.json")] == RECORDS
    talk = [{"messages": [{"role": "user", "content": "a"}]}] * 2
    (tmp_path / "a.json").write_text("\n".join(map(json.dumps, talk)))
    assert [dict(r) for r in read(tmp_path / "a.json")] == talk


def test_what_a_document_holds_beside_its_records_is_kept_and_said(bench):
    around = {"version": "1.1", "n": -3.5, "info": {"by": "us"}, "tags": ["a"]}
    (bench.folder / "a.json").write_text(
        json.dumps({**around, "data": RECORDS, "test": RECORDS[:3], "end": None, "long": "x" * 20_000})
    )
    for said in ([], []):  # read, and from the cache
        plan = prepare(bench.recipe(sources=[{"path": "a.json"}]), say=said.append)
        done = build(plan, bench.folder / f"out-{len(list(bench.folder.iterdir()))}")
        (line,) = [line for line in said if "beside its records" in line]
        assert "test (a list of 3)" in line and 'version ("1.1")' in line
        (file,) = done.manifest["sources"][0]["files"]
        kept = file["beside"]
        assert kept.pop("long").startswith("not kept: ") and kept == {**around, "test": RECORDS[:3], "end": None}
        assert done.manifest["totals"]["in"] == 20


@pytest.mark.parametrize("piece", [64, 4 << 20])
@pytest.mark.parametrize(
    ("text", "good", "broken"),
    [
        ("[{0}]\n[{1}, {2}]", 3, 0),  # one array after the other
        ("[{0}], {1}]", 2, 1),  # a bracket that closes the array too early: the last one closes nothing
        ("[{0}] // end", 1, 2),  # what is no record is quarantined, not passed over
        ('{{"data": [{0}, {1}], "end": [1]}}', 2, 0),
        ('{{"data": [{0}] {1}, {2}]}}', 3, 1),
        ('{{"data": [{0}], "n": 1}}\n{{"data": [{1}]}}', 2, None),
        ('{{"meta": {{"a": "}}"}}, "data": [{0}, {1}]}}', 1, None),
    ],
)
def test_nothing_behind_an_array_is_passed_over(tmp_path, monkeypatch, piece, text, good, broken):
    monkeypatch.setattr(reading, "PIECE", piece)
    (tmp_path / "a.json").write_text(text.format(*map(json.dumps, RECORDS)))
    found = read(tmp_path / "a.json")
    assert sum(isinstance(r, dict) for r in found) >= good
    assert broken is None or sum(isinstance(r, Bad) for r in found) == broken


def test_a_rare_column_is_looked_for_as_the_source_says(bench):
    lines = ["问题;回答", *(f"第{i}个;好" for i in range(1100))]
    records = [{"instruction": f"写出{i}", "回答": "好"} for i in range(1100)]
    (bench.folder / "a.csv").write_bytes("\n".join(lines).encode("gb18030"))
    (bench.folder / "b.jsonl").write_bytes(
        "".join(
            json.dumps(r, ensure_ascii=False) + "\n" for r in [*records, {"instruction": "好", "来源": "这里"}]
        ).encode("gb18030")
    )
    source = {"path": "b.jsonl", "encoding": "gb18030", "map": {"instruction": "instruction", "origin": "来源"}}
    assert bench.build(sources=[source]).manifest["totals"]["in"] == 1101
    source = {
        "path": "a.csv",
        "encoding": "gb18030",
        "delimiter": ";",
        "map": {"instruction": "问题", "output": "回答"},
    }
    assert bench.build(out="b", sources=[source]).manifest["totals"]["kept"] == 1100


def test_columns_that_feed_nothing_are_said_and_a_source_without_answers_is_refused(bench):
    bench.jsonl("a.jsonl", [{**r, "mood": "calm", "id": f"x{i}"} for i, r in enumerate(RECORDS)])
    bench.jsonl("b.jsonl", [{"instruction": r["instruction"], "riposte": r["output"]} for r in RECORDS])
    bench.jsonl("c.jsonl", [{"instruction": r["instruction"], "category": "x"} for r in RECORDS])
    with pytest.raises(InputError, match="source b: no row has an answer.*riposte.*map: {output: riposte}") as stopped:
        bench.build(sources=[{"path": "a.jsonl"}, {"path": "b.jsonl"}, {"path": "c.jsonl"}])
    assert stopped.value.exit_code == 2 and len(stopped.value.problems) == 1
    plan = prepare(bench.recipe(sources=[{"path": "a.jsonl"}, {"path": "c.jsonl"}]))
    assert plan.looks[0].line == 'alpaca; feed nothing: mood ("calm"), id ("x0")'
    assert "no row has an answer" in plan.looks[1].line
    good = {"instruction": "instruction", "output": "riposte"}
    assert bench.build(sources=[{"path": "b.jsonl", "map": good}]).manifest["totals"]["kept"] == 20


def test_answers_that_come_late_are_answers(bench):
    asked = [{"instruction": f"Name thing {i}.", "riposte": f"Thing {i}."} for i in range(PEEK + 20)]
    recipe = bench.recipe(sources=[{"path": "a.jsonl"}])
    said: list[str] = []
    bench.jsonl("a.jsonl", [*asked, {"instruction": "Name a tree.", "output": "Oak."}])
    done = build(prepare(recipe), bench.folder / "out")
    assert done.manifest["totals"]["kept"] == 1 and done.manifest["totals"]["dropped"] == PEEK + 20
    seen = prepare(recipe, say=said.append, online=False).looks[0]
    assert "looked at the first 1,000 records of each file" in seen.glance
    assert "none of the first 1,000 rows of a file has an answer" in seen.line
    assert any("no row has an answer" in line and "a build looks at all of them" in line for line in said)
    bench.jsonl("a.jsonl", asked)
    with pytest.raises(InputError, match="no row has an answer.*riposte") as stopped:
        prepare(recipe)
    assert stopped.value.exit_code == 2


def test_cells_that_python_has_no_value_for(tmp_path):
    table = pa.table(
        {
            "instruction": ["a", "b"], "output": ["c", "d"],
            "day": pa.array([0, 4_000_000], pa.int32()).cast(pa.date32()),
            "at": pa.array([0, 1], pa.timestamp("ns")),
        }
    )  # fmt: skip
    pq.write_table(table, tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet")
    assert [r["at"] for r in found] == ["1970-01-01 00:00:00.000000000", "1970-01-01 00:00:00.000000001"]
    assert found[1]["day"].startswith("12921-")
    broken = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff")]
    )
    pq.write_table(pa.table({"instruction": broken, "output": ["c", "d"]}), tmp_path / "a.parquet")
    good, bad = read(tmp_path / "a.parquet")
    assert good["instruction"] == "a" and isinstance(bad, Bad) and "not UTF-8" in bad.error


# ru_maxrss of a child holds what its parent had before exec: the kernel's own figure for this program does not.
CHILD = """
import re, sys
from instdata.read.blocks import raw_blocks
count = sum(len(block) for _, block in raw_blocks(sys.argv[1]))
print(count, int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) >> 10)
"""


def measured(path):
    done = subprocess.run([sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-800:]
    return map(int, done.stdout.split())


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured by Linux' /proc")
def test_small_files_that_unpack_to_gigabytes_take_a_bounded_memory(tmp_path):
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 3000, pa.int32()), pa.array(["x" * 1_000_000]))
    pq.write_table(pa.table({"instruction": text, "output": ["y"] * 3000}), tmp_path / "a.parquet", compression="zstd")
    with open(tmp_path / "a.jsonl.zst", "wb") as file, zstandard.ZstdCompressor().stream_writer(file) as out:
        for _ in range(150):
            out.write(b" " * 10_000_000)
    with gzip.open(tmp_path / "b.jsonl.gz", "wb", compresslevel=1) as out:
        for _ in range(40):
            out.write(b"[" * 10_000_000)
    for name, wanted in (("a.parquet", 3000), ("a.jsonl.zst", 1), ("b.jsonl.gz", 1)):
        count, megabytes = measured(tmp_path / name)
        assert count == wanted and megabytes < 700, (name, megabytes)


def test_a_record_longer_than_the_limit_costs_itself(tmp_path, monkeypatch):
    for module in (reading, json_documents):
        monkeypatch.setattr(module, "RECORD_LIMIT", 4000)
        monkeypatch.setattr(module, "PIECE", 500)
    long = json.dumps({"instruction": "x" * 9000, "output": "y"}).encode()
    (tmp_path / "a.jsonl").write_bytes(TEXT + long + b"\n" + TEXT)
    found = read(tmp_path / "a.jsonl")
    assert [isinstance(r, Bad) for r in found] == [False] * 20 + [True] + [False] * 20
    (tmp_path / "a.json").write_bytes(b"[" + b",\n".join([*TEXT.splitlines(), long, *TEXT.splitlines()]) + b"]")
    assert [isinstance(r, Bad) for r in read(tmp_path / "a.json")] == [False] * 20 + [True] + [False] * 20


def test_a_record_of_many_records_that_is_too_long_is_one(tmp_path, monkeypatch):
    """Joints of objects within it are its own; one that is no JSON costs itself, wherever that is noticed."""
    monkeypatch.setattr(reading, "RECORD_LIMIT", 4000)
    monkeypatch.setattr(json_documents, "RECORD_LIMIT", 4000)
    monkeypatch.setattr(reading, "PIECE", 500)
    few = TEXT.splitlines()[:6]
    long = json.dumps({"instruction": "a", "turns": [{"a": "]}[{", "b": [i]} for i in range(900)]}).encode()
    for name, begins, ends in (
        ("a.json", b"[", b"]"),
        ("b.json", b'{"n": 1, "data": [', b'], "end": 2}'),
        ("c.json", b"", b""),
    ):
        for joint in (b", ", b",\n", b"\n" if not begins else b" ,"):
            (tmp_path / name).write_bytes(begins + joint.join([*few, long, *few, long]) + ends)
            found = read(tmp_path / name)
            assert [isinstance(r, Bad) for r in found] == [*[False] * 6, True] * 2, (name, joint)
            assert f"it has {len(long) >> 20} MB" in found[6].error
    for broken in (long[:-1], long.replace(b'"b": [7]', b'"b": [7'), long.replace(b'"a": "]', b'"a": ]', 1)):
        (tmp_path / "d.json").write_bytes(b"[" + b",\n".join([*few, broken, *few]) + b"]")
        found = read(tmp_path / "d.json")
        assert [isinstance(r, Bad) for r in found[:6]] == [False] * 6 and any(isinstance(r, Bad) for r in found)
        assert [dict(r) for r in found[-6:]] == RECORDS[:6]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the child measures itself by Linux' /proc")
def test_many_keys_take_no_quadratic_time(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        json.dumps({"instruction": "a", "output": "b", **{f"k{i}": i for i in range(100_000)}})
    )
    done = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path / "a.jsonl")], capture_output=True, timeout=30)
    assert done.returncode == 0
    assert len(read(tmp_path / "a.jsonl")[0]) == 100_002


def test_a_footer_that_promises_more(tmp_path):
    parquet(tmp_path / "a.parquet", 5000)
    whole = (tmp_path / "a.parquet").read_bytes()
    found = 0
    for at in range(len(whole) - 400, len(whole) - 8, 7):
        (tmp_path / "b.parquet").write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            assert sum(1 for _ in read(tmp_path / "b.parquet")) == 5000
        except Damaged as e:
            found += 1
            assert str(e).startswith("b.parquet: ")
    assert found > 5


def test_what_the_first_records_hold_is_not_kept(tmp_path):
    """The format of a small file of repeated huge texts is told without holding a thousand of them (6 GB were 2.1)."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 200, pa.int32()), pa.array(["x" * 1_000_000]))
    pq.write_table(pa.table({"instruction": [str(i) for i in range(200)], "output": text}), tmp_path / "a.parquet")
    tracemalloc.start()
    try:
        ((item,),) = open_sources([(0, Source(path="a.parquet"))], tmp_path)
        assert item.format == "alpaca" and tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dictionary", [True, False])
def test_a_large_parquet_file_is_read_in_a_bounded_memory(tmp_path, monkeypatch, dictionary):
    """A reader of dictionaries keeps all of their entries: of 2 GB of texts 6 GB were held."""
    monkeypatch.setattr(parquet_and_workbooks, "RUN", 1 << 20)
    texts = [f"{i} is a number of {i * 7}. " * 20 for i in range(20_000)]
    table = pa.table({"instruction": texts, "output": texts})
    pq.write_table(table, tmp_path / "a.parquet", use_dictionary=dictionary, row_group_size=500, compression="none")
    before, most, seen = pa.total_allocated_bytes(), 0, 0
    for batch in parquet_and_workbooks.parquet_batches(tmp_path / "a.parquet", False):
        most, seen = max(most, pa.total_allocated_bytes() - before), seen + batch.num_rows
    assert seen == 20_000 and most < 12 << 20 < table.nbytes


def test_times_that_python_has_not_are_text_at_any_depth():
    from instdata.read.parquet_and_workbooks import rows_of_batch

    times = {
        "stamp": pa.array([1], pa.timestamp("ns")),
        "time": pa.array([86_399_999_999_999], pa.time64("ns")),
        "span": pa.array([5], pa.duration("ns")),
        "list": pa.array([[1]], pa.list_(pa.time64("ns"))),
        "struct": pa.array([{"a": [1]}], pa.struct({"a": pa.list_(pa.timestamp("ns"), 1)})),
        "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.timestamp("ns"))),
        "far": pa.array([[2**40]], pa.list_(pa.timestamp("s"))),
    }
    (row,) = rows_of_batch(pa.record_batch(times))
    first = "1970-01-01 00:00:00.000000001"
    assert row.pop("far")[0].startswith("<value out of range")
    assert row == {
        "stamp": first, "time": "23:59:59.999999999", "span": 5, "list": ["00:00:00.000000001"],
        "struct": {"a": [first]}, "map": [("k", first)],
    }  # fmt: skip
