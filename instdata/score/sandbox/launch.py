"""How a process of the sandbox is started: in namespaces of its own, by bubblewrap, in a container, or unconfined if
asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from instdata.score.sandbox.confine import HOME, libraries

FILES = ("confine", "wire", "tests_source", "proxy", "serving", "inside")
# Line 1 on stdin holds the texts and the order. Prints of the code go to stderr; the pipes are not on 0, 1 and 2 any more.  # noqa: E501
BOOT = """
import io, json, os, sys, types
stdin, stdout = os.fdopen(os.dup(0), "rb"), os.dup(1)
null = os.open(os.devnull, os.O_RDONLY); os.dup2(null, 0); os.close(null); os.dup2(2, 1)
sys.stdin = open(0, closefd=False)
sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), "utf-8", "replace", write_through=True)
order = json.loads(stdin.readline())
for name in ("instdata", "instdata.score", "instdata.score.sandbox"):
    sys.modules[name] = types.ModuleType(name); sys.modules[name].__path__ = []
for name, text in order.pop("texts").items():
    module = sys.modules["instdata.score.sandbox." + name] = types.ModuleType("instdata.score.sandbox." + name)
    setattr(sys.modules["instdata.score.sandbox"], name, module)
    exec(compile(text, name + ".py", "exec"), vars(module))
module.main(order, stdin, stdout)
"""
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin", "HOME": HOME, "TMPDIR": HOME, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0",
    "PYTHONIOENCODING": "utf-8:replace",
    "MALLOC_ARENA_MAX": "1",  # each further arena would reserve address space
}  # fmt: skip


def start(how: str, role: str, source: str, folder: str, limits: dict[str, int]) -> subprocess.Popen[bytes]:
    """Start a process of the sandbox and send its order. Raises OSError."""
    texts = {name: Path(__file__).with_name(f"{name}.py").read_text("utf-8") for name in FILES}
    order: dict[str, Any] = {"texts": texts, "role": role, "source": source, "folder": folder, "way": how, **limits}
    environment = ENVIRONMENT if how != "none" else ENVIRONMENT | {"HOME": folder, "TMPDIR": folder}
    if how == "docker":  # its client finds its daemon and configuration
        environment = {k: os.environ[k] for k in ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONTEXT") if k in os.environ}
    process = subprocess.Popen(
        command(how, limits), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder,
        env=environment, start_new_session=True,
    )  # fmt: skip
    first = (json.dumps(order) + "\n").encode()
    assert process.stdin is not None  # a pipe
    try:
        process.stdin.write(first)
        process.stdin.flush()
    except BrokenPipeError:
        pass  # what it said on stderr tells why
    return process


def command(how: str, limits: dict[str, int]) -> list[str]:
    """The command line of a process of the sandbox."""
    python = ["-I", "-S", "-B", "-c", BOOT]
    if how == "docker":
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        return [
            "docker", "run", "--rm", "-i", "--network", "none", "--read-only", "--tmpfs",
            f"{HOME}:size={limits['disk_mb']}m,nr_inodes=4096",
            "--memory", f"{limits['memory_mb'] + 128}m", "--pids-limit", "64", "--cap-drop", "ALL", "--security-opt",
            "no-new-privileges",
            "--user", "65534:65534", "--workdir", HOME,
            *(x for k, v in ENVIRONMENT.items() for x in ("--env", f"{k}={v}")),
            f"python:{version}-slim", "python", *python,
        ]  # fmt: skip
    interpreter = os.path.realpath(sys.executable)
    if how != "bwrap":
        return [interpreter, *python]
    bound = [x for p in (*_real(libraries()), interpreter) for x in ("--ro-bind", p, p)]
    links = [x for p in ("/lib", "/lib64") if os.path.islink(p) for x in ("--symlink", os.readlink(p), p)]
    devices = [x for p in ("null", "zero", "random", "urandom") for x in ("--dev-bind", f"/dev/{p}", f"/dev/{p}")]
    return [
        "bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--uid", "65534", "--gid",
        "65534",
        "--cap-add", "CAP_SYS_ADMIN",  # within its namespaces, for confine.bounded_home, which is run before any code
        *bound, *links, *devices, "--size", str(limits["disk_mb"] << 20), "--tmpfs", HOME, "--chdir", HOME,
        "--remount-ro", "/",
        interpreter, *python,
    ]  # fmt: skip


def _real(paths: list[str]) -> list[str]:
    return [p for p in paths if not (os.path.islink(p) and os.path.isdir(p))]
