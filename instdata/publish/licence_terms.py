"""May rows of these licences be published under that one? Cautious, and no lawyer: what is not known is asked about."""

from __future__ import annotations

from typing import Any

UNKNOWN_WORDS = ("", "unknown", "other", "none", "not stated")


def objections(sources: list[dict[str, Any]], license: str | None) -> list[tuple[str, str]]:
    """(kind, line) for each reason not to publish rows of a recipe's sources under a licence. Kinds are
    "unknown-license", for what nobody stated, and "license", for terms that contradict."""
    found = []
    if _unknown(license):
        line = "the recipe does not say under which licence the set is published: add `publish: {license: cc-by-4.0}`"
        found.append(("unknown-license", f"{line}, or another SPDX id, and build again"))
    for source in sources:
        name, theirs = source.get("name", "?"), (source.get("license") or "").lower()
        if _unknown(theirs):
            line = f"source {name}: its licence is not stated: add `license:` to the source in the recipe"
            found.append(("unknown-license", f"{line}, and build again"))
        elif "-nd" in theirs:
            found.append(("license", f"source {name}: {theirs} does not allow adapted copies to be shared"))
        elif _unknown(license):
            continue
        elif _non_commercial(theirs) and not _non_commercial(license):
            found.append(("license", f"source {name}: {theirs} allows non-commercial use only, {license} allows more"))
        elif _share_alike(theirs) and not _same_family(theirs, license):
            found.append(
                ("license", f"source {name}: {theirs} must be shared under the same terms, not under {license}")
            )
    return found


def _unknown(license: str | None) -> bool:
    return (license or "").strip().lower() in UNKNOWN_WORDS


def _non_commercial(license: str | None) -> bool:
    return "-nc" in (license or "").lower()


def _share_alike(license: str) -> bool:
    return "-sa" in license or license.startswith(("gpl", "agpl", "lgpl", "odbl"))


def _same_family(a: str, b: str | None) -> bool:
    """Equal but for the version: cc-by-sa-3.0 rows may be published under cc-by-sa-4.0."""
    return a.rstrip("0123456789.-") == (b or "").lower().rstrip("0123456789.-")
