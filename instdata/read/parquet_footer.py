"""Whether a Parquet footer can be looked at: pyarrow ends the process (std::terminate) on some damaged ones, such as
sizes of byte arrays for a column of numbers, so a child looks first."""

from __future__ import annotations

import os
import time
import warnings
from typing import Any

PATIENCE = 20.0  # seconds for a child that may wait for a lock of a thread that it does not have


def sound_footer(source: Any) -> bool:
    """Whether looking at every column of every row group of a Parquet file (a path or an open file) leaves a process
    alive. An ordinary error counts as alive: whoever looks next gets it, too."""
    import pyarrow.parquet as pq

    if not hasattr(os, "fork"):
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads are there, the child needs none of them
        child = os.fork()
    if child == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            import resource

            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            found = pq.read_metadata(source)
            for i in range(found.num_row_groups):
                group = found.row_group(i)
                for c in range(group.num_columns):
                    group.column(c)
        finally:
            os._exit(0)
    until = time.monotonic() + PATIENCE
    pause = 0.001
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return not os.WIFSIGNALED(status)
        time.sleep(pause)
        pause = min(pause * 2, 0.1)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return True
