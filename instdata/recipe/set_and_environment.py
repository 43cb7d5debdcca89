"""Values that come from outside a recipe file: `--set` on the command line, ${NAME} from the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from instdata.util.errors import InputError
from instdata.util.redaction import REDACTED, held_by, redact, secret_in
from instdata.util.secrets import CREDENTIAL, PLAIN, secret_address, secret_header, secret_name, secret_value
from instdata.util.yaml import HALF, Document, did_you_mean, parse_yaml

_NAME = re.compile(r"\$\{(\w+)\}")
# Keys that say that a value follows, but not of what.
VALUES = {"value", "values", "data", "raw", "content", "text", "v"}
KEPT = "recipes are kept and published; keys are read from the environment by themselves (OPENAI_API_KEY, HF_TOKEN …)"


def substitute(data: Any, path: tuple[Any, ...], document: Document, problems: list[Any]) -> Any:
    """Replace ${NAME} in strings. A secret is refused, by its name or its value, written here or taken from the
    environment, and so is an address that carries one: the resolved recipe is kept and published."""

    def problem(message: str) -> None:
        problems.append((document.file, document.line(path), message))

    if isinstance(data, dict):
        for key in data:
            if isinstance(key, str) and secret_value(key, literal=True):
                problem(f"{_where(path)}a key here looks like a secret: {KEPT}")
                return {}
        called = next((data[k] for k in ("name", "key", "header") if isinstance(data.get(k), str)), "")
        if isinstance(given := data.get("value"), str) and secret_name(called, given):  # {name: X-Auth, value: …}
            problem(f"{_where((*path, 'value'))}this looks like a key or token, by its name: {KEPT}")
            return {**data, "value": REDACTED}
        return {k: substitute(v, (*path, k), document, problems) for k, v in data.items()}
    if isinstance(data, list):
        named = len(data) == 2 and all(isinstance(v, str) for v in data) and "params" in path
        if named and (secret_name(*data) or (_of_headers(path) and secret_header(*data))):  # [X-Auth, …]
            problem(f"{_where((*path, 1))}this looks like a key or token, by its name: {KEPT}")
            return [data[0], REDACTED]
        return [substitute(v, (*path, i), document, problems) for i, v in enumerate(data)]
    name = next((str(p) for p in reversed(path) if isinstance(p, str)), "")
    if isinstance(data, int) and not isinstance(data, bool) and "params" in path and secret_name(name, str(data)):
        data = str(data)
    if not isinstance(data, str):
        return data
    if "\0" in data:
        problem(f"{_where(path)}a text holds the character NUL, which no file name and no text has")
        return data.replace("\0", "")
    if told := _secret(data, name, document) or _told_above(data, path):
        problem(f"{_where(path)}{told}")
        return REDACTED

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if secret_name(match[1], found) or secret_value(found or "", match[1]) or secret_in(found or "", own=False):
            problem(f"{_where(path)}${{{match[1]}}} looks like a secret: {KEPT}")
            return REDACTED
        if found is None:
            problem(f"the environment variable {match[1]} is not set")
        elif HALF.search(found) or "\0" in found:
            problem(f"the environment variable {match[1]} is not UTF-8")
            return match[0]
        return match[0] if found is None else found

    filled = _NAME.sub(value, data)
    if filled != data and REDACTED not in filled and (told := _secret(filled, name, document)):  # two halves of one
        problem(f"{_where(path)}with its ${{…}} filled in, {told}")
        return REDACTED
    return filled


def _of_headers(path: tuple[Any, ...]) -> bool:
    return any(isinstance(p, str) and p.lower().endswith("headers") for p in path)


def _told_above(text: str, path: tuple[Any, ...]) -> str | None:
    """What is wrong with a text of `params` that the keys above it tell: a header's value, `X-Auth: …` in a list of
    headers, `auth: {value: …}`. A header that may hold a secret is refused, whatever it is called."""
    if "params" not in path or not text:
        return None
    words = [p for p in path[path.index("params") + 1 :] if isinstance(p, str)]
    if _of_headers(path):
        line = re.match(r"([\w-]+):\s*(\S.*)", text) if isinstance(path[-1], int) else None
        if secret_header(line[1], line[2]) if line else isinstance(path[-1], str) and secret_header(path[-1], text):
            return f"this header may hold a key or token: {KEPT}"
    deep = len(words) > 1 and words[-1].lower() in VALUES and not PLAIN.fullmatch(text)
    if deep and any(secret_name(w, text) for w in words[:-1]):
        return f"this looks like a key or token, by its name: {KEPT}"
    return None


def _where(path: tuple[Any, ...]) -> str:
    """The key that a value stands at, as the start of a message."""
    return f"{'.'.join(map(str, path))}: " if path else ""


def _secret(text: str, name: str, document: Document) -> str | None:
    """What is wrong with a text of a recipe, under a key `name`, where it is a secret; its value is not told."""
    if address := secret_address(text):
        clean = redact(address) if len(address) < 200 else "it without"
        return (
            f"an address with a user, a password or a key in it: recipes are published. Write {clean}; what unlocks it "
            "comes from the environment"
        )
    if text and secret_name(name, text):
        return f"this looks like a key or token, by its name: {KEPT}"
    if (secret_value(text, name, literal=True) or secret_in(text, own=False)) and not _file(text, document):
        return f"this looks like a key or token: {KEPT}"
    if variable := held_by(text):
        return f"this holds the value of the secret variable {variable}: {KEPT}"
    return None


def _file(text: str, document: Document) -> bool:
    """Whether a text names a file beside the recipe, which may be called as it likes, unless that is a known form."""
    try:
        there = (Path(document.file).parent / text).exists()
    except (OSError, ValueError):
        return False
    return there and re.search(CREDENTIAL, text) is None


def override(document: Document, item: str, known: Iterable[str]) -> None:
    """Apply one `--set key.path=value`; the path starts at one of the `known` top-level keys or at a step's name.

    Raises InputError where there is no such place."""
    key, eq, text = item.partition("=")
    parts = key.strip().split(".")
    if not eq or not all(parts):
        raise InputError(f"--set {key}: write key=value, e.g. --set generate.target=200")
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
            raise InputError(f"--set {key}: name an option of the step, e.g. --set dedup.threshold=0.8")
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
