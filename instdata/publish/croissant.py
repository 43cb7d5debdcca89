"""croissant.json: the set for machines that look for data sets (MLCommons Croissant 1.1), with where it comes from in
PROV-O."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

CONFORMS = "http://mlcommons.org/croissant/1.1"
# The context of the specification, and PROV's.
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{k: f"cr:{k}" for k in (
        "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileProperty",
        "fileObject",
        "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path",
        "recordSet",
        "references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
    )},
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}  # fmt: skip
TYPES = ((pa.types.is_boolean, "sc:Boolean"), (pa.types.is_integer, "sc:Integer"), (pa.types.is_floating, "sc:Float"))
PARQUET = "application/x-parquet"


def croissant(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts of a set (facts.facts_of) as Croissant metadata: a record set a config, files by sha256."""
    content = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "@id": facts["url"] or f"urn:instdata:{facts['name']}:{facts['version']}",
        "name": facts["name"],
        "description": _description(facts),
        "conformsTo": CONFORMS,
        "license": license_url(facts),
        "url": facts["url"] or f"urn:instdata:{facts['name']}",
        "version": f"0.0.0+{facts['version']}",
        "citeAs": bibtex(facts),
        "inLanguage": list(facts["languages"]),
        "keywords": ["instruction-tuning", *(a["name"] for a in facts["abilities"])],
        "isLiveDataset": False,
        "prov:wasDerivedFrom": [_entity(s) for s in facts["sources"]],
        "prov:wasGeneratedBy": _activity(facts),
        "distribution": [*map(_file, facts["files"]), *(_file_set(n, c) for n, c in facts["configs"].items())],
        "recordSet": [_record_set(name, c, facts["columns"]) for name, c in facts["configs"].items()],
    }
    return {k: v for k, v in content.items() if v not in (None, [])}


def _description(facts: dict[str, Any]) -> str:
    full, totals = facts["configs"]["full"]["rows"], facts["totals"]
    return (
        f"{full:,} instruction rows from {len(facts['sources'])} sources, in nested sizes. {totals['in']:,} read + "
        f"{totals['generated']:,} generated = {totals['kept']:,} kept + {totals['dropped']:,} dropped + "
        f"{totals['quarantined']:,} quarantined; ledger.parquet says why of each."
    )


def license_url(facts: dict[str, Any]) -> str | None:
    """Where the licence stands: its link, or SPDX's page of it; None where nobody stated one."""
    if facts["license_link"]:
        return str(facts["license_link"])
    known = facts["spdx"] != "NOASSERTION" and not facts["spdx"].startswith("LicenseRef-")
    return f"https://spdx.org/licenses/{facts['spdx']}.html" if known else facts["license"]


def bibtex(facts: dict[str, Any]) -> str:
    """How the set is cited."""
    key = re.sub(r"\W+", "_", facts["name"])
    where = f", url = {{{facts['url']}}}" if facts["url"] else ""
    return (
        f"@misc{{{key}, title = {{{facts['name']}}}, version = {{{facts['version']}}}, note = {{built by instdata "
        f"{facts['instdata']}}}{where}}}"
    )


def _entity(source: dict[str, Any]) -> dict[str, Any]:
    """A source as a prov:Entity: its address and commit, or its files by sha256."""
    files = [
        {"@type": "prov:Entity", "@id": f"urn:sha256:{f['sha256']}", "prov:label": f["file"]} for f in source["files"]
    ]
    return {
        "@type": "prov:Entity",
        "@id": source["url"] or f"urn:instdata:source:{source['name']}",
        "prov:label": source["name"],
        "license": source["spdx"],
        **({"version": source["revision"]} if source["revision"] else {}),
        **({"prov:hadMember": files} if files else {}),
    }


def _activity(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps, in order, each a prov:Activity that the one before informed, by instdata (and models that wrote
    rows)."""
    agent = {"@type": "prov:SoftwareAgent", "@id": f"https://pypi.org/project/instdata/{facts['instdata']}/",
        "prov:label": f"instdata {facts['instdata']}"}  # fmt: skip
    models = [
        {"@type": "prov:SoftwareAgent", "@id": f"urn:model:{name}", "prov:label": name} for name in facts["writers"]
    ]
    found = []
    for i, step in enumerate(facts["steps"]):
        agents = [agent, *(models if step["kind"] == "generate" else [])]
        found.append(
            {
                "@type": "prov:Activity",
                "@id": f"urn:instdata:{facts['version']}:step:{i}",
                "prov:label": step["name"],
                "description": f"{step['in']:,} rows in, {step['added']:,} added, {step['dropped']:,} dropped, "
                f"{step['kept']:,} kept",
                "prov:wasAssociatedWith": agents,
                **({"prov:wasInformedBy": {"@id": f"urn:instdata:{facts['version']}:step:{i - 1}"}} if i else {}),
            }
        )
    return found or [
        {"@type": "prov:Activity", "@id": f"urn:instdata:{facts['version']}", "prov:wasAssociatedWith": [agent]}
    ]


def _file(file: dict[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject", "@id": file["path"], "name": file["path"], "contentUrl": file["path"],
        "contentSize": f"{file['bytes']} B", "encodingFormat": PARQUET, "sha256": file["sha256"],
    }  # fmt: skip


def _file_set(name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet", "@id": f"files-{name}", "name": f"files-{name}", "encodingFormat": PARQUET,
        "includes": config["files"],
    }  # fmt: skip


def _record_set(name: str, config: dict[str, Any], columns: pa.Schema) -> dict[str, Any]:
    fields = [_field(f"{name}/{c.name}", c.name, c.type, name, c.name, ()) for c in columns]
    return {
        "@type": "cr:RecordSet", "@id": name, "name": name, "key": {"@id": f"{name}/id"},
        "description": f"{config['rows']:,} rows" + (", held out for evaluation" if name == "holdout" else ""),
        "field": fields,
    }  # fmt: skip


def _field(at: str, name: str, kind: pa.DataType, config: str, column: str, way: tuple[str, ...]) -> dict[str, Any]:
    """A column, or a part of one: a list is repeated, a struct has sub-fields, which JSON paths lead to."""
    repeated = pa.types.is_list(kind)
    inner = kind.value_type if repeated else kind
    found: dict[str, Any] = {"@type": "cr:Field", "@id": at, "name": name}
    if repeated:
        found |= {"isArray": True, "arrayShape": "-1"} if not pa.types.is_struct(inner) else {"repeated": True}
    if pa.types.is_struct(inner):
        return found | {
            "subField": [_field(f"{at}/{f.name}", f.name, f.type, config, column, (*way, f.name)) for f in inner]
        }
    source: dict[str, Any] = {"fileSet": {"@id": f"files-{config}"}, "extract": {"column": column}}
    if way:
        source["transform"] = {"jsonPath": ".".join(way)}
    return found | {"dataType": next((t for test, t in TYPES if test(inner)), "sc:Text"), "source": source}
