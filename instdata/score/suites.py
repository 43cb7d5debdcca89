"""Suites: files of evaluation items that somebody wrote."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from instdata.corpus.taxonomy import SCORERS, Taxonomy
from instdata.read.adapters import adapt
from instdata.read.blocks import Bad, decode, kind_of, raw_blocks
from instdata.read.field_text import BadRow
from instdata.read.formats import columns
from instdata.score.extract.number_reference import reference_of
from instdata.score.holdout_items import OPTION, choices_in, cluster_of, item_id, option_letter
from instdata.score.item import LETTERS, Item
from instdata.score.scorers import unusable
from instdata.util.errors import InputError
from instdata.util.yaml import did_you_mean, load_yaml

FIELDS = (
    "ability",
    "messages",
    "instruction",
    "input",
    "reference",
    "choices",
    "scorer",
    "tests",
    "distractors",
    "cluster",
)
SUITE = ("name", "items", "out_of_domain", "ability", "scorer", "map")


def read_suite(path: Path, taxonomy: Taxonomy) -> list[Item]:
    """The items of a suite: JSON lines, a JSON array or Parquet, plain or compressed; or a YAML file that names such a
    file under `items` and says more about it (docs/evaluate.md). Raises InputError with every problem as file:line
    (for Parquet the row, from 1)."""
    about: dict[str, Any] = {"name": path.name.split(".")[0]}
    data = path
    if path.suffix.lower() in (".yaml", ".yml"):
        about, data = _about(path, taxonomy)
    kind = kind_of(data)
    if kind not in (".jsonl", ".ndjson", ".json", ".parquet"):
        raise InputError(
            [(str(data), None, "a suite is a .jsonl, .json or .parquet file, or a .yaml file that names one")]
        )
    if not data.is_file():
        raise InputError([(str(data), None, "no such file")])
    fields = {v.casefold(): k for k, v in about.get("map", {}).items()}
    problems: list[tuple[str, int | None, str]] = []
    items: dict[str, Item] = {}
    lines: dict[str, int] = {}
    for line, record in _records(data, kind):
        try:
            if isinstance(record, Bad):
                raise BadRow(record.error)
            item = _item({fields.get(k, k): v for k, v in record.items()}, about, taxonomy)
            if item.id in items:
                raise BadRow(f"the same item as line {lines[item.id]}: remove one of them")
            items[item.id], lines[item.id] = item, line
        except BadRow as e:
            problems.append((str(data), line, str(e)))
    if not items and not problems:
        problems.append((str(data), None, "holds no items"))
    if problems:
        raise InputError(problems)
    return list(items.values())


def _about(path: Path, taxonomy: Taxonomy) -> tuple[dict[str, Any], Path]:
    """What a suite's YAML file says, and the path of its items."""
    document = load_yaml(path)
    about = document.data if isinstance(document.data, dict) else {}
    text = {k: v for k, v in about.items() if k not in ("out_of_domain", "map")}
    problems: list[tuple[tuple[Any, ...], str]] = [
        ((key,), f'unknown key "{key}" in a suite.{did_you_mean(key, SUITE)}') for key in about if key not in SUITE
    ]
    problems += [((k,), f"{k} is not text") for k, v in text.items() if not isinstance(v, str) or not v.strip()]
    if "items" not in about:
        problems.append(((), "a suite names the file of its items: `items: path`"))
    if not isinstance(about.get("out_of_domain", False), bool):
        problems.append((("out_of_domain",), "out_of_domain is true or false"))
    mapping = about.get("map", {})
    if not isinstance(mapping, dict) or not all(isinstance(v, str) for v in mapping.values()):
        problems.append((("map",), "map gives our field: their column"))
    else:
        problems += [
            (("map", k), f'unknown field "{k}".{did_you_mean(k, FIELDS)} One of {", ".join(FIELDS)}')
            for k in mapping
            if k not in FIELDS
        ]
    if not problems:
        for key, check in (("ability", _ability), ("scorer", _scorer)):
            try:
                check(about.get(key), about, taxonomy) if key in about else None
            except BadRow as e:
                problems.append(((key,), str(e)))
    if problems:
        raise InputError([(document.file, document.line(at), message) for at, message in problems])
    return {"name": path.stem, **about}, path.parent / about["items"]


