"""A recipe may read a dataset of the Hub; the commit it read is pinned."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from instdata.build import build, prepare
from instdata.util.errors import InputError
from tests.conftest import Bench, rows
from tests.hub_repos import Blob
from tests.hub_server import Hub


def parquet(records: list[dict]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records), out)
    return out.getvalue()


def test_a_build_reads_a_hub_dataset_at_a_pinned_commit(hub: Hub, bench: Bench) -> None:
    repo = hub.add("someone/tasks", {"data/train.parquet": parquet(rows(12))})
    first = repo.commits[-1].sha
    recipe = bench.recipe(sources=[{"hub": "someone/tasks", "license": "mit"}])
    made = build(prepare(recipe), bench.folder / "out")
    assert made.manifest["totals"]["kept"] == 12
    resolved = yaml.safe_load((made.path / "recipe.yaml").read_text())
    assert resolved["sources"][0]["revision"] == first

    repo.commit("more", {"data/train.parquet": Blob(parquet(rows(20)), True)})
    assert prepare(recipe).sha256 != prepare(made.path / "recipe.yaml").sha256 == made.manifest["recipe_sha256"]
    again = build(prepare(made.path / "recipe.yaml"), bench.folder / "again")
    assert again.manifest["totals"]["kept"] == 12


def test_a_repo_that_is_not_there_is_one_clear_line(hub: Hub, bench: Bench) -> None:
    with pytest.raises(InputError, match=r"recipe.yaml:\d+: hub: no/such"):
        prepare(bench.recipe(sources=[{"hub": "no/such"}]))
