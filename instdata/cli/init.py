"""A first recipe for an empty folder: shipped seed tasks, the steps that need no extra, and where to go from there."""

from __future__ import annotations

import shutil
from pathlib import Path

from instdata.util.atomic import write_text
from instdata.util.errors import InputError
from instdata.util.resources import resource
from instdata.util.values import WORD

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


def write_recipe(name: str, folder: Path) -> list[Path]:
    """Write <name>.yaml and seeds/ into a folder; returns the files. Raises InputError rather than overwrite."""
    if not WORD.match(name):
        raise InputError(f'init {name}: a name is letters, digits, "_", "-" and "."')
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
