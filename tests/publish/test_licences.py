"""Which licences may be published under which."""

from __future__ import annotations

import pytest

from instdata.publish.licence_terms import objections


@pytest.mark.parametrize(
    ("theirs", "ours", "kinds"),
    [
        ("mit", "apache-2.0", []),
        ("cc-by-4.0", "cc-by-4.0", []),
        ("cc0-1.0", "cc-by-nc-4.0", []),
        ("cc-by-nc-4.0", "cc-by-nc-4.0", []),
        ("cc-by-nc-4.0", "cc-by-nc-sa-4.0", []),
        ("CC-BY-NC-4.0", "cc-by-4.0", ["license"]),
        ("cc-by-nd-4.0", "cc-by-nd-4.0", ["license"]),
        ("cc-by-sa-3.0", "cc-by-sa-4.0", []),
        ("cc-by-sa-3.0", "cc-by-4.0", ["license"]),
        ("cc-by-nc-sa-4.0", "cc-by-sa-4.0", ["license"]),
        ("gpl-3.0", "mit", ["license"]),
        (None, "mit", ["unknown-license"]),
        ("unknown", "mit", ["unknown-license"]),
        ("mit", None, ["unknown-license"]),
        (None, None, ["unknown-license", "unknown-license"]),
    ],
)
def test_objections(theirs: str | None, ours: str | None, kinds: list[str]) -> None:
    found = objections([{"name": "a", "license": theirs}], ours)
    assert [kind for kind, _ in found] == kinds
    assert all(line for _, line in found)
