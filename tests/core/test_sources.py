"""Real-world dirt: each bad record costs itself, is quarantined with its raw text, and the sums still hold."""

from __future__ import annotations

import csv
import gzip
import json

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instdata.build import prepare
from instdata.read.shards import read_sources
from instdata.util.engine import Engine
from instdata.util.errors import BudgetReached, InputError
from tests.conftest import rows

GOOD = b'{"instruction": "say hello", "output": "hello"}'
BAD_LINES = {
    "not json": b"hello",
    "cut off": b'{"instruction": "a", "output": "b',
    "two values": GOOD + GOOD,
    "a list": b'["a"]',
    "latin-1": '{"instruction": "café", "output": "b"}'.encode("latin-1"),
    "gbk": '{"instruction": "你好世界", "output": "b"}'.encode("gbk"),
    "raw NUL": b'{"instruction": "a\0", "output": "b"}',
    "escaped NUL": b'{"instruction": "a\\u0000", "output": "b"}',
    "lone surrogate": b'{"instruction": "a\\ud800", "output": "b"}',
    "deep": b'{"instruction": "a", "output": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "deep meta": b'{"instruction": "a", "output": "b", "x": ' + b"[" * 600 + b"]" * 600 + b"}",
    "twice a key": b'{"instruction": "a", "instruction": "b", "output": "c"}',
    "keys alike": b'{"instruction": "a", "Instruction": "b", "output": "c"}',
    "wrong type": b'{"instruction": {"a": 1}, "output": "c"}',
    "an object": b'{"instruction": "a", "output": {"b": 4}}',
    "no instruction": b'{"output": "c"}',
}


def verdicts(done):
    table = pq.read_table(done.path / "ledger.parquet")
    totals = done.manifest["totals"]
    assert (
        totals["in"] + totals["generated"] == totals["kept"] + totals["dropped"] + totals["quarantined"] == len(table)
    )
    assert len(set(table["rid"].to_pylist())) == len(table)
    return dict(zip(table["rid"].to_pylist(), table["verdict"].to_pylist()))


def quarantined(done):
    return [json.loads(line) for line in (done.path / "quarantine.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_costs_itself(bench, name):
    path = bench.folder / "a.jsonl"
    path.write_bytes(
        GOOD.replace(b"hello", b"one") + b"\n" + BAD_LINES[name] + b"\n\r\n" + GOOD.replace(b"hello", b"two") + b"\r\n"
    )
    done = bench.build(sources=[{"path": "a.jsonl"}])
    assert verdicts(done) == {"a/a.jsonl:0": "kept", "a/a.jsonl:1": "quarantined", "a/a.jsonl:3": "kept"}
    (record,) = quarantined(done)
    assert (record["source"], record["source_file"], record["source_row"]) == ("a", "a.jsonl", 1)
    assert record["error"] and record["raw"] == BAD_LINES[name].decode("utf-8", "backslashreplace")


junk = st.one_of(
    st.sampled_from(list(BAD_LINES.values())),
    st.binary(max_size=60).filter(lambda b: b"\n" not in b),
    st.dictionaries(
        st.sampled_from(["instruction", "input", "output", "messages", "x"]),
        st.none() | st.text() | st.integers() | st.lists(st.text()),
    ).map(lambda d: json.dumps(d).encode()),
    st.integers(0, 10**6).map(lambda i: b'{"instruction": "task %d", "output": "answer"}' % i),
)


@given(st.lists(junk, max_size=40), st.sampled_from(["jsonl", "jsonl.gz", "jsonl.zst", "json"]))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_is_ever_lost(bench, lines, suffix):
    data = b"\n".join([GOOD, *lines])
    if suffix == "json":
        data = b"[" + b",\n".join([GOOD, *(x for x in lines if x.strip()[:1] == b"{")]) + b"]"
    data += b"\n"  # without it, a last line that is not whole is a cut file (tests/read/test_ends.py)
    if suffix.endswith("gz"):
        data = gzip.compress(data)
    if suffix.endswith("zst"):
        data = zstandard.compress(data)
    (bench.folder / f"a.{suffix}").write_bytes(data)
    done = bench.build(
        sources=[{"path": f"a.{suffix}", "max_bad": 1.0, "format": "alpaca"}],
        steps=[{"filter": {"where": "length(prompt) % 2 = 1"}}],
    )
    found = verdicts(done)
    if suffix != "json":
        assert len(found) == sum(1 for x in [GOOD, *lines] if x.strip(b" \t\r\x0b\x0c"))
    assert found[f"a/a.{suffix}:0"] == "kept"


def test_bom_and_windows_lines(bench):
    (bench.folder / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + GOOD + b"\r\n")
    (bench.folder / "b.json").write_bytes(b"\xef\xbb\xbf[" + GOOD + b"]")
    (bench.folder / "c.csv").write_bytes(b"\xef\xbb\xbfinstruction,output\r\na,b\r\n")
    assert set(verdicts(bench.build(sources=[{"path": "."}])).values()) == {"kept"}


def test_a_20_mb_line_is_a_row_like_any_other(bench):
    (bench.folder / "a.jsonl").write_bytes(
        GOOD
        + b"\n"
        + GOOD.replace(b"hello", b"y" * 20_000_000)
        + b"\n"
        + b'{"instruction": "'
        + b"z" * 20_000_000
        + b"\n"
        + GOOD
        + b"\n"
    )
    assert list(verdicts(bench.build(sources=[{"path": "a.jsonl"}])).values()) == [
        "kept",
        "kept",
        "kept",
        "quarantined",
    ]


def test_a_truncated_gzip_is_a_failed_input(bench):
    text = b"".join(
        b'{"instruction": "task %d", "output": "%x"}\n' % (i, hash((i, "salt")) & (2**64 - 1)) for i in range(5000)
    )
    packed = gzip.compress(text)
    (bench.folder / "a.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match=r"source a: a.jsonl.gz: .*truncated.*damaged: keep") as stopped:
        bench.build(sources=[{"path": "a.jsonl.gz"}])
    assert stopped.value.exit_code == 4
    done = bench.build(sources=[{"path": "a.jsonl.gz", "damaged": "keep"}])
    found = list(verdicts(done).values())
    assert found.count("quarantined") == 1 and found.count("kept") > 1000
    assert "truncated" in quarantined(done)[0]["error"]
    assert "truncated" in done.manifest["sources"][0]["files"][0]["lost"]


def test_every_kind_of_file_gives_the_same_rows(bench):
    records = [{"instruction": f'问题 {i}, "quoted"\nnext line', "input": "", "output": f"答案 {i}"} for i in range(30)]
    folder = bench.folder
    bench.jsonl("jsonl/a.jsonl", records)
    text = (folder / "jsonl/a.jsonl").read_bytes()
    contents = {
        "gz/a.jsonl.gz": gzip.compress(text),
        "zst/a.jsonl.zst": zstandard.compress(text),
        "json/a.json": orjson.dumps(records),
        "pretty/a.json": orjson.dumps(records, option=orjson.OPT_INDENT_2),
        "many/a.json": b"\n".join(orjson.dumps(r, option=orjson.OPT_INDENT_2) for r in records),
        "jsongz/a.json.gz": gzip.compress(orjson.dumps(records)),
    }
    for name, data in contents.items():
        (folder / name).parent.mkdir()
        (folder / name).write_bytes(data)
    for name, delimiter in (("csv/a.csv", ","), ("tsv/a.tsv", "\t")):
        (folder / name).parent.mkdir()
        with open(folder / name, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["instruction", "input", "output"], delimiter=delimiter)
            writer.writeheader()
            writer.writerows(records)
    (folder / "parquet").mkdir()
    pq.write_table(pa.Table.from_pylist(records), folder / "parquet/a.parquet")
    (folder / "parquetgz").mkdir()
    (folder / "parquetgz/a.parquet.gz").write_bytes(gzip.compress((folder / "parquet/a.parquet").read_bytes()))
    seen = {}
    for path in sorted(folder.glob("*/a.*")):
        done = bench.build(
            out=f"out-{path.parent.name}", sources=[{"path": str(path.relative_to(folder)), "name": "a"}]
        )
        table = pq.read_table(done.path / "data").select(["id", "messages", "lang", "source_row"])
        seen[path.parent.name] = table.sort_by("id").to_pylist()
    assert len(seen) == 11
    for name, found in seen.items():
        assert found == seen["jsonl"], name


def test_globs_folders_and_names(bench):
    for name in ("x/a.jsonl", "y/a.jsonl", "y/b.jsonl"):
        bench.jsonl(name, [{"instruction": name, "output": "b"}])
    done = bench.build(sources=[{"path": "*/*.jsonl", "name": "all"}])
    assert list(verdicts(done)) == ["all/x/a.jsonl:0", "all/y/a.jsonl:0", "all/y/b.jsonl:0"]
    assert list(verdicts(bench.build(sources=[{"path": ["y", "y/a.jsonl"]}]))) == ["y/a.jsonl:0", "y/b.jsonl:0"]


def test_too_many_bad_rows_stop_the_build(bench):
    path = bench.jsonl("a.jsonl", rows(500))
    path.write_bytes(path.read_bytes() + b"{bad\n" * 9)
    bench.build(sources=[{"path": "a.jsonl"}])
    path.write_bytes(path.read_bytes() + b"{bad\n")
    with pytest.raises(
        BudgetReached, match=r"10 of 510 rows cannot be read, more than max_bad \(1.00%\).*row 500.*invalid JSON"
    ):
        bench.build(sources=[{"path": "a.jsonl"}])
    bench.build(sources=[{"path": "a.jsonl", "max_bad": "2%"}])


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"path": "nope.jsonl"}, "no such file or folder"),
        ({"path": "a.jsnl"}, 'Did you mean "a.jsonl"'),
        ({"path": "empty"}, "has no data file"),
        ({"path": "*.parquet"}, "no data file matches"),
        ({"path": "a.txt"}, "unknown kind of file"),
        ({"path": "a.jsonl", "map": {"output": "answr"}}, 'no column "answr"'),
        ({"path": "a.jsonl", "map": {"outptu": "answer"}}, '"outptu" is not a field'),
    ],
)
def test_missing_inputs_are_found_before_any_work(bench, source, says):
    bench.jsonl("a.jsonl", [{"instruction": "a", "answer": "b"}])
    (bench.folder / "a.txt").write_text("x")
    (bench.folder / "empty").mkdir()
    with pytest.raises(InputError, match=says):
        bench.build(sources=[source])
    assert not (bench.folder / "out").exists()


