"""What reports and cards say about curves and ablations: read from their folders, nothing recomputed.

A *view* is one metric on one suite: {key, suite, metric, lower, sizes: [{config, rows}], series: [name], abilities:
[{ability, label, points, fits}]}, "macro" first. Points are rows of curves.parquet with their `series` added.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from instdata.report.build_facts import _dicts
from instdata.score.metric import MACRO, metric_of
from instdata.util.atomic import digest
from instdata.util.database import connected
from instdata.util.errors import InputError
from instdata.util.paths import beside

METRICS = ("judge", "distractors", "bits")  # shown first, in this order; the others by name
KINDS = ("distractor_fine", "distractor_coarse")  # parts of distractors: in their own table
BASE = "base"
SHOWN, TEXT = 14, 300  # distractors shown, characters of each text


def read_curves(build: Path) -> dict[str, Any] | None:
    """builds/<name>/curves/ as {views, fits, models, training, not_judged, cost, distractors, earlier}; None where
    there is none. `earlier` says that the build has changed since. Raises InputError where a file is not as the harness
    writes it.
    """
    folder = build / "curves"
    if not (folder / "curves.parquet").is_file() or not (folder / "summary.json").is_file():
        return None
    summary = _json(folder / "summary.json")
    fits = [f | {"model": short(f["model"])} for f in summary.get("fits", [])]
    return {
        "views": views(_points(folder), fits),
        "fits": fits,
        "models": [m["name"] for m in models_of(summary)],
        "training": trained_with(summary.get("training") or {}),
        "not_judged": summary.get("not_judged") or [],
        "cost": _json(folder / "run.json") if (folder / "run.json").is_file() else {},
        "distractors": distractors(folder / "scores.parquet"),
        "earlier": summary.get("manifest_sha256") != digest(build / "manifest.json"),
    }


def read_ablation(folder: Path, manifest_sha256: str | None = None) -> dict[str, Any]:
    """ablations/<build>-<step>/ as {name, views, judge_card, cost, earlier, relative} and the keys of effects.json;
    each effect with its `limit`, the margin in its own unit (for bits the margin is a share of the score without the
    step: `relative`). `earlier`: it was run on another manifest than the one given. Raises InputError where a file is
    missing or not as written."""
    found = _json(folder / "effects.json", "effects", "arms", "filter", "look", "looks", "decided", "unit", "build")
    kind, margin = metric_of(str(found.get("metric"))), found.get("margin")
    for effect in (*found["effects"], *(found.get("aa") or [])):
        base = effect["without"]
        effect["limit"] = None if margin is None or base is None else margin * (abs(base) if kind.relative else 1)
    curves = views(_points(folder), []) if (folder / "curves.parquet").is_file() else []
    return {
        **found,
        "name": folder.name,
        "aa": found.get("aa") or [],
        "lower": kind.lower_is_better,
        "relative": kind.relative,
        "model": short(str(found.get("model") or "")),
        "views": sorted(curves, key=lambda v: v["metric"] != found.get("metric")),
        "judge_card": _json(folder / "judge_card.json") if (folder / "judge_card.json").is_file() else None,
        "cost": _json(folder / "run.json") if (folder / "run.json").is_file() else {},
        "earlier": manifest_sha256 is not None and found.get("manifest_sha256") != manifest_sha256,
    }


def read_ablations(build: Path) -> list[dict[str, Any]]:
    """The ablations of a build, by name: those beside its builds/ folder, or here, whose effects.json names it."""
    homes = {p.resolve(): p for p in (beside(build, "ablations"), Path("ablations"))}.values()
    pattern = f"{_glob(build.resolve().name)}-*/effects.json"
    folders = sorted(p.parent for home in homes for p in home.glob(pattern))
    every = [read_ablation(f, digest(build / "manifest.json")) for f in folders]
    return [a for a in every if Path(str(a.get("build", ""))).name == build.resolve().name]


def views(points: list[dict[str, Any]], fits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Points and fits by suite and metric; within one by ability."""
    by: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for point in points:
        if point["metric"] not in KINDS:
            by.setdefault((point["suite"], point["metric"]), []).append(point)
    order = sorted(by, key=lambda k: (k[0] != "holdout", k[0], *_rank(k[1])))
    return [_view(i, suite, metric, by[suite, metric], fits) for i, (suite, metric) in enumerate(order)]


