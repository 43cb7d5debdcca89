"""Publish a build as one Hub dataset: checked first, one atomic commit, a tag per build."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from instdata.errors import BuildError, InputError
from instdata.files import digest
from instdata.output import locked
from instdata.publish.licences import objections
from instdata.publish.publication import write_publication
from instdata.publish.remote import client, told, writer
from instdata.publish.verify import CHECKS, verify
from instdata.quality.private import CREDENTIAL

OURS = "instdata: "  # how the title of a push's commit starts
ALLOW = ("license", "unknown-license", "credentials", "moved-head", *CHECKS)
MANAGED = ("data/", "charts/")  # folders in which files that the build does not have are deleted


def push(
    build: Path,
    repo: str | None = None,
    private: bool | None = None,
    dry_run: bool = False,
    allow: Collection[str] = (),
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Publish a build folder as the dataset `repo` (default: the recipe's). A new dataset is private unless the recipe
    or `private` says otherwise. `allow` names objections (ALLOW) to pass over.

    Returns {repo, commit, changed, tag, url, summary, files: {path: bytes}}; with dry_run nothing is sent and commit is
    None. Raises InputError for what must not be published or a token that may not write, BuildError where the remote
    head is not an earlier push, HubError where the Hub fails.
    """
    if unknown := sorted(set(allow) - set(ALLOW)):
        raise InputError(f"--allow {unknown[0]}: known are {', '.join(ALLOW)}")
    manifest = json.loads((build / "manifest.json").read_text("utf-8"))
    recipe = yaml.safe_load((build / "recipe.yaml").read_text("utf-8"))
    wishes = recipe.get("publish", {})
    repo = repo or wishes.get("repo")
    if not repo or not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise InputError(
            f"which dataset? Give --repo owner/name, or publish.repo in the recipe{f' (not {repo!r})' if repo else ''}"
        )
    api = client()
    if not dry_run:
        writer(api, repo)
    _object(build, recipe, allow)
    with _scratch(build) as folder:
        write_publication(build, folder, repo, bool(wishes.get("meta")))
        _object_to_secrets(folder, allow)
        files = {p.relative_to(folder).as_posix(): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}
        tag = f"{manifest['name']}@{manifest['recipe_sha256'][:16]}"
        done: dict[str, Any] = {
            "repo": repo,
            "commit": None,
            "changed": False,
            "tag": tag,
            "url": f"{api.endpoint}/datasets/{repo}",
            "summary": "",
            "files": files,
        }
        if dry_run:
            return done
        with told(repo):
            api.create_repo(
                repo,
                repo_type="dataset",
                private=wishes.get("private", True) if private is None else private,
                exist_ok=True,
            )
            remote = _Remote(api, repo)
            if "moved-head" not in allow:
                remote.check_head()
            changed = remote.difference(folder, files)
            if changed:
                done["summary"] = _summary(remote, folder)
                say(f"{repo}: {len(changed)} files to send")
                remote.commit(folder, changed, f"{OURS}{tag}", done["summary"])
            remote.tag(tag)
            return done | {"commit": remote.head, "changed": bool(changed)}


@contextmanager
def _scratch(build: Path) -> Iterator[Path]:
    """An empty folder in the build's, which nothing else may write meanwhile; what a killed push left goes first."""
    folder = build / ".push"
    with locked(build):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _object(build: Path, recipe: dict[str, Any], allow: Collection[str]) -> None:
    """Raise InputError with every reason not to publish that is not allowed by name."""
    found = [(c["name"], f"{c['name']}: {p}") for c in verify(build)["checks"] for p in c["problems"]]
    found += objections(recipe["sources"], recipe.get("publish", {}).get("license"))
    _refuse(found, allow)


