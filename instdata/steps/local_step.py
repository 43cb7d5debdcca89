"""Steps of one's own without a package: `my_step.py:Shout`, a file beside the recipe.

The file is code of whoever wrote the recipe, and runs with their rights, as any Python file that they start. Its
content is part of the cache key and the manifest.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from instdata.steps.base import Step
from instdata.util.errors import InputError


def local_step(place: str, base: Path) -> type[Step]:
    """The step class of `FILE.py:Name`, the file lying in the recipe's folder or below it. Raises InputError."""
    file, _, name = place.rpartition(":")
    path = (base / file).resolve()
    if not path.is_relative_to(base.resolve()):
        raise InputError(f"step {place}: a step's file lies beside the recipe, not outside its folder")
    if not path.is_file():
        raise InputError(f"step {place}: there is no {file} beside the recipe")
    return _load(str(path), name, place)


def _load(path: str, name: str, place: str) -> type[Step]:
    code = Path(path).read_bytes()
    digest = hashlib.sha256(code).hexdigest()
    module_name = f"_instdata_step_{digest[:16]}"
    module = sys.modules.get(module_name)
    if module is None:
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as e:  # whatever somebody's module raises when it is imported
            del sys.modules[module_name]
            raise InputError(f"step {place}: the file cannot be loaded: {type(e).__name__}: {e}") from e
    cls = getattr(module, name, None)
    if not (isinstance(cls, type) and issubclass(cls, Step)):
        raise InputError(f"step {place}: {Path(path).name} has no class {name} that is an instdata.Step")
    cls.kind, cls.code = place, digest
    # A worker process does not have the module: it loads the file again.
    cls.__reduce__ = lambda self: (_made, (path, name, place, dict(self)))  # type: ignore[method-assign, call-overload]
    return cls


def _made(path: str, name: str, place: str, fields: dict[str, Any]) -> Step:
    """A step in another process."""
    return _load(path, name, place)(**fields)
