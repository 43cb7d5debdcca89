from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instdata.corpus.taxonomy import Taxonomy, load_taxonomy, normalise_label
from instdata.util.errors import InputError
from instdata.util.resources import resource

GOOD = """\
name: mine
abilities:
  - name: closed_qa
    description: Answer from the passage.
    aliases: [reading comprehension, 闭卷问答]
    label: {zh: 阅读问答, en: Closed QA}
  - name: math
    description: Sums.
    scorer: number
    judge: {reference: true, rubric: {en: right or wrong}}
    examples: [{instruction: "1+1?", response: "2"}]
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "t.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def fails(tmp_path: Path, text: str) -> str:
    with pytest.raises(InputError) as e:
        load_taxonomy(write(tmp_path, text))
    return str(e.value)


@pytest.mark.parametrize("name", [p.stem for p in sorted(resource("taxonomy").glob("*.yaml"))])
def test_shipped_taxonomies_load(name):
    taxonomy = load_taxonomy(name)
    assert taxonomy.name == name
    assert all(a.examples for a in taxonomy.abilities)


def test_labels_meet_their_ability(tmp_path):
    taxonomy = load_taxonomy(write(tmp_path, GOOD))
    raw = pa.array(
        [
            "closed\u00a0QA",
            "Closed-QA",
            "CLOSED__qa ",
            "Reading Comprehension",
            "阅读问答",
            "ＭＡＴＨ",
            "poetry",
            "",
            None,
            "closed_qa\u200b",
        ]
    )
    expected = ["closed_qa"] * 5 + ["math", None, None, None, "closed_qa"]
    assert taxonomy.match(raw).to_pylist() == expected
    assert taxonomy.match(pa.chunked_array([raw, raw])).to_pylist() == expected * 2
    assert taxonomy.match(pa.array([], pa.string())).to_pylist() == []
    assert taxonomy.match(pa.array([1, None])).to_pylist() == [None, None]


def test_relative_paths_start_at_the_recipe(tmp_path):
    write(tmp_path, GOOD)
    assert load_taxonomy("t.yaml", tmp_path).names == ["closed_qa", "math"]


def test_digest_follows_content(tmp_path):
    one = load_taxonomy(write(tmp_path, GOOD)).digest()
    assert one == load_taxonomy(write(tmp_path, "# a comment\n" + GOOD)).digest()
    assert one != load_taxonomy(write(tmp_path, GOOD.replace("Sums.", "Sums!"))).digest()


def test_errors_name_file_line_and_remedy(tmp_path):
    text = fails(tmp_path, GOOD.replace("scorer: number", "scorrer: number"))
    assert "t.yaml:9: " in text and 'Did you mean "scorer"?' in text
    text = fails(tmp_path, GOOD.replace("scorer: number", "scorer: numbers"))
    assert "t.yaml:9: " in text and 'Did you mean "number"?' in text
    both = fails(tmp_path, GOOD.replace("    description: Sums.\n", "").replace("scorer: number", "scorer: 3"))
    assert both.count("t.yaml:") == 2 and "description is missing" in both


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "t.yaml:1: a taxonomy is a mapping"),
        ("name: x\nabilities: []\n", "t.yaml:2: abilities is empty"),
        ("name: x\n", "abilities is missing"),
        ("- 1\n", "t.yaml:1: "),
        (
            "name: x\nabilities:\n- {name: a, description: b}\n- {name: A, description: c}\n",
            't.yaml:4: "A" already names ability "a"',
        ),
        (
            "name: x\nabilities:\n- {name: a, description: b}\n- {name: a, description: c}\n",
            't.yaml:4: "a" already names ability "a"',
        ),
        (
            "name: x\nabilities:\n- {name: a, description: b}\n- {name: c, description: c, aliases: [A]}\n",
            't.yaml:4: "A" already names',
        ),
        ("name: x\nabilities:\n- {name: Unknown, description: b}\n", "cannot name an ability"),
        ("name: x\nabilities:\n- {name: '--', description: b}\n", "cannot name an ability"),
        ("name: x\nname: y\nabilities:\n- {name: a, description: b}\n", 't.yaml:2: the key "name" stands here twice'),
        ("name: !!python/object/apply:os.system ['true']\n", "t.yaml:1: "),
        ("name: !!python/name:os.system ''\n", "is not allowed"),
        ("name: [\n", "not valid YAML"),
        ("name: x\nabilities: &a [*a]\n", "too deep once its aliases"),
    ],
)
def test_bad_files_are_one_clear_line(tmp_path, text, says):
    assert says in fails(tmp_path, text)


def test_alias_bombs_and_deep_nesting_stop_early(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    assert "too large" in fails(tmp_path, "\n".join(lines))
    assert "nested too deeply" in fails(tmp_path, "name: " + "[" * 20_000)


def test_not_text(tmp_path):
    path = tmp_path / "t.yaml"
    path.write_bytes(b"name: \xff\n")
    with pytest.raises(InputError, match="not UTF-8"):
        load_taxonomy(path)


def test_unknown_names_suggest():
    with pytest.raises(InputError, match='Did you mean "belle"'):
        load_taxonomy("bele")
    with pytest.raises(InputError, match=r"missing\.yaml: cannot be read"):
        load_taxonomy("missing.yaml")


@given(st.text(max_size=30))
def test_normalising_twice_changes_nothing(text):
    once = normalise_label(text)
    assert normalise_label(once) == once


def test_a_taxonomy_of_a_thousand(tmp_path):
    rows = "".join(f"- {{name: ability {i}, description: d}}\n" for i in range(1000))
    taxonomy: Taxonomy = load_taxonomy(write(tmp_path, "name: big\nabilities:\n" + rows))
    assert taxonomy.match(pa.array(["Ability_999"])).to_pylist() == ["ability 999"]


def test_examples_beside_the_file_are_read_and_part_of_the_digest(tmp_path):
    before = load_taxonomy(write(tmp_path, GOOD)).digest()
    (tmp_path / "examples").mkdir()
    lines = tmp_path / "examples" / "t.en.jsonl"
    lines.write_text(
        '{"ability": "math", "instruction": "Add.", "input": "1, 2"}\n{"ability": "unknown", "instruction": "Sort."}\n'
    )
    taxonomy = load_taxonomy(tmp_path / "t.yaml")
    assert [e.input for e in taxonomy.labelled] == ["1, 2", ""] and taxonomy.digest() != before
    lines.write_text('{"ability": "maths", "instruction": "Add."}\n{"ability": "math"}\nx\n', encoding="utf-8")
    with pytest.raises(InputError) as e:
        load_taxonomy(tmp_path / "t.yaml")
    said = str(e.value)
    assert 't.en.jsonl:1: unknown ability "maths". Did you mean "math"?' in said
    assert "t.en.jsonl:2: instruction is missing" in said and "t.en.jsonl:3: " in said
    lines.unlink()
    (tmp_path / "examples" / "t.read.json").write_text("[1]")
    with pytest.raises(InputError, match="not a mapping from abilities"):
        load_taxonomy(tmp_path / "t.yaml")


@pytest.mark.parametrize("name", ["belle"])
def test_shipped_examples_are_many_of_each_and_never_twice(name):
    shown = load_taxonomy(name).labelled
    keys = [(e.instruction.casefold(), e.input.casefold()) for e in shown]
    assert len(set(keys)) == len(keys)
    chinese = [any("\u4e00" <= c <= "\u9fff" for c in e.instruction) for e in shown]
    for ability in load_taxonomy(name).names:
        count = [sum(e.ability == ability and z == zh for e, z in zip(shown, chinese)) for zh in (True, False)]
        assert min(count) >= 60, (ability, count)
