"""What a grid of cells takes, said in a line, and what it leaves behind: the points of its curves, the facts of its
run."""

from __future__ import annotations

import os
import platform
import re
from typing import Any

import numpy as np
import pyarrow as pa

from instdata.compare.cell import Grid
from instdata.score.score_table import groups, summary

CURVES = pa.schema(
    [
        ("model", pa.string()), ("arm", pa.string()), ("suite", pa.string()), ("ability", pa.string()),
        ("metric", pa.string()),
        ("config", pa.string()), ("rows", pa.int64()), ("value", pa.float64()), ("low", pa.float64()),
        ("high", pa.float64()),
        ("n", pa.int64()), ("missing", pa.int64()), ("seeds", pa.int64()), ("chance", pa.float64()),
    ]
)  # fmt: skip


def plan_line(plan: dict[str, Any]) -> str:
    """The estimate in one line."""
    if not plan["missing"]:
        return f"all {plan['cells']} cells are here already"
    shared = plan["separate_tokens"] / plan["tokens"] if plan["tokens"] else 1
    saving = f" ({shared:.2f}x fewer than separate runs)" if shared > 1.005 else ""
    minutes = plan["seconds"] / 60
    takes = f"about {minutes:.0f} min" if minutes >= 1 else "less than a minute"
    train = plan["to_train"]
    rest = f", {plan['missing'] - train} only to score" if train < plan["missing"] else ""
    return (
        f"{train} of {plan['cells']} cells to train{rest}: {plan['tokens']:,} tokens to train{saving}, "
        f"{plan['scored_tokens']:,} to score, {plan['flops']:.1e} FLOPs, {takes} here"
    )


def run_facts(grid: Grid, seconds: float) -> dict[str, Any]:
    """What is volatile of a run: seconds, speed, machine, versions."""
    import torch
    import transformers

    path = grid.folder / "metrics.jsonl"
    text = path.read_text("utf-8", "replace") if path.is_file() else ""
    # a line may be cut, where a run was killed
    speeds = [float(m[1]) for m in re.finditer(r'"tokens_per_second": ([0-9.]+),', text)]
    return {
        "seconds": round(seconds, 1),
        "tokens_per_second": float(np.median(speeds)) if speeds else None,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {os.cpu_count()} cores",
        "machine": platform.machine(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def curve_rows(scores: pa.Table) -> pa.Table:
    """Every point of every curve, with a 95 % interval over items and seeds; ability "macro" is the mean over
    abilities. The untrained model is a point of its own, at 0 rows."""
    found: list[dict[str, Any]] = []
    for group, mine in groups(scores, ["model", "arm", "config", "rows"]):
        found += [group | point for point in summary(mine)]
    return pa.Table.from_pylist(found, schema=CURVES)
