"""Sources by http(s): a loopback server with and without ranges, lengths, HEAD and ETags, that cuts, fails, redirects."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from typer.testing import CliRunner

from instdata.build import build, prepare
from instdata.cli.main import app
from instdata.util import remote_address
from instdata.util.errors import BuildError, InputError, MissingExtra
from instdata.util.paths import cache_folder
from instdata.util.remote_files import Place, fetched
from tests.conftest import Bench, rows
from tests.loopback import serving

pytest.importorskip("aiohttp")


class Web:
    """Files by name, and how they are served: a set of `no range`, `no length`, `no head`, `no etag`, `chunked`. `cuts`
    and `fails` count the answers that still break off in the middle, or are 500."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.how: set[str] = set()
        self.cuts = self.fails = 0
        self.asked: list[str] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_HEAD(self) -> None:
                self.answer(body=False)

            def do_GET(self) -> None:
                self.answer(body=True)

            def answer(self, body: bool) -> None:
                web.asked.append(f"{self.command} {self.path}")
                name = self.path.lstrip("/").split("?")[0]
                if name.startswith("moved/"):
                    return self.plain(302, {"Location": f"/{name.removeprefix('moved/')}"})
                if "no head" in web.how and not body:
                    return self.plain(405, {})
                if web.fails and body:
                    web.fails -= 1
                    return self.plain(500, {})
                if name not in web.files:
                    return self.plain(404, {})
                self.give(web.files[name], body)

            def plain(self, code: int, headers: dict[str, str]) -> None:
                self.send_response(code)
                for key, value in {**headers, "Content-Length": "0"}.items():
                    self.send_header(key, value)
                self.end_headers()

            def give(self, data: bytes, body: bool) -> None:
                wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
                code, headers, tag = 200, {}, f'"{hash(data) & 0xFFFFFF:x}"'
                if "no range" not in web.how:
                    headers["Accept-Ranges"] = "bytes"
                    if wanted:
                        first, last = int(wanted[1]), int(wanted[2] or len(data) - 1)
                        headers["Content-Range"] = f"bytes {first}-{min(last, len(data) - 1)}/{len(data)}"
                        code, data = 206, data[first : last + 1]
                if "no etag" not in web.how:
                    headers["ETag"] = tag
                if "chunked" in web.how:
                    headers["Transfer-Encoding"] = "chunked"
                elif "no length" in web.how:
                    headers["Connection"] = "close"
                else:
                    headers["Content-Length"] = str(len(data))
                self.send_response(code)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.end_headers()
                if not body:
                    return
                cut = web.cuts > 0 and len(data) > 1
                web.cuts -= cut
                data = data[: len(data) // 2] if cut else data
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if "chunked" in web.how else data)
                if "chunked" in web.how and not cut:
                    self.wfile.write(b"0\r\n\r\n")
                self.close_connection = cut or "no length" in web.how

        self.server, self.url = ThreadingHTTPServer(("127.0.0.1", 0), Handler), ""


@pytest.fixture
def web() -> Iterator[Web]:
    found = Web()
    with serving(found.server) as found.url:
        yield found


def lines(records: list[Any]) -> bytes:
    return "".join(json.dumps(r) + "\n" for r in records).encode()


WAYS = [set(), {"no range"}, {"no range", "no length"}, {"no range", "chunked"}, {"no head"}, {"no etag"}, {"no range", "no head", "no etag", "chunked"}]  # fmt: skip


@pytest.mark.parametrize("how", WAYS, ids=lambda how: "+".join(sorted(how)) or "plain")
def test_a_file_comes_whole_however_it_is_served(web: Web, how: set[str]) -> None:
    web.how, web.files["a.jsonl"] = how, lines(rows(60_000))  # more than one block of the client's
    [copy] = fetched(f"{web.url}/a.jsonl", cache_folder())
    assert copy.read_bytes() == web.files["a.jsonl"] and copy.name == "a.jsonl"
    web.asked.clear()
    assert fetched(f"{web.url}/a.jsonl", cache_folder()) == [copy]
    if not how & {"no etag", "no head", "no length", "chunked"}:  # else the client looks at the head of a GET
        assert not [a for a in web.asked if a.startswith("GET")]


