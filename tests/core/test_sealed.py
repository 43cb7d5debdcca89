"""Seals of cache files, and the word of another process for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from instdata.util import sealed


def test_another_process_is_believed_as_long_as_a_file_is_as_it_saw_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, broken = tmp_path / "x", tmp_path / "y"
    for one in (path, broken):
        one.write_bytes(b"right")
        sealed.seal(one)
    broken.write_bytes(b"wrong")
    known = sealed.checked([path, broken])
    assert set(known) == {path}
    monkeypatch.setattr(sealed, "_known", {})  # a process that has read nothing
    read: list[Path] = []
    real = sealed.digest
    monkeypatch.setattr(sealed, "digest", lambda one: read.append(one) or real(one))
    sealed.trust(known)
    assert sealed.sound(path) and not read
    assert not sealed.sound(broken) and read == [broken]
    path.write_bytes(b"other")
    assert not sealed.sound(path) and read == [broken, path]
