"""How a trainer is told of an exported file: LLaMA-Factory's dataset_info.json, a piece of an axolotl YAML, a piece of
TRL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from instdata.util.atomic import write_text
from instdata.util.errors import InputError
from instdata.util.yaml import written_yaml

TRAINERS = {"llamafactory": ("alpaca", "sharegpt", "messages"), "axolotl": ("messages", "sharegpt", "alpaca"),
            "trl": ("messages", "prompt_completion")}  # fmt: skip
TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "system_tag": "system",
}
# What a trainer leaves out of a format's rows (the key as it is written, what it is), and the format to read that from.
UNREAD = {
    ("llamafactory", "messages"): ("sharegpt", {b'"tool_calls":': "calls", b'"reasoning_content":': "thoughts"}),
    ("axolotl", "sharegpt"): ("messages", {b'"from":"function_call"': "calls"}),
}
UNLEARNED = (b'"weight":0}', b'"weight":0,')
BLOCK = 1 << 20


def check_trainer(trainer: str, format: str) -> None:
    """Raise InputError where a trainer does not read a format."""
    if format not in TRAINERS[trainer]:
        raise InputError(
            f"--trainer {trainer} reads {', '.join(TRAINERS[trainer])}, not {format}: add --format "
            f"{TRAINERS[trainer][0]}"
        )


def tell_trainer(trainer: str, format: str, out: Path) -> Path:
    """Write what makes a trainer read the file `out`, beside it; returns its path. An entry is added to the
    dataset_info.json that is there, others are kept. Raises InputError where the trainer would leave out what rows of
    this format hold."""
    better, keys = UNREAD.get((trainer, format), ("", {}))
    held = _held(out, [*keys, *UNLEARNED, b'"tools":'])
    if lost := [what for key, what in keys.items() if key in held]:
        raise InputError(
            f"{out}: {trainer} leaves out the {' and '.join(lost)} of {format} rows: write them with --format {better}"
        )
    if trainer != "axolotl" and held & set(UNLEARNED):
        raise InputError(
            f"{out}: {trainer} would learn the answers of weight 0, which it does not read: --trainer axolotl does; "
            "or leave those rows out with a filter"
        )
    if trainer == "llamafactory":
        return _llamafactory(format, out, b'"tools":' in held)
    path = out.with_suffix(".axolotl.yaml" if trainer == "axolotl" else ".trl.py")
    write_text(path, _axolotl(format, out) if trainer == "axolotl" else _trl(format, out))
    return path


def _held(out: Path, keys: Sequence[bytes]) -> set[bytes]:
    """Which keys stand in a file's records. Within a text their quotes would be escaped."""
    found: set[bytes] = set()
    with open(out, "rb") as file:
        tail = b""
        while block := file.read(BLOCK):
            found |= {k for k in keys if k in tail + block}
            tail = block[-max(map(len, keys)) :]
    return found


def _llamafactory(format: str, out: Path, tools: bool) -> Path:
    path = out.parent / "dataset_info.json"
    known: dict[str, Any] = {}
    if path.exists():
        try:
            known = json.loads(path.read_text("utf-8"))
        except ValueError as e:
            raise InputError(f"{path}: not JSON ({e}): mend it, or remove it") from e
        if not isinstance(known, dict):
            raise InputError(f"{path}: LLaMA-Factory's dataset_info.json is an object; this is none")
    entry: dict[str, Any] = {"file_name": out.name, "formatting": "alpaca" if format == "alpaca" else "sharegpt"}
    head = json.loads(out.read_text("utf-8"))[:1] if out.suffix == ".json" else [json.loads(_first_line(out))]
    keys = head[0] if head else {}
    if format == "alpaca":
        columns = {
            "prompt": "instruction",
            "query": "input",
            "response": "output",
            "system": "system",
            "history": "history",
        }
        entry["columns"] = {k: v for k, v in columns.items() if v in keys}
    else:
        entry["columns"] = {"messages": "conversations" if format == "sharegpt" else "messages"}
        entry["columns"] |= {"tools": "tools"} if tools else {}
        entry |= {"tags": TAGS} if format == "messages" else {}
    write_text(path, json.dumps({**known, out.stem: entry}, ensure_ascii=False, indent=2) + "\n")
    return path


def _first_line(path: Path) -> str:
    with open(path, encoding="utf-8") as file:
        return file.readline() or "{}"


def _axolotl(format: str, out: Path) -> str:
    item: dict[str, Any] = {"path": str(out), "ds_type": "json"}
    if format == "alpaca":
        item["type"] = "alpaca"
    else:
        item |= {"type": "chat_template", "field_messages": "conversations" if format == "sharegpt" else "messages"}
        item["message_field_training"] = "weight"  # 0: not learned
        if format == "sharegpt":
            item["message_property_mappings"] = {"role": "from", "content": "value"}
    return written_yaml({"datasets": [item]})


def _trl(format: str, out: Path) -> str:
    only = ", assistant_only_loss=True" if format == "messages" else ""  # of prompt and completion that is the default
    return (
        "from datasets import load_dataset\nfrom trl import SFTConfig, SFTTrainer\n\n"
        f'rows = load_dataset("json", data_files={str(out)!r}, split="train")\n'
        f'args = SFTConfig(output_dir="out"{only})\n'
        'trainer = SFTTrainer(model="Qwen/Qwen3-0.6B", train_dataset=rows, args=args)\n'
        "trainer.train()\n"
    )
