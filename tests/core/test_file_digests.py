"""What large files are called by: their bytes are read once, as long as they are not written again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from instdata.build import prepare
from instdata.corpus.taxonomy import Taxonomy, load_taxonomy
from instdata.util import file_digests
from instdata.util.paths import cache_folder


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of any size are worth a note."""
    monkeypatch.setattr(file_digests, "SMALL", 0)


def test_thousands_of_small_files_cost_no_notes_and_one_digest_of_the_taxonomy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "small").write_bytes(b"one")
    monkeypatch.setattr(file_digests, "SETTLED", -1.0)
    assert file_digests.file_digest(tmp_path / "small") == file_digests.digest(tmp_path / "small")
    assert not list((cache_folder() / "digests").glob("*"))
    taxonomy = load_taxonomy("belle", tmp_path)
    first = taxonomy.digest()
    monkeypatch.setattr(Taxonomy, "model_dump", lambda *how, **more: pytest.fail("made again"))
    assert taxonomy.digest() == first


@pytest.mark.usefixtures("remembered")
def test_a_file_is_read_again_when_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w"
    path.write_bytes(b"one")
    first = file_digests.file_digest(path)
    path.write_bytes(b"two")  # perhaps within the same tick of the clock
    second = file_digests.file_digest(path)
    assert first != second
    monkeypatch.setattr(file_digests, "SETTLED", -1.0)
    assert file_digests.file_digest(path) == second
    monkeypatch.setattr(file_digests, "digest", lambda path: "read again")
    assert file_digests.file_digest(path) == second
    time.sleep(0.05)
    path.write_bytes(b"six")
    assert file_digests.file_digest(path) == "read again"


@pytest.mark.usefixtures("remembered")
def test_a_source_is_not_read_again_to_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its digest is kept by size, time and number: a set of many gigabytes is up to date at once."""
    (tmp_path / "rows.jsonl").write_text('{"prompt": "Why?", "completion": "So."}\n' * 20)
    recipe = {"name": "one", "sources": [{"path": str(tmp_path / "rows.jsonl")}]}
    monkeypatch.setattr(file_digests, "SETTLED", -1.0)
    first = prepare(recipe, base=tmp_path).inputs[0][0].digest
    monkeypatch.setattr(file_digests, "digest", lambda path: "read again")
    assert prepare(recipe, base=tmp_path).inputs[0][0].digest == first
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write('{"prompt": "Who?", "completion": "I."}\n')
    assert prepare(recipe, base=tmp_path).inputs[0][0].digest == "read again"
