"""Well-known evaluation suites by name: pointers into the Hub (repository, revision, sha256), never copies."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

from instdata.util.errors import InputError, MissingExtra

POINTERS = Path(__file__).with_name("suites.yaml")


class Pointer(NamedTuple):
    """One file of a dataset on the Hub."""

    repo: str
    revision: str
    file: str
    sha256: str


@cache
def suites() -> dict[str, Pointer]:
    """Every known suite by its name."""
    from instdata.util.yaml import load_yaml

    return {name: Pointer(**about) for name, about in load_yaml(POINTERS).data.items()}


def fetched(name: str) -> Path:
    """The file of a known suite, in the Hub's cache. Raises InputError where it cannot be had or is not the file
    pointed at."""
    from instdata.util.atomic import digest

    at = suites()[name]
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as e:
        raise MissingExtra(f"the suite {name}", "hub") from e
    try:
        path = Path(hf_hub_download(at.repo, at.file, repo_type="dataset", revision=at.revision, etag_timeout=3))
    except Exception as e:  # the hub client raises dozens of kinds; all mean the same here
        raise InputError(
            f"{name}: {at.repo}/{at.file} at {at.revision[:7]} cannot be had from the Hub ({type(e).__name__}): go "
            f"online once, or name a "
            "file of the suite instead"
        ) from e
    if (found := digest(path)) != at.sha256:
        raise InputError(
            f"{name}: {path} is not the file pointed at: its sha256 is {found[:12]}…, not {at.sha256[:12]}…"
        )
    return path