@pytest.mark.parametrize("how", [set(), {"no range"}, {"no range", "chunked"}], ids=["plain", "no range", "chunked"])
def test_a_connection_that_is_cut_or_fails_costs_nothing(web: Web, how: set[str]) -> None:
    web.how, web.files["a.jsonl"], web.cuts, web.fails = how, lines(rows(20_000)), 2, 1
    [copy] = fetched(f"{web.url}/a.jsonl", cache_folder())
    assert copy.read_bytes() == web.files["a.jsonl"] and not web.cuts and not web.fails


def test_a_server_that_fails_is_not_one_that_lacks_the_file(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_address, "TRIES", 2)
    web.files["a.jsonl"], web.fails, web.how = lines(rows(10)), 10**6, {"no head"}
    with pytest.raises(BuildError, match="a.jsonl: 500"):
        fetched(f"{web.url}/a.jsonl", cache_folder())


def test_a_server_that_always_cuts_is_told(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_address, "TRIES", 2)
    web.files["a.jsonl"], web.cuts, web.how = lines(rows(100)), 10**6, {"no range"}
    with pytest.raises(BuildError, match=r"a\.jsonl: .*\(2 tries\)") as told:
        fetched(f"{web.url}/a.jsonl", cache_folder())
    assert "\n" not in str(told.value)
    assert not [p for p in (cache_folder() / "remote").rglob("*") if p.is_file() and not p.name.startswith(".")]


def test_a_build_of_addresses(web: Web, bench: Bench) -> None:
    web.files |= {"in/a.jsonl": lines(rows(30)), "in/b.jsonl.gz": gzip.compress(lines(rows(50)[30:]))}
    sources = [{"path": [f"{web.url}/in/a.jsonl", f"{web.url}/moved/in/b.jsonl.gz"], "name": "d"}]
    done = build(prepare(bench.recipe(sources=sources)), bench.folder / "out")
    assert done.manifest["totals"]["in"] == 50
    with pytest.raises(InputError, match=r"gone\.jsonl: no such file"):
        prepare(bench.recipe(sources=[{"path": f"{web.url}/gone.jsonl", "name": "d"}]))


def test_an_address_by_http_is_read_only(web: Web, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bench.folder)
    bench.jsonl("a.jsonl", rows(3))
    with pytest.raises(InputError, match=r"http\(s\) is read only: .*s3://"):
        Place(f"{web.url}/out")
    ran = CliRunner().invoke(
        app, ["build", str(bench.recipe(sources=[{"path": "a.jsonl"}])), "--out", f"{web.url}/out"]
    )
    assert isinstance(ran.exception, InputError) and not (bench.folder / "builds").exists()
    assert not web.asked


@pytest.mark.parametrize(
    "url, told",
    [
        ("gs://bucket/a.jsonl", "pip install gcsfs"),
        ("az://box/a.jsonl", "pip install adlfs"),
        ("abfs://box@account.dfs.core.windows.net/a.jsonl", "pip install adlfs"),
        ("hf://datasets/a/b/c.jsonl", "pip install huggingface_hub"),
        ("hdfs://host/a.jsonl", "needs Java and Hadoop"),
        ("sftp://host/a.jsonl", "pip install paramiko"),
        ("nope://host/a.jsonl", "Protocol not known: nope"),
    ],
)
def test_what_a_store_needs_is_one_line(url: str, told: str, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("gcsfs", "adlfs", "paramiko", "huggingface_hub"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    for ask in (lambda: fetched(url, cache_folder()), lambda: Place(url), lambda: prepare(bench.recipe(sources=[{"path": url, "name": "d"}]))):  # fmt: skip
        with pytest.raises(InputError, match=told) as found:
            ask()
        assert "\n" not in str(found.value).strip() and not isinstance(found.value, MissingExtra)
