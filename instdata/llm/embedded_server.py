"""A local GGUF served on loopback with the OpenAI API, for as long as the `with` block lasts.

The server is a process of its own: its crash is not ours, and its log does not mix with ours. It ends when the pipe
to its stdin closes, which the kernel does when we end, whatever ended us (SIGKILL and Ctrl-C included).
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from instdata.util.errors import BuildError, MissingExtra
from instdata.util.paths import cores

SLOTS = 4  # requests decoded together: 42 tokens/s instead of 26 on two cores
SLOT_TOKENS = 2048  # prompt and answer of one request
KEY = "INSTDATA_SERVER_KEY"  # how the server process gets its key: command lines can be read by anybody
START_SECONDS = 120  # a cold disk reads a gigabyte in this time


@contextmanager
def serve(model: Path, slots: int = SLOTS, slot_tokens: int = SLOT_TOKENS, threads: int | None = None) -> Iterator[str]:
    """Serve a GGUF file; yields the base_url (http://:KEY@127.0.0.1:PORT/v1, with a key made for this run).

    Raises MissingExtra without xllamacpp, BuildError where the model cannot be loaded."""
    from importlib.util import find_spec

    if find_spec("xllamacpp") is None:
        raise MissingExtra("the embedded model", "local")
    with tempfile.TemporaryFile() as log:
        command = [
            sys.executable,
            "-m",
            "instdata.llm.embedded_server",
            str(model),
            str(slots),
            str(slot_tokens),
            str(threads or cores()),
        ]
        # Spinning at barriers costs a factor of thirty as soon as anything else wants a core; sleeping costs a tenth.
        key = secrets.token_hex(16)  # any page in a browser may send requests to this machine: it does not know the key
        env = {**os.environ, "OMP_WAIT_POLICY": "passive", KEY: key}
        # A session of its own keeps the terminal's Ctrl-C from it: we decide when it goes.
        server: Any = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=env, start_new_session=True
        )
        try:
            url = _first_line(server)
            if not url:
                server.kill()
                log.seek(max(0, log.seek(0, os.SEEK_END) - 2000))
                tail = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
                raise BuildError(f"{model.name} could not be served: {tail[-1] if tail else 'no reason given'}")
            yield url.replace("://", f"://:{key}@", 1) + "/v1"
        finally:
            server.stdin.close()
            try:
                server.wait(5)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
            server.stdout.close()


def _first_line(server: Any) -> str:
    """The address that the server prints once the model is loaded; "" where it ends or hangs instead."""
    watchdog = threading.Timer(START_SECONDS, server.kill)
    watchdog.start()
    try:
        return server.stdout.readline().decode().strip()
    finally:
        watchdog.cancel()


def main(model: str, slots: int, slot_tokens: int, threads: int) -> None:
    """The server process: load, print the address, end with the parent."""
    parent = os.getppid()
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_parallel = slots
    params.n_ctx = slots * slot_tokens
    params.kv_unified = False  # a slot's context is its own, so one long answer cannot starve the others
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [os.environ.pop(KEY)]
    params.model_alias = {"model"}  # else its answers say where on this machine the file lies
    # No page of another site may read anything, /health (the one thing without a key) included.
    params.cors_origins = params.cors_methods = params.cors_headers = ""
    params.cors_credentials = params.ui = params.endpoint_slots = params.endpoint_props = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)

    def orphaned() -> None:  # a forked sibling may hold the pipe open after our parent's death
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(0)

    threading.Thread(target=orphaned, daemon=True).start()
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
