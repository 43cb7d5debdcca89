"""export: what TRL, LLaMA-Factory and axolotl read. TRL is asked itself; the other two by a JSON schema of the records
that their documentation describes (LLaMA-Factory data/README.md; axolotl docs/dataset-formats)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import orjson
import pytest

from instdata.build import build, prepare
from instdata.builds import export
from instdata.util.errors import InputError

TRL = Path(os.environ.get("INSTDATA_HOME") or "~/.cache/instdata").expanduser() / "peers" / "trl"
TEXT, FILLED = {"type": "string"}, {"type": "string", "minLength": 1}


def turns(role: str, text: str, user: str, assistant: str) -> dict:
    """A list of turns: an optional system turn, then user and assistant in turn, the assistant last. (LLaMA-Factory
    wants users at odd and assistants at even places; axolotl's chat_template reads the same.)"""
    names = {"enum": ["system", user, assistant]}
    turn = {"type": "object", "required": [role, text], "properties": {role: names, text: FILLED},
        "additionalProperties": False}  # fmt: skip
    return {"type": "array", "minItems": 2, "items": turn}


SCHEMAS = {
    # LLaMA-Factory's alpaca with its columns system and history; axolotl's alpaca reads the three required keys.
    "alpaca": {
        "type": "object", "required": ["instruction", "input", "output"], "additionalProperties": False,
        "properties": {"instruction": FILLED, "input": TEXT, "output": FILLED, "system": TEXT,
                       "history": {"type": "array",
                       "items": {"type": "array", "items": TEXT, "minItems": 2, "maxItems": 2}}},
    },
    # LLaMA-Factory `formatting: sharegpt`; axolotl `type: chat_template` with field_messages: conversations, from and value.
    "sharegpt": {
        "type": "object", "required": ["conversations"], "additionalProperties": False,
        "properties": {"conversations": turns("from", "value", "human", "gpt")},
    },
    # axolotl `type: chat_template`; LLaMA-Factory sharegpt with tags role, content, user, assistant, system.
    "messages": {
        "type": "object", "required": ["messages"], "additionalProperties": False,
        "properties": {"messages": turns("role", "content", "user", "assistant")},
    },
    "prompt_completion": {
        "type": "object", "required": ["prompt", "completion"], "additionalProperties": False,
        "properties": {"prompt": {}, "completion": {}},
        "anyOf": [{"properties": {"prompt": FILLED, "completion": FILLED}},
                  {"properties": {"prompt": {"type": "array", "minItems": 1},
                  "completion": {"type": "array", "minItems": 1, "maxItems": 1}}}],
    },
}  # fmt: skip
SINGLE = [
    {"instruction": f"Add {i} and one", "input": "" if i % 2 else "as a word", "output": f"It is {i + 1}"}
    for i in range(8)
]
TALKS = [
    {"messages": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": f"Name {i} river"},
                  {"role": "assistant", "content": "Rhine"}, {"role": "user", "content": "one more"},
                  {"role": "assistant", "content": f"Elbe {i}"}]}
    for i in range(4)
]  # fmt: skip


