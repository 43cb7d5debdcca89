"""What every worker of a build needs, loaded by being imported: workers are forked off a process that did it once.

Kernels that were not compiled yet would be compiled here, before any worker begins; a build warms them first.
"""

from __future__ import annotations

import contextlib

from instdata.util.import_guards import lean, unswept

with unswept():  # what lies here is the same in every worker: nobody looks through it for garbage, or copies its pages
    lean()
    from instdata.read import shards as shards
    from instdata.steps import clean as clean
    from instdata.steps import run as run
    from instdata.steps.compile_kernels import ALWAYS, PARTS
    from instdata.steps.quality import step as step

    with contextlib.suppress(Exception):  # a worker that needs what fails here says so itself
        for part in ALWAYS:
            PARTS[part][1]()
