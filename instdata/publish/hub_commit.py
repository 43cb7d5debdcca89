"""One push: what differs from a Hub repository's head goes up as one atomic commit with a tag; the same again is
nothing."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from instdata.publish.hub_client import told
from instdata.publish.verify import CHECKS
from instdata.util.atomic import digest
from instdata.util.errors import BuildError, InputError
from instdata.util.progress import part
from instdata.util.yaml import did_you_mean

OURS = "instdata: "  # how the title of a push's commit starts
ALLOW = ("license", "unknown-license", "credentials", "moved-head", *CHECKS)  # objections to pass over by name
TOGETHER = 5  # files that are sent at once: as many as the client has threads for
NEW_REPO = {".gitattributes", "README.md"}  # what the Hub itself puts into one


@contextmanager
def scratch(home: Path) -> Iterator[Path]:
    """An empty folder in `home` for what will be published; what a killed push left there goes first."""
    folder = home / ".push"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def repo_name(repo: str | None, remedy: str) -> str:
    """The repository's name. Raises InputError where it is none."""
    if not repo or not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise InputError(f"which repository? Give {remedy}{f' (not {repo!r})' if repo else ''}")
    return repo


def check_allowed(allow: Collection[str]) -> None:
    """Raise InputError for the name of an objection that there is not."""
    if unknown := sorted(set(allow) - set(ALLOW)):
        raise InputError(f"--allow {unknown[0]}: known are {', '.join(ALLOW)}.{did_you_mean(unknown[0], ALLOW)}")


def objected(found: list[tuple[str, str]], allow: Collection[str]) -> list[str]:
    """Every objection, (kind, line), whose kind is not allowed by name, as lines; the last one says how to allow
    them."""
    left = [(kind, line) for kind, line in found if kind not in allow]
    if not left:
        return []
    unknown = {k for k, _ in left} == {"unknown-license"}
    named = f"--allow {','.join(dict.fromkeys(k for k, _ in left))}"
    hint = f"nothing was published. To publish all the same: {'--accept-unknown-license' if unknown else named}"
    return [*(line for _, line in left), hint]


def refuse(found: list[tuple[str, str]], allow: Collection[str]) -> None:
    """Raise InputError with the objections that are not allowed by name, where there are any."""
    if lines := objected(found, allow):
        raise InputError([("", None, line) for line in lines])


def send(
    api: Any, repo: str, kind: str, folder: Path, tag: str, private: bool, allow: Collection[str],
    managed: tuple[str, ...], summary: Callable[[Remote], str], say: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    """Make a repository of the Hub hold the files of a folder; `kind` is dataset or model. Files under `managed`
    folders that are not there any more are deleted; others are left alone.

    Returns {commit, changed, summary, private}: an existing repository stays as private as it is. Raises BuildError
    where the head is not an earlier push (unless `moved-head` is allowed) and what `remote.told` makes of the Hub's
    errors."""
    with told(repo):
        api.create_repo(repo, repo_type=kind, private=private, exist_ok=True)
        remote = Remote(api, repo, kind)
        if "moved-head" not in allow:
            remote.check_head()
        changed = remote.difference(folder, managed)
        text = summary(remote) if changed else ""
        if changed:
            say(f"{repo} is {'private' if remote.private else 'public'}: {len(changed)} files to send")
            remote.commit(folder, changed, f"{OURS}{tag}", text)
        remote.tag(tag)
        return {"commit": remote.head, "changed": bool(changed), "summary": text, "private": remote.private}


def listed(folder: Path) -> dict[str, int]:
    """The files of a folder and their bytes."""
    return {p.relative_to(folder).as_posix(): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}


class Remote:
    """A repository on the Hub as it was when looked at."""

    def __init__(self, api: Any, repo: str, kind: str):
        self.api, self.repo, self.kind = api, repo, kind
        info = api.repo_info(repo, repo_type=kind, files_metadata=True)
        self.head: str = info.sha
        self.private = bool(info.private)
        self.files = {s.rfilename: s.lfs["sha256"] if s.lfs else s.blob_id for s in info.siblings}

    def check_head(self) -> None:
        """Raise BuildError where the head is neither an earlier push nor a repository that nobody has used."""
        if set(self.files) <= NEW_REPO:
            return
        title = self.api.list_repo_commits(self.repo, repo_type=self.kind, revision=self.head)[0].title
        if not title.startswith(OURS):
            raise BuildError(
                f'{self.repo}: its head {self.head[:10]} ("{title}") is not a push of instdata: pushing would '
                f"overwrite it. Look at it first; to overwrite it: --allow moved-head"
            )

    def difference(self, folder: Path, managed: tuple[str, ...]) -> dict[str, bool]:
        """Files that are new or changed (True), and those that are to go (False)."""
        files = listed(folder)
        gone = {f: False for f in self.files if managed and f.startswith(managed) and f not in files}
        return {f: True for f in files if self.files.get(f) not in (digest(folder / f), _git_oid(folder / f))} | gone

    def commit(self, folder: Path, changed: dict[str, bool], title: str, message: str) -> None:
        """One commit on top of the head that was looked at."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        operations = [
            CommitOperationAdd(f, folder / f) if new else CommitOperationDelete(f) for f, new in changed.items()
        ]
        self._upload([o for o in operations if isinstance(o, CommitOperationAdd)], folder)
        made = self.api.create_commit(
            self.repo,
            operations,
            commit_message=title,
            commit_description=message,
            repo_type=self.kind,
            parent_commit=self.head,
        )
        self.head = made.oid

    def _upload(self, files: list[Any], folder: Path) -> None:
        """Send what is large before the commit that names it, and say how far it is."""
        sizes = listed(folder)
        total, sent = sum(sizes[f.path_in_repo] for f in files), 0
        for at in range(0, len(files), TOGETHER):
            some = files[at : at + TOGETHER]
            self.api.preupload_lfs_files(self.repo, some, repo_type=self.kind)
            sent += sum(sizes[f.path_in_repo] for f in some)
            part(sent, total, "of the bytes")

    def tag(self, name: str) -> None:
        """Make the tag name the head; an older push of the same name gives it up."""
        tags = {t.name: t.target_commit for t in self.api.list_repo_refs(self.repo, repo_type=self.kind).tags}
        if tags.get(name) == self.head:
            return
        if name in tags:
            self.api.delete_tag(self.repo, tag=name, repo_type=self.kind)
        self.api.create_tag(self.repo, tag=name, revision=self.head, repo_type=self.kind)


def _git_oid(path: Path) -> str:
    """git's name of a file's content: what the Hub knows small files by."""
    sha = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            sha.update(data)
    return sha.hexdigest()
