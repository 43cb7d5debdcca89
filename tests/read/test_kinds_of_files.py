"""Encodings, separators, workbooks, folders and links: what a file is, told by its bytes."""

from __future__ import annotations

import json
import re
import zipfile

import pyarrow.parquet as pq
import pytest

from instdata.build import build, prepare
from instdata.read.encoding import guess
from instdata.util.errors import InputError
from tests.read.test_damage import RECORDS, read

CHINESE = "写出一种水果的名字并说明它为什么对身体有好处。苹果含有丰富的维生素，可以帮助消化。"
JAPANESE = "果物を一つ挙げて、その理由を説明してください。りんごは体に良いからです。"


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        (CHINESE, "gbk", "gb18030"), (CHINESE, "gb18030", "gb18030"), (JAPANESE, "shift_jis", "shift_jis"),
        (CHINESE, "utf-16", "utf-16"), (JAPANESE, "utf-16-le", "utf-16-le"), (CHINESE, "utf-16-be", "utf-16-be"),
        (JAPANESE, "utf-8-sig", "utf-8"), (CHINESE, "utf-8", "utf-8"),
        ("과일 하나의 이름을 쓰시오. 사과는 몸에 좋습니다.", "euc_kr", None), (CHINESE, "big5hkscs", None),
        (JAPANESE, "euc_jp", None), ("Назовите один фрукт и объясните.", "cp1251", None),
    ],
)  # fmt: skip
def test_encodings_are_told_by_their_bytes_or_asked_for(bench, text, encoding, found):
    data = "".join(
        json.dumps({"instruction": f"{i} {text}", "output": text}, ensure_ascii=False) + "\n" for i in range(5)
    ).encode(encoding, "ignore")
    assert guess(data)[0] == found
    (bench.folder / "a.jsonl").write_bytes(data)
    if found is None:
        with pytest.raises(InputError, match="give the source its encoding:"):
            bench.build(sources=[{"path": "a.jsonl"}])
        source = {"path": "a.jsonl", "encoding": encoding}
    else:
        source = {"path": "a.jsonl"}
    done = bench.build(sources=[source])
    assert done.manifest["totals"]["kept"] == 5
    wanted = data.decode(encoding).lstrip("\ufeff")
    got = pq.read_table(done.path / "data").sort_by("source_row")["messages"].to_pylist()
    assert [m[-1]["content"] for m in got] == [json.loads(x)["output"] for x in wanted.splitlines()]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_of_any_delimiter(bench, delimiter):
    lines = [["instruction", "output"], *([f"Name, please, {i}", f"0{i}.10"] for i in range(9))]
    text = "\n".join(delimiter.join(f'"{c}"' for c in line) for line in lines)
    (bench.folder / "a.csv").write_text(text)
    for source in ({"path": "a.csv"}, {"path": "a.csv", "delimiter": delimiter}):
        assert bench.build(sources=[source]).manifest["totals"]["kept"] == 9
    with pytest.raises(InputError, match="no encoding known"):
        bench.build(sources=[{"path": "a.csv", "encoding": "utf-99"}])
    with pytest.raises(InputError, match="no delimiter"):
        bench.build(sources=[{"path": "a.csv", "delimiter": "ab"}])


def test_a_workbook(bench):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["instruction", "output"], ["Name a cup.", "Mug."], ["How many?", 42]):
        book.active.append(row)
    book.save(bench.folder / "a.xlsx")
    done = bench.build(sources=[{"path": "a.xlsx"}])
    assert done.manifest["totals"]["kept"] == 2
    book.create_sheet("more").append(["instruction", "output"])
    book["more"].append(["Name a tree.", "Oak."])
    book.create_sheet("notes").append(["by us"])
    book.save(bench.folder / "c.xlsx")
    said: list[str] = []
    for sheet, count, left in (
        ([], 2, ["more", "notes"]),
        ("more", 1, ["Sheet", "notes"]),
        (["Sheet", "more"], 3, ["notes"]),
    ):
        plan = prepare(bench.recipe(sources=[{"path": "c.xlsx", "sheet": sheet}]), say=said.append)
        done = build(plan, bench.folder / f"sheets-{count}")
        assert done.manifest["totals"]["kept"] == count
        assert done.manifest["sources"][0]["files"][0]["sheets_not_read"] == left
        assert any(f"sheets that are not read: {', '.join(left)} (sheet: " in line for line in said)
    with pytest.raises(InputError, match='no sheet "mor".*Did you mean "more"'):
        prepare(bench.recipe(sources=[{"path": "c.xlsx", "sheet": "mor"}]))
    (bench.folder / "b.xlsx").write_bytes((bench.folder / "a.xlsx").read_bytes()[:1500])
    with pytest.raises(InputError, match="workbook is damaged"):
        bench.build(sources=[{"path": "b.xlsx"}])


