"""Publish a build as one Hub dataset: checked first, one atomic commit, a tag per build. A trained run goes the same
way (push_trained_run.py)."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from instdata.builds import difference, find_build, recipe_of, run_of
from instdata.builds import manifest as read_manifest
from instdata.corpus.write_build_folder import locked
from instdata.publish.hub_client import client, writer
from instdata.publish.hub_commit import (
    Remote,
    check_allowed,
    listed,
    objected,
    refuse,
    repo_name,
    scratch,
    send,
)
from instdata.publish.licence_terms import objections
from instdata.publish.published_folder import write_publication
from instdata.publish.secret_scan import credentials
from instdata.publish.signature import PUBLISHED, sign
from instdata.publish.verify import verify
from instdata.util.checksums import SIGNATURE
from instdata.util.errors import InputError

MANAGED = (
    "data/",
    "charts/",
    "curves/",
    "ablations/",
    PUBLISHED + SIGNATURE,
)  # where files that the build does not have are deleted


def publish(
    target: Path | None,
    repo: str | None = None,
    private: bool | None = None,
    dry_run: bool = False,
    allow: Collection[str] = (),
    say: Callable[[str], None] = lambda line: None,
    key: Path | None = None,
) -> dict[str, Any]:
    """What `push-to-hub` does: publish a trained run's folder as a model, a build's as a dataset (None: the newest
    build). Returns what push and push_run do. Raises InputError where it is neither."""
    from instdata.publish.push_trained_run import push_run

    for folder in (target, Path("runs") / target) if target is not None else ():
        if run_of(folder) is not None:
            if key is not None:
                raise InputError(f"{folder}: --sign is for builds, whose manifest names every file; a run has none")
            return push_run(folder, repo, private, dry_run, allow, say)
    return push(find_build(target), repo, private, dry_run, allow, say, key)


def push(
    build: Path,
    repo: str | None = None,
    private: bool | None = None,
    dry_run: bool = False,
    allow: Collection[str] = (),
    say: Callable[[str], None] = lambda line: None,
    key: Path | None = None,
) -> dict[str, Any]:
    """Publish a build folder as the dataset `repo` (default: the recipe's). A new dataset is private unless the recipe
    or `private` says otherwise. `allow` names objections (ALLOW) to pass over; `key` is an SSH key that signs it.

    Returns {kind, repo, commit, changed, tag, url, summary, files: {path: bytes}, objections, private}; with dry_run
    nothing is sent, commit is None and `objections` are what a push would be refused for (a damaged build is refused at
    once). Raises InputError for what must not be published or a token that may not write, BuildError where the remote
    head is not an earlier push, HubError where the Hub fails.
    """
    check_allowed(allow)
    manifest = read_manifest(build)
    recipe = recipe_of(build)
    wishes = recipe.get("publish", {})
    repo = repo_name(repo or wishes.get("repo"), "--repo owner/name, or publish.repo in the recipe")
    api = client()
    if not dry_run:
        writer(api, repo)
    damage = [(c["name"], f"{c['name']}: {p}") for c in verify(build)["checks"] for p in c["problems"]]
    found = damage + objections(recipe["sources"], wishes.get("license_name") or wishes.get("license"))
    refuse(damage if dry_run else found, allow)
    with locked(build), scratch(build) as folder:
        write_publication(build, folder, repo, bool(wishes.get("meta")))
        found += credentials(folder)
        if key is not None:
            sign(folder, key, published=True)
        hidden = wishes.get("private", True) if private is None else private
        tag = f"{manifest['name']}@{manifest['recipe_sha256'][:16]}"
        done = {"kind": "dataset", "repo": repo, "commit": None, "changed": False, "tag": tag,
            "url": f"{api.endpoint}/datasets/{repo}", "summary": "", "files": listed(folder),
            "objections": objected(found, allow), "private": hidden}  # fmt: skip
        if dry_run:
            return done
        refuse(found, allow)
        return done | send(
            api, repo, "dataset", folder, tag, hidden, allow, MANAGED, lambda remote: _summary(remote, folder), say
        )


def _summary(remote: Remote, folder: Path) -> str:
    """What a push changes, in words: rows in and out, labels, sizes."""
    new = json.loads((folder / "manifest.json").read_text("utf-8"))
    if not {"manifest.json", "ledger.parquet"} <= set(remote.files):
        return (
            f"First build: {new['totals']['kept']:,} rows kept of {new['totals']['in'] + new['totals']['generated']:,}."
        )
    paths = [
        remote.api.hf_hub_download(remote.repo, f, repo_type="dataset", revision=remote.head)
        for f in ("manifest.json", "ledger.parquet")
    ]
    before = json.loads(Path(paths[0]).read_text("utf-8"))
    found = difference(Path(paths[1]).parent, folder)
    lines = [f"{found['rows_in']:,} rows in, {found['rows_out']:,} out, {found['labels_changed']:,} labels changed."]
    for name in dict.fromkeys([*before["configs"], *new["configs"]]):
        a, b = (m["configs"].get(name, {}).get("rows") for m in (before, new))
        if a != b:
            lines.append(
                f"- {name}: {'absent' if a is None else f'{a:,}'} to {'absent' if b is None else f'{b:,}'} rows"
            )
    if before["recipe_sha256"] != new["recipe_sha256"]:
        lines.append(f"- recipe {before['recipe_sha256'][:16]} to {new['recipe_sha256'][:16]}")
    if before["versions"] != new["versions"]:
        lines.append(
            "- "
            + ", ".join(
                f"{k} {before['versions'].get(k, 'absent')} to {v}"
                for k, v in new["versions"].items()
                if before["versions"].get(k) != v
            )
        )
    return "\n".join(lines)