def _view(i: int, suite: str, metric: str, points: list[dict[str, Any]], fits: list[dict[str, Any]]) -> dict[str, Any]:
    name = series_names(points)
    points = [p | {"series": name[p["model"], p["arm"]]} for p in points]
    mine = [f for f in fits if (f["suite"], f["metric"]) == (suite, metric)]
    mine = [f | {"series": name.get((f["model"], f["arm"]), f["model"])} for f in mine]
    abilities = sorted({p["ability"] for p in points}, key=lambda a: (a != MACRO, a))
    lower, judged = metric_of(metric).lower_is_better, metric == "judge"
    whole = len([a for a in abilities if belle_scores(a)]) == len(belle()["scores"])
    return {
        "key": f"view{i}",
        "suite": suite,
        "metric": metric,
        "lower": lower,
        "sizes": sorted({(p["rows"], p["config"]) for p in points}),
        "series": list(dict.fromkeys(name.values())),
        # BELLE's scores are a judge's: other scorers have other scales, and its mean is one over all of its use cases.
        "belle": {a: theirs for a in abilities if (theirs := belle_scores(a)) and (a != MACRO or whole)}
        if judged
        else {},
        "fitted": bool(mine),
        "abilities": [
            {
                "ability": a,
                "points": sorted((p for p in points if p["ability"] == a), key=lambda p: (p["series"], p["rows"])),
                "fits": [f for f in mine if f["ability"] == a],
            }
            for a in abilities
        ],
    }


