"""Commands as a person or a script meets them: processes of their own, with exit codes, stdout and stderr.

A command's process is forked off one that has imported the program and done nothing else, for importing takes most of
the second that a small command takes. `fresh` starts an interpreter, as a shell does.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

SECONDS = 120
LONGEST = 1 << 17  # bytes of a command line with its environment


class Shell:
    def __init__(self, folder: Path):
        self.folder = folder

    def __call__(self, *args: str, code: int = 0, env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
        return self._checked(forked(args, self.folder, self._environment(env)), code)

    def fresh(self, *args: str, code: int = 0, env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [sys.executable, "-m", "instdata.cli.main", *args],
            cwd=self.folder,
            capture_output=True,
            text=True,
            env=self._environment(env),
            timeout=SECONDS,
        )
        return self._checked(done, code)

    def json(self, *args: str, code: int = 0) -> dict:
        return json.loads(self(*args, "--json", code=code).stdout)

    def _environment(self, env: dict[str, str] | None) -> dict[str, str]:
        return {**os.environ, "COLUMNS": "80", **(env or {})}

    def _checked(self, done: subprocess.CompletedProcess, code: int) -> subprocess.CompletedProcess:
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done


def forked(args: tuple[str, ...], folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess:
    """Run one command in a process of its own. Raises TimeoutExpired, and ends the process, after SECONDS."""
    server, asking = _server()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        asked = json.dumps({"args": args, "folder": str(folder), "env": env})
        socket.send_fds(asking, [asked.encode()], [out.fileno(), err.fileno()])
        try:
            code = int(asking.recv(100) or b"1")
        except TimeoutError:
            server.terminate()
            _server.cache_clear()
            raise subprocess.TimeoutExpired(list(args), SECONDS) from None
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(args, code, out.read().decode(), err.read().decode())


@cache
def _server() -> tuple[subprocess.Popen, socket.socket]:
    """The process that commands are forked off, and the socket to ask it: it ends with this process."""
    asking, asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asking.settimeout(SECONDS)
    with asked:
        serve = f"from tests.shell import serve; serve({asked.fileno()})"
        path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        env = {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)}
        server = subprocess.Popen([sys.executable, "-c", serve], pass_fds=[asked.fileno()], env=env)
    atexit.register(_end, server, asking)
    return server, asking


def _end(server: subprocess.Popen, asking: socket.socket) -> None:
    asking.close()
    server.wait()


def serve(asked: int) -> None:
    """Import what commands import, then run each that is asked for in a fork, one after another. A fork returns from
    here and ends as a program does."""
    import duckdb  # noqa: F401
    import jinja2  # noqa: F401

    from instdata import build  # noqa: F401
    from instdata.__main__ import run
    from instdata.util.import_guards import lean

    lean()
    from instdata.report import page  # noqa: F401
    from instdata.steps import worker_preload  # noqa: F401

    here = socket.socket(fileno=asked)
    while True:
        message, files, *_ = socket.recv_fds(here, LONGEST, 2)
        if not message:
            os._exit(0)
        child = os.fork()
        if child == 0:
            here.close()
            _become(json.loads(message), *files)
            return run()
        for file in files:
            os.close(file)
        _, status = os.waitpid(child, 0)
        here.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(asked: dict[str, Any], out: int, err: int) -> None:
    """Be the process that a shell would have started."""
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["env"])
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)
    sys.argv = ["instdata", *asked["args"]]
