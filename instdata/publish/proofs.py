"""The files by which a set proves itself: croissant.json, training-content.md, openlineage.jsonl, CITATION.cff; all of
one set of facts, all the same bytes whenever and wherever they are written."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import yaml

from instdata.corpus.write import write_json
from instdata.publish.card import environment, model_terms
from instdata.publish.croissant import croissant, license_url
from instdata.publish.facts import facts_of
from instdata.util.atomic import write_text
from instdata.util.plain import plain
from instdata.util.secrets import redact

FILES = ("croissant.json", "training-content.md", "openlineage.jsonl", "CITATION.cff")
LINEAGE = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
NO_TIME = "1970-01-01T00:00:00Z"  # events need one; when a build ran is no property of the set, and stands in run.json
PRODUCER = "https://pypi.org/project/instdata/"


def write_proofs(folder: Path, manifest: dict[str, Any], repo: str | None = None) -> None:
    """Write FILES into a folder that holds recipe.yaml, data/ and ledger.parquet."""
    facts = facts_of(folder, manifest, repo)
    write_json(folder / "croissant.json", croissant(facts), redacted=True)
    text = environment().get_template("training-content.md").render(f=facts, terms=model_terms(facts["writers"]))
    write_text(folder / "training-content.md", redact(plain(text)))
    lines = [json.dumps(event, ensure_ascii=False) for event in lineage(facts)]
    write_text(folder / "openlineage.jsonl", redact("\n".join(lines)) + "\n")
    cited = yaml.safe_dump(citation(facts), allow_unicode=True, sort_keys=False)
    write_text(folder / "CITATION.cff", redact(cited))


def lineage(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """The build as two OpenLineage events, START and COMPLETE: sources in, configs out, counts as facets."""
    run = {"runId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"instdata:{facts['name']}:{facts['version']}"))}
    inputs = [
        {
            "namespace": "huggingface" if s["hub"] else "file",
            "name": s["hub"] or s["name"],
            "facets": {"version": _facet("DatasetVersionDatasetFacet", datasetVersion=_version(s))},
        }
        for s in facts["sources"]
    ]
    outputs = [
        {
            "namespace": "huggingface" if facts["repo"] else "file",
            "name": f"{facts['repo'] or facts['name']}/{name}",
            "facets": {"version": _facet("DatasetVersionDatasetFacet", datasetVersion=config["sha256"])},
            "outputFacets": {"outputStatistics": _facet("OutputStatisticsOutputDatasetFacet", rowCount=config["rows"])},
        }
        for name, config in facts["configs"].items()
    ]
    common = {
        "eventTime": NO_TIME, "producer": PRODUCER + facts["instdata"], "schemaURL": LINEAGE, "run": run,
        "job": {"namespace": "instdata", "name": facts["name"]}, "inputs": inputs,
    }  # fmt: skip
    return [{"eventType": "START", **common}, {"eventType": "COMPLETE", **common, "outputs": outputs}]


def _facet(name: str, **values: Any) -> dict[str, Any]:
    schema = f"https://openlineage.io/spec/facets/1-0-1/{name}.json#/$defs/{name}"
    return {"_producer": PRODUCER, "_schemaURL": schema, **values}


def _version(source: dict[str, Any]) -> str:
    """A source's commit, or the hash of the hashes of its files."""
    named = json.dumps([[f["file"], f["sha256"]] for f in source["files"]])
    return source["revision"] or uuid.uuid5(uuid.NAMESPACE_URL, named).hex


def citation(facts: dict[str, Any]) -> dict[str, Any]:
    """CITATION.cff (1.2.0): the set, and each Hub dataset that it is made of."""
    license = facts["spdx"] if not facts["spdx"].startswith(("LicenseRef", "NOASSERTION")) else None
    found = {
        "cff-version": "1.2.0",
        "message": "Please cite this data set, and the sources it is made of.",
        "type": "dataset",
        "title": facts["name"],
        "version": facts["version"],
        "authors": [{"name": (facts["repo"] or f"the makers of {facts['name']}").partition("/")[0]}],
        "url": facts["url"],
        "license": license,
        "license-url": None if license else license_url(facts),
        "references": [
            {"type": "dataset", "title": s["hub"], "authors": [{"name": s["hub"].partition("/")[0]}], "url": s["url"]}
            | ({"version": s["revision"]} if s["revision"] else {})
            for s in facts["sources"]
            if s["hub"]
        ],
    }
    return {k: v for k, v in found.items() if v}