def _object_to_secrets(folder: Path, allow: Collection[str]) -> None:
    """The same for keys and tokens in what would be published."""
    found = []
    rows = 0
    for path in sorted((folder / "data").glob("*.parquet")):
        with pq.ParquetFile(path) as file:
            columns = [n for n in file.schema_arrow.names if n in ("messages", "meta")]
            for batch in file.iter_batches(columns=columns, batch_size=1 << 14):
                hit = pc.match_substring_regex(batch["messages"].flatten().field("content"), CREDENTIAL)
                rows += len(set(pc.list_parent_indices(batch["messages"]).filter(pc.fill_null(hit, False)).to_pylist()))
                if "meta" in columns:
                    rows += pc.sum(pc.match_substring_regex(batch["meta"], CREDENTIAL)).as_py() or 0
    if rows:
        found.append(
            ("credentials", f"{rows:,} rows hold what looks like a key or token: add the rule `secret` to quality")
        )
    for name in ("recipe.yaml", "README.md"):
        if re.search(CREDENTIAL, (folder / name).read_text("utf-8")):
            found.append(("credentials", f"{name} holds what looks like a key or token"))
    _refuse(found, allow)


def _refuse(found: list[tuple[str, str]], allow: Collection[str]) -> None:
    left = [(kind, line) for kind, line in found if kind not in allow]
    if left:
        hint = (
            "--accept-unknown-license"
            if {k for k, _ in left} == {"unknown-license"}
            else f"--allow {','.join(dict.fromkeys(k for k, _ in left))}"
        )
        lines: list[tuple[str, int | None, str]] = [("", None, line) for _, line in left]
        raise InputError([*lines, ("", None, f"nothing was published. To publish all the same: {hint}")])


class _Remote:
    """A dataset on the Hub as it was when looked at."""

    def __init__(self, api: Any, repo: str):
        self.api, self.repo = api, repo
        info = api.repo_info(repo, repo_type="dataset", files_metadata=True)
        self.head: str = info.sha
        self.files = {s.rfilename: s.lfs["sha256"] if s.lfs else s.blob_id for s in info.siblings}

    def check_head(self) -> None:
        """Raise BuildError where the head is neither an earlier push nor a repo that nobody has used."""
        if set(self.files) <= {".gitattributes", "README.md"}:
            return
        title = self.api.list_repo_commits(self.repo, repo_type="dataset", revision=self.head)[0].title
        if not title.startswith(OURS):
            raise BuildError(
                f'{self.repo}: its head {self.head[:10]} ("{title}") is not a push of instdata: pushing would overwrite it. Look at it first; to overwrite it: --allow moved-head'
            )

    def difference(self, folder: Path, files: Collection[str]) -> dict[str, bool]:
        """Files that are new or changed (True), and those that are to go (False)."""
        gone = {f: False for f in self.files if f.startswith(MANAGED) and f not in files}
        return {f: True for f in files if self.files.get(f) not in (digest(folder / f), _git_oid(folder / f))} | gone

    def commit(self, folder: Path, changed: dict[str, bool], title: str, message: str) -> None:
        """One commit on top of the head that was looked at."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        operations = [
            CommitOperationAdd(f, folder / f) if new else CommitOperationDelete(f) for f, new in changed.items()
        ]
        made = self.api.create_commit(
            self.repo,
            operations,
            commit_message=title,
            commit_description=message,
            repo_type="dataset",
            parent_commit=self.head,
        )
        self.head = made.oid

    def tag(self, name: str) -> None:
        """Make the tag name the head; an older push of the same recipe gives it up."""
        tags = {t.name: t.target_commit for t in self.api.list_repo_refs(self.repo, repo_type="dataset").tags}
        if tags.get(name) == self.head:
            return
        if name in tags:
            self.api.delete_tag(self.repo, tag=name, repo_type="dataset")
        self.api.create_tag(self.repo, tag=name, revision=self.head, repo_type="dataset")


def _git_oid(path: Path) -> str:
    """git's name of a file's content: what the Hub knows small files by."""
    sha = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            sha.update(data)
    return sha.hexdigest()


def _summary(remote: _Remote, folder: Path) -> str:
    """What a push changes, in words: rows in and out, labels, sizes."""
    from instdata.history import difference

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
