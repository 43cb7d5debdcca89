"""instdata: from raw instruction data to nested, ability-labelled subsets, and what each choice did.

    import instdata

    done = instdata.build("recipes/belle.yaml")
    done.rows("full"), done.dropped("dedup"), done.why(id)

docs/python.md shows the rest by example.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Where each public name is defined: loaded when it is first used, so that `import instdata` costs nothing.
_PUBLIC = {
    "Recipe": "instdata.api",
    "build": "instdata.build",  # a module that can be called: see its end
    "open_build": "instdata.api",
    "dedup": "instdata.steps.dedup",
    "Source": "instdata.read.source_options",
    "Step": "instdata.steps.base",
    "Threshold": "instdata.steps.base",
    "Rows": "instdata.corpus.rows",
    "Scores": "instdata.steps.base",
    "Verdicts": "instdata.steps.base",
    "keep": "instdata.steps.base",
    "drop": "instdata.steps.base",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'instdata' has no attribute {name!r}")
    module = import_module(_PUBLIC[name])
    return module if name == "build" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
