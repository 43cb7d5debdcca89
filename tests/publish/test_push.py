"""push-to-hub against a Hub on loopback, with the real clients: what is published, what is not, and what goes wrong."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from instdata.cli.main import main
from instdata.publish.hub_client import HubError
from instdata.publish.push import publish, push
from instdata.publish.verify import verify
from instdata.util.checksums import write_sums
from instdata.util.errors import BuildError, InputError
from tests.hub_repos import Blob
from tests.hub_server import Hub
from tests.publish.conftest import DROPPED, RECIPE, make, records

# The clients' own warning about how they send bytes.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def rows_of(build: Path, config: str) -> pa.Table:
    files = json.loads((build / "manifest.json").read_text())["configs"][config]["files"]
    return pa.concat_tables(pq.read_table(build / f) for f in files)


def sent(hub: Hub, *methods: str) -> list[str]:
    return [
        path
        for method, path in hub.requests
        if method in methods and not path.endswith(("validate-yaml", "paths-info/main"))
    ]


def test_what_is_pushed_loads_as_the_build(hub: Hub, small: Path) -> None:
    import datasets

    done = push(small)
    repo = hub.repo("me/small")
    assert done["changed"] and done["repo"] == "me/small" and done["commit"] == repo.commits[-1].sha
    assert repo.private and len(repo.commits) == 2 and repo.tags == {done["tag"]: done["commit"]}
    assert {
        "README.md",
        "README.zh.md",
        "manifest.json",
        "recipe.yaml",
        "ledger.parquet",
        "report.html",
        "charts/abilities.png",
    } <= set(repo.commits[-1].files)
    for config, split in (("25pct", "train"), ("100pct", "train"), ("full", "train"), ("holdout", "test")):
        loaded = datasets.load_dataset("me/small", config, split=split).with_format("arrow")[:]
        expected = rows_of(small, config).drop_columns(["meta"])
        assert str(loaded.select(expected.column_names).to_pylist()) == str(
            expected.to_pylist()
        )  # as text: NaN is not equal to itself
    assert verify("me/small")["ok"]


def test_the_same_build_again_changes_nothing(hub: Hub, small: Path) -> None:
    first = push(small)
    hub.requests.clear()
    again = push(small)
    assert not again["changed"] and again["commit"] == first["commit"] and len(hub.repo("me/small").commits) == 2
    assert not [p for p in sent(hub, "PUT", "POST") if "create" not in p]


def test_a_changed_build_is_one_commit_that_says_what_changed(hub: Hub, small: Path, tmp_path: Path) -> None:
    push(small)
    changed = make(tmp_path, lines=records(80), recipe=RECIPE.replace("[25%, 100%]", "[20, 100%]"))
    done = push(changed)
    repo = hub.repo("me/small")
    assert done["changed"] and len(repo.commits) == 3 and len(repo.tags) == 2
    assert repo.commits[-1].title == f"instdata: {done['tag']}" and repo.commits[-1].message == done["summary"]
    assert (
        "rows in" in done["summary"]
        and "25pct: 13 to absent rows" in done["summary"]
        and "20: absent to 20 rows" in done["summary"]
    )
    assert not any("25pct" in f for f in repo.commits[-1].files)
    assert verify("me/small")["ok"]


def test_nothing_private_is_published(hub: Hub, small: Path) -> None:
    push(small)
    files = hub.repo("me/small").commits[-1].files
    plain = {name: blob.data for name, blob in files.items() if not name.endswith((".parquet", ".png"))}
    tables = {name: pq.read_table(io.BytesIO(blob.data)) for name, blob in files.items() if name.endswith(".parquet")}
    text = "".join(d.decode() for d in plain.values()) + "".join(str(t.to_pylist()) for t in tables.values())
    assert text.count(DROPPED) == 1  # the copy that was kept
    assert "private note" not in text and "in 5 different ways" not in text
    assert all("meta" not in t.column_names for t in tables.values())
    assert set(tables["ledger.parquet"].column_names) == {
        "rid",
        "id",
        "source",
        "source_file",
        "source_row",
        "verdict",
        "config",
        "step",
        "reason",
        "ability",
        "evidence",
    }
    assert "similarity" in str(tables["ledger.parquet"]["evidence"].to_pylist()) and "private note 3" in str(
        rows_of(small, "full")["meta"].to_pylist()
    )


def test_meta_is_published_where_it_is_asked_for(hub: Hub, tmp_path: Path) -> None:
    push(make(tmp_path, recipe=RECIPE.replace("license: cc-by-4.0", "license: cc-by-4.0, meta: true")))
    data = hub.repo("me/small").commits[-1].files["data/00-25pct.parquet"].data
    assert "private note" in str(pq.read_table(io.BytesIO(data))["meta"].to_pylist())
    assert verify("me/small")["ok"]


def test_a_dry_run_shows_files_and_sends_nothing(hub: Hub, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    done = push(small, "me/other", dry_run=True)
    assert done["files"]["data/00-25pct.parquet"] > 0 and done["commit"] is None
    assert not hub.requests and not hub.repos


def test_a_dry_run_shows_files_before_what_it_objects_to(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    made = make(tmp_path, recipe=RECIPE.replace(", license: mit", "").replace(", license: cc-by-4.0", ""))
    said = "source mine: its licence is not stated"
    done = push(made, dry_run=True)
    assert done["files"]["data/00-25pct.parquet"] > 0 and any(said in x for x in done["objections"])
    assert push(made, dry_run=True, allow=["unknown-license"])["objections"] == []
    for more in ([], ["--json"]):
        monkeypatch.setattr(sys, "argv", ["instdata", "push-to-hub", str(made), "--dry-run", *more])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        assert end.value.code == 2 and "data/00-25pct.parquet" in out
        assert said in err and "nothing was published" in err and "--accept-unknown-license" in err
    assert json.loads(out)["objections"] == done["objections"] and not hub.requests


@pytest.mark.parametrize(
    ("token", "said"),
    [(None, "no Hugging Face token"), ("hf_reader", "only reads"), ("hf_nobody", "does not accept this token")],
)
def test_a_token_that_may_not_write_is_told_before_any_upload(
    hub: Hub, small: Path, monkeypatch: pytest.MonkeyPatch, token: str | None, said: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token) if token else monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(InputError, match=said) as error:
        push(small)
    assert "\n" not in str(error.value) and error.value.exit_code == 2
    assert not sent(hub, "PUT", "POST") and not hub.repos


def test_a_head_that_no_push_made_is_not_overwritten(hub: Hub, small: Path, tmp_path: Path) -> None:
    push(small)
    repo = hub.repo("me/small")
    repo.commit("Update README.md", {**repo.commits[-1].files, "README.md": Blob(b"by hand", False)})
    with pytest.raises(BuildError, match=r"Update README.md.*--allow moved-head"):
        push(small)
    assert repo.commits[-1].title == "Update README.md"
    assert push(small, allow=["moved-head"])["changed"] and verify("me/small")["ok"]


def test_a_head_that_moves_meanwhile_is_not_overwritten(hub: Hub, small: Path) -> None:
    def somebody() -> None:
        repo = hub.repo("me/small")
        repo.commit("by hand", {**repo.commits[-1].files, "notes.txt": Blob(b"mine", False)})

    hub.fail("POST", "/commit/", somebody)
    with pytest.raises(BuildError, match="somebody committed in the meantime"):
        push(small)
    assert hub.repo("me/small").commits[-1].title == "by hand"


@pytest.mark.parametrize("how", [500, "reset"])
def test_an_upload_that_fails_once_goes_through(hub: Hub, small: Path, how: int | str) -> None:
    hub.fail("PUT", "/lfs/", how)
    assert push(small)["changed"] and verify("me/small")["ok"]


def test_a_commit_that_fails_is_told_and_pushing_again_resumes(hub: Hub, small: Path) -> None:
    for how in (500, "reset", 409):
        hub.fail("POST", "/commit/", how)
        with pytest.raises(HubError, match="again") as error:
            push(small)
        assert error.value.exit_code == 1 and "\n" not in str(error.value) and len(hub.repo("me/small").commits) == 1
    hub.requests.clear()
    assert push(small)["changed"]
    assert not sent(hub, "PUT"), "what was uploaded is not uploaded again"


def test_a_repo_of_others_is_refused(hub: Hub, small: Path) -> None:
    hub.fail("POST", "/api/repos/create", 403)
    with pytest.raises(InputError, match="may not write there"):
        push(small, "others/small")


def test_killed_while_uploading_and_pushed_again(hub: Hub, small: Path) -> None:
    code = f"import pathlib, instdata.publish.push as p; p.push(pathlib.Path({str(small)!r}))"
    for method, path in (("PUT", "/lfs/"), ("POST", "/tag/")):
        process = subprocess.Popen([sys.executable, "-c", code], env=os.environ.copy())
        hub.fail(method, path, lambda process=process: process.send_signal(signal.SIGKILL))
        assert process.wait(60) == -signal.SIGKILL
    assert len(hub.repo("me/small").commits) == 2 and verify("me/small")["ok"]
    done = push(small)
    assert not done["changed"] and list(hub.repo("me/small").tags.values()) == [done["commit"]]


def test_what_must_not_be_published_is_refused_unless_it_is_named(hub: Hub, tmp_path: Path) -> None:
    unlicensed = make(tmp_path / "a", recipe=RECIPE.replace(", license: mit", "").replace(", license: cc-by-4.0", ""))
    with pytest.raises(InputError, match=r"source mine: its licence is not stated(.|\n)*--accept-unknown-license"):
        push(unlicensed)
    closed = make(tmp_path / "b", recipe=RECIPE.replace("license: mit", "license: cc-by-nc-4.0"))
    with pytest.raises(InputError, match=r"non-commercial use only(.|\n)*--allow license"):
        push(closed)
    key = {"instruction": "Which key is it?", "output": "hf_" + "aB3dE6gH9j" * 3 + "kL", "ability": "code"}
    leaky = make(
        tmp_path / "c",
        lines=[*records(), key, {**key, "instruction": "And the one used last summer?"}],
        recipe=RECIPE.replace("  - holdout: {per_ability: 2}\n", ""),
    )
    with pytest.raises(InputError, match=r"2 rows hold what looks like a key(.|\n)*--allow credentials"):
        push(leaky)
    assert not sent(hub, "PUT", "POST")
    assert push(unlicensed, allow=["unknown-license"])["changed"]
    with pytest.raises(InputError, match="--allow licence: known are"):
        publish(unlicensed, allow=["licence"])


def test_a_random_value_with_a_name_is_refused_too(hub: Hub, tmp_path: Path) -> None:
    """No known kind of key: its name and its entropy tell, and the row is named so that it can be dropped."""
    told = {"instruction": "How is the service called?", "output": "Say api_key=9f8Xk2LmQz7RtY4wVb6Nc1Pd.",
        "ability": "code"}  # fmt: skip
    leaky = make(tmp_path / "c", lines=[*records(), told], recipe=RECIPE.replace("  - holdout: {per_ability: 2}\n", ""))
    with pytest.raises(InputError, match=r"1 rows give a random value(.|\n)*instdata why [0-9a-f]{32}") as refused:
        push(leaky)
    assert "9f8Xk2LmQz7RtY4wVb6Nc1Pd" not in str(refused.value) and not sent(hub, "PUT", "POST")


def test_a_damaged_build_is_refused(hub: Hub, small: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(small, copy)
    held = pq.read_table(copy / "data/holdout.parquet")
    pq.write_table(
        pa.concat_tables([pq.read_table(copy / "data/00-25pct.parquet"), held]), copy / "data/00-25pct.parquet"
    )
    write_sums(copy)
    with pytest.raises(InputError, match="leaks: 6 rows of full are held out"):
        push(copy)
    with pytest.raises(InputError, match="leaks: 6 rows of full are held out"):
        push(copy, dry_run=True)
    assert not hub.repos


@pytest.mark.slow
def test_a_hundred_thousand_rows_are_pushed_in_half_a_minute_of_the_processor(hub: Hub, tmp_path: Path) -> None:
    lines = [
        {"instruction": f"Write line {i} of a poem about the {i * 7919 % 100_003} stars", "output": f"Line {i}. " * 40}
        for i in range(100_000)
    ]
    made = make(
        tmp_path,
        lines=lines,
        recipe=RECIPE.replace("  - dedup: {threshold: 0.7}\n", "").replace("  - holdout: {per_ability: 2}\n", ""),
    )
    started = time.process_time()
    assert push(made)["changed"]
    assert time.process_time() - started < 30


def test_it_says_who_can_read_it(hub: Hub, small: Path) -> None:
    said: list[str] = []
    assert push(small, "me/seen", dry_run=True)["private"] is True
    assert push(small, "me/seen", private=False, dry_run=True)["private"] is False
    assert push(small, "me/seen", private=False, say=said.append)["private"] is False
    assert "me/seen is public" in said[-1]
    # A dataset that is there stays as it is, whatever is asked: what is said is what is.
    assert push(small, "me/seen", private=True)["private"] is False
