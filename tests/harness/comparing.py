"""Logs of two models, made and compared: what the tests of `compare` share."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from instdata.compare.compare_logs import compare
from instdata.compare.logs import inspect_log
from instdata.score.score_table import SCHEMA, write_table
from tests.shell import forked

LOGS = Path(__file__).parent / "logs"


KEYS = ["task", "metric", "a", "b", "n", "n_effective", "mean_a", "mean_b", "effect", "low", "high", "p_holm", "mde",
    "verdict"]  # fmt: skip


def table(path: Path, scores, ids=None, **columns) -> Path:
    """JSON lines with id, score and the columns."""
    ids = range(len(scores)) if ids is None else ids
    rows = [
        {"id": i, "score": s} | {k: v[at] for k, v in columns.items()} for at, (i, s) in enumerate(zip(ids, scores))
    ]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def one(*paths: Path, **how):
    found = compare(list(paths), **how)
    assert len(found["comparisons"]) == 1, found
    return found["comparisons"][0]


def own_scores(path: Path, values: np.ndarray, metric: str = "bits", weight=1.0, model: str = "m") -> Path:
    """scores.parquet of values [seeds, items]."""
    rows = [
        dict.fromkeys(SCHEMA.names)
        | {"model": model, "suite": "holdout", "item": f"i{i}", "ability": "math", "metric": metric, "seed": s,
           "value": values[s, i], "weight": float(np.broadcast_to(weight, values.shape[1])[i]), "prompt": f"q{i}"}
        for s in range(len(values)) for i in range(values.shape[1])
    ]  # fmt: skip
    write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)
    return path


def eee(path: Path, scores, **more) -> Path:
    rows = [
        {
            "schema_version": "0.2.1", "evaluation_id": "e", "model_id": "org/m", "evaluation_name": "gsm8k",
            "sample_id": f"s{i}",
            "interaction_type": "single_turn", "input": {"raw": f"q{i}", "reference": ["1"]}, "output": {"raw": ["1"]},
            "answer_attribution": [], "evaluation": {"score": s, "is_correct": s > 0.5},
            "metadata": {"passage": str(i // 2)},
        }
        | more.get(f"s{i}", {})
        for i, s in enumerate(scores)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def inspect_json(source: Path, path: Path, change=lambda log: None) -> Path:
    """The JSON log that the members of a .eval make."""
    with zipfile.ZipFile(source) as archive:
        get = {n: json.loads(inspect_log._unpacked(archive, i, source)) for n, i in archive.NameToInfo.items()}
    log = get["header.json"] | {"samples": [v for n, v in get.items() if inspect_log.SAMPLE.fullmatch(n)]}
    change(log)
    path.write_text(json.dumps(log, indent=2))
    return path


def shown(*arguments) -> subprocess.CompletedProcess:
    return forked(("compare", *map(str, arguments)), Path.cwd(), dict(os.environ))
