"""The files by which a set proves itself: valid by their own standards, one set of facts, the same bytes each time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from instdata.publish.proof_files import FILES, write_proofs
from instdata.publish.published_folder import write_publication
from instdata.util.licences import KNOWN, spdx
from tests.publish.conftest import make


def test_mlcroissant_reads_the_rows_that_it_describes(small: Path) -> None:
    mlc = pytest.importorskip("mlcroissant")
    found = mlc.Dataset(small / "croissant.json")
    assert not found.metadata.issues.errors, found.metadata.issues.report()
    manifest = json.loads((small / "manifest.json").read_text())
    for config in ("25pct", "full", "holdout"):
        rows = list(found.records(config))
        assert len(rows) == manifest["configs"][config]["rows"]
    assert rows[0]["holdout/ability"] in (b"math", b"code", b"open_qa")


def test_croissant_says_where_it_comes_from(small: Path) -> None:
    found = json.loads((small / "croissant.json").read_text())
    assert found["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert found["license"] == "https://spdx.org/licenses/CC-BY-4.0.html"
    (source,) = found["prov:wasDerivedFrom"]
    manifest = json.loads((small / "manifest.json").read_text())
    assert source["license"] == "MIT"
    assert source["prov:hadMember"][0]["@id"] == f"urn:sha256:{manifest['sources'][0]['files'][0]['sha256']}"
    assert [a["prov:label"] for a in found["prov:wasGeneratedBy"]] == [s["name"] for s in manifest["steps"]]
    assert {f["@id"] for f in found["distribution"] if f["@type"] == "cr:FileObject"} == {
        f for c in manifest["configs"].values() for f in c["files"]
    }


def test_the_same_bytes_and_nothing_of_this_machine(small: Path, tmp_path: Path) -> None:
    again = make(tmp_path / "elsewhere")
    for name in FILES:
        assert (again / name).read_bytes() == (small / name).read_bytes(), name
        assert str(tmp_path) not in (again / name).read_text("utf-8")


def test_figures_are_the_manifests(small: Path) -> None:
    manifest = json.loads((small / "manifest.json").read_text())
    start, done = map(json.loads, (small / "openlineage.jsonl").read_text().splitlines())
    assert (start["eventType"], done["eventType"]) == ("START", "COMPLETE") and start["run"] == done["run"]
    rows = {o["name"].rpartition("/")[2]: o["outputFacets"]["outputStatistics"]["rowCount"] for o in done["outputs"]}
    assert rows == {name: c["rows"] for name, c in manifest["configs"].items()}
    cited = yaml.safe_load((small / "CITATION.cff").read_text())
    assert (cited["cff-version"], cited["title"], cited["license"]) == ("1.2.0", "small", "CC-BY-4.0")
    told = (small / "training-content.md").read_text("utf-8")
    headings = [line.partition(" ")[2] for line in told.splitlines() if line.startswith("#")]
    assert [h.split()[0] for h in headings[1:]] == [
        "1", "1.1", "1.2", "1.3", "2", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "3", "3.1", "3.2", "3.3",
    ]  # fmt: skip
    assert f"{manifest['configs']['full']['rows']} rows" in told and "MIT" in told


def test_a_rows_own_licence_counts(tmp_path: Path) -> None:
    lines = [
        {
            "instruction": f"Name the {i}th thing",
            "output": f"thing {i}",
            "license": ("cc-by-sa-4.0", "My own terms")[i % 2],
        }
        for i in range(9)
    ]
    recipe = "name: own\nsources: [{path: rows.jsonl, license: mit}]\n"
    build = make(tmp_path, lines=[*lines, {"instruction": "One more", "output": "of no licence"}], recipe=recipe)
    told = (build / "training-content.md").read_text("utf-8")
    assert "CC-BY-SA-4.0 5, LicenseRef-My-own-terms 4, MIT 1" in told


def test_what_is_published_has_them_with_its_own_hashes(small: Path, tmp_path: Path) -> None:
    manifest = write_publication(small, tmp_path / "out", "you/other", meta=False)
    assert set(FILES) <= set(manifest["published"]["files"])
    found = json.loads((tmp_path / "out/croissant.json").read_text())
    hashes = {f["@id"]: f["sha256"] for f in found["distribution"] if "sha256" in f}
    assert hashes == {n: h for n, h in manifest["published"]["files"].items() if n in hashes}
    assert found["url"].endswith("you/other")
    assert not any(f["@id"].endswith("/meta") for f in found["recordSet"][0]["field"])


def test_secrets_and_markdown_stay_out(small: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "set")
    recipe = yaml.safe_load((small / "recipe.yaml").read_text())
    recipe["sources"][0]["license"] = "a|b <script>"
    (tmp_path / "set/recipe.yaml").write_text(yaml.safe_dump(recipe))
    write_proofs(tmp_path / "set", json.loads((small / "manifest.json").read_text()))
    assert "<script>" not in (tmp_path / "set/training-content.md").read_text("utf-8")


def test_spdx() -> None:
    assert {spdx(w) for w in ("", None, "unknown")} == {"NOASSERTION"}
    assert spdx("cc-by-nc-sa-4.0") == "CC-BY-NC-SA-4.0" and spdx("gpl-3.0") == "GPL-3.0-only" and spdx("MIT") == "MIT"
    assert spdx("llama3.1") == "LicenseRef-llama3.1"
    import re

    for word in KNOWN - {"unknown"}:
        assert re.fullmatch(r"[A-Za-z0-9.-]+", spdx(word)), word
