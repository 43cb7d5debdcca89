"""`--recipe`: the recipe that mends what an audit found, with a line about each step, what it is there for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from instdata.audit.audited_set import TAXONOMY, Subject
from instdata.audit.findings import PERSONAL
from instdata.steps.dedup.suites import suites
from instdata.util.atomic import write_text
from instdata.util.errors import InputError
from instdata.util.paths import expanded
from instdata.util.safe_text import plain
from instdata.util.sizes_and_shares import WORD
from instdata.util.yaml import written_yaml


def write_mending(path: Path, subject: Subject, found: dict[str, Any], against: list[str]) -> None:
    """Write the recipe. Its paths start at its own folder, so that it moves along with the set."""
    base, counts = path.resolve().parent, found["counts"]
    base.mkdir(parents=True, exist_ok=True)
    parts = [f"# Written by `instdata audit`: mends what was found in {plain(found['set'])}.\n"]
    head = {"name": path.stem, "seed": 0, "taxonomy": TAXONOMY, "sources": [_source(subject, found, base)]}
    parts.append(_yaml(head))
    if counts["unlicensed"]:
        parts.append(f"  # {counts['unlicensed']:,} rows name no licence: where it is known, say license: here\n")
    if labels := subject.look.labelled:
        parts.append(f"  # column {plain(labels)}\n")
    parts.append("steps:\n")
    for why, step in _steps(found, [_moved(a, base) for a in against]):
        parts += [f"  # {why}\n", *(f"  {line}\n" for line in _yaml([step]).splitlines())]
    parts.append(
        "# to publish it: a license: of each source, and here  publish: {repo: owner/name, license: cc-by-4.0}\n"
    )
    write_text(path, "".join(parts))


def check_recipe_name(path: Path) -> None:
    """Raise InputError for a file that cannot become a recipe, or is there already."""
    if path.suffix not in (".yaml", ".yml") or not WORD.match(path.stem):
        raise InputError(
            f"--recipe {path}: a recipe is a file NAME.yaml; NAME has letters, digits, '_', '-' and '.' only"
        )
    if path.exists():
        raise InputError(f"--recipe {path}: it is there already; name a new file, or remove it first")


def _source(subject: Subject, found: dict[str, Any], base: Path) -> dict[str, Any]:
    source = subject.source.model_dump(mode="json", exclude_unset=True, exclude={"max_bad", "damaged"})
    paths = [_moved(p, base) for p in subject.source.paths]
    if paths:
        source["path"] = paths if len(paths) > 1 else paths[0]
    bad, rows = found["counts"]["unreadable"], found["counts"]["rows"]
    if bad:  # they are known now: the build need not stop at them
        source["max_bad"] = min(1.0, round(bad / (rows + bad) + 0.005, 2))
    if found["counts"]["damaged_files"]:
        source["damaged"] = "keep"
    return {**source, "name": subject.name}


def _moved(path: str, base: Path) -> str:
    """A path, or a well-known suite's name, as a recipe in `base` spells it."""
    return path if path in suites() and not Path(path).exists() else os.path.relpath(expanded(path), base)


def _steps(found: dict[str, Any], against: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """(why, step). What is wrong goes first, so that of two copies the sound one stays."""
    counts = found["counts"]
    personal = [f["rule"] for f in found["rules"]["fired"] if f["rule"] in PERSONAL and f["set"] == "strict"]
    steps: list[tuple[str, dict[str, Any]]] = [
        ("what can be mended is: invisible characters, leftovers, mojibake; each change is noted", {"clean": {}})
    ]
    if counts["unanswered"] == counts["rows"]:
        steps.append(("no row has an answer: a model writes them", {"generate": {"method": "respond"}}))
    elif counts["unanswered"]:
        steps.append((
            f"{counts['unanswered']:,} rows without an answer go; to have them answered, put here:  - generate: "
            f"{{method: respond}}",
            {"filter": {"where": "length(response) > 0"}},
        ))  # fmt: skip
    steps.append((
        f"{counts['defects']:,} rows with defects, {counts['secrets']:,} with keys, {counts['personal_data']:,} with "
        f"personal data",
        {"quality": {"rules": ["default", *personal]}},
    ))  # fmt: skip
    if against:
        steps.append((f"{counts['leaks']:,} rows that hold items of suites", {"decontaminate": {"against": against}}))
    if copies := counts["near_copies"]:
        steps.append((f"{copies:,} near copies", {"dedup": {"threshold": found["near_copies"]["threshold"]}}))
    steps.append(("an ability for every row", {"categorize": {}}))
    return steps


def _yaml(value: Any) -> str:
    return written_yaml(value, width=110)