@pytest.fixture(scope="module", params=["single", "talks"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of single turns, and one with conversations among them."""
    home = tmp_path_factory.mktemp(request.param)
    (home / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in SINGLE))
    (home / "b.jsonl").write_text("".join(json.dumps(r) + "\n" for r in TALKS))
    sources = "[{path: a.jsonl}" + (", {path: b.jsonl}]" if request.param == "talks" else "]")
    (home / "r.yaml").write_text(f"name: {request.param}\nsources: {sources}\nsteps: []\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INSTDATA_CACHE", str(home / "cache"))
        return build(prepare(home / "r.yaml"), home / "out").path


@pytest.mark.parametrize("format", SCHEMAS)
@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_records_are_as_the_trainers_document_them(made: Path, tmp_path: Path, format: str, suffix: str) -> None:
    out = tmp_path / f"rows{suffix}"
    done = export(made, format, out)
    text = out.read_text("utf-8")
    records = json.loads(text) if suffix == ".json" else [json.loads(line) for line in text.splitlines()]
    assert (
        len(records) == done["written"] == (12 if made.parent.name.startswith("talks") else 8) and not done["left_out"]
    )
    for record in records:
        jsonschema.validate(record, SCHEMAS[format])
        told = record.get("messages") or record.get("conversations")
        if told:
            roles = [t.get("role") or t["from"] for t in told if (t.get("role") or t["from"]) != "system"]
            assert roles[::2] == roles[:1] * len(roles[::2]) and roles[1::2] == roles[1:2] * len(roles[::2])
    kinds = {type(r.get("prompt")) for r in records}
    assert len(kinds) == 1, "a trainer takes every row for what the first one is"


@pytest.mark.parametrize("format", SCHEMAS)
def test_the_datasets_library_reads_them(made: Path, tmp_path: Path, format: str) -> None:
    import datasets

    done = export(made, format, tmp_path / "rows.jsonl")
    rows = datasets.load_dataset(
        "json", data_files=str(tmp_path / "rows.jsonl"), split="train", cache_dir=str(tmp_path)
    )
    assert len(rows) == done["written"] and set(rows.column_names) >= set(SCHEMAS[format]["required"])


@pytest.mark.slow
@pytest.mark.parametrize("format", ["messages", "sharegpt", "prompt_completion"])
def test_trl_trains_on_them_as_they_are(made: Path, tmp_path: Path, format: str) -> None:
    """SFTTrainer of TRL, one step on the file. (alpaca is for LLaMA-Factory and axolotl: TRL wants it rewritten
    first.)"""
    pytest.importorskip("torch", reason="no torch here: pip install 'instdata[train]'")
    if not (TRL / "trl").is_dir():
        pytest.skip(f"no TRL here: pip install --no-deps --target {TRL} trl accelerate")
    done = export(made, format, tmp_path / "rows.jsonl")
    program = [sys.executable, str(Path(__file__).with_name("trl_reads.py")), str(tmp_path / "rows.jsonl")]
    env = {**os.environ, "PYTHONPATH": str(TRL), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(program, env=env, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    talks = made.parent.name.startswith("talks")
    assert found["rows"] == done["written"] and found["learned"] > 0
    assert found["conversational"] is (talks or format != "prompt_completion")
    assert "Add" in found["text"] or "Name" in found["text"]


CALL = {"id": "a", "type": "function", "function": {"name": "add", "arguments": "{}"}}
CALLS = {"messages": [{"role": "user", "content": 'say "tool_calls":'}, {"role": "assistant", "content": "", "tool_calls": [CALL]},
         {"role": "tool", "content": "3"}, {"role": "assistant", "content": "Three."}], "tools": "[]"}  # fmt: skip
SAID = {"messages": [{"role": "user", "content": 'say {"weight":0}'}, {"role": "assistant", "content": '{"weight":0}'}]}


def test_what_a_trainer_would_lose_of_a_file_is_refused(tmp_path: Path) -> None:
    """LLaMA-Factory 0.9.5 reads calls and thoughts of sharegpt only, and like TRL 1.16 learns answers of weight 0;
    axolotl 0.19 reads calls of messages only. Found by their own loaders."""
    from instdata.publish.trainer_configs import tell_trainer
    from instdata.read.export_formats import write_record

    def told(trainer: str, format: str, *rows: dict) -> str:
        out = tmp_path / "x.jsonl"
        records = [write_record(format, r["messages"], tools=r.get("tools")) for r in rows]
        out.write_bytes(b"".join(orjson.dumps(r) + b"\n" for r in records))
        return tell_trainer(trainer, format, out).read_text()

    unlearned = {"messages": [SAID["messages"][0], {**SAID["messages"][1], "weight": 0}, *SAID["messages"]]}
    for trainer, format, row, words in (
        ("llamafactory", "messages", CALLS, "calls of messages rows: write them with --format sharegpt"),
        ("axolotl", "sharegpt", CALLS, "write them with --format messages"),
        ("llamafactory", "sharegpt", unlearned, "would learn the answers of weight 0"),
        ("trl", "messages", unlearned, "--trainer axolotl"),
    ):
        with pytest.raises(InputError, match=words):
            told(trainer, format, SAID, row)
    entry = json.loads(told("llamafactory", "sharegpt", SAID, CALLS))["x"]
    assert entry["columns"] == {"messages": "conversations", "tools": "tools"}  # whichever row has them
    assert json.loads(told("llamafactory", "messages", SAID))["x"]["tags"]["observation_tag"] == "tool"
    assert "message_field_training: weight" in told("axolotl", "messages", CALLS, unlearned)
    assert "assistant_only_loss=True" in told("trl", "messages", SAID)


def test_trainers_are_told_and_abilities_chosen(small: Path, tmp_path: Path) -> None:
    from tests.shell import Shell

    shell = Shell(tmp_path)
    (tmp_path / "dataset_info.json").write_text('{"theirs": {"file_name": "x.json"}}')
    done = shell.json("export", str(small), "--format", "alpaca", "--out", "a.json", "--trainer", "llamafactory")
    info = json.loads((tmp_path / done["trainer"]).read_text())
    assert info["theirs"] == {"file_name": "x.json"}
    assert info["a"]["columns"] == {"prompt": "instruction", "query": "input", "response": "output"}
    shell("export", str(small), "--out", "m.jsonl", "--trainer", "axolotl")
    assert "field_messages: messages" in (tmp_path / "m.axolotl.yaml").read_text()
    shell("export", str(small), "--out", "m.jsonl", "--trainer", "trl")
    compile((tmp_path / "m.trl.py").read_text(), "m.trl.py", "exec")
    assert (
        "--format alpaca"
        in shell(
            "export",
            str(small),
            "--format",
            "prompt_completion",
            "--out",
            "p.jsonl",
            "--trainer",
            "llamafactory",
            code=2,
        ).stderr
    )
    shell("export", str(small), "--out", "math.jsonl", "--ability", "math", "--ids")
    records = [json.loads(line) for line in (tmp_path / "math.jsonl").read_text().splitlines()]
    wanted = json.loads((small / "manifest.json").read_text())["configs"]["full"]["by_ability"]["math"]
    assert (
        len(records) == wanted
        and {r["ability"] for r in records} == {"math"}
        and all(len(r["id"]) == 32 for r in records)
    )
    assert (
        'Did you mean "math"?' in shell("export", str(small), "--out", "x.jsonl", "--ability", "maths", code=2).stderr
    )
