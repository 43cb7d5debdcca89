"""Our items as tasks of other harnesses: an lm-eval task folder, an inspect task file.

What another harness cannot score as we do is scored by its nearest: a choice and a reference with distractors by
likelihood, a number, a label and an exact answer by matching. Items that need a judge, tests or a schema are left out,
and counted.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from instdata.score.extract.choice import reference_letters
from instdata.score.extract.number_reference import reference_of
from instdata.score.item import LETTERS, Item
from instdata.util.atomic import write_text
from instdata.util.errors import InputError

FORMATS = ("lm-eval", "inspect")
WRITTEN = {"number": "number", "exact": "exact", "label": "exact", "contains": "contains"}

LM_EVAL = {
    "choice": """output_type: multiple_choice
doc_to_choice: choices
doc_to_target: gold
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
""",
    "number": """output_type: generate_until
doc_to_target: target
generation_kwargs: {until: ["\\n\\n\\n"], max_gen_toks: 512, do_sample: false}
filter_list:
  - name: last-number
    filter:
      - {function: regex, group_select: -1, regex_pattern: '(-?[$0-9.,]{2,}|-?[0-9]+)'}
      - {function: take_first}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true, regexes_to_ignore: [",", "\\\\$", "\\\\.$"]}
""",
    "exact": """output_type: generate_until
doc_to_target: target
generation_kwargs: {until: ["\\n"], max_gen_toks: 128, do_sample: false}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true, ignore_case: true, ignore_punctuation: true}
""",
}
INSPECT = '''"""Items of instdata as an inspect task: `inspect eval {file}@{name} --model …`."""

from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import Sample, json_dataset
from inspect_ai.scorer import choice, exact, includes, match
from inspect_ai.solver import generate, multiple_choice

HERE = Path(__file__).parent
SCORERS = {{"choice": choice, "exact": exact, "contains": includes, "number": lambda: match(numeric=True)}}


def sample(record):
    return Sample(input=record["question"], target=record["target"], choices=record.get("choices"), id=record["id"],
                  metadata={{"ability": record["ability"]}})


def items(kind):
    solver = multiple_choice() if kind == "choice" else generate()
    return Task(dataset=json_dataset(str(HERE / f"{name}_{{kind}}.jsonl"), sample), solver=solver, scorer=SCORERS[kind]())
'''  # noqa: E501


def export_items(items: Sequence[Item], name: str, format: str, out: Path) -> dict[str, Any]:
    """Write items as a task of `format` into the folder `out`; returns {tasks, written, left_out (why: how many)}.
    Raises InputError where none can be written, or the folder holds something else."""
    name = re.sub(r"\W+", "_", name).strip("_") or "items"
    if out.suffix or (out.is_dir() and any(out.iterdir()) and not list(out.glob(f"{name}*"))):
        raise InputError(f"{out}: give a folder that is empty, not there yet, or holds these tasks")
    by: dict[str, list[dict[str, Any]]] = {}
    left: Counter[str] = Counter()
    for item in items:
        kind, record = _record(item, format)
        if record is None:
            left[kind] += 1
        else:
            by.setdefault(kind, []).append(record)
    if not by:
        raise InputError(f"none of {len(items):,} items can be scored by {format}: {dict(left)}")
    for kind, records in sorted(by.items()):
        lines = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)
        write_text(out / f"{name}_{kind}.jsonl", lines)
    if format == "lm-eval":
        tasks = [_lm_eval(name, kind, out) for kind in sorted(by)]
        write_text(out / f"{name}.yaml", f"group: {name}\ntask: [{', '.join(tasks)}]\n")
    else:
        tasks = [f"{name}_{kind}" for kind in sorted(by)]
        made = "".join(f'\n\n@task\ndef {name}_{kind}():\n    return items("{kind}")\n' for kind in sorted(by))
        write_text(out / f"{name}.py", INSPECT.format(file=f"{name}.py", name=name) + made)
    return {"tasks": tasks, "written": sum(map(len, by.values())), "left_out": dict(left)}


def _lm_eval(name: str, kind: str, out: Path) -> str:
    """Write a task's YAML; returns its name."""
    data = json.dumps(str((out / f"{name}_{kind}.jsonl").resolve()))
    head = (
        f"task: {name}_{kind}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {data}}}}}\ntest_split: test\n"
    )
    write_text(
        out / f"{name}_{kind}.yaml", head + 'doc_to_text: "{{question}}"\n' + LM_EVAL[kind.replace("contains", "exact")]
    )
    return f"{name}_{kind}"


def _record(item: Item, format: str) -> tuple[str, dict[str, Any] | None]:
    """(the kind of task, the item's record), or (why it is left out, None)."""
    asked = "\n\n".join(m["content"] for m in item.messages)
    record: dict[str, Any] = {"id": item.id, "ability": item.ability, "question": asked, "target": item.reference or ""}
    if item.scorer == "choice" and item.choices:
        letters = reference_letters(item.reference or "", item.choices)
        if not letters or len(letters) > 1:
            return "choice with several answers", None
        shown = list(LETTERS[: len(item.choices)]) if format == "lm-eval" else item.choices
        gold = LETTERS.index(letters)
        return "choice", {**record, "question": f"{asked}\nAnswer:" if format == "lm-eval" else asked, "choices": shown,
            "gold": gold, "target": letters}  # fmt: skip
    if item.scorer == "distractors" and format == "lm-eval" and item.reference and (item.fine or item.coarse):
        shown = [x for x in (item.reference, item.fine, item.coarse) if x]
        return "choice", {**record, "choices": shown, "gold": 0}
    if item.scorer == "number" and item.reference:
        target = _number(reference_of(item.reference).number)
        return ("number", {**record, "target": target}) if target else ("number written as mathematics", None)
    kind = WRITTEN.get(item.scorer)
    if kind == "contains" and format == "lm-eval":
        return "scorer contains", None
    return (kind, record) if kind and item.reference else (f"scorer {item.scorer}", None)


def _number(number: Any) -> str | None:
    """A number as other harnesses match it; None for what only mathematics or a percent sign says."""
    if number is None or number.percent or number.places is None:
        return None
    return str(number.value) if number.value.denominator == 1 else f"{float(number.value):.{number.places}f}"