def _records(path: Path, kind: str) -> Iterator[tuple[int, dict[str, Any] | Bad]]:
    """Each record with its line (of a Parquet file its row), from 1."""
    # An array's elements come without their place: look for each behind the one before.
    text = path.read_bytes() if kind == ".json" and path.suffix.lower() == ".json" else None
    at, line = 0, 1
    for first, records in raw_blocks(str(path)):
        for i, record in enumerate(decode(records)):
            number = first + i + 1
            if text is not None and isinstance(records[i], bytes) and (found := text.find(records[i], at)) >= 0:
                line += text.count(b"\n", at, found)
                at, number = found, line
            if record is not None:
                yield number, record


def _item(record: dict[str, Any], about: dict[str, Any], taxonomy: Taxonomy) -> Item:
    """One record under our field names as an item. Raises BadRow."""
    record = {k: v for k, v in record.items() if v is not None}
    for key in record:
        near = did_you_mean(key, [f for f in FIELDS if f not in record]) if key not in FIELDS else ""
        if near:
            raise BadRow(f'unknown key "{key}".{near}')
    ability = _ability(record.get("ability", about.get("ability")), about, taxonomy)
    turns, answer = _conversation(record)
    reference = _reference(record.get("reference"), answer)
    scorer = _scorer(record.get("scorer", about.get("scorer")), about, taxonomy, ability)
    choices = _choices(record.get("choices"))
    if scorer == "choice":
        turns, choices = _with_choices(turns, choices)
    tests = record.get("tests")
    if tests is not None and not isinstance(tests, str):
        raise BadRow("tests is Python code as text")
    _check(scorer, reference, choices, tests)
    fine, coarse = _distractors(record.get("distractors"), reference)
    return Item(
        item_id(turns, reference, about["name"], tests, choices), ability, turns, reference, choices, scorer, tests,
        about["name"], about.get("out_of_domain", False), fine, coarse, "given" if fine else None,
        _cluster(record.get("cluster"), record.get("input")),
    )  # fmt: skip


def _ability(word: Any, about: dict[str, Any], taxonomy: Taxonomy) -> str:
    """The taxonomy's name for a label. What is out of domain may have a name of its own, by default the suite's."""
    apart = about.get("out_of_domain") is True
    if word is None and apart:
        return about["name"]
    if not isinstance(word, str) or not word.strip():
        raise BadRow("ability is missing" if word is None else "ability is not text")
    known = taxonomy.match(_column(word))[0].as_py()
    if known is None and not apart:
        near = did_you_mean(word, taxonomy.names)
        raise BadRow(f'taxonomy {taxonomy.name} has no ability "{word}".{near} It has {", ".join(taxonomy.names)}')
    return known or word.strip()


def _column(word: str) -> Any:
    import pyarrow as pa

    return pa.array([word], pa.string())


def _scorer(word: Any, about: dict[str, Any], taxonomy: Taxonomy, ability: str | None = None) -> str:
    if word is None:
        of = next((a.scorer for a in taxonomy.abilities if a.name == ability), None)
        if of is None:
            raise BadRow(f'ability "{ability}" is not of taxonomy {taxonomy.name}: say by which scorer it is scored')
        return of
    if word not in SCORERS:
        raise BadRow(f'unknown scorer "{word}".{did_you_mean(str(word), SCORERS)} One of {", ".join(SCORERS)}')
    return word