def test_a_workbook_without_dimensions_or_values_loses_no_cell(bench):
    """openpyxl's write_only mode tells no dimensions and computes nothing."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in (
        ["instruction", "output"],
        ["Name a cup.", "Mug.", "by ann", None, 7],
        [],
        ["=A2", "=B2"],
        ["Name a tree.", "=B2"],
        ["Name a sum that begins with its sign.", "Oak."],
    ):
        sheet.append(row)
    book.save(bench.folder / "a.xlsx")
    done = bench.build(sources=[{"path": "a.xlsx", "max_bad": "60%"}])
    assert done.manifest["totals"]["in"] == 4 and done.manifest["totals"]["quarantined"] == 2
    (row,) = [r for r in pq.read_table(done.path / "data/00-full.parquet").to_pylist() if r["source_row"] == 0]
    assert json.loads(row["meta"]) == {"column 3": "by ann", "column 5": 7}
    bad = [json.loads(line) for line in (done.path / "quarantine.jsonl").read_text().splitlines()]
    assert [b["error"].partition(":")[0] for b in bad] == ["instruction", "output"]
    assert "a formula without its value" in bad[0]["error"] and json.loads(bad[1]["raw"])["output"] == "=B2"
    with zipfile.ZipFile(bench.folder / "a.xlsx") as old, zipfile.ZipFile(bench.folder / "b.xlsx", "w") as new:
        for name in old.namelist():  # as Excel writes formulas: of text, the second and third of an empty one
            text = old.read(name).replace(b'"A4"><f>A2</f><v />', b'"A4" t="str"><f>A2</f><v>Name a cup.</v>')
            new.writestr(name, re.sub(rb'<c r="(B[45])"><f>', rb'<c r="\1" t="str"><f>', text))
    done = bench.build(sources=[{"path": "b.xlsx"}], steps=["quality"])
    assert done.manifest["totals"]["quarantined"] == 0 and done.manifest["totals"]["in"] == 4


def test_folders_with_all_below_and_what_is_left_out(bench):
    for name in ("d/a.jsonl", "d/x/b.jsonl", "d/x/y/c.jsonl", "d/old/d.jsonl", "d/._a.jsonl", "d/.git/e.jsonl"):
        bench.jsonl(name, [{"instruction": f"Say {name}", "output": "b"}])
    (bench.folder / "d/README.md").write_text("x")
    said = []

    def files(source):
        plan = prepare(bench.recipe(sources=[source]), say=said.append)
        return sorted(i.file for i in plan.inputs[0])

    assert files({"path": "d"}) == ["a.jsonl", "b.jsonl", "c.jsonl", "d.jsonl"]
    assert any("2 hidden (._a.jsonl, .git)" in line and "1 no data file (README.md)" in line for line in said)
    assert files({"path": "d/**/*.jsonl"}) == ["a.jsonl", "b.jsonl", "c.jsonl", "d.jsonl"]
    assert files({"path": "d", "exclude": ["old/*", "c.jsonl"]}) == ["a.jsonl", "b.jsonl"]
    assert files({"path": "d", "exclude": "**/old"}) == ["a.jsonl", "b.jsonl", "c.jsonl"]
    with pytest.raises(InputError, match="every file is left out"):
        files({"path": "d", "exclude": "*"})


def test_a_build_below_a_folder_is_not_read_again(bench):
    bench.jsonl("a.jsonl", RECORDS)
    assert bench.build(sources=[{"path": "."}]).manifest["totals"]["in"] == 20
    assert bench.build(sources=[{"path": "."}]).manifest["totals"]["in"] == 20


def test_a_link_that_points_nowhere(bench):
    bench.jsonl("d/a.jsonl", RECORDS)
    (bench.folder / "d/b.jsonl").symlink_to("gone")
    for path in ("d", "d/*.jsonl", "d/b.jsonl"):
        with pytest.raises(InputError, match="b.jsonl: a link that points nowhere") as stopped:
            bench.build(sources=[{"path": path}])
        assert stopped.value.exit_code == 4
    assert bench.build(sources=[{"path": "d", "exclude": "b*"}]).manifest["totals"]["kept"] == 20
    assert bench.build(sources=[{"path": "d", "damaged": "keep"}]).manifest["totals"]["kept"] == 20


def test_an_exam_in_logiqas_text_format(bench):
    block = "\nc\nSome like it.\nWho does?\nA.One\nB.Two\nC.Three\nD.Four\n"
    (bench.folder / "in").mkdir()
    (bench.folder / "in/Train.txt").write_text(block * 2 + "\nno answer\nA.x\n")
    (bench.folder / "in/README.txt").write_text("Exams.\n")
    done = bench.build(sources=[{"path": "in", "name": "s", "max_bad": 1.0}])
    assert done.manifest["totals"] == {"in": 3, "generated": 0, "kept": 2, "dropped": 0, "quarantined": 1}
    row = pq.read_table(done.path / "data/00-full.parquet").to_pylist()[0]
    asked = "Some like it.\n\nWho does?\nA. One\nB. Two\nC. Three\nD. Four"
    assert [m["content"] for m in row["messages"]] == [asked, "C"]


def test_excels_word_for_its_delimiter_and_rare_ones(tmp_path):
    for text in (b"sep=;\ninstruction;output\na,b;c\n", b"instruction^output\na,b^c\n"):
        (tmp_path / "a.csv").write_bytes(text)
        assert [dict(r) for r in read(tmp_path / "a.csv")] == [{"instruction": "a,b", "output": "c"}]


def test_an_encoding_is_told_where_most_lines_are_ascii(tmp_path):
    """An indented document: its keys and brackets stand on lines of their own."""
    records = [
        {
            "instruction": CHINESE,
            "n": i,
            "m": [1, 2, 3],
            "output": "a",
        }
        for i in range(9)
    ]
    (tmp_path / "a.json").write_bytes(json.dumps(records, indent=1, ensure_ascii=False).encode("gb18030"))
    assert [dict(r) for r in read(tmp_path / "a.json")] == records


def test_lines_that_end_as_on_an_old_macintosh(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"instruction,output\rName a tree.,Oak.\rName a cup.,Mug.\r")
    assert [r["output"] for r in read(tmp_path / "a.csv")] == ["Oak.", "Mug."]
