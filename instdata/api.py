"""Builds for people who write Python, and for commands that need one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from instdata.build import build, prepare
from instdata.builds import find_build, manifest
from instdata.util.errors import InputError
from instdata.util.paths import cores


def build_to_compare(against: Path, own: Path, say: Callable[[str], None], only_plan: bool = False) -> Path:
    """The build that `own` is compared with: a folder, or the build of a recipe, which is brought up to date, unless that
    would ask a model or only a plan is wanted. Raises InputError."""
    if against.suffix not in (".yaml", ".yml"):
        return find_build(against)
    plan = prepare(against, jobs=cores(), say=say)
    folder = Path("builds") / plan.recipe.name
    if folder.resolve() == own.resolve():
        raise InputError(
            f"{against}: its name is that of {own.name}; give it another `name:`, so that both builds can exist"
        )
    if (folder / "manifest.json").is_file() and manifest(folder)["recipe_sha256"] == plan.sha256:
        return folder
    if only_plan or any(s.kind == "generate" for s in plan.recipe.steps):
        raise InputError(f"{against}: {folder} is not its build yet; run `instdata build {against}` first")
    return build(plan, folder).path


def recipe_problems(path: Path) -> list[str]:
    """What `instdata validate` says of a recipe."""
    try:
        prepare(path, online=False)
    except InputError as e:
        return [message for _, _, message in e.problems]
    return []
