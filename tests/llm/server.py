"""An OpenAI-compatible server that misbehaves on purpose and keeps the bill: real HTTP on loopback, a process of its
own.

A request's answer depends on its body alone (draw and attempt are in its seed). Whether the transport fails depends on
the body and on how often it was sent. `python server.py '{"faults": 0.3}'` prints the port; GET /stats tells the bill.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TRANSPORT = ("429", "429_retry_after", "500", "503", "reset", "stall", "cut_body", "body_no_json")
CONTENT = ("invalid_json", "wrong_schema", "empty_choices", "wrong_language", "duplicates", "truncated")
HAN = "山水云月花鸟鱼虫天地人和春夏秋冬东西南北金木火土日星风雨雷电江河湖海草树石田高低远近左右前后红黄蓝绿黑白大小多少长短轻重新旧快慢冷热明暗强弱"


def number(*parts: object) -> int:
    return int.from_bytes(hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).digest(), "big")


def han(count: int, *seed: object) -> str:
    digest = hashlib.shake_128(json.dumps(seed).encode()).digest(count)
    return "".join(HAN[b % len(HAN)] for b in digest)


class Server:
    def __init__(self, faults: float = 0, latency: float = 0, per_second: float | None = None, stall: float = 3.0,
        kinds: tuple = TRANSPORT + CONTENT,
                 fixed: str | None = None, finish: str = "stop", status: int | None = None, no_schema: bool = False,
                 window: bool = False, quirk: str | None = None):  # fmt: skip
        self.faults, self.latency, self.per_second, self.stall, self.kinds, self.fixed, self.status = (
            faults,
            latency,
            per_second,
            stall,
            kinds,
            fixed,
            status,
        )
        self.no_schema, self.window, self.finish = no_schema, window, finish
        self.quirk = quirk
        self.headers: dict[str, str] = {}  # of the latest request
        self.sent: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.faulty: Counter[str] = Counter()
        self.prompt = self.completion = self.all_prompt = self.all_completion = 0
        self.allowance, self.filled = per_second or 0.0, time.monotonic()
        self.seconds: Counter[int] = Counter()
        self.at_once = self.most_at_once = 0
        self.files: dict[str, str] = {}
        self.batches: dict[str, dict] = {}

    def stats(self) -> dict:
        repeated = sum(n - 1 for n in self.answered.values())
        return {
            "requests": self.sent.total(), "answered": self.answered.total(), "repeated": repeated,
            "faulty": self.faulty,
            "prompt": self.prompt, "completion": self.completion, "all_prompt": self.all_prompt,
            "all_completion": self.all_completion,
            "per_second": [self.seconds[s] for s in range(min(self.seconds, default=0),
            max(self.seconds, default=-1) + 1)],
            "most_at_once": self.most_at_once, "batches": len(self.batches),
        }  # fmt: skip

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                method, path, _ = line.decode().split(" ", 2)
                headers = {}
                while (h := (await reader.readline()).strip()) != b"":
                    key, _, value = h.decode().partition(":")
                    headers[key.lower()] = value.strip()
                self.headers = headers
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if not await self.reply(method, path, body, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def reply(self, method: str, path: str, body: bytes, writer: asyncio.StreamWriter) -> bool:
        if method == "GET" and path == "/stats":
            return await send(writer, 200, self.stats())
        if path.startswith(("/v1/files", "/v1/batches")):
            from batch_routes import route

            found = route(self, method, path, body)
            return await send(writer, found.pop("_status", 200) if isinstance(found, dict) else 200, found)
        if self.quirk:
            from servers import SERVERS, serve

            if self.quirk in SERVERS:
                return await serve(self, path, json.loads(body) if body else {}, writer)
            from quirks import respond

            return await respond(self, method, path, json.loads(body) if body else {}, writer)
        if path == "/v1/models":
            return await send(
                writer,
                200,
                {"object": "list", "data": [{"id": "served", "object": "model", "created": 0, "owned_by": "test"}]},
            )
        if self.status:
            return await send(writer, self.status, {"error": {"message": f"no, not with key {path}"}})
        if self.per_second and not self.admitted():
            self.faulty["rate_limited"] += 1
            return await send(writer, 429, {"error": {"message": "slow down"}})
        request = json.loads(body)
        if self.no_schema and "response_format" in request:
            return await send(writer, 400, {"error": {"message": "response_format is not supported"}})
        key = hashlib.blake2b(body, digest_size=12).hexdigest()
        self.sent[key] += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.latency:
                await asyncio.sleep(self.latency)
            return await self.answer(request, key, writer)
        finally:
            self.at_once -= 1

    async def answer(self, request: dict, key: str, writer: asyncio.StreamWriter) -> bool:
        fault = self.fault(key)
        if fault in TRANSPORT:
            self.faulty[fault] += 1
        if fault in ("429", "429_retry_after"):
            more = {"retry-after": "0.05"} if fault == "429_retry_after" else {}
            return await send(writer, 429, {"error": {"message": "slow down"}}, more)
        if fault in ("500", "503"):
            return await send(writer, int(fault), {"error": {"message": "oops"}})
        if fault == "reset":
            writer.transport.abort()
            return False
        answer = self.content(request, key)
        usage = answer["usage"]
        self.all_prompt += usage["prompt_tokens"]
        self.all_completion += usage["completion_tokens"]
        if fault == "stall":
            await asyncio.sleep(self.stall)
            return False
        if fault == "cut_body":
            data = json.dumps(answer).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data)
                + data[: len(data) // 2]
            )
            await writer.drain()
            return False
        if fault == "body_no_json":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>")
            await writer.drain()
            return True
        self.answered[key] += 1
        self.seconds[int(time.monotonic())] += 1
        self.prompt += usage["prompt_tokens"]
        self.completion += usage["completion_tokens"]
        return await send(writer, 200, answer)

    def fault(self, key: str) -> str | None:
        """Faults of transport differ from try to try; those of content stay with the request."""
        for word, part in (("transport", TRANSPORT), ("content", CONTENT)):
            kinds = [k for k in part if k in self.kinds]
            share = self.faults * len(kinds) / max(1, len(self.kinds))
            dice = number(word, key, self.sent[key] if word == "transport" else 0)
            if kinds and dice % 10_000 < share * 10_000:
                return kinds[dice // 10_000 % len(kinds)]
        return None

    def content(self, request: dict, key: str) -> dict:
        schema = request.get("response_format", {}).get("json_schema", {}).get("schema", {})
        fault = self.fault(key)
        text = self.fixed or written(schema, key, fault)
        text = {"invalid_json": '{"tasks": [{"instruction": ', "wrong_schema": '{"answer": 42, "tasks": []}'}.get(
            fault or "", text
        )
        if fault in CONTENT:
            self.faulty[fault] += 1
        prompt = sum(len(m["content"]) for m in request["messages"])
        usage = {"prompt_tokens": prompt, "completion_tokens": len(text), "total_tokens": prompt + len(text)}
        choice = {"index": 0, "finish_reason": self.finish, "message": {"role": "assistant", "content": text}}
        return {
            "id": key,
            "object": "chat.completion",
            "created": 0,
            "model": request["model"],
            "choices": [] if fault == "empty_choices" else [choice],
            "usage": usage,
        }

    def admitted(self) -> bool:
        """A token bucket of `per_second`, a fifth of a second deep, or that many in each whole second."""
        now = time.monotonic()
        if self.window:
            if int(now) != int(self.filled):
                self.allowance, self.filled = self.per_second, now
            self.allowance -= 1
            return self.allowance >= 0
        self.allowance = min(max(1.0, self.per_second / 5), self.allowance + (now - self.filled) * self.per_second)
        self.filled = now
        if self.allowance < 1:
            return False
        self.allowance -= 1
        return True


def written(schema: dict, key: str, fault: str | None) -> str:
    """Something that fits the schema: {tasks: […]} or the like with novel Chinese texts, else one text."""
    fields = list(schema.get("properties", {}))
    if not fields:
        return "答：" + han(20, key)
    listing = schema["properties"][fields[0]]
    if listing.get("type") != "array":
        return json.dumps({f: han(30, key, f) for f in fields}, ensure_ascii=False)
    names, items = list(listing["items"]["properties"]), []
    for n in range(listing.get("maxItems", 1)):
        texts = {
            f: "请说明" + han(30, key if fault != "duplicates" else "same", n if fault != "duplicates" else 0, f)
            for f in names
        }
        if fault == "wrong_language":
            texts = {
                f: f"Please explain in a few words what the number {number(key, n, f)} means to people" for f in names
            }
        items.append(texts)
    text = json.dumps({fields[0]: items}, ensure_ascii=False)
    return text[: len(text) * 2 // 3] if fault == "truncated" else text


async def send(writer: asyncio.StreamWriter, status: int, body: dict | str, more: dict | None = None) -> bool:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    head = "".join(f"{k}: {v}\r\n" for k, v in (more or {}).items())
    writer.write(
        f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n{head}\r\n".encode()
        + data
    )
    await writer.drain()
    return True


async def main(options: dict) -> None:
    server = Server(**options)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=1024)
    print(listening.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.read)  # ends with the parent


class Running:
    """A running server: `url` for clients, `stats()` for the bill."""

    def __init__(self, port: str):
        self.url = f"http://127.0.0.1:{port}/v1"

    def stats(self) -> dict:
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/stats") as reply:
            return json.load(reply)


@contextmanager
def running(**options: object) -> Iterator[Running]:
    """The server as a process, for as long as the block lasts."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), json.dumps(options)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Running(process.stdout.readline().strip())
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
