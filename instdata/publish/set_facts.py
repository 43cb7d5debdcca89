"""The facts of a set, once: croissant.json, the training-content summary, the lineage events and the citation are
these, said in four ways. Nothing in them depends on when or where the build ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from instdata.corpus.rows import UNKNOWN
from instdata.util.checksums import digest_once
from instdata.util.licences import spdx


def facts_of(folder: Path, manifest: dict[str, Any], repo: str | None = None) -> dict[str, Any]:
    """What a folder with recipe.yaml, data/ and ledger.parquet holds.

    {name, repo, url, license, license_link, spdx, version, instdata, totals, configs, files: [{path, sha256, bytes}],
    columns: the Arrow schema of the rows, languages, abilities, sources: [{name, url, revision, files, license, spdx,
    rows, origins}], writers: {model: rows} of generated rows, licences: {spdx: rows}, steps}. Rows are those of
    full."""
    from instdata.publish.card import figures

    recipe = yaml.safe_load((folder / "recipe.yaml").read_text("utf-8"))
    wishes, known = recipe.get("publish") or {}, figures(folder, manifest)
    repo = repo or wishes.get("repo")
    files = list(dict.fromkeys(f for c in manifest["configs"].values() for f in c["files"]))
    read = {s["name"]: s for s in manifest.get("sources", [])}
    sources = [_source(s, read.get(s["name"], {}), known["by_source"].get(s["name"], {})) for s in recipe["sources"]]
    given = {s["name"] for s in sources}
    writers: dict[str, int] = {}
    for name, origins in known["by_source"].items():
        for origin, rows in origins.items() if name not in given else ():
            writers[origin] = writers.get(origin, 0) + rows
    return {
        "name": manifest["name"],
        "repo": repo,
        "url": f"https://huggingface.co/datasets/{repo}" if repo else None,
        "license": wishes.get("license"),
        "license_link": wishes.get("license_link"),
        "spdx": spdx(wishes.get("license_name") or wishes.get("license")),
        "version": manifest["recipe_sha256"][:16],
        "instdata": manifest["versions"]["instdata"],
        "totals": manifest["totals"],
        "configs": manifest["configs"],
        "files": [{"path": f, "sha256": digest_once(folder / f), "bytes": (folder / f).stat().st_size} for f in files],
        "columns": pq.read_schema(folder / files[0]),
        "languages": known["languages"],
        "abilities": known["abilities"],
        "sources": sources,
        "writers": writers,
        "licences": _licences(folder, manifest, {s["name"]: s["license"] for s in sources}),
        "steps": manifest["steps"],
    }


def _source(wanted: dict[str, Any], read: dict[str, Any], origins: dict[str, int]) -> dict[str, Any]:
    hub = wanted.get("hub")
    return {
        "name": wanted["name"],
        "url": f"https://huggingface.co/datasets/{hub}" if hub else None,
        "hub": hub,
        "revision": read.get("revision"),
        "files": read.get("files", []),
        "license": wanted.get("license"),
        "spdx": spdx(wanted.get("license")),
        "rows": sum(origins.values()),
        "origins": {k: v for k, v in origins.items() if k != UNKNOWN},
    }


def _licences(folder: Path, manifest: dict[str, Any], of_source: dict[str, str | None]) -> dict[str, int]:
    """Rows of full by licence, as SPDX writes it: the row's own where it has one, else its source's."""
    from instdata.report.build_facts import open_ledger

    with open_ledger(folder, manifest) as db:
        columns = {name for (name, *_) in db.execute("describe rows").fetchall()}
        own = "license" if "license" in columns else "null"
        found = db.execute(f"select source, {own}, count(*) from rows group by all").fetchall()
    counts: dict[str, int] = {}
    for source, license, rows in found:
        name = spdx(license or of_source.get(source))
        counts[name] = counts.get(name, 0) + rows
    return dict(sorted(counts.items(), key=lambda c: (-c[1], c[0])))
