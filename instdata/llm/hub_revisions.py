"""Models on the Hub by the commit of their weights: a name alone stands for other weights after the next push."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from instdata.util.errors import InputError, MissingExtra

COMMIT = re.compile(r"[0-9a-f]{40}")


def pinned(name: str) -> str:
    """owner/name@commit of a model, from owner/name or owner/name@revision (a branch, a tag, a commit).

    The Hub is asked once a process, so that what is loaded is what the key says. Where it cannot be asked, the commit
    that lies in its cache counts. Raises InputError where there is neither, MissingExtra without a client."""
    repo, _, revision = name.partition("@")
    return name if COMMIT.fullmatch(revision) else f"{repo}@{_commit(repo, revision or 'main')}"


@cache
def _commit(repo: str, revision: str) -> str:
    try:
        from huggingface_hub import HfApi
    except ImportError as e:
        raise MissingExtra(f"model: {repo}", "train") from e
    try:
        return str(HfApi().model_info(repo, revision=revision, timeout=10).sha)
    except Exception as e:  # the hub client raises dozens of kinds; all mean the same here
        if kept := _kept(repo, revision):
            return kept
        said = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise InputError(
            f"model: {repo}: {said}. Is it spelled right, public or logged in to, and the network up? Or give a folder"
        ) from e


def _kept(repo: str, revision: str) -> str | None:
    """The commit of a revision in the client's cache."""
    from huggingface_hub import constants

    ref = Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "refs" / revision
    return ref.read_text("utf-8").strip() if ref.is_file() else None
