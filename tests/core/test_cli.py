"""The commands as a person or a script meets them: real processes, exit codes, one line an error, JSON."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from instdata.cli import main as cli
from instdata.cli.build import _begin_early
from instdata.cli.main import main
from tests.conftest import rows
from tests.shell import Shell


def mistaken(folder: Path, monkeypatch, capsys, args: list[str], code: int) -> dict:
    """What a command says that ends with an error, in this process: its JSON, and the same in one line on stderr."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["instdata", *args, "--json"])
    with pytest.raises(SystemExit) as end:
        main()
    told = capsys.readouterr()
    answer = json.loads(told.out)
    assert end.value.code == answer["exit_code"] == code and "Traceback" not in told.err
    assert answer["error"].splitlines()[0] in told.err
    return answer


@pytest.fixture
def shell(tmp_path):
    return Shell(tmp_path)


def test_init_and_build_work_in_an_empty_folder(shell):
    assert "now: instdata build dataset.yaml" in shell.fresh("init").stdout
    done = shell.fresh("build")
    assert re.search(r"in 216 \+ generated 0 = kept 2\d\d \+ dropped", done.stdout)
    for line in [*done.stdout.splitlines(), *done.stderr.splitlines()]:
        assert len(line) <= 80, line
    again = shell.json("build")
    assert again["changed"] is False and again["build"] == "builds/dataset"
    assert set(again["configs"]) == {"10pct", "30pct", "50pct", "100pct", "full", "holdout"}
    assert "is there already" in shell("init", code=2).stderr
    (shell.folder / "other.yaml").write_text("{}")
    assert "which recipe? Here are dataset.yaml, other.yaml" in shell("build", code=2).stderr


