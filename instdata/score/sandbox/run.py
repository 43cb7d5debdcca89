"""Generated code runs here and nowhere else (docs/security.md): what runs it on this machine, and running it.

`use` chooses for this process what `--sandbox` says; the default takes the first that works on this machine.
"""

from __future__ import annotations

import functools
import shutil
import sys

from instdata.score.sandbox.watch import Result, attempt
from instdata.util.errors import InputError

CHOICES = ("auto", "docker", "none")
REMEDY = (
    "unit_tests are not run. To run them in a container: --sandbox docker; without any protection, on a machine "
    "that may be lost: --sandbox none --i-know"
)
_chosen = "auto"


def run_tests(code: str, tests: str, *, seconds: float = 10, memory_mb: int = 512, disk_mb: int = 64) -> Result:
    """Run code in one process, and tests, which call it, in another; they pass if both come to their end without an
    exception.

    `seconds`: wall clock for both. `memory_mb`: address space of each beyond the interpreter's own. `disk_mb`: what
    each may write. Only the standard library can be imported. No process is left behind. Raises InputError where no
    sandbox works on this machine and none was chosen (use).
    """
    return attempt(way(), code, tests, seconds, memory_mb, disk_mb)


def use(choice: str, sure: bool = False) -> None:
    """Choose how this process runs other people's code: auto, docker, or none with `sure`. Raises InputError."""
    global _chosen
    if choice not in CHOICES:
        raise InputError(f"--sandbox {choice}: one of {', '.join(CHOICES)}")
    if choice == "none" and not sure:
        raise InputError("--sandbox none runs the models' code with your rights: add --i-know if that is what you want")
    _chosen = choice


def chosen() -> tuple[str, bool]:
    """The arguments of `use` that make another process choose the same."""
    return _chosen, _chosen == "none"


def way() -> str:
    """What runs the code: bwrap, own (namespaces), docker or none. Raises InputError where nothing chosen works
    here."""
    if _chosen == "none":
        return "none"
    if _chosen == "docker":
        if shutil.which("docker") is None:
            raise InputError("--sandbox docker: there is no docker on this machine")
        return "docker"
    found, why = working()
    if found is None:
        raise InputError(f"no sandbox works on this machine: {why}. {REMEDY}")
    return found


@functools.cache
def working() -> tuple[str | None, str]:
    """(what works here: bwrap, own or None; why the others do not), found by starting an empty program in each."""
    if sys.platform != "linux":
        return None, f"{sys.platform} has no namespaces"
    problems = []
    for name in ("bwrap", "own"):
        if name == "bwrap" and shutil.which("bwrap") is None:
            problems.append("bubblewrap is not installed")
            continue
        tried = attempt(name, "", "", 10, 256, 16)
        if tried.passed:
            return name, "; ".join(problems)
        problems.append(f"{'bubblewrap' if name == 'bwrap' else 'namespaces'}: {tried.reason}")
    return None, "; ".join(problems)