def _conversation(record: dict[str, Any]) -> tuple[list[dict[str, str]], str | None]:
    """(turns up to the one to answer, the last assistant turn if the record has it)"""
    form = "messages" if "messages" in record else "alpaca"
    if form == "alpaca" and not isinstance(record.get("instruction", ""), str):
        raise BadRow("instruction is not text")
    (conversation,) = adapt(
        {k: v for k, v in record.items() if k in ("instruction", "input", "messages")}, form, columns(form, {})
    )
    turns = [{"role": role, "content": content} for role, content in conversation.messages]
    answer = turns.pop()["content"] if turns[-1]["role"] == "assistant" else None
    if not turns or turns[-1]["role"] not in ("user", "tool"):
        raise BadRow("the conversation does not end with a user's turn (and an answer to it)")
    return turns, answer


def _reference(value: Any, answer: str | None) -> str | None:
    if isinstance(value, (dict, list)):  # a JSON reference need not be quoted
        value = json.dumps(value, ensure_ascii=False)
    if isinstance(value, (int, float)):
        value = json.dumps(value)
    if value is not None and not isinstance(value, str):
        raise BadRow("reference is not text")
    return value if value and value.strip() else answer


def _choices(value: Any) -> list[str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) < 2 or not all(isinstance(c, str) and c.strip() for c in value):
        raise BadRow("choices is a list of two texts or more")
    if len(value) > len(LETTERS):
        raise BadRow(f"choices are lettered: {len(LETTERS)} at most")
    starts = [OPTION.match(c) for c in value]
    if all(m and option_letter(m) == LETTERS[i] for i, m in enumerate(starts)):  # "(A) yes": the letter is not the text
        value = [c[m.end() :] for c, m in zip(value, starts) if m]
    return [c.strip() for c in value]


def _with_choices(
    turns: list[dict[str, str]], choices: list[str] | None
) -> tuple[list[dict[str, str]], list[str] | None]:
    """A question that shows its choices: those that are given beside it are written below it, those in it are read."""
    question = turns[-1]["content"]
    if choices is None:
        return turns, choices_in(question)
    if all(c in question for c in choices):
        return turns, choices
    shown = "\n".join([question.rstrip(), *(f"{letter}. {c}" for letter, c in zip(LETTERS, choices))])
    return [*turns[:-1], {**turns[-1], "content": shown}], choices


def _check(scorer: str, reference: str | None, choices: list[str] | None, tests: str | None) -> None:
    """Raises BadRow where a scorer lacks what it compares with."""
    if scorer == "unit_tests":
        if not tests or not tests.strip():
            raise BadRow('scorer unit_tests needs "tests"')
        try:
            ast.parse(tests)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as e:
            raise BadRow(f"tests is not Python: {e}") from e
        return
    if scorer != "judge" and reference is None:
        raise BadRow(f'scorer {scorer} needs a "reference"')
    if scorer == "number" and reference_of(reference).expression is not None:
        return  # math-verify compares it; where that is not installed its scores are missing, and say so
    problem = unusable(scorer, reference, choices)
    if problem:
        raise BadRow(problem)


def _cluster(value: Any, given: Any) -> str | None:
    """What an item shares with others: what its `cluster` names, else its input."""
    if value is not None and not isinstance(value, (str, int)):
        raise BadRow("cluster is a text or a number")
    if value is not None:
        return str(value)
    return cluster_of(given) if isinstance(given, str) else None


def _distractors(value: Any, reference: str | None) -> tuple[str | None, str | None]:
    if value is None:
        return None, None
    if isinstance(value, list) and len(value) <= 2:
        value = dict(zip(("fine", "coarse"), value))
    if not isinstance(value, dict) or not set(value) <= {"fine", "coarse"}:
        raise BadRow("distractors is {fine, coarse}, or a list of both")
    pair = value.get("fine"), value.get("coarse")
    for text in pair:
        if text is not None and (not isinstance(text, str) or not text.strip()):
            raise BadRow("a distractor is not text")
        if text is not None and text == reference:
            raise BadRow("a distractor equals the reference")
    return pair
