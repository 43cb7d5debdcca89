"""openlineage.jsonl: a build as OpenLineage events."""

from __future__ import annotations

import json
import uuid
from typing import Any

LINEAGE = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
NO_TIME = "1970-01-01T00:00:00Z"  # events need one; when a build ran is no property of the set, and stands in run.json
PRODUCER = "https://pypi.org/project/instdata/"


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
