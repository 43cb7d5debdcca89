"""What others put into the program and what it gives to others: steps of third parties, actions of the workflows, the
sandbox's command lines, the bytes of pinned models."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from instdata.llm import local_models
from instdata.score.sandbox import launch
from instdata.score.sandbox.watch import attempt

REPO = Path(__file__).parents[2]
LIMITS = {"seconds": 5, "memory_mb": 256, "disk_mb": 16}


def test_schema_imports_no_step_of_a_third_party(tmp_path: Path) -> None:
    (tmp_path / "evil-1.dist-info").mkdir()
    (tmp_path / "evil-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1\n")
    (tmp_path / "evil-1.dist-info" / "entry_points.txt").write_text("[instdata.steps]\nevil = evilstep:Evil\n")
    (tmp_path / "evilstep.py").write_text("raise SystemExit(9)\n")
    places = os.pathsep.join([str(tmp_path), str(REPO)])
    ran = subprocess.run([sys.executable, "-m", "instdata", "schema", "--json"], capture_output=True, text=True,
        timeout=120, env={**os.environ, "PYTHONPATH": places}, cwd=tmp_path)  # fmt: skip
    assert ran.returncode == 0 and '"dedup"' in ran.stdout and "evilstep" not in ran.stdout, ran.stderr


@pytest.mark.parametrize("file", sorted((REPO / ".github" / "workflows").glob("*.yml")), ids=lambda p: p.name)
def test_actions_are_pinned_and_may_do_little(file: Path) -> None:
    flow = yaml.safe_load(file.read_text("utf-8"))
    assert flow["permissions"] == {"contents": "read"}
    for name, job in flow["jobs"].items():
        assert set(job.get("permissions", {}).values()) <= {"read"} or file.name == "release.yml", name
        for step in job["steps"]:
            assert "secrets." not in str(step)
            if used := step.get("uses"):
                assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", used), used
    for line in file.read_text("utf-8").splitlines():
        assert "uses:" not in line or re.search(r"# v\d+\.\d+\.\d+$", line), line


def test_a_release_is_audited_hashed_and_signed() -> None:
    jobs = yaml.safe_load((REPO / ".github" / "workflows" / "release.yml").read_text("utf-8"))["jobs"]
    said = str(jobs["build"]["steps"])
    order = ["make release-files", "pip-audit", "attest-build-provenance", "upload-artifact"]
    assert sorted(order, key=said.index) == order
    assert jobs["publish"]["needs"] == "build" and "sha256sum --check" in str(jobs["publish"]["steps"])
    assert "make" not in str(jobs["publish"]["steps"])  # what may publish runs nothing of ours


def test_the_line_of_bubblewrap_gives_nothing_but_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = launch.command("bwrap", LIMITS)
    for word in ("--unshare-all", "--die-with-parent", "--new-session", "--remount-ro"):
        assert word in line
    assert line[line.index("--cap-drop") + 1] == "ALL"
    assert [line[i + 1] for i, w in enumerate(line) if w == "--cap-add"] == ["CAP_SYS_ADMIN"]
    assert "--bind" not in line and "--share-net" not in line and "--proc" not in line
    assert {line[i + 1] for i, w in enumerate(line) if w == "--dev-bind"} == {
        "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"}  # fmt: skip
    outside = {"/", "/home", "/etc", "/root", str(Path.home()), str(REPO)}
    assert not outside & {line[i + 1] for i, w in enumerate(line) if w == "--ro-bind"}


def test_a_docker_without_a_daemon_says_so_and_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = tmp_path / "docker"
    stub.write_text(
        "#!/bin/sh\necho 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock.' >&2\nexit 1\n"
    )
    stub.chmod(stub.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    told = attempt("docker", "f = 1", "assert f == 1", 5, 256, 16)
    assert told.passed is None and "Cannot connect to the Docker daemon" in told.reason


def test_a_pinned_model_is_read_again_when_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSTDATA_HOME", str(tmp_path))
    content = b"weights" * 100
    known = next(iter(local_models.MODELS.values()))
    mine = replace(known, file="m.gguf", bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    path = local_models.path_of(mine)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert local_models.is_here(mine) and local_models.is_here(mine)
    when = path.stat()
    path.write_bytes(b"poison!" * 100)  # as long, and its times set back
    os.utime(path, ns=(when.st_atime_ns, when.st_mtime_ns))
    assert not local_models.is_here(mine)