def test_init_taxonomy_writes_one_that_a_recipe_may_name(shell):
    assert "taxonomy: shop.taxonomy.yaml" in shell("init", "shop", "--taxonomy").stdout
    (shell.folder / "a.jsonl").write_text("".join(json.dumps(r | {"ability": "money back"}) + "\n" for r in rows(9)))
    (shell.folder / "r.yaml").write_text("name: x\ntaxonomy: shop.taxonomy.yaml\nsources: [{path: a.jsonl}]\n")
    assert shell.json("validate", "r.yaml")["errors"] == []
    assert shell.json("build", "r.yaml")["configs"]["full"]["by_ability"] == {"refund": 9}
    assert "is there already" in shell("init", "shop", "--taxonomy", code=2).stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with a build of kept, dropped, held-out and unreadable rows."""
    shell = Shell(tmp_path_factory.mktemp("built"))
    cache = {"INSTDATA_CACHE": str(shell.folder / "cache")}
    records = [
        *rows(30),
        rows(1)[0],
        {"instruction": "Who are you?", "output": "As an AI language model, I have no name."},
    ]
    lines = [json.dumps(r) for r in records]
    (shell.folder / "a.jsonl").write_text("\n".join([*lines, "{broken", ""]))
    (shell.folder / "r.yaml").write_text(
        "name: demo\nsources: [{path: a.jsonl}]\nsteps: [{dedup: {method: exact}}, quality, {holdout: {per_ability: "
        "3}}]\nsubsets: {sizes: [10, 50%]}\n"
    )
    shell("build", "r.yaml", env=cache)
    return shell, cache


def test_code_that_why_shows_can_be_copied(capsys):
    """No frame, no fold, no indentation of ours; tabs stay, and what would command the terminal does not."""
    from instdata.cli.output import row_history

    code = "def f(x):\n\tif x:\n\t\treturn [bold]\n" + "\ty = " + "x + " * 40 + "1"
    row = {"rid": "a/a.jsonl:0", "verdict": "kept", "config": "train", "step": None, "reason": None, "id": "0" * 32,
           "source": "a", "source_file": "a.jsonl", "source_row": 0, "ability": "code", "evidence": None, "scores": {},
           "messages": [{"role": "user", "content": "code\x1b[31m, please"}, {"role": "assistant", "content": code}]}  # fmt: skip
    row_history([row])
    shown = capsys.readouterr().out
    assert f"\n{code}\n" in shown and "\ncode, please\n" in shown
    row["messages"][1]["content"] = "x" * 9000
    row_history([row])
    assert "x … (9,000 characters)" in capsys.readouterr().out


def test_why_tells_a_rows_history(built):
    shell, cache = built
    dropped = shell("why", "a/a.jsonl:31", env=cache).stdout
    assert (
        "dropped by step quality: self_reference" in " ".join(dropped.split()) and "As an AI language model" in dropped
    )
    copy = json.loads(shell("why", "a/a.jsonl:30", "--json", env=cache).stdout)["rows"][0]
    assert (copy["step"], copy["evidence"]["rid"]) == ("dedup", "a/a.jsonl:0")
    both = json.loads(shell("why", copy["id"], "--json", env=cache).stdout)["rows"]
    assert {r["rid"] for r in both} == {"a/a.jsonl:0", "a/a.jsonl:30"}
    broken = shell("why", "a/a.jsonl:32", env=cache).stdout
    assert "quarantined by step read: unreadable" in broken and "{broken" in broken and "invalid JSON" in broken
    for asked, says in (
        ("nope", "rows counted from 0, as a/a.jsonl:0."),
        ("data/a.jsonl:31", 'Did you mean "a/a.jsonl:31"?'),
        ("a.jsonl", "rows counted from 0, as a/a.jsonl:0."),
        ("/", "An id is 32 hex digits"),
    ):
        told = shell("why", asked, code=2, env=cache).stderr
        assert f'builds/demo: no row has the id or rid "{asked}".' in told and says in told
        assert ("Did you mean" in told) == (asked == "data/a.jsonl:31") and "`instdata report builds/demo`" in told
    tail = json.loads(shell("why", "demo", "a.jsonl:30", "--json", env=cache).stdout)["rows"][0]
    assert (tail["rid"], tail["copy"]) == ("a/a.jsonl:30", "exact")
    for text in (dropped, broken):
        assert max(len(line) for line in text.splitlines()) <= 80


def test_an_unknown_build_says_which_there_are(built):
    shell, cache = built
    for args in (("report", "dmeo"), ("train", "builds/dmeo"), ("verify", "builds/dmeo")):
        told = shell(*args, code=2, env=cache).stderr
        assert 'dmeo: no finished build there (no manifest.json). Did you mean "demo"? Under builds/: ' in told
        assert "demo" in told.partition("Under")[2] and "`instdata build RECIPE` makes one" in told


def test_diff_export_report(built):
    shell, cache = built
    shell("build", "r.yaml", "--out", "builds/two", "--set", "quality.rules=[too_short]", env=cache)
    found = json.loads(shell("diff", "demo", "two", "--json", env=cache).stdout)
    assert (found["rows_in"], found["rows_out"]) == (1, 0)
    assert {"before": "quality: self_reference", "after": "kept", "rows": 1} in found["decisions"]
    assert "1 rows in, 0 rows out" in shell("diff", "demo", "two", env=cache).stdout
    for format in ("alpaca", "sharegpt", "messages", "prompt_completion"):
        out = json.loads(
            shell("export", "demo", "--format", format, "--out", f"{format}.jsonl", "--json", env=cache).stdout
        )
        assert out["written"] == 27 and out["left_out"] == 0
        again = shell.json(
            "build",
            "r.yaml",
            "--out",
            f"builds/{format}",
            "--set",
            f"sources.0.path={format}.jsonl",
            "--set",
            "steps=[]",
            "--set",
            "subsets.sizes=[5]",
        )
        assert again["totals"]["kept"] == 27
    assert json.loads((shell.folder / "alpaca.jsonl").read_text().splitlines()[0]).keys() == {
        "instruction",
        "input",
        "output",
    }
    shell("export", "demo", "--format", "alpaca", "--out", "a.json", "--config", "holdout", env=cache)
    assert len(json.loads((shell.folder / "a.json").read_text())) == 3
    assert (
        'no config "hold"' in shell("export", "demo", "--out", "x.jsonl", "--config", "hold", code=2, env=cache).stderr
    )
    assert (shell.folder / shell("report", "demo", env=cache).stdout.strip()).stat().st_size > 10_000


def test_dry_run_writes_nothing(built):
    shell, _ = built
    before = sorted(shell.folder.rglob("*"))
    plan = shell.json("build", "r.yaml", "--dry-run", "--out", "builds/three")
    assert (
        plan["rows"] == 33
        and [s["name"] for s in plan["steps"]] == ["dedup", "quality", "holdout"]
        and plan["usd"] == 0
    )
    assert "nothing was written" in shell("build", "r.yaml", "--dry-run").stdout
    assert sorted(shell.folder.rglob("*")) == before


def test_validate_lists_everything(shell):
    (shell.folder / "r.yaml").write_text(
        "name: x\nsources:\n  - path: gone.jsonl\nsteps:\n  - dedup: {treshold: 0.7}\n"
    )
    done = shell("validate", "r.yaml", code=2)
    assert 'r.yaml:5: unknown key "treshold" in step dedup. Did you mean "threshold"?' in done.stderr
    (shell.folder / "r.yaml").write_text(
        "name: x\nsources:\n  - path: gone.jsonl\nsteps:\n  - dedup: {threshold: 0.7}\n"
    )
    assert shell.json("validate", "r.yaml", code=2) == {
        "errors": [{"file": "r.yaml", "line": 3, "message": "gone.jsonl: no such file or folder.", "fix": []}]
    }
    assert shell.json("validate", "missing.yaml", code=2)["errors"][0]["message"].startswith(
        "missing.yaml: no such recipe"
    )


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["build", "gone.yaml"], 2, "no such recipe"),
        (["biuld"], 2, "No such command"),
        (["build", "--jobs", "0", "x.yaml"], 2, "jobs"),
        (["build", "--set", "x", "x.yaml"], 2, "no such recipe"),
        (["why", "x"], 2, "there is no build under builds/ yet"),
        (["report", "gone"], 2, "There is none under builds/; `instdata build RECIPE` makes one"),
        (["export"], 2, "--out"),
        (["cache", "shrink"], 2, "cache size"),
        (["models", "pull"], 2, "models pull NAME"),
        (["models", "pull", "gpt-9"], 2, "gpt-9"),
        (["export", "--out", "x.csv"], 2, "there is no build"),
        (["init", "../x"], 2, "letters"),
    ],
)
def test_errors_are_one_line_with_the_remedy(tmp_path, monkeypatch, capsys, args, code, says):
    assert says in mistaken(tmp_path, monkeypatch, capsys, args, code)["error"]


def test_schema_doctor_cache_models(shell):
    schema = shell.json("schema")
    assert schema["properties"]["steps"] and "step.dedup" in schema["$defs"]
    assert {e["extra"] for e in shell.json("doctor")["extras"]} >= {"generate", "local", "classify", "hub", "report"}
    secret = "sk-do-not-show-this"
    assert secret not in shell("doctor", env={"OPENAI_API_KEY": secret, "HF_TOKEN": secret}).stdout
    assert set(shell.json("cache")) == {"steps", "requests", "models", "kernels"}
    assert shell.json("cache", "clean")["steps"]["bytes"] == 0
    assert any("qwen" in m["name"] for m in shell.json("models", "list")["models"])


def building(shell, *more: str) -> subprocess.Popen:
    """A build of 60,000 rows that has said its first line. It minds Ctrl-C, which a shell's background jobs do not."""
    (shell.folder / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows(60_000)))
    (shell.folder / "r.yaml").write_text("name: x\nsources: [{path: a.jsonl}]\nsteps: [quality]\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "instdata.cli.main", "build", "r.yaml", *more], cwd=shell.folder, stderr=subprocess.PIPE,
        text=True, start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    process.stderr.readline()
    return process


def test_ctrl_c_is_130_and_resumable(shell):
    process = building(shell)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "run the same command again" in said and "Traceback" not in said
    assert shell.json("build", "r.yaml", "--quiet")["totals"]["in"] == 60_000


def test_a_second_ctrl_c_ends_it_too(shell):
    process = building(shell, "--jobs", "2")
    for _ in range(2):
        time.sleep(0.3)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=30)[0] is None
    assert process.returncode in (130, -signal.SIGINT)


