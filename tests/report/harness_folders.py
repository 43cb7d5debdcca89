"""Folders as the harness writes them, with the curves and effects of a made-up world: for tests of report and card."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from instdata.util.atomic import digest

ABILITIES = ("math", "code", "open_qa", "rewrite")
SIZES = {"base": 0, "25pct": 16, "50pct": 32, "100pct": 64}
START = {"math": 0.35, "code": 0.55, "open_qa": 0.62, "rewrite": 0.7}
SCORES = pa.schema(
    [("cell", pa.string()), ("model", pa.string()), ("arm", pa.string()), ("config", pa.string()), ("rows", pa.int64()),
     ("tokens", pa.int64()), ("seed", pa.int64()), ("suite", pa.string()), ("item", pa.string()),
     ("ability", pa.string()),
     ("metric", pa.string()), ("value", pa.float64()), ("weight", pa.float64()), ("chance", pa.float64()),
     ("prompt", pa.string()), ("answer", pa.string()), ("reason", pa.string())]
)  # fmt: skip


def value(metric: str, ability: str, rows: int, lift: float = 0.0) -> float:
    """What a model trained on so many rows scores: bits fall and scores rise with each doubling."""
    doublings, start = math.log2(1 + rows / 8), START.get(ability, 0.5)
    if metric == "bits":
        return round(0.9 - start / 3 - 0.03 * doublings - lift, 4)
    return round(min(0.97, start - 0.15 + 0.06 * doublings * (2 - start) + lift), 4)


def points(
    arms: dict[str, float], models: tuple[str, ...], abilities: tuple[str, ...] = ABILITIES
) -> list[dict[str, Any]]:
    """Rows of curves.parquet: arms and how much each adds."""
    found = []
    for model in models:
        for arm, lift in arms.items():
            for suite, metrics in (("holdout", ("bits", "distractors", "judge")), ("exam", ("choice",))):
                for metric in metrics:
                    for config, rows in SIZES.items():
                        each = [value(metric, a, rows, lift) for a in abilities]
                        for ability, v in [*zip(abilities, each), ("macro", sum(each) / len(each))]:
                            half = 0.02 if ability == "macro" else 0.05
                            chance = {"distractors": 1 / 3, "choice": 0.25}.get(metric)
                            found.append({"model": model, "arm": arm, "suite": suite, "ability": ability,
                                "metric": metric, "config": config, "rows": rows,
                                          "value": v, "low": v - half, "high": v + half, "n": 20, "seeds": 2,
                                          "chance": chance})  # fmt: skip
    return found


def scores(model: str, abilities: tuple[str, ...] = ABILITIES, items: int = 20) -> pa.Table:
    """scores.parquet: per item the bits and both kinds of distractors, before training and after."""
    dice = random.Random(0)
    rows = []
    for config, trained in (("base", 0), ("100pct", 64)):
        for ability in abilities:
            for i in range(items):
                fine = float(dice.random() < START[ability] + trained / 400)
                kind = ("number", "negation")[i % 2]
                for metric, v, answer, why in (("distractor_fine", fine, f"altered answer {i} <b>",
                    f"{kind}: perplexity 3.10 against 3.32"),
                                               ("distractor_coarse", 1.0, f"answer {i + 1} of {ability}",
                                               "perplexity 3.10 against 8.50"),
                                               ("distractors", fine, f"answer {i} of {ability}", "coarse beaten"),
                                               ("bits", value("bits", ability, trained), f"answer {i} of {ability}",
                                               "40.0 bits over 12 bytes")):  # fmt: skip
                    rows.append({"cell": f"{model}/all/{config}/0", "model": model, "arm": "all", "config": config,
                        "rows": trained, "tokens": trained * 90, "seed": 0, "suite": "holdout",
                                 "item": f"{abilities.index(ability):02x}{i:030x}", "ability": ability,
                                 "metric": metric, "value": v, "weight": 12.0 if metric == "bits" else 1.0,
                                 "chance": None if metric == "bits" else 0.5,
                                 "prompt": f"prompt {i} of {ability} <script>", "answer": answer,
                                 "reason": why})  # fmt: skip
    return pa.Table.from_pylist(rows, schema=SCORES)


def fits(model: str, abilities: tuple[str, ...] = ABILITIES) -> list[dict[str, Any]]:
    found = []
    for metric, suite in (("bits", "holdout"), ("distractors", "holdout")):
        for ability, label in zip((*abilities, "macro"), ("growing", "saturating", "flat", "undecided", "growing")):
            slope = -0.03 if metric == "bits" else 0.06
            found.append({"model": model, "arm": "all", "suite": suite, "ability": ability, "metric": metric,
                "slope": slope, "low": slope - 0.01, "high": slope + 0.01,
                          "kind": "log-linear", "label": label, "rungs": 3, "seeds": 2, "n": 20})  # fmt: skip
    return found


def write_curves(
    build: Path, models: tuple[str, ...] = ("smollm2-135m-instruct",), arms: dict[str, float] | None = None
) -> Path:
    """builds/<name>/curves/ of a build."""
    folder = build / "curves"
    folder.mkdir(exist_ok=True)
    arms = arms or {"all": 0.0}
    pq.write_table(pa.Table.from_pylist(points(arms, models)), folder / "curves.parquet")
    pq.write_table(scores(models[0]), folder / "scores.parquet")
    cells = [{"cell": f"{m}/{a}/{c}/{s}", "model": m, "arm": a, "config": c, "rows": r, "tokens": 90 * r, "seed": s}
             for m in models for a in arms for c, r in SIZES.items() for s in (0, 1)]  # fmt: skip
    training = {"name": "proxy", "lr": 5e-5, "schedule": "wsd", "batch": 8, "epochs": 1, "length": 512}
    summary = {"schema_version": 1, "build": build.name, "manifest_sha256": digest(build / "manifest.json"),
        "training": training, "models": [{"name": m, "digest": "0" * 32} for m in models], "not_judged": ["rewrite"],
               "cells": cells, "fits": [f for m in models for f in fits(m)]}  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "run.json").write_text(
        json.dumps({"seconds": 512.3, "tokens_per_second": 812.0, "device": "CPU, 2 cores", "machine": "x86_64"})
    )
    return folder


VERDICTS = ("better", "worse", "equivalent", "undecided", "better")


def write_ablation(home: Path, build: Path, step: str = "quality", judge_card: bool = True) -> Path:
    """ablations/<build>-<step>/ of a build, under `home`."""
    folder = home / f"{build.name}-{step}"
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for ability, verdict in zip((*ABILITIES, "macro"), VERDICTS):
        effect = {"better": -0.021, "worse": 0.018, "equivalent": 0.0004, "undecided": -0.004}[verdict]
        half = {"equivalent": 0.002, "undecided": 0.02}.get(verdict, 0.008)
        found.append({"ability": ability, "metric": "bits", "unit": "bits per byte", "without": 0.6,
            "with": 0.6 + effect, "effect": effect, "low": effect - half, "high": effect + half,
                      "p_holm": 0.004 if verdict in ("better", "worse") else 0.4, "n": 20, "seeds": 3, "mde": 0.012,
                      "verdict": verdict})  # fmt: skip
    aa = [e | {"effect": 0.001, "low": -0.007, "high": 0.009, "verdict": "undecided"} for e in found]
    arms = [
        {"arm": a, "size": c, "rows": r, "tokens": 90 * r}
        for a in ("without", "with", "aa")
        for c, r in SIZES.items()
        if r
    ]
    effects = {"schema_version": 1, "build": build.name, "manifest_sha256": digest(build / "manifest.json"),
        "filter": step, "metric": "bits", "unit": "bits per byte", "margin": 0.01, "match": "tokens",
        "model": "smollm2-135m-instruct",
               "decided": False, "looks": 3, "look": 1, "seeds": 3, "sizes": [c for c, r in SIZES.items() if r],
               "arms": arms, "effects": found, "aa": aa}  # fmt: skip
    (folder / "effects.json").write_text(json.dumps(effects))
    pq.write_table(
        pa.Table.from_pylist(points({"without": 0.0, "with": 0.02, "aa": 0.002}, ("smollm2-135m-instruct",))),
        folder / "curves.parquet",
    )
    pq.write_table(scores("smollm2-135m-instruct"), folder / "scores.parquet")
    (folder / "run.json").write_text(json.dumps({"seconds": 1210.0, "tokens_per_second": 790.0, "machine": "2 cores"}))
    if judge_card:
        card = {"agreement": 0.716, "agreement_counting_unparsed": 0.698, "low": 0.69, "high": 0.74, "n": 999,
            "parse_rate": 0.975, "swap_consistency": 0.35, "flip_rate": 0.14,
                "longer_preferred": 0.6, "warnings": ["not shown to beat <b>"],
                "baselines": {"longest": {"agreement": 0.62, "cleared": True},
                "first": {"agreement": 0.51, "cleared": False}}}  # fmt: skip
        (folder / "judge_card.json").write_text(json.dumps(card))
    return folder
