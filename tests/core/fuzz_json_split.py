"""Run by test_files.py in a child with bounds checks on: many damaged JSON texts, cut; a crash or a hang is the
child's."""

from __future__ import annotations

import random
import sys

from instdata.read.split_json import split_values

SEEDS = [
    b'[{"instruction":"a","output":"b"},{"instruction":"c","output":"d"}]',
    b'[\n  {"a": "x\\"y", "b": [1, 2.5, null, true]},\n  {"a": {"b": {"c": []}}}\n]',
    b'{"a": 1}\n{"b": "\xe4\xbd\xa0\xe5\xa5\xbd"}\n',
    b'[1, "two", [3], {"four": 4}, null]',
]
PIECES = [
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b"\\",
    b",",
    b":",
    b"\n",
    b" ",
    b"1",
    b"a",
    b"\x00",
    b"\xff",
    b"}]",
    b'\\"',
    b"[}",
]


def mutated(random: random.Random) -> bytes:
    data = bytearray(random.choice(SEEDS))
    for _ in range(random.randint(1, 6)):
        at = random.randint(0, len(data))
        match random.randint(0, 3):
            case 0:
                data[at:at] = random.choice(PIECES)
            case 1:
                del data[at : at + random.randint(1, 8)]
            case 2:
                data[at : at + 1] = random.choice(PIECES)
            case _:
                data = data[:at] + data[random.randint(0, len(data)) :]
    return bytes(data)


def main(count: int) -> None:
    chance = random.Random(0)
    for _ in range(count):
        data = mutated(chance) if chance.random() < 0.8 else b"".join(chance.choices(PIECES, k=chance.randint(0, 12)))
        for in_array in (True, False):
            spans, used, _ = split_values(data, in_array)
            assert 0 <= used <= len(data), data
            assert all(0 <= a < b <= len(data) for a, b in spans), data
            assert all(b <= c for (_, b), (c, _) in zip(spans, spans[1:])), data


if __name__ == "__main__":
    main(int(sys.argv[1]))
