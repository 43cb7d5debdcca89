"""Evaluation items that a build held out, and what every item has: an id, the options that its question lists."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from instdata.corpus.cached_tables import read_parquet
from instdata.corpus.rows import UNKNOWN, Rows, talks_of
from instdata.corpus.taxonomy import Taxonomy
from instdata.score.item import LETTERS, Item
from instdata.util.build_context import Context
from instdata.util.checksums import part
from instdata.util.errors import InputError

HOLDOUT = "holdout"  # what the suite made of a build's held out rows is called
# A choice as it stands in a question, at the start of a line or after a blank: `A. yes`, `(B) no`, `C、…`, `D：…`
OPTION = re.compile(
    r"(?:^|(?<=[\s\u3000]))(?:[(（]([A-J])[)）][.．、:：]?|([A-J])[.．、:：)）])[^\S\n]*(?=\S)", re.MULTILINE
)


def holdout_items(build: Path, taxonomy: Taxonomy) -> list[Item]:
    """The rows that a build held out, in their order; the scorer is their ability's. Rows of unknown ability are scored
    by distractors. Raises InputError where the build held nothing out."""
    path = part(build, "data/holdout.parquet")
    if not path.is_file():
        raise InputError(
            f"{build} held no rows out: add `- holdout: {{per_ability: 20}}` to its recipe, or give --suite"
        )
    scorers = {a.name: a.scorer for a in taxonomy.abilities}
    table = read_parquet(path)
    items = []
    given = Rows(table, Context()).view("given").to_pylist()
    for (*turns, answer), ability, passage in zip(talks_of(table), table["ability"].to_pylist(), given):
        ability = ability or UNKNOWN
        scorer = scorers.get(ability, "distractors")
        choices = choices_in(turns[-1]["content"]) if scorer == "choice" else None
        id = item_id(turns, answer["content"], HOLDOUT)
        items.append(
            Item(id, ability, turns, answer["content"], choices, scorer, None, HOLDOUT, cluster=cluster_of(passage))
        )
    return items


def cluster_of(given: str | None) -> str | None:
    """Names the passage (table, text, code) that a question is about, so that items about the same one are known as
    kin; None for a few characters, which many questions share by chance."""
    text = " ".join((given or "").split())
    return (
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest() if len(text) >= 40 else None
    )


def choices_in(question: str) -> list[str] | None:
    """The options that a question lists as A, B, C, … (two or more, in order, each once); None where it lists none."""
    found = list(OPTION.finditer(question))
    last = [i for i, m in enumerate(found) if option_letter(m) == "A"]
    run: list[re.Match[str]] = []
    for m in found[last[-1] :] if last else []:
        if option_letter(m) != LETTERS[len(run)]:
            break
        run.append(m)
    ends = [*(m.start() for m in run[1:]), len(question)]
    options = [question[m.end() : end].strip() for m, end in zip(run, ends)]
    if options and "\n\n" in options[-1]:  # what follows a blank line belongs to the question
        options[-1] = options[-1].split("\n\n")[0].strip()
    return options if len(options) > 1 and all(options) else None


def option_letter(match: re.Match[str]) -> str:
    """The letter of a match of OPTION."""
    return match[1] or match[2]


def item_id(
    messages: list[dict[str, Any]],
    reference: str | None,
    suite: str,
    tests: str | None = None,
    choices: list[str] | None = None,
) -> str:
    """32 hex digits for an item, each part length-prefixed so that no two collide by joining. What most items lack
    (tests, choices in another order than the question's, thoughts, tools) adds to it where it is there."""
    digest = hashlib.blake2b(digest_size=16)
    more = [{k: v for k, v in m.items() if k not in ("role", "content", "weight")} for m in messages]
    own = [tests, choices if choices != choices_in(messages[-1]["content"]) else None, more if any(more) else None]
    rest = [json.dumps(own, sort_keys=True)] if any(own) else []
    for piece in [suite, *(p for m in messages for p in (m["role"], m["content"])), reference or "", *rest]:
        data = piece.encode("utf-8", "surrogatepass")
        digest.update(f"{len(data)}:".encode() + data)
    return digest.hexdigest()
