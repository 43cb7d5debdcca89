"""Values that come from outside a recipe file: `--set` on the command line, ${NAME} from the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

from instdata.util.errors import InputError
from instdata.util.secrets import CREDENTIAL, REDACTED, UNLOCKS, secret_address, secret_name, secret_value
from instdata.util.yaml import HALF, Document, did_you_mean, parse_yaml

_NAME = re.compile(r"\$\{(\w+)\}")


def substitute(data: Any, path: tuple[Any, ...], document: Document, problems: list[Any]) -> Any:
    """Replace ${NAME} in strings. A secret is refused, by the name or the value, and so is an address that carries one:
    the resolved recipe is kept and published."""
    if isinstance(data, dict):
        return {k: substitute(v, (*path, k), document, problems) for k, v in data.items()}
    if isinstance(data, list):
        return [substitute(v, (*path, i), document, problems) for i, v in enumerate(data)]
    if not isinstance(data, str):
        return data

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if secret_name(name) or secret_value(os.environ.get(name, ""), name):
            problems.append(
                (
                    document.file,
                    document.line(path),
                    f"${{{name}}} looks like a secret: recipes are published; keys are read from the environment by "
                    f"themselves",
                )
            )
        elif name not in os.environ:
            problems.append((document.file, document.line(path), f"the environment variable {name} is not set"))
        elif HALF.search(os.environ[name]):
            problems.append((document.file, document.line(path), f"the environment variable {name} is not UTF-8"))
            return match[0]
        return os.environ.get(name, match[0])

    if address := secret_address(data):
        told = "an address with a user, a password or a key in it: recipes are published"
        problems.append(
            (document.file, document.line(path), f"{told}. Write {address}; what unlocks it comes from the environment")
        )
        return address
    if re.search(CREDENTIAL, data) or (data and "params" in path[:-1] and UNLOCKS.search(str(path[-1]))):
        told = "this looks like a key or token: recipes are published; keys are read from the environment by themselves"
        problems.append((document.file, document.line(path), told))
        return REDACTED
    return _NAME.sub(value, data)


def override(document: Document, item: str, known: Iterable[str]) -> None:
    """Apply one `--set key.path=value`; the path starts at one of the `known` top-level keys or at a step's name.

    Raises InputError where there is no such place."""
    key, eq, text = item.partition("=")
    parts = key.strip().split(".")
    if not eq or not all(parts):
        raise InputError(f"--set {item}: write key=value, e.g. --set generate.target=200")
    value = parse_yaml(text, f"--set {key}").data
    target: Any = document.data
    if parts[0] not in known:
        options = _step_options(document.data.get("steps"), parts[0])
        if options is None:
            words = [*known, *(kind for s in _list(document.data.get("steps")) for kind in _kind(s))]
            raise InputError(
                f'--set {key}: no key or step "{parts[0]}" in {document.file}.{did_you_mean(parts[0], words)}'
            )
        target, parts = options, parts[1:]
        if not parts:
            raise InputError(f"--set {item}: name an option of the step, e.g. --set dedup.threshold=0.8")
    for part, then in zip(parts, [*parts[1:], None]):
        if isinstance(target, list):
            if not part.isdigit() or int(part) >= len(target):
                raise InputError(
                    f'--set {key}: "{part}" is not one of the {len(target)} items (0 to {len(target) - 1})'
                )
            part = int(part)  # type: ignore[assignment]
        elif not isinstance(target, dict):
            raise InputError(f'--set {key}: "{part}" has nothing below it')
        if then is None:
            target[part] = value
        else:
            if isinstance(target, dict) and target.get(part) is None:
                target[part] = {}
            target = target[part]


def _kind(item: Any) -> list[str]:
    return [item] if isinstance(item, str) else [k for k in item if k != "name"] if isinstance(item, dict) else []


def _step_options(steps: Any, name: str) -> dict[str, Any] | None:
    """The options of the step of this name, made where the recipe left them out; None where there is no such step."""
    for i, item in enumerate(_list(steps)):
        item = steps[i] = {item: {}} if isinstance(item, str) else item
        for kind in _kind(item):
            options = item[kind] or {}
            if isinstance(options, dict) and name in (item.get("name"), options.get("name"), kind):
                item[kind] = options
                return options
    return None


def _list(steps: Any) -> list[Any]:
    return steps if isinstance(steps, list) else []
