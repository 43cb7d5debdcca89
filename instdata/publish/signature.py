"""Who answers for a set: a detached signature of its list of checksums, by `ssh-keygen -Y`.

One file is signed that names the sha256 of every other: SHA256SUMS of a build, manifest.json of what is published. A
key that people have on GitHub already (github.com/NAME.keys) is enough, and signing and checking need no network, no
account and no package. sigstore's own client signs the same file where an identity is wanted (docs/publish.md).
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from instdata.util.atomic import whole
from instdata.util.checksums import SIGNATURE, SUMS, inside, regular
from instdata.util.errors import InputError

NAMESPACE = "instdata"  # a signature for another purpose is none of ours
PUBLISHED = "manifest.json"
KINDS = ("ssh-", "ecdsa-", "sk-")  # how a line begins that is a public key; others begin with a name
LONGEST = 60.0  # seconds; a key with a passphrase is asked for at the terminal
ABSENT = "ssh-keygen is not on this machine: install OpenSSH (8.2 or newer)"


def signed(folder: Path, published: bool) -> str:
    """The file whose signature stands for the whole folder."""
    return PUBLISHED if published else SUMS


def sign(folder: Path, key: Path, published: bool = False) -> Path:
    """Write the signature beside the file that it is of; returns its path. Raises InputError for what is no key, or
    what ssh-keygen says of it."""
    file = folder / signed(folder, published)
    if not key.is_file():
        raise InputError(f"{key}: no such key: name a private key of SSH, or its .pub where an agent holds it")
    if not regular(file):
        raise InputError(f"{folder}: built before there was a {SUMS}: build it again, then sign it")
    made = _run(["sign", "-f", str(key), "-n", NAMESPACE], file, patience=None)
    if made.returncode:
        raise InputError(f"{key}: ssh-keygen cannot sign with it: {_said(made)}")
    target = file.with_name(file.name + SIGNATURE)
    with whole(target) as out:
        out.write(made.stdout)
    return target


def check(folder: Path, manifest: dict[str, Any], signers: list[str] | None) -> Iterator[str]:
    """A check as `verify` has them: problems, and "= …" as its detail. `signers`: lines of `signers_of`; None where
    nobody was named, which is said and no problem."""
    name = signed(folder, "published" in manifest)
    signature = folder / (name + SIGNATURE)
    if signers is None:
        yield "= there is a signature: --signed-by KEYS says whether it is theirs"
    elif not signature.exists():
        yield f"not signed: there is no {signature.name}"
    elif not regular(signature) or not inside(folder, signature.name) or not inside(folder, name):
        yield f"{signature.name} is no file of this set"
    else:
        yield from _held_against(folder / name, signature, signers)


def _held_against(file: Path, signature: Path, signers: list[str]) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as scratch:
        allowed = Path(scratch) / "allowed"
        allowed.write_text("".join(signers), encoding="utf-8")
        found = _run(["find-principals", "-s", str(signature), "-f", str(allowed)], file)
        names = found.stdout.decode("utf-8", "replace").split("\n")
        if found.returncode or not names[0]:
            yield "not signed by one of these keys"
            return
        held = _run(["verify", "-f", str(allowed), "-I", names[0], "-n", NAMESPACE, "-s", str(signature)], file)
        if held.returncode:
            yield f"the signature does not fit {file.name}: {_said(held)}"
        else:
            yield f"= {_said(held)}"


def signers_of(signers: Path) -> list[str]:
    """The lines of a file of public keys as ssh-keygen's allowed signers, which it may hold already. Raises InputError
    where it has no public key."""
    try:
        lines = signers.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise InputError(f"{signers}: cannot be read: a public key, or ssh-keygen's allowed signers, is needed") from e
    lines = [line for line in map(str.strip, lines) if line and not line.startswith("#")]
    if not lines or any("PRIVATE KEY" in line for line in lines) or not any(k in " ".join(lines) for k in KINDS):
        raise InputError(f"{signers}: no public key in it (a key's .pub, or github.com/NAME.keys)")
    name = re.sub(r"[^\w.@-]+", "-", signers.stem)  # a key alone names nobody
    return [f"{name} {line}\n" if line.startswith(KINDS) else f"{line}\n" for line in lines]


def _run(words: list[str], file: Path, patience: float | None = LONGEST) -> subprocess.CompletedProcess[bytes]:
    try:
        with file.open("rb") as text:
            return subprocess.run(
                ["ssh-keygen", "-Y", *words], stdin=text, capture_output=True, timeout=patience, check=False
            )
    except FileNotFoundError as e:
        raise InputError(ABSENT) from e


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = (done.stderr + done.stdout).decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip().rstrip(".") if lines else f"exit code {done.returncode}"
