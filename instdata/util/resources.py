"""Files that travel with instdata: recipes, seeds, taxonomies, card templates, kept outside the package in a
checkout."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parents[1]  # the package


def resource(name: str) -> Path:
    """The path of a shipped file or folder, such as `taxonomy/belle.yaml`: inside an installed wheel under
    instdata/_data, in a checkout at the top. It need not exist."""
    packed = HERE / "_data"
    return (packed if packed.is_dir() else HERE.parent) / name
