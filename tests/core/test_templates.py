"""Templates compiled once a machine: what is kept is never older than what it is made of."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import jinja2
import pytest

from instdata.util import templates


@pytest.fixture
def rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A page of two files in a process that has just begun."""
    monkeypatch.setattr(templates.kernels, "folder", lambda: tmp_path / "kernels")
    for room in ("pages", "code"):
        (tmp_path / room).mkdir()
    (tmp_path / "code/a.py").write_text("x = 1\n")
    (tmp_path / "pages/macro.html").write_text("{% macro m(x) %}<{{ x }}>{% endmacro %}")
    (tmp_path / "pages/page.html").write_text('{% from "macro.html" import m %}{{ m(x) }}{{ "constant" }}')

    def render(finalize: Any = None) -> str:
        templates._digest.cache_clear()
        made = templates.environment(tmp_path / "pages", tmp_path / "code", autoescape=True, finalize=finalize)
        return str(made.get_template("page.html").render(x="&"))

    return render


def _kept(folder: Path) -> list[Path]:
    return sorted((folder / "kernels/templates").glob("*"))


def test_a_template_is_compiled_once(rendered: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = rendered()
    assert first == "<&amp;>constant" and len(_kept(tmp_path)) == 2
    monkeypatch.setattr(jinja2.Environment, "compile", lambda *a, **k: pytest.fail("compiled again"))
    assert rendered() == first


def test_a_changed_template_or_function_is_compiled_again(rendered: Any, tmp_path: Path) -> None:
    rendered()
    (tmp_path / "pages/page.html").write_text("{{ x }}{{ 'constant' }}")
    assert rendered() == "&amp;constant"
    (tmp_path / "code/a.py").write_text("x = 2\n")
    assert rendered(str.upper) == "&amp;CONSTANT"  # what is constant is worked out while compiling


@pytest.mark.parametrize("damage", [b"", b"\0" * 200, None])
def test_what_is_damaged_is_compiled_again(rendered: Any, tmp_path: Path, damage: bytes | None) -> None:
    first = rendered()
    whole = [p.read_bytes() for p in _kept(tmp_path)]
    for path in _kept(tmp_path):
        path.write_bytes(path.read_bytes()[:-3] if damage is None else damage)
    assert rendered() == first
    assert [p.read_bytes() for p in _kept(tmp_path)] == whole


def test_where_nothing_can_be_kept_pages_are_made_all_the_same(
    rendered: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(templates, "whole", full)
        assert rendered() == "<&amp;>constant" and not _kept(tmp_path)
    monkeypatch.setattr(templates.kernels, "folder", lambda: None)  # another user may write there: nothing of it is run
    assert rendered() == "<&amp;>constant" and not _kept(tmp_path)
