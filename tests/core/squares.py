"""A call for ranks that costs nothing to import: squares of numbers; -1 raises, -2 kills its process."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from instdata.util.errors import BudgetReached
from instdata.util.job_array import attend
from instdata.util.job_array_tasks import Rank


def slow_square(item: int) -> int:
    time.sleep(0.1)
    return item * item


class Squares:
    """util/job_array_tasks.Calls with the one function `slow_square`; even what it raises is raised by number."""

    def pack(self, function: Callable[..., Any], item: Any) -> Any:
        return ({"call": "square"}, pa.table({"n": [item]})) if function is slow_square else None

    def run(self, spec: dict[str, Any], table: pa.Table) -> Any:
        assert spec == {"call": "square"}
        [number] = table["n"].to_pylist()
        if number == -2:
            os.kill(os.getpid(), signal.SIGKILL)
        if number in RAISED:
            raise RAISED[number]
        return slow_square(number)

    def result(self, function: Callable[..., Any], value: Any) -> Any:
        return value


RAISED = {-1: KeyError("minus one"), -3: BudgetReached("no more"), -4: OSError(28, "No space left on device")}


if __name__ == "__main__":  # a rank: its number, the world, the folder
    number, world, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    print(attend(Rank(number, world, 1, folder, "same"), Squares(), 60, print))
