"""CITATION.cff: how a set and the sources it is made of are cited."""

from __future__ import annotations

from typing import Any

from instdata.publish.croissant import license_url


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
