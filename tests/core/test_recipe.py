"""Recipes: every error at once with its line, `--set`, ${NAME}, sizes, the JSON schema."""

from __future__ import annotations

import json
import os

import jsonschema
import pytest
import yaml

from instdata.build import prepare
from instdata.recipe.load import read_recipe
from instdata.recipe.model import json_schema
from instdata.util.errors import InputError
from instdata.util.resources import resource
from instdata.util.sizes_and_shares import parse_size, share
from instdata.util.yaml import parse_yaml
from tests.conftest import Bench, rows


def problems(path, sets=()):
    with pytest.raises(InputError) as caught:
        read_recipe(path, sets)
    return [(line, message) for _, line, message in caught.value.problems]


def test_every_problem_is_reported_with_its_line(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(
        """\
name: my set
sed: 3
sources:
  - pth: a.jsonl
  - {path: b.jsonl, format: alpcaa}
steps:
  - dedupe: {threshold: 0.7}
  - sample: {share: 10%, rows: 3}
  - filter: {were: "1 = 1"}
  - mix: {weights: {a: 1}}
    extra: {}
subsets: {sizes: [10%, 1O0%]}
"""
    )
    found = dict(problems(path))
    assert "letters, digits" in found[1]
    assert found[2] == 'unknown key "sed" in the recipe. Did you mean "seed"?'
    assert found[4] in (
        'unknown key "pth" in sources.0. Did you mean "path"?',
        "sources.0: a source needs either path: or hub:",
    )
    assert "alpaca" in found[5] and "alpcaa" in found[5]
    assert found[7] == 'unknown step "dedupe". Did you mean "dedup"?'
    assert found[8] == "step sample: give either rows: or share:"
    assert any(line == 9 and 'unknown key "were"' in m and 'Did you mean "where"' in m for line, m in problems(path))
    assert "a step is one" in found[10]
    assert '"1O0%" is not a size' in found[12]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: [", "not valid YAML"),
        ("- a list", "a recipe is a mapping"),
        ("name: !!python/object:os.system {}", "not allowed"),
        ("name: a\nname: b", "stands here twice"),
        (
            "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
            + "\n".join(f"{n}: &{n} [{', '.join([f'*{p}'] * 10)}]" for p, n in zip("abcdefgh", "bcdefghi")),
            "too large",
        ),
        ("name: t\nsources: [{path: '${NO_SUCH_NAME}'}]", "NO_SUCH_NAME is not set"),
        ("name: t\nsources: [{path: '${OPENAI_API_KEY}'}]", "looks like a secret"),
        ("name: t\nsources: []", "at least 1 item"),
        ("name: t\nsources: [{path: a}]\nsteps: [{sample: {rows: 1}}, {sample: {rows: 2}}]", "two steps are named"),
        ("name: ../../etc\nsources: [{path: a}]", "names a folder"),
        ("x: " + "[" * 3000, "not valid YAML|too deep"),
        ('name: t\nsources: [{path: a, max_bad: "\\uD800"}]', "r.yaml:2: .*half a character"),
        ('name: t\n"\\uDC80": 1\nsources: [{path: a}]', "r.yaml:2: .*half a character"),
        ("name: t\nsources: [{path: 'a${ODD}'}]", "ODD is not UTF-8"),
    ],
)
def test_bad_yaml_is_one_clear_line(tmp_path, monkeypatch, text, says):
    monkeypatch.setitem(os.environ, "ODD", "\udcff")  # a byte that is not UTF-8
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        read_recipe(path)


@pytest.mark.parametrize("more", [{"license": "\ud800"}, {"\ud800": 1}, {"map": {"output": "a\udfff"}}])
def test_a_mapping_with_half_a_character_is_one_clear_line(more):
    with pytest.raises(InputError, match="half a character"):
        prepare({"name": "t", "sources": [{"path": "a", **more}]})


def test_set_reaches_every_value(tmp_path, monkeypatch):
    monkeypatch.setenv("FOLDER", "data")
    path = tmp_path / "r.yaml"
    path.write_text(
        "name: t\nsources:\n  - path: ${FOLDER}/a.jsonl\nsteps:\n  - sample: {rows: 5}\n  - filter:\n      where: "
        "lang = 'zh'\n"
    )
    sets = [
        "seed=7",
        "sources.0.path=b.jsonl",
        "sample.rows=9",
        "filter.where=1 = 1",
        "subsets.sizes=[10%, 2k]",
        "publish.repo=me/x",
        "steps.0.sample.name=s",
    ]
    recipe = read_recipe(path, sets)
    assert (recipe.seed, recipe.sources[0].path, recipe.steps[0].rows, recipe.steps[1].where) == (
        7,
        "b.jsonl",
        9,
        "1 = 1",
    )
    assert (recipe.subsets.sizes, recipe.publish.repo, recipe.steps[0].name) == (["10%", "2k"], "me/x", "s")
    assert read_recipe(path).sources[0].path == "data/a.jsonl"
    for bad, says in [
        ("nope.x=1", "no key or step"),
        ("sources.3.path=x", "not one of the 1"),
        ("seed", "write key=value"),
        ("sample=3", "name an option"),
        ("smple.rows=1", 'Did you mean "sample"'),
    ]:
        with pytest.raises(InputError, match=says):
            read_recipe(path, [bad])


