"""What is published of a build: its folder again, without any row's private side."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from instdata.builds import manifest as read_manifest
from instdata.corpus.parquet_file import parquet_file
from instdata.corpus.read_build_folder import data_files, run_record
from instdata.corpus.write_build_folder import write_json
from instdata.publish.card import write_cards
from instdata.publish.card_findings import findings
from instdata.publish.proof_files import write_proofs
from instdata.util.atomic import digest, whole
from instdata.util.checksums import part, running_sha256

# Who a row was and what became of it; no text, no matched data, no scores of rows that are not published.
LEDGER = ("rid", "id", "source", "source_file", "source_row", "verdict", "config", "step", "reason", "ability")
POINTS_AT = ("id", "rid", "similarity")  # what is published of evidence


def write_publication(build: Path, folder: Path, repo: str, meta: bool) -> dict[str, Any]:
    """Write what is published of a build into an empty folder; returns its manifest.

    Rows lose `meta` unless asked for, the ledger keeps ids, steps and reasons, and the report shows no row. The
    manifest gains the sha256 of every other file; charts and report are left out where the report extra is not
    installed.
    """
    manifest = read_manifest(build)
    manifest.pop("checksums", None)  # it has those of what is published itself
    run = run_record(build)
    for path in data_files(build):
        _write_rows(path, folder / path.relative_to(build), meta)
    for config in manifest["configs"].values():
        config["sha256"] = running_sha256([folder / f for f in config["files"]])[-1]
    _write_ledger(part(build, "ledger.parquet"), folder / "ledger.parquet")
    shutil.copyfile(part(build, "recipe.yaml"), folder / "recipe.yaml")
    shown = findings(build, manifest)
    _write_trained(shown, folder)
    write_cards(folder, manifest, repo, run, shown, _write_charts(build, folder, shown))
    write_proofs(folder, manifest, repo)
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    manifest["published"] = {"meta": meta, "files": {f: digest(folder / f) for f in files}}
    write_json(folder / "manifest.json", manifest)
    return manifest


def _write_rows(source: Path, target: Path, meta: bool) -> None:
    if meta:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        return
    with pq.ParquetFile(source) as file:
        names = [n for n in file.schema_arrow.names if n != "meta"]
        schema = pa.schema([file.schema_arrow.field(n) for n in names])
        with parquet_file(target, schema) as append:
            for group in range(file.num_row_groups):
                append(file.read_row_group(group, columns=names))


def _write_ledger(source: Path, target: Path) -> None:
    with pq.ParquetFile(source) as file:
        schema = pa.schema([*(file.schema_arrow.field(n) for n in LEDGER), ("evidence", pa.string())])
        with parquet_file(target, schema) as append:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=[*LEDGER, "evidence"])
                pointing = pa.chunked_array([_pointers(c) for c in table["evidence"].chunks], pa.string())
                append(
                    table.set_column(table.column_names.index("evidence"), "evidence", pointing).select(schema.names)
                )


def _pointers(evidence: pa.Array) -> pa.Array:
    """Evidence reduced to the row that it points at."""
    some = pc.indices_nonzero(pc.fill_null(pc.match_substring(evidence, '"rid"'), False)).to_pylist()
    out: list[str | None] = [None] * len(evidence)
    for i in some:
        found = json.loads(evidence[i].as_py())
        if isinstance(found, dict) and "rid" in found:
            out[i] = json.dumps({k: found[k] for k in POINTS_AT if k in found}, ensure_ascii=False)
    return pa.array(out, pa.string())


def _write_trained(shown: dict[str, Any], folder: Path) -> None:
    """The figures behind curves and ablations, without any item's text: points and fits, effects."""
    if shown["curves"]:
        keys = ("model", "arm", "suite", "ability", "metric", "config", "rows", "value", "low", "high", "n", "seeds",
            "chance")  # fmt: skip
        points = [{k: p.get(k) for k in keys} for v in shown["curves"]["views"] for a in v["abilities"] for p in a["points"]]  # fmt: skip  # noqa: E501
        write_json(folder / "curves/points.json", points)
        write_json(folder / "curves/fits.json", shown["curves"]["fits"])
    for found in shown["ablations"]:
        content = {k: v for k, v in found.items() if k not in ("views", "cost", "name", "lower", "relative", "earlier")}
        card = found["judge_card"] or {}
        numbers = {k: v for k, v in card.items() if k == "baselines" or isinstance(v, (int, float))}
        content |= {"judge_card": numbers or None, "build": Path(str(found["build"])).name}
        write_json(folder / f"ablations/{_slug(found['name'])}.json", content)


def _slug(name: str) -> str:
    """A file's name on the Hub."""
    return re.sub(r"[^\w.-]+", "-", name)


def _write_charts(build: Path, folder: Path, shown: dict[str, Any]) -> dict[str, str]:
    """Write report.html and the card's pictures; returns their paths by name. Nothing without the report extra."""
    from instdata.report import build_charts, curve_and_effect_charts
    from instdata.report.page import gather, render
    from instdata.util.atomic import write_text
    from instdata.util.errors import MissingExtra

    try:
        found = gather(build, private=False)
        write_text(folder / "report.html", render(found))
        pictures = {"abilities": build_charts.png("abilities", found)}
        for view in shown["curves"]["views"][:1] if shown["curves"] else []:
            pictures[f"curves:{view['key']}"] = curve_and_effect_charts.png(
                curve_and_effect_charts.small_multiples(view)
            )
        for ablation in shown["ablations"]:
            pictures[f"ablation:{ablation['name']}"] = curve_and_effect_charts.forest_png(ablation)
    except (MissingExtra, ModuleNotFoundError):  # the report extra
        return {}
    paths = {}
    for name, picture in pictures.items():
        if picture is not None:
            paths[name] = f"charts/{_slug(name)}.png"
            with whole(folder / paths[name]) as file:
                file.write(picture)
    return paths
