"""`instdata doctor`: what is installed, configured and here; of keys only whether there is one."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import Any

import typer

from instdata import __version__
from instdata.cli.common import AsJson, Quiet, result
from instdata.util.paths import cache_address, cache_folder, cores
from instdata.util.redaction import redact

EXTRAS = {
    "generate": (["openai"], "generation through an OpenAI-compatible endpoint"),
    "local": (["openai", "xllamacpp"], "generation with an embedded model"),
    "classify": (["floret"], "quality filters learned from your own good and bad files"),
    "embed": (["sentence_transformers", "torch"], "semantic deduplication, labels from sentence embeddings"),
    "train": (["torch", "transformers"], "training and evaluation"),
    "lm-eval": (["lm_eval"], "evaluate --with lm-eval"),
    "math": (["math_verify"], "references that are mathematics beyond one number"),
    "hub": (["datasets", "huggingface_hub"], "hub: sources and publishing"),
    "ray": (["ray"], "--engine ray"),
    "report": (["vl_convert"], "report.html"),
    "review": (["starlette", "uvicorn"], "review, report --serve"),
}


def examine() -> dict[str, Any]:
    """Extras and whether their packages can be imported; the endpoint, keys (yes or no), caches, cores."""
    extras = [
        {
            "extra": name,
            "there": all(find_spec(m) for m in modules),
            "for": purpose,
            "install": f"pip install 'instdata[{name}]'",
        }
        for name, (modules, purpose) in EXTRAS.items()
    ]
    configured = {
        "instdata": f"{__version__} on Python {sys.version.split()[0]}, {cores()} cores",
        "endpoint": _address()
        or ("api.openai.com" if os.environ.get("OPENAI_API_KEY") else "none: the embedded model"),
        "api key": "set" if os.environ.get("OPENAI_API_KEY") else "not set",
        "hub token": "set" if _hub_token() else "not set",
        "sandbox": _sandbox(),
        "cache": f"{redact(url)}, copied to {cache_folder()}" if (url := cache_address()) else str(cache_folder()),
        **_asked(),
    }
    return {"extras": extras, "configured": configured}


def _sandbox() -> str:
    """What runs models' code here, or why nothing does."""
    from instdata.score.sandbox.run import working

    found, why = working()
    names = {"bwrap": "bubblewrap", "own": f"namespaces of its own ({why})"}
    return names[found] if found else f"none: unit_tests need --sandbox docker ({why})"


def _address() -> str | None:
    """The configured address without what may be secret in it."""
    from instdata.llm.endpoint import public

    url = os.environ.get("OPENAI_BASE_URL")
    return public(url) if url else None


def _asked() -> dict[str, str]:
    """What the endpoint of the environment says when it is asked: its models, and which one `auto` takes."""
    from instdata.llm.endpoint import OPENAI, OPENAI_MODEL, configured, models_at, writers
    from instdata.util.errors import InstdataError

    if not configured() or find_spec("openai") is None:
        return {}
    url = os.environ.get("OPENAI_BASE_URL")
    try:
        names = models_at(url or OPENAI)
    except InstdataError as e:
        return {"it says": str(e)}
    able = writers(names)
    auto = OPENAI_MODEL if url is None else able[0] if able else "none: name one with model: …"
    return {"it has": f"{len(names)} models, {len(able)} of them write texts", "auto": auto}


def _hub_token() -> bool:
    if os.environ.get("HF_TOKEN"):
        return True
    if find_spec("huggingface_hub") is None:
        return False
    from huggingface_hub import get_token

    return get_token() is not None


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(json_: AsJson = False, quiet: Quiet = False) -> None:
    """Show what is installed, configured and cached, and what to install for the rest."""
    from instdata.cli.output import examination

    found = examine()
    result(found, json_, lambda: examination(found))
