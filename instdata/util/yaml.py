"""YAML as plain data with line numbers. Safe: no object tags, no alias bombs, no duplicate keys."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from instdata.util.errors import InputError
from instdata.util.paths import file_text
from instdata.util.safe_text import HIDDEN

HALF = re.compile("[\ud800-\udfff]")
MAX_NODES = 200_000  # nodes after aliases are followed; a recipe has hundreds, an alias bomb has billions


@dataclass
class Document:
    """What a YAML file holds: plain data, and for each path into it (a tuple of keys and indexes) its line, from 1."""

    file: str
    data: Any
    lines: dict[tuple[str | int, ...], int]

    def line(self, path: Iterable[str | int]) -> int | None:
        """The line of the longest known prefix of a path."""
        at = tuple(path)
        while at not in self.lines and at:
            at = at[:-1]
        return self.lines.get(at)


def load_yaml(path: Path) -> Document:
    """Read a YAML file. Raises InputError naming file and line."""
    file = str(path)
    try:
        text = file_text(path)
    except UnicodeDecodeError as e:
        raise InputError([(file, None, f"not UTF-8 (byte {e.start}): save it as UTF-8")]) from e
    except OSError as e:
        raise InputError([(file, None, f"cannot be read: {e.strerror}")]) from e
    return parse_yaml(text, file)


def written_yaml(value: Any, **how: Any) -> str:
    """Plain data as YAML, keys as given. Where a text holds hidden characters, all beyond ASCII is escaped."""
    text: str = yaml.safe_dump(value, allow_unicode=True, sort_keys=False, **how)
    return yaml.safe_dump(value, allow_unicode=False, sort_keys=False, **how) if HIDDEN.search(text) else text


def parse_yaml(text: str, file: str) -> Document:
    """The same for YAML in memory."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as e:
        line = (e.problem_mark or e.context_mark).line + 1 if (e.problem_mark or e.context_mark) else None
        raise InputError([(file, line, f"not valid YAML: {e.problem or e.context}")]) from e
    except yaml.YAMLError as e:
        raise InputError([(file, None, f"not valid YAML: {str(e).splitlines()[0]}")]) from e
    except RecursionError as e:
        raise InputError([(file, None, "nested too deeply")]) from e
    reader = _Reader(file)
    data = None if root is None else reader.plain(root, ())
    return Document(file, data, reader.lines)


class _Reader:
    """Turns the node graph into plain data, counting nodes as aliases are followed."""

    def __init__(self, file: str):
        self.file = file
        self.lines: dict[tuple[str | int, ...], int] = {}
        self.left = MAX_NODES
        self.scalars = yaml.SafeLoader("")

    def plain(self, node: yaml.Node, path: tuple[str | int, ...]) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self.left -= 1
        if self.left < 0 or len(path) > 60:
            raise InputError([(self.file, line, "too large or too deep once its aliases are followed")])
        if not isinstance(node, yaml.ScalarNode) and node.tag not in _COLLECTIONS:
            raise InputError([(self.file, line, f"the tag {node.tag} is not allowed")])
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(child, (*path, i)) for i, child in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            out: dict[str, Any] = {}
            for key_node, value_node in node.value:
                self.scalar(key_node)  # says what is wrong with it
                key = key_node.value  # as written: `no` is Norwegian here, not false
                here = (*path, key)
                self.lines[here] = key_node.start_mark.line + 1
                if key in out:
                    raise InputError([(self.file, key_node.start_mark.line + 1, f'the key "{key}" stands here twice')])
                out[key] = self.plain(value_node, here)
            return out
        return self.scalar(node)

    def scalar(self, node: yaml.Node) -> Any:
        line = node.start_mark.line + 1
        if not isinstance(node, yaml.ScalarNode):
            raise InputError([(self.file, line, "a key must be a word")])
        if node.tag not in _SCALARS:
            raise InputError([(self.file, line, f"the tag {node.tag} is not allowed")])
        try:
            value = self.scalars.construct_object(node)
        except (yaml.YAMLError, ValueError) as e:
            raise InputError([(self.file, line, f"{node.value!r} cannot be read")]) from e
        if HALF.search(node.value):
            raise InputError(
                [(self.file, line, f"{node.value!a} holds half a character (a lone surrogate): no text does")]
            )
        # Dates and the like have no place in a recipe: keep what was written.
        return value if isinstance(value, (str, int, float, bool, type(None))) else node.value


_SCALARS = {f"tag:yaml.org,2002:{t}" for t in ("str", "int", "float", "bool", "null", "timestamp")}

_COLLECTIONS = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` Did you mean "x"?`, or the empty string where nothing is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{near[0]}"?' if near else ""
