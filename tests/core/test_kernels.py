"""Compiled kernels: how many there are to compile, which of them before a build, and that none is stale."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from instdata.steps.compile_kernels import PARTS, warm
from instdata.util import kernels

PACKAGE = Path(kernels.__file__).parents[1]
LATER = {"semantic.mark_pairs", "pack._best_fit"}  # faiss's, and training's: no build needs them

COUNT = """
import sys
from numba.core import event
from instdata.steps.compile_kernels import _compile

with event.install_recorder("numba:compile") as record:
    _compile(sys.argv[1:])
print(len(record.buffer) // 2)
"""


def compiled(home: Path, parts: Iterable[str]) -> int:
    """How many functions a new process compiles for these parts."""
    env = {**os.environ, "INSTDATA_HOME": str(home)}
    ran = subprocess.run([sys.executable, "-c", COUNT, *parts], env=env, check=True, capture_output=True)
    return int(ran.stdout)


def test_every_kernel_is_compiled_before_a_build() -> None:
    warm(say=lambda line: None)
    for room in kernels.ROOMS:
        place = kernels.folder(room)
        assert place
        kept = {path.name.split("-")[0] for path in place.rglob("*.nbi")}
        for path in kernels._sources(room)[1:]:
            names = {f"{path.stem}.{name}" for name in re.findall(r"^@jit\ndef (\w+)", path.read_text(), re.MULTILINE)}
            assert names - kept <= LATER, path


def test_what_is_compiled_is_compiled_once(tmp_path: Path) -> None:
    """Of repetition in responses: one kernel, its four functions, and eight that numba makes of arrays, min and max; the
    search for pieces that patterns need."""
    assert 6 <= compiled(tmp_path, ["rules"]) <= 14
    assert compiled(tmp_path, ["rules"]) == 0


WAITING = """
from instdata.steps.compile_kernels import _marker, compiling

def ready(*parts):
    return all(_marker(part).exists() for part in parts)

with compiling(("dedup", "categorize"), 2, print) as wait:
    wait("read")
    assert ready("reading", "rules", "corpus")
    wait("categorize")
    assert ready("labels")
    wait("dedup")
    assert ready("search")
print("done")
"""
BROKEN = """
from instdata.steps import compile_kernels as made

def broken(parts):
    raise RuntimeError("no memory for LLVM")

made._compile = broken
with made.compiling(("dedup",), 1, print) as wait:
    print("a build began")
"""


def in_new_home(home: Path, program: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "INSTDATA_HOME": str(home)}
    return subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)


@pytest.mark.slow
def test_a_step_waits_for_its_kernels_alone(tmp_path: Path) -> None:
    """Of a first build on a machine: reading begins while dedup's kernels are compiled."""
    ran = in_new_home(tmp_path, WAITING)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "done"


def test_a_kernel_that_does_not_compile_ends_the_build(tmp_path: Path) -> None:
    ran = in_new_home(tmp_path, BROKEN)
    assert "no memory for LLVM" in ran.stderr and "a build began" not in ran.stdout


@pytest.mark.slow
def test_few_functions_are_compiled(tmp_path: Path) -> None:
    """Each takes a tenth of a second or more: they were 161 once, without three kernels that warming forgot."""
    assert compiled(tmp_path, PARTS) <= 151


def test_a_kernel_is_kept_by_what_it_is_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit makes a room's folder another, where its kernels could come out of it otherwise: not an edit of another
    room, or of what no kernel's file imports."""
    monkeypatch.setenv("INSTDATA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(kernels, "__file__", str(tmp_path / "instdata/util/kernels.py"))
    files = {
        "util/kernels.py": "def jit(): ...\n",
        "read/x.py": "from instdata.read.y import SIZE\n\n@jit\ndef f(): ...\n",
        "read/y.py": "from instdata.read.z import SIZE\n",
        "read/z.py": "SIZE = 1\n",
        "read/other.py": "from instdata.read.x import f\n",
        "train/pack.py": "@inner\ndef g(): ...\n",
    }
    for name, text in files.items():
        path = tmp_path / "instdata" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def changed(name: str) -> bool:
        kernels.folder.cache_clear()
        before = kernels.folder("read")
        (tmp_path / "instdata" / name).write_text(files[name] + "# changed\n")
        kernels.folder.cache_clear()
        return kernels.folder("read") != before

    try:
        found = {name: changed(name) for name in files}
    finally:
        kernels.folder.cache_clear()
    assert [name for name, new in found.items() if not new] == ["read/other.py", "train/pack.py"]


def test_kernels_call_those_of_their_own_room() -> None:
    """Else an edit of another room's would leave them as they were."""
    for room in kernels.ROOMS:
        for path in kernels._sources(room)[1:]:
            for module in re.findall(r"^from instdata\.([\w.]+) import", path.read_text("utf-8"), re.MULTILINE):
                file = PACKAGE / f"{module.replace('.', '/')}.py"
                own = file.parent == PACKAGE / room or not file.is_file()
                assert own or not re.search("^@(jit|inner)$", file.read_text("utf-8"), re.MULTILINE), (path, module)


def test_parts_are_of_rooms_with_kernels() -> None:
    assert {room for room, _ in PARTS.values()} == set(kernels.ROOMS) - {"train"}