def test_labels_meet_the_taxonomy(bench):
    labels = ["closed\u00a0QA", "Closed-QA", "closed_qa", "CLOSED QA", "ｍａｔｈ", "astrology", "", None]
    bench.jsonl(
        "a.jsonl", [{"instruction": f"task {i}", "output": "x", "class": label} for i, label in enumerate(labels)]
    )
    done = bench.build(
        taxonomy="belle",
        sources=[{"path": "a.jsonl", "map": {"instruction": "instruction", "output": "output", "ability": "class"}}],
    )
    table = pq.read_table(done.path / "data").sort_by("source_row")
    assert table["ability"].to_pylist() == ["closed_qa"] * 4 + ["math", "unknown", "unknown", "unknown"]
    assert table["meta"].to_pylist()[5:] == ['{"ability":"astrology"}', None, None]


def test_unmapped_columns_are_kept_in_meta(bench):
    bench.jsonl("a.jsonl", [{"instruction": "a", "output": "b", "score": 3, "tags": ["x"]}])
    done = bench.build(sources=[{"path": "a.jsonl", "origin": "some-model"}])
    row = pq.read_table(done.path / "data").to_pylist()[0]
    assert (row["meta"], row["origin"], row["lang"]) == ('{"score":3,"tags":["x"]}', "some-model", None)


