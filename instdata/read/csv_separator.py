"""What separates the fields of a CSV file, by its first lines."""

from __future__ import annotations

import csv
import re
from itertools import islice
from pathlib import Path

from instdata.read.bytes_to_records import Bad, lines
from instdata.read.file_kind import Damaged, Form

TRIED = (",", "\t", ";", "|", "\x01", "\x1f", "^", "~")
SAID = re.compile(r"\ufeff?\"?sep=(.)\"?\r?\Z")  # a first line of Excel's
LOOKED_AT = 50  # records


def separator(path: Path, form: Form) -> str:
    """The one of TRIED that cuts the first records into the most equal fields; where none cuts them, what the suffix
    says."""
    usual = "\t" if form.suffix == ".tsv" else ","
    try:
        block = next(lines(path, form.encoding), [])
    except Damaged:
        return usual
    if block and not isinstance(block[0], Bad) and (said := SAID.match(block[0].decode("utf-8", "replace"))):
        return said[1]
    text = [x.decode("utf-8", "replace") + "\n" for x in block[: LOOKED_AT * 10] if not isinstance(x, Bad)]

    def equal(delimiter: str) -> tuple[float, int]:
        """(share of records as wide as the header, width) under a delimiter."""
        try:
            found = [r for r in islice(csv.reader(text, delimiter=delimiter), LOOKED_AT) if r]
        except csv.Error:
            return 0.0, 0
        width = len(found[0]) if found else 0
        return (sum(len(r) == width for r in found) / len(found), width) if width > 1 else (0.0, width)

    scores = {d: equal(d) for d in (usual, *(t for t in TRIED if t != usual))}
    best = max(scores, key=lambda d: (scores[d][0] >= 0.5, scores[d][0] * (scores[d][1] > 1), d == usual))
    # The suffix is believed where it cuts the header at all: prose holds commas, so others must be much better.
    return best if scores[usual][1] < 2 or scores[usual][0] < 0.5 <= scores[best][0] else usual