@pytest.mark.parametrize(
    ("text", "name", "rows_"),
    [
        ("600", "600", 600),
        (600, "600", 600),
        ("600k", "600k", 600_000),
        ("0.2M", "0.2M", 200_000),
        ("10%", "10pct", 100),
        ("2.5%", "2.5pct", 25),
        ("100%", "100pct", 1000),
        ("0.01%", "0.01pct", 1),
    ],
)
def test_sizes(text, name, rows_):
    size = parse_size(text)
    assert (size.name, size.of(1000)) == (name, rows_)


@pytest.mark.parametrize("bad", ["", "x", "-5", "0", "0%", "101%", "1.5", "nan", "inf", True, "10 %x", "1e999"])
def test_bad_sizes(bad):
    with pytest.raises(ValueError):
        parse_size(bad)


def test_shares():
    assert (share("1%"), share(0.01), share("0.5")) == (0.01, 0.01, 0.5)
    with pytest.raises(ValueError):
        share("150%")


def test_per_ability_has_two_spellings(tmp_path):
    for i, text in enumerate(["{per_ability: [1, 4]}", "{sizes: {per_ability: [1, 4]}}"]):
        path = tmp_path / f"{i}.yaml"
        path.write_text(f"sources: [{{path: a}}]\nsubsets: {text}\n")
        assert [s.name for s in read_recipe(path).subsets.parsed] == ["1-per-ability", "4-per-ability"]


def test_preflight_finds_everything_before_any_work(bench):
    bench.jsonl("a.jsonl", rows(3))
    bench.jsonl("odd.jsonl", [{"text": "no known format"}])
    path = bench.recipe(
        taxonomy="bele",
        sources=[
            {"path": "missing.jsonl"},
            {"path": "a.jsonl", "map": {"output": "outptu"}},
            {"path": "odd.jsonl"},
            {"path": "a.jsonl", "name": "odd"},
        ],
        steps=[{"filter": {"where": "1 = 1"}}],
    )
    with pytest.raises(InputError) as caught:
        prepare(path)
    text = str(caught.value)
    for part in (
        'unknown taxonomy "bele"',
        "missing.jsonl: no such file",
        'no column "outptu". Did you mean "output"?',
        "the format is not clear",
        'two sources are named "odd"',
    ):
        assert part in text
    assert all(line for _, line, _ in caught.value.problems[:2])


def test_shipped_recipes_fit_the_schema():
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    shipped = json.loads(resource("recipes/recipe.schema.json").read_text())
    assert shipped == schema, "options changed: run `make schema`"
    paths = sorted(resource("recipes").glob("*.yaml"))
    assert {"belle", "doit", "alpaca"} <= {p.stem for p in paths}
    for path in paths:
        assert path.read_text().startswith("# yaml-language-server: $schema=recipe.schema.json"), path
        validator.validate(yaml.safe_load(path.read_text()))
        read_recipe(path)
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({"sources": [{"path": "a"}], "steps": [{"dedupe": {}}]})


def test_the_resolved_recipe_reads_back(bench):
    bench.jsonl("a.jsonl", rows(20))
    done = bench.build(
        sources=[{"path": "a.jsonl"}],
        steps=[{"name": "half", "sample": {"share": "50%"}}, {"filter": {"where": "1 = 1"}}],
        subsets={"sizes": ["10%", 4]},
    )
    (bench.folder / "again.yaml").write_text((done.path / "recipe.yaml").read_text())
    assert prepare(bench.folder / "again.yaml").sha256 == done.manifest["recipe_sha256"]
    assert "auto" not in (done.path / "recipe.yaml").read_text()


def test_yaml_keeps_lines():
    document = parse_yaml("a:\n  - b: 1\n  - c: 2\n", "f")
    assert document.line(("a", 1, "c")) == 3
    assert document.line(("a", 1, "nope")) == 3


@pytest.mark.parametrize(
    ("publish", "said"),
    [
        ({"license": "Apache 2.0"}, 'Did you mean "apache-2.0"'),
        ({"license": "my own words"}, "license: other, with license_name"),
        ({"license": "other"}, "needs license_name: and license_link"),
        ({"license": "mit", "license_name": "x"}, "belongs to license: other"),
    ],
)
def test_a_licence_is_one_that_the_hub_takes(publish, said):
    with pytest.raises(InputError, match=said):
        read_recipe({"name": "r", "sources": [{"path": "d.jsonl"}], "publish": publish})


def test_a_licence_of_ones_own_has_a_name_and_a_link():
    own = {"license": "other", "license_name": "mine", "license_link": "https://example.org/licence"}
    assert read_recipe({"sources": [{"path": "d.jsonl"}], "publish": own}).publish.license_name == "mine"
    assert read_recipe({"sources": [{"path": "d.jsonl"}], "publish": {"license": "MIT"}}).publish.license == "mit"


@pytest.mark.parametrize(("verify", "said"), [
    ("maybe", "verify: true or false, or a mapping is needed, {key: value} (got 'maybe')"),
    ({"drws": 3}, 'unknown key "drws" in verify. Did you mean "draws"?'),
    ({"draws": "z"}, "verify.draws: a whole number is needed (got 'z')"),
])  # fmt: skip
def test_a_value_of_several_kinds_is_told_of_once(verify: object, said: str, bench: Bench) -> None:
    """Not of the kind that was not meant, too."""
    (bench.folder / "d.jsonl").write_text("{}\n")
    path = bench.recipe(sources=[{"path": "d.jsonl"}], steps=[{"generate": {"target": 3, "verify": verify}}], taxonomy="belle")  # fmt: skip
    with pytest.raises(InputError) as e:
        prepare(path)
    told = [message for _, _, message in e.value.problems]
    assert len(told) == 1 and told[0].endswith(said)