def test_too_many_bad_rows_are_all_shown(shell):
    lines = [json.dumps(r) for r in rows(50)] + ["{bad"] * 12
    (shell.folder / "a.jsonl").write_text("\n".join(lines))
    (shell.folder / "r.yaml").write_text("name: x\nsources: [{path: a.jsonl}]\n")
    done = shell("build", "r.yaml", code=4)
    assert "12 of 62 rows cannot be read" in " ".join(done.stderr.split())
    assert len((shell.folder / "builds/x/unreadable.jsonl").read_text().splitlines()) == 12
    (shell.folder / "r.yaml").write_text("name: x\nsources: [{path: a.jsonl, max_bad: 50%}]\n")
    shell("build", "r.yaml")
    assert not (shell.folder / "builds/x/unreadable.jsonl").exists()


def test_workers_load_early_what_they_need_where_some_are_wanted(tmp_path, monkeypatch):
    begun: list[str] = []
    monkeypatch.setattr("instdata.util.engine.begin_early", lambda: begun.append("now"))
    monkeypatch.setattr("instdata.steps.compile_kernels.ready_to_read", lambda: True)
    (tmp_path / "r.yaml").write_text("")
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / "manifest.json").write_text("{}")
    for recipe, out, jobs in (("r.yaml", "built", 2), ("r.yaml", "new", 1), ("gone.yaml", "new", 2)):
        _begin_early(tmp_path / recipe, str(tmp_path / out), jobs)
        assert not begun
    _begin_early(tmp_path / "r.yaml", str(tmp_path / "new"), 2)
    assert begun