def series_names(points: list[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """What to call each (model, arm): by what tells them apart."""
    pairs = sorted({(p["model"], p["arm"]) for p in points}, key=lambda x: (x[0], *_arm_rank(x[1])))
    models, arms = {m for m, _ in pairs}, {a for _, a in pairs}
    return {
        (m, a): " ".join(w for w, told in ((m, len(models) > 1 or len(arms) == 1), (a, len(arms) > 1)) if told)
        for m, a in pairs
    }


def models_of(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """The models of a summary.json, with what is known of them: `name`, `digest`."""
    every = [m if isinstance(m, dict) else {"name": m} for m in summary.get("models", [])]
    return [m | {"name": short(m["name"])} for m in every]


def trained_with(training: dict[str, Any]) -> str:
    """A training recipe in one line."""
    said = {"lr": "learning rate", "schedule": "", "epochs": "epochs", "batch": "batch", "length": "tokens a bin",
        "lora": "LoRA rank"}  # fmt: skip
    parts = [f"{word} {training[key]}".strip() for key, word in said.items() if training.get(key) is not None]
    return ", ".join([*([f"recipe {training['name']}"] if training.get("name") else []), *parts])


def distractors(path: Path) -> dict[str, Any] | None:
    """How often each model before training already prefers the true answer: `by_ability` and `by_kind`, each a list of
    {model, ability or kind, side ("fine" or "coarse"), score, n}, and a few of the distractors, `shown`: {ability,
    kind, item, prompt, reference, distractor}. None where scores.parquet holds none."""
    if not path.is_file():
        return None
    # What made a fine distractor stands before the colon of its reason (evaluate.py).
    base = f"""create temp table base as select *, replace(metric, 'distractor_', '') as side,
               case when metric = 'distractor_fine' then split_part(reason, ':', 1) else 'other answer' end as kind
               from read_parquet($path) where config = 'base' and metric in {KINDS} and value is not null"""
    by = """select model, {0}, side, avg(value) as score, count(*) as n from base group by all order by model, side desc, {0}"""
    shown = f"""with one as (select ability, kind, side, item, prompt, answer, row_number() over (partition by side, kind order by md5(item), model) as rank from base),
                own as (select item, any_value(answer) as reference from read_parquet($path) where config = 'base' and metric in ('bits', 'distractors') group by item)
                select ability, side, kind, item, prompt, reference, answer as distractor from one join own using (item)
                where rank <= 2 and answer is not null and reference is not null order by side desc, kind, rank limit {SHOWN}"""
    from duckdb import Error

    try:
        with connected() as db:
            place = {"path": _glob(str(path))}
            db.execute(base, place)
            found = {k: _dicts(db.execute(by.format(k[3:]))) for k in ("by_ability", "by_kind")}
            examples = _dicts(db.execute(shown, place))
    except Error as e:  # damaged, or written by another version
        why = str(e).splitlines()[0]
        raise InputError(f"{path}: not a table of scores with their texts ({why}): run the harness again") from e
    for row in (*found["by_ability"], *found["by_kind"]):
        row["model"] = short(row["model"])
    texts = ("prompt", "reference", "distractor")
    cut = [
        {k: (v or "")[:TEXT] + "…" * (len(v or "") > TEXT) if k in texts else v for k, v in e.items()} for e in examples
    ]
    return {**found, "shown": cut} if found["by_ability"] else None


@cache
def belle() -> dict[str, Any]:
    """BELLE's published curve: {source, rows, scores: {ability: [..]}}."""
    return json.loads((Path(__file__).parent / "belle_published_scores.json").read_text("utf-8"))


def belle_scores(ability: str) -> list[float] | None:
    """BELLE's scores of a use case at 0.2M, 0.6M, 1M and 2M rows, by name ("closed QA" is closed_qa); None for
    others."""
    return belle()["scores"].get(re.sub(r"\W+", "_", ability.casefold()).strip("_"))


def short(model: str) -> str:
    """A model's name without the folders of this machine."""
    return Path(model).name if re.match(r"[/~.\\]|[A-Za-z]:[\\/]", model) else model


def _points(folder: Path) -> list[dict[str, Any]]:
    needed = ["model", "arm", "suite", "ability", "metric", "config", "rows", "value", "low", "high", "n", "seeds"]
    try:
        table = pq.read_table(folder / "curves.parquet")
        rows = table.select([*needed, "chance"] if "chance" in table.column_names else needed).to_pylist()
    except (OSError, ValueError, KeyError) as e:
        raise InputError(f"{folder / 'curves.parquet'}: not a table of curves ({e}): run the harness again") from e
    clean = [
        {k: None if isinstance(v, float) and v != v else v for k, v in row.items()} | {"model": short(row["model"])}
        for row in rows
    ]
    return _base_in_each_arm(clean)


def _base_in_each_arm(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The untrained model belongs to no arm: its points start the curve of each."""
    arms: dict[str, list[str]] = {}
    for p in points:
        if p["config"] != BASE and p["arm"] not in arms.setdefault(p["model"], []):
            arms[p["model"]].append(p["arm"])
    base = [p | {"arm": arm} for p in points if p["config"] == BASE for arm in arms.get(p["model"], [p["arm"]])]
    unique = {(p["model"], p["arm"], p["suite"], p["metric"], p["ability"]): p for p in base}
    return [*unique.values(), *(p for p in points if p["config"] != BASE)]


def _json(path: Path, *needed: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as e:
        raise InputError(f"{path}: cannot be read ({e}): run the harness again") from e
    if not isinstance(found, dict):
        raise InputError(f"{path}: holds no JSON object: run the harness again")
    if lacking := [key for key in needed if key not in found]:
        raise InputError(f"{path}: lacks {', '.join(lacking)}: run the harness again")
    return found


def _rank(metric: str) -> tuple[int, str]:
    return (METRICS.index(metric) if metric in METRICS else len(METRICS), metric)


def _arm_rank(arm: str) -> tuple[int, str]:
    order = ("without", "with", "aa")
    return (order.index(arm) if arm in order else len(order), arm)


def _glob(text: str) -> str:
    from glob import escape

    return escape(text)
