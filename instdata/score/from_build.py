"""What the harness takes from a build: its taxonomy, its evaluation items, its rows in the order of its sizes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as pc

from instdata.builds import manifest, recipe_of, rows_of
from instdata.corpus.rows import UNKNOWN, Messages, talks_of
from instdata.corpus.taxonomy import Ability, Taxonomy, load_taxonomy
from instdata.score.holdout_items import HOLDOUT, holdout_items
from instdata.score.item import Item
from instdata.score.suites import read_suite
from instdata.util.atomic import digest
from instdata.util.checksums import part
from instdata.util.errors import InputError
from instdata.util.paths import beside

HUMAN, SYNTHETIC = "human", "synthetic"
ORIGINS = ("mixed", HUMAN, SYNTHETIC)


def slug(text: str) -> str:
    """The text as a folder's name."""
    return re.sub(r"[^\w.-]+", "-", text)


def manifest_digest(build: Path) -> str:
    """sha256 of the build's manifest: which build a result belongs to."""
    return digest(part(build, "manifest.json"))


def taxonomy_of(build: Path, given: str | None = None) -> Taxonomy:
    """The build's taxonomy; `given` overrides it. A recipe's relative path starts here, or beside builds/. Where the
    recipe names none, abilities are those of the rows, scored by distractors. Raises InputError."""
    named = given or recipe_of(build).get("taxonomy")
    if named:
        homes = [Path(), beside(build, "")]
        home = next((h for h in homes if (h / named).is_file()), Path())
        if given is None and named.endswith((".yaml", ".yml")) and not (home / named).is_file():
            raise InputError(f"{build}: its recipe's taxonomy {named} is not here: give it with --taxonomy FILE")
        return load_taxonomy(named, home)
    names = sorted({a for c in manifest(build)["configs"].values() for a in c["by_ability"]} - {UNKNOWN}) or ["all"]
    return Taxonomy(name="rows", abilities=[Ability(name=n, description=n, scorer="distractors") for n in names])


def items_of(build: Path, taxonomy: Taxonomy, suites: Sequence[Path] = (), most: int | None = None) -> list[Item]:
    """The build's held out rows, or the items of suites; at most `most` of each suite, evenly over its abilities,
    chosen by the items' ids."""
    read = [read_suite(path, taxonomy) for path in suites] or [holdout_items(build, taxonomy)]
    names = [items[0].suite for items in read if items]
    if suites and HOLDOUT in names:
        raise InputError(
            f'--suite: "{HOLDOUT}" is what the rows are called that a build held out: give the suite another `name:`'
        )
    if len(set(names)) < len(names):
        raise InputError(f"--suite: two suites are called {max(names, key=names.count)}: give one another `name:`")
    found = [i for items in read for i in items]
    if most is None:
        return found
    kept: list[Item] = []
    for suite in dict.fromkeys(i.suite for i in found):
        by: dict[str, list[Item]] = {}
        for item in sorted((i for i in found if i.suite == suite), key=lambda i: i.id):
            by.setdefault(item.ability, []).append(item)
        turns = [mine[n] for n in range(most) for mine in by.values() if n < len(mine)]
        chosen = {i.id for i in turns[:most]}
        kept += [i for i in found if i.suite == suite and i.id in chosen]
    return kept


def with_distractors(items: list[Item], kinds: Sequence[str]) -> list[Item]:
    """The items, with the distractors made that they lack, where those are scored."""
    if "distractors" not in kinds:
        return items
    from instdata.score.distractors import make

    return make(items)


def split_items(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """(validation, test): halves of each ability, by the items' ids; items about one passage stay together. A recipe
    that chooses its best epoch on validation may not be scored on it."""
    validation: set[str] = set()
    for units in units_of(items):
        left = sum(map(len, units)) // 2
        for unit in units:
            if len(unit) > left:
                break
            validation |= {i.id for i in unit}
            left -= len(unit)
    return [i for i in items if i.id in validation], [i for i in items if i.id not in validation]


def units_of(items: Sequence[Item]) -> list[list[list[Item]]]:
    """For every suite and ability its items as draws of their own: those of one cluster together, by their first
    ids."""
    by: dict[tuple[str, str], dict[str, list[Item]]] = {}
    for item in sorted(items, key=lambda i: i.id):
        by.setdefault((item.suite, item.ability), {}).setdefault(item.cluster or item.id, []).append(item)
    return [list(units.values()) for units in by.values()]


def draws_of(items: Sequence[Item]) -> dict[str, int]:
    """How many draws each ability's items are, those of one cluster being one."""
    found: Counter[str] = Counter()
    for units in units_of(items):
        found[units[0][0].ability] += len(units)
    return dict(found)


def rows_in_order(build: Path, config: str = "full", origin: str = "mixed") -> tuple[list[str], list[Messages]]:
    """(ids, conversations) of a config in the ladder's order; `origin`: human, synthetic (a model wrote the answer) or
    mixed (all)."""
    ids: list[str] = []
    talks: list[Messages] = []
    for batch in rows_of(build, config, ["id", "messages", "origin", "tools"]):
        if origin != "mixed":
            is_human = pc.equal(batch["origin"], HUMAN)
            batch = batch.filter(is_human if origin == HUMAN else pc.invert(is_human))
        ids += batch["id"].to_pylist()
        talks += talks_of(batch)
    return ids, talks


def sizes_of(build: Path) -> list[tuple[str, int]]:
    """(config, rows) of the build's sizes, ascending; of equal ones the first. `full` where the recipe gave none."""
    configs = manifest(build)["configs"]
    named = [(n, c["rows"]) for n, c in configs.items() if n not in ("full", "holdout")]
    found: dict[int, str] = {}
    for name, rows in [*named, ("full", configs["full"]["rows"])]:
        if rows:
            found.setdefault(rows, name)
    return [(name, rows) for rows, name in sorted(found.items())]
