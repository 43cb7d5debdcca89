"""Other people's harnesses: a model examined by lm-eval's tasks, its samples as rows of our table of scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from instdata.compare.logs.lm_eval import metrics_of
from instdata.score.evaluate import CELL
from instdata.score.score_table import SCHEMA
from instdata.train.forward import Network
from instdata.util.errors import InputError, MissingExtra

LM_EVAL = "lm-eval:"
Say = Callable[[str], None]


def tasks_of(word: str) -> tuple[list[str], str | None]:
    """(task names, the folder of one's own) that `--with lm-eval:gsm8k,tasks/mine.yaml` means: a path to a task's YAML
    file stands for the task of that name in its folder. Raises InputError."""
    if not word.startswith(LM_EVAL):
        raise InputError(f"--with {word}: write lm-eval:TASK,TASK")
    names, folders = [], set()
    for part in (p.strip() for p in word.removeprefix(LM_EVAL).split(",")):
        if part.endswith((".yaml", ".yml")):
            if not Path(part).is_file():
                raise InputError(f"--with {LM_EVAL}{part}: no such file")
            folders.add(str(Path(part).parent))
            part = Path(part).stem
        if part:
            names.append(part)
    if not names:
        raise InputError(f"--with {word}: name a task: lm-eval:gsm8k")
    if len(folders) > 1:
        raise InputError(f"--with {word}: tasks of one's own lie in one folder, not in {len(folders)}")
    return names, next(iter(folders), None)


def by_lm_eval(network: Network, word: str, limit: int | None, cell: Mapping[str, Any], say: Say) -> pa.Table:
    """Every sample's metrics as rows of SCHEMA: suite lm-eval, ability the task, metric as lm-eval calls it (with
    ",filter" where that is not "none"). Only metrics from 0 to 1 are taken; the others are said. Raises InputError for
    a task that there is not, MissingExtra without lm-eval."""
    names, folder = tasks_of(word)
    try:
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager
    except ImportError as e:
        raise MissingExtra("--with lm-eval", "lm-eval") from e
    manager = TaskManager(include_path=folder)
    if unknown := [n for n in names if n not in manager.all_tasks]:
        raise InputError(f"--with {LM_EVAL}{unknown[0]}: lm-eval has no such task; `lm_eval ls tasks` lists them")
    network.net.eval()
    device = str(next(network.net.parameters()).device)
    model = HFLM(pretrained=network.net, tokenizer=network.tokenizer, batch_size=8, device=device)
    found = simple_evaluate(
        model=model, tasks=names, limit=limit, log_samples=True, bootstrap_iters=0, task_manager=manager
    )
    return imported((found or {}).get("samples") or {}, cell, say)


def imported(samples: Mapping[str, Sequence[Mapping[str, Any]]], cell: Mapping[str, Any], say: Say) -> pa.Table:
    """lm-eval's samples by task as rows of SCHEMA; a metric of which some value leaves 0..1 is left out, and said."""
    rows: list[dict[str, Any]] = []
    outside: set[str] = set()
    for task, mine in samples.items():
        for sample in mine:
            arguments = sample.get("arguments")
            asked = next(iter(arguments), None) if isinstance(arguments, (list, tuple)) else arguments
            shared = {
                **CELL, **cell, "suite": "lm-eval", "ability": task, "item": f"{task}/{sample.get('doc_id')}",
                "weight": 1.0,
                "chance": None, "prompt": _text(asked)[:4000], "answer": _text(sample.get("filtered_resps"))[:4000],
                "reason": f"target {_text(sample.get('target'))[:200]}",
            }  # fmt: skip
            for metric, value in metrics_of(dict(sample)).items():
                if value is not None and not 0 <= value <= 1:
                    outside.add(f"{task} {metric}")
                rows.append({**shared, "metric": metric, "value": value})
    if not rows:
        raise InputError("lm-eval gave no samples: its tasks scored nothing")
    for name in sorted(outside):
        say(f"lm-eval: {name} is no score from 0 to 1: left out")
    kept = [r for r in rows if f"{r['ability']} {r['metric']}" not in outside]
    return pa.Table.from_pylist(kept, schema=SCHEMA)


def _text(value: Any) -> str:
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    if isinstance(value, Mapping):
        return _text(next(iter(value.values()), ""))
    return "" if value is None else str(value)