def test_quiet_and_json_keep_stdout_clean(shell):
    (shell.folder / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows(9)))
    (shell.folder / "r.yaml").write_text("name: x\nsources: [{path: a.jsonl}]\n")
    quiet = shell("build", "r.yaml", "--quiet")
    assert quiet.stdout == quiet.stderr == ""
    loud = shell("build", "r.yaml", "--json", "--fresh")
    assert len(loud.stdout.splitlines()) == 1 and "read" in loud.stderr


def test_importing_and_helping_stay_light():
    """No heavy package is imported before a command needs it (times are in benchmarks/startup.py)."""
    code = "import sys, instdata, instdata.cli.main; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & {
        "numpy",
        "pyarrow",
        "pydantic",
        "duckdb",
        "numba",
        "torch",
        "openai",
        "sklearn",
        "rich",
        "yaml",
        "jinja2",
    }


def test_a_command_alone_is_what_it_is_among_all(capsys):
    every = cli._called(["--help"])
    assert every is cli.app and cli._called([]) is cli.app and cli._called(["agent", "context"]) is cli.app
    for name in {cli.name_of(c) for c in cli.app.registered_commands}:
        one = cli._called([name, "--limit"])
        assert [cli.name_of(c) for c in one.registered_commands] == [name] and not one.registered_groups
        told = []
        for app in (one, every):
            app([name, "--help"], standalone_mode=False, prog_name="instdata")
            told.append(capsys.readouterr().out)
        assert told[0] == told[1] and f"instdata {name} " in told[0]
    assert len(cli.app.registered_commands) > 20