def test_the_limit_counts_rows_of_each_source(bench):
    bench.jsonl("a/1.jsonl", rows(3))
    bench.jsonl("a/2.jsonl", rows(9))
    bench.jsonl("b.jsonl", rows(9))
    done = bench.build(sources=[{"path": "a"}, {"path": "b.jsonl"}], limit=5)
    assert list(verdicts(done)) == [
        *(f"a/1.jsonl:{i}" for i in range(3)),
        "a/2.jsonl:0",
        "a/2.jsonl:1",
        *(f"b/b.jsonl:{i}" for i in range(5)),
    ]


def test_real_files_are_read(bench, realdata):
    sources = [
        {"path": str(realdata / "alpaca_zh/human_checked_9251.jsonl")},
        {"path": str(realdata / "belle/zh_seed_tasks.jsonl")},
        {
            "path": str(realdata / "belle/eval_v1_labelled.jsonl"),
            "map": {"instruction": "question", "output": "std_answer", "ability": "class"},
        },
        {"path": str(realdata / "dolly/dolly_dev.jsonl"), "map": {"ability": "category"}},
        {"path": str(realdata / "gsm8k/train.jsonl")},
        {"path": str(realdata / "self_instruct/seed_tasks.jsonl")},
        {
            "path": str(realdata / "code/HumanEval.jsonl.gz"),
            "map": {"prompt": "prompt", "completion": "canonical_solution"},
        },
        {"path": str(realdata / "doit/gpteacher_roleplay.json")},
    ]
    done = bench.build(taxonomy="belle", sources=sources)
    assert not quarantined(done)
    assert done.manifest["totals"]["in"] >= 9251 + 175 + 1172 + 1495 + 7473 + 175 + 164 + 1923
    assert done.manifest["configs"]["full"]["by_ability"]["math"] == 153


class Stops(Engine):
    """Counts the blocks of each map; stops after `most`."""

    def __init__(self, most: int):
        self.most, self.maps = most, []

    def map(self, function, items):
        self.maps.append(0)
        for item in items:
            if sum(self.maps) == self.most:
                raise KeyboardInterrupt
            self.maps[-1] += 1
            yield function(item)


def test_small_files_go_to_the_engine_in_one_stream_and_are_remembered_one_by_one(bench):
    for i in range(6):
        bench.jsonl(f"in/{i}.jsonl", rows(3) if i % 2 else rows(i + 1))
    (bench.folder / "in/empty.jsonl").write_text("")
    plan = prepare(bench.recipe(sources=[{"path": "in", "name": "d", "damaged": "keep"}]))
    stopped = Stops(4)
    with pytest.raises(KeyboardInterrupt):
        read_sources(plan.inputs, [0.0], stopped, plan.context)
    assert stopped.maps == [4]
    again = Stops(100)
    shards = read_sources(plan.inputs, [0.0], again, plan.context)
    assert again.maps == [3]  # the last of the four, whose end nobody saw, and two more
    assert [s.rows for s in shards] == [1, 3, 3, 3, 5, 3]
    assert [s.key for s in shards] == [s.key for s in read_sources(plan.inputs, [0.0], Stops(0), plan.context)]
    assert [s.rows for s in read_sources(plan.inputs, [0.0], Stops(9), plan.context, limit=5)] == [1, 3, 1]
