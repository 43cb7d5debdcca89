"""A browser that tests drive: tabs that go somewhere, press keys, are asked questions, and tell what their console
said."""

from __future__ import annotations

import base64
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

from tests.report import chromium

PATIENCE = 30  # seconds


class Tab:
    """One tab, over the DevTools protocol."""

    def __init__(self, address: str):
        self.socket = websocket.create_connection(address, timeout=PATIENCE, suppress_origin=True)
        self.number = 0
        self.noise: list[str] = []
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)  # keys reach it though another tab is in front

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while True:
            said = json.loads(self.socket.recv())
            if said.get("id") == self.number:
                assert "error" not in said, said
                return said["result"]
            self._hear(said)

    def _hear(self, said: dict[str, Any]) -> None:
        if said["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
            self.noise.append(json.dumps(said["params"], ensure_ascii=False)[:800])
        if said["method"] == "Page.javascriptDialogOpening":
            self.noise.append(f"alert: {said['params']}")
            self.call("Page.handleJavaScriptDialog", accept=True)

    def go(self, address: str) -> None:
        self.call("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")

    def ask(self, expression: str) -> Any:
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression holds."""
        end = time.monotonic() + PATIENCE
        while not self.ask(f"!!({expression})"):
            on_it = (self.ask("document.body?.innerText") or "")[:600]
            assert time.monotonic() < end, f"never: {expression}; on the page: {on_it}"
            time.sleep(0.05)

    def press(self, key: str, modifiers: int = 0) -> None:
        names = {"Enter": 13, "Escape": 27}
        code = names.get(key, ord(key.upper()[0]))
        text = {} if key == "Escape" or modifiers else {"text": "\r" if key == "Enter" else key}
        same = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="keyDown", **same, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **same)

    def look(self, width: int, height: int = 900, dark: bool = False, media: str = "") -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        theme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", media=media, features=theme)

    def shot(self, clip: dict[str, float]) -> bytes:
        """A picture of a part of the page ({x, y, width, height, scale}), as PNG."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(found["data"])


@contextmanager
def browser(folder: Path) -> Iterator[Any]:
    """A function that opens tabs. Each has cookies and storage of its own profile, which is `folder`."""
    program = chromium.find()
    assert program
    command = [program, *chromium.FLAGS, "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port_file = folder / "DevToolsActivePort"
        end = time.monotonic() + PATIENCE
        while not port_file.is_file() or "\n" not in port_file.read_text():
            assert time.monotonic() < end and process.poll() is None, "the browser does not start"
            time.sleep(0.05)
        port = port_file.read_text().split("\n")[0]

        def tab() -> Tab:
            asked = urllib.request.Request(f"http://127.0.0.1:{port}/json/new?about:blank", method="PUT")
            with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
                return Tab(json.loads(answer.read())["webSocketDebuggerUrl"])

        yield tab
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
