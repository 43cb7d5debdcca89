"""`instdata init`: a first recipe for an empty folder: shipped seed tasks, steps that need no extra, and what next."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from instdata.cli.common import AsJson, Quiet, result
from instdata.util.atomic import write_text
from instdata.util.errors import InputError
from instdata.util.resources import resource
from instdata.util.safe_text import plain

RECIPE = """\
# yaml-language-server: $schema=recipe.schema.json
# What this does: `instdata build {file}`. The grammar by example: docs/recipes.md; `instdata schema` for your editor.
name: {name}
seed: 0
taxonomy: belle
sources:
  - path: seeds/*.jsonl        # put your own data here: jsonl, json, csv, tsv, parquet, also .gz and .zst
    name: seeds
    license: apache-2.0
steps:
  # - generate: {{target: 200}}  # more rows from the seeds: pip install 'instdata[local]'
  - clean                      # mend broken encodings, invisible characters, leftovers of prompts
  - categorize: {{method: auto}}   # label the rows that have no ability
  - holdout: {{per_ability: 20}}   # the exam: taken out before what it is to judge, at most half of an ability
  - dedup: {{method: minhash, view: prompt, threshold: 0.7}}
  - quality: {{rules: default}}
subsets: {{by: ability, sizes: [10%, 30%, 50%, 100%]}}
publish: {{license: apache-2.0, private: true}}
"""


TAXONOMY = """\
# Abilities of your own. `name` and `description` are needed, the rest helps: docs/taxonomy.md tells each key.
# Use it: `taxonomy: {file}` in a recipe beside it; `instdata validate` finds every mistake in it.
name: {name}
abilities:
  - name: refund                       # what the column ability holds
    description: The customer wants money back, or asks when it will come.
    label: {{en: refund, zh: 退款}}      # how people read it
    aliases: [refunds, money_back]     # what labels of other data call it
    examples:                          # shown to models that label or write rows; they teach the classifier, too
      - {{instruction: "I returned the shoes last week. When do I get my money?", response: Refunds arrive within five days.}}
      - {{instruction: "订单取消了，钱什么时候退回来？", response: 退款会在五个工作日内到账。}}
    scorer: judge                      # exact, number, choice, label, contains, f1, json, unit_tests, distractors, judge
    judge:
      reference: false                 # true: the judge sees the reference answer
      rubric: {{en: "Is the answer right and polite?", zh: "回答是否正确、礼貌？"}}
  - name: delivery
    description: Where a parcel is, when it comes, a change of address.
    examples:
      - {{instruction: "Where is parcel 1042?", response: It left the depot this morning and comes tomorrow.}}
    scorer: f1
"""  # noqa: E501


def _check_name(name: str) -> None:
    from instdata.util.sizes_and_shares import WORD

    if not WORD.match(name):
        raise InputError(f'init {name}: a name is letters, digits, "_", "-" and "."')


def write_taxonomy(name: str, folder: Path) -> list[Path]:
    """Write <name>.taxonomy.yaml, a taxonomy to begin with, into a folder. Raises InputError rather than overwrite."""
    _check_name(name)
    path = folder / f"{name}.taxonomy.yaml"
    if path.exists():
        raise InputError(f"{path} is there already: choose another name, or remove it")
    write_text(path, TAXONOMY.format(name=name, file=path.name))
    return [path]


def write_recipe(name: str, folder: Path) -> list[Path]:
    """Write <name>.yaml and seeds/ into a folder; returns the files. Raises InputError rather than overwrite."""
    _check_name(name)
    recipe = folder / f"{name}.yaml"
    files = {folder / "seeds" / f.name: f for f in sorted(resource("recipes/seeds").glob("belle_*.jsonl"))}
    files[folder / "recipe.schema.json"] = resource("recipes/recipe.schema.json")
    changed = [p for p, ours in files.items() if p.exists() and p.read_bytes() != ours.read_bytes()]
    if recipe.exists():
        raise InputError(f"{recipe} is there already: choose another name, or remove it")
    if changed:
        raise InputError(f"{changed[0]} is there already and is another file: remove or rename it")
    (folder / "seeds").mkdir(exist_ok=True)
    for target, ours in files.items():
        shutil.copyfile(ours, target)
    write_text(recipe, RECIPE.format(name=name, file=recipe.name))
    return [recipe, *files]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(init)


def init(
    name: Annotated[str, typer.Argument(help="The recipe's name.")] = "dataset",
    taxonomy: Annotated[
        bool, typer.Option("--taxonomy", help="Write a taxonomy file to begin with instead: NAME.taxonomy.yaml.")
    ] = False,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write a first recipe and the seed tasks that it reads, ready to build."""
    files = write_taxonomy(name, Path()) if taxonomy else write_recipe(name, Path())
    now = f"now: taxonomy: {files[0]} in a recipe here" if taxonomy else f"now: instdata build {files[0]}"
    result(
        {"files": [str(f) for f in files]},
        json_,
        lambda: print(plain(f"wrote {', '.join(map(str, files))}\n{now}")),
        quiet,
    )
