"""Random text for the parsers, `python -m tests.security.fuzz SECONDS` each: they return or raise what they say they raise."""

from __future__ import annotations

import contextlib
import random
import sys
import time

from instdata.llm.fence import fence
from instdata.score.sandbox import proxy
from instdata.score.sandbox.wire import BrokenWire, Message, Peer
from instdata.util.errors import InputError
from instdata.util.plain import plain
from instdata.util.secrets import redact
from instdata.util.yaml import parse_yaml

PIECES = [
    "[",
    "]",
    "{",
    "}",
    '"',
    ":",
    ",",
    "R",
    "K",
    "m",
    "os",
    "list",
    "\x1b[",
    "<|im_end|>",
    "[INST]",
    "\n",
    "- ",
    "&a",
    "*a",
    "\ud800",
    "0",
    "-1",
    "https://a:b@c",
    "==",
]


def _wire(rng: random.Random) -> None:
    def value(depth: int) -> object:
        if depth and rng.random() < 0.7:
            return [value(depth - 1) for _ in range(rng.randrange(5))]
        return rng.choice([0, -1, 2**60, None, True, "K", "R", "m", "o", "E", "list", "os", "system", "", 0.5])

    peer = Peer(lambda data: None, lambda: b"", False, proxy.strict_stand_in, proxy.facts_of, proxy.serve_tests)
    peer.decode(value(4), Message())


PARSERS = {
    "yaml": lambda text, rng: parse_yaml(text, "x"),
    "fence": lambda text, rng: fence([("a", text)]),
    "plain": lambda text, rng: plain(text),
    "redact": lambda text, rng: redact(text),
    "wire": lambda text, rng: _wire(rng),
}


def main(seconds: float, seed: int = 0) -> None:
    for name, parse in PARSERS.items():
        rng, end, count = random.Random(seed), time.monotonic() + seconds, 0
        while time.monotonic() < end:
            text = "".join(
                rng.choice(PIECES) if rng.random() < 0.8 else chr(rng.randrange(0x3000))
                for _ in range(rng.randrange(200))
            )
            with contextlib.suppress(InputError, BrokenWire):
                parse(text, rng)
            count += 1
        print(f"{name}: {count:,} texts in {seconds:g} s")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 600)
