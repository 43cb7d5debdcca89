"""`instdata arms`: the arms of an ablation as training files, with a config for somebody else's trainer."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import yaml

from instdata.compare.ablation_setup import Ablation
from instdata.compare.arm import Count
from instdata.corpus.rows import Messages
from instdata.llm.causal_models import save
from instdata.read.export_formats import write_record
from instdata.train.training_recipe import Training
from instdata.util.atomic import whole, write_text
from instdata.util.errors import InputError
from instdata.util.paths import expanded
from instdata.util.yaml import did_you_mean

CELLS = "cells.csv"
ROWS = {"trl": "messages", "axolotl": "messages", "llamafactory": "sharegpt"}  # calls and thoughts as each reads them


def check_arms(trainer: str, out: Path) -> None:
    """Raise InputError for an unknown trainer and a folder that holds something."""
    if trainer not in TRAINERS:
        raise InputError(f"--export {trainer}: one of {', '.join(TRAINERS)}.{did_you_mean(trainer, TRAINERS)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: holds something already; choose another --out")


def export_arms(ablation: Ablation, trainer: str, out: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Write every arm, size and seed of the first look as JSON lines and a config, and `cells.csv` for `ablate
    --cells`; returns what `arms --json` prints. Raises InputError for an unknown trainer and a folder that holds
    something."""
    check_arms(trainer, out)
    model = _model(ablation, out, say)
    recipe = ablation.grid.recipe
    if recipe.reasoning != "learn":
        say(f"reasoning: {recipe.reasoning} is ours alone: {trainer} learns the thoughts of these rows")
    cells: list[dict[str, Any]] = []
    entries: dict[str, Any] = {}
    lost: Counter[str] = Counter()
    draws = [ablation.drawn(seed) for seed in range(ablation.seeds)]
    split = trainer == "trl" and all(map(_one_answer, _shown(draws)))
    for seed, drawn in enumerate(draws):
        for stream in drawn.streams:
            for count in drawn.sizes[stream.arm]:
                name = f"{stream.arm}-{count.size}-s{seed}"
                talks = stream.conversations[: count.rows]
                _write_rows(talks, ROWS[trainer], out / f"{name}.jsonl", split)
                lost.update({} if split else _lost(talks, trainer))
                entries[name] = _dataset(name, any("tools" in talk[0] for talk in talks))
                config = TRAINERS[trainer](name, model, recipe, ablation.grid.length(), count, seed)
                if split:
                    config["assistant_only_loss"] = False  # of prompt and completion TRL learns the completion
                write_text(out / f"{name}.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
                cells.append(
                    {"arm": stream.arm, "size": count.size, "seed": seed, "model": f"runs/{name}", **count._asdict()}
                )
    if trainer == "llamafactory":
        write_text(out / "dataset_info.json", json.dumps(entries, indent=1) + "\n")
    for what, rows in lost.items():
        say(f"{trainer} {what}: {rows:,} of {sum(c['rows'] for c in cells):,} rows of all arms")
    write_text(out / CELLS, _table(cells))
    command = COMMANDS[trainer]
    build, asked = ablation.pool.build, ablation.pool.filter
    return {
        "out": str(out), "trainer": trainer, "filter": asked, "model": model, "cells": cells, "match": ablation.match,
        "train": f"cd {out} && for f in *-s*.yaml; do {command} $f; done",
        "score": f"instdata ablate {build} --filter {asked} --cells {out / CELLS}",
        "length": ablation.grid.length(),
    }  # fmt: skip


def _model(ablation: Ablation, out: Path, say: Callable[[str], None]) -> str:
    """The model as a trainer finds it: a Hub name as it is, anything of ours (a name, a GGUF file) saved beside the
    arms."""
    spec = ablation.grid.spec
    path = expanded(spec)
    if path.is_dir():
        return str(path.resolve())
    if spec.count("/") == 1 and not path.exists() and not spec.endswith(".gguf"):
        return spec
    loaded = ablation.grid.model()
    say(f"{loaded.name}: saved to {out / 'model'}, where the configs look for it")
    (out / "model").mkdir(parents=True, exist_ok=True)
    save(loaded.net, loaded.tokenizer, out / "model")
    return "model"


def _shown(draws: Sequence[Any]) -> Iterator[Messages]:
    """Every conversation that some arm of these draws (arms of one seed each) is trained on."""
    for drawn in draws:
        for stream in drawn.streams:
            yield from stream.conversations[: max(count.rows for count in drawn.sizes[stream.arm])]


def _one_answer(talk: Messages) -> bool:
    """Whether the last turn is all that is learned: such rows need no marks of the assistant's words in the template,
    which TRL asks for and stock templates (SmolLM2's) lack."""
    learned = [i for i, turn in enumerate(talk) if turn["role"] == "assistant" and turn.get("weight") != 0]
    return learned == [len(talk) - 1] and len(talk) > 1


def _write_rows(talks: Sequence[Messages], form: str, path: Path, split: bool = False) -> None:
    """As JSON lines; `split`: the last turn apart, as `completion`."""
    with whole(path) as file:
        for talk in talks:
            tools = talk[0].get("tools") if talk else None
            turns = [{k: v for k, v in turn.items() if k != "tools"} for turn in talk]
            record = write_record(form, turns, tools=tools)
            if split:
                *prompt, completion = record.pop("messages")
                record = {"prompt": prompt, "completion": [completion], **record}
            file.write(orjson.dumps(record) + b"\n")


def _lost(talks: Sequence[Messages], trainer: str) -> Iterator[str]:
    """What a trainer does not do with rows as we train on them, once for each row."""
    for talk in talks:
        if trainer != "axolotl" and any(t["role"] == "assistant" and t.get("weight") == 0 for t in talk):
            yield "learns answers of weight 0"
        if trainer == "llamafactory":
            turns = write_record("sharegpt", talk)["conversations"]
            words = [t["from"] for t in turns[turns[0]["from"] == "system" :]]
            if len(words) % 2 or any((w in ("gpt", "function_call")) != bool(i % 2) for i, w in enumerate(words)):
                yield "skips rows whose turns do not alternate"


def _table(cells: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, ["arm", "size", "seed", "model"], extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(cells)
    return text.getvalue()


def _shared(name: str, recipe: Training, count: Count, seed: int) -> dict[str, Any]:
    """What TRL and LLaMA-Factory have in common, being both of transformers' TrainingArguments. Arms of other row
    counts make equally many steps: the rows of a step follow."""
    found: dict[str, Any] = {
        "output_dir": f"runs/{name}", "max_steps": count.steps, "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": _batch(recipe, count), "learning_rate": recipe.lr,
        **_schedule(recipe, count.steps), "warmup_steps": recipe.warmup,
        "weight_decay": recipe.weight_decay, "adam_beta1": recipe.betas[0], "adam_beta2": recipe.betas[1],
        "max_grad_norm": recipe.clip, "seed": seed,
        "gradient_checkpointing": recipe.checkpointing, "save_strategy": "no", "report_to": "none", "logging_steps": 1,
    }  # fmt: skip
    if recipe.dtype != "auto":  # else the trainer chooses by the machine that it runs on
        found["bf16"] = recipe.dtype == "bfloat16"
    return found


def _schedule(recipe: Training, steps: int) -> dict[str, Any]:
    """transformers' schedule nearest to ours: wsd's is the same but for the warm-up, which begins at 0 there (its decay
    counts from a step before, and is a cosine unless told); linear ends a step later."""
    if recipe.schedule == "constant":
        return {"lr_scheduler_type": "constant_with_warmup"}
    if recipe.schedule == "linear" and not recipe.final_lr:
        return {"lr_scheduler_type": "linear"}
    if recipe.schedule == "linear":
        line = {"lr_end": recipe.final_lr, "power": 1.0}
        return {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": line}
    decay = {
        "num_decay_steps": steps - recipe.stable(steps) + 1, "decay_type": "linear",
        "min_lr_ratio": recipe.final_lr / recipe.lr,
    }  # fmt: skip
    return {"lr_scheduler_type": "warmup_stable_decay", "lr_scheduler_kwargs": decay}


def _batch(recipe: Training, count: Count) -> int:
    """Rows a step, such that the arm's rows are seen `epochs` times in its steps."""
    return max(1, round(recipe.epochs * count.rows / count.steps))


def _trl(name: str, model: str, recipe: Training, length: int, count: Count, seed: int) -> dict[str, Any]:
    """For `trl sft --config` (tried with TRL 1.16)."""
    config = {
        "model_name_or_path": model, "datasets": [{"path": "json", "data_files": f"{name}.jsonl"}],
        "assistant_only_loss": True, "max_length": length, "dtype": "float32", **_shared(name, recipe, count, seed),
        "gradient_checkpointing": recipe.checkpointing,
    }  # fmt: skip
    config |= {"use_peft": True, "lora_r": recipe.lora, "lora_alpha": 2 * recipe.lora} if recipe.lora else {}
    return config


def _llamafactory(name: str, model: str, recipe: Training, length: int, count: Count, seed: int) -> dict[str, Any]:
    """For `llamafactory-cli train` (tried with 0.9.5). Without `template` it takes the tokenizer's own."""
    config = {
        "stage": "sft", "do_train": True, "model_name_or_path": model, "dataset_dir": ".", "dataset": name,
        "finetuning_type": "lora" if recipe.lora else "full", "cutoff_len": length, "train_on_prompt": False,
        "overwrite_cache": True, **_shared(name, recipe, count, seed), "save_only_model": True,
    }  # fmt: skip
    config |= {"lora_rank": recipe.lora, "lora_alpha": 2 * recipe.lora, "lora_target": "all"} if recipe.lora else {}
    return config


def _axolotl(name: str, model: str, recipe: Training, length: int, count: Count, seed: int) -> dict[str, Any]:
    """For `axolotl train` (tried with 0.19.0)."""
    columns = {"field_messages": "messages", "message_property_mappings": {"role": "role", "content": "content"}}
    columns |= {"message_field_training": "weight"}  # 0: not learned; without it `roles_to_train` decides
    learned = {"roles_to_train": ["assistant"], "train_on_eos": "turn"}
    shared = _shared(name, recipe, count, seed)
    config = {
        "base_model": model,
        "datasets": [{"path": f"{name}.jsonl", "ds_type": "json", "type": "chat_template", **columns, **learned}],
        "dataset_prepared_path": f"prepared/{name}", "val_set_size": 0, "sequence_len": length, "sample_packing": False,
        "micro_batch_size": 1, "optimizer": "adamw_torch", "bf16": shared.get("bf16", "auto"),
        "lr_scheduler": shared["lr_scheduler_type"],
        **{k: shared[k] for k in ("output_dir", "max_steps", "gradient_accumulation_steps", "learning_rate",
        "warmup_steps",
                                  "weight_decay", "adam_beta1", "adam_beta2", "max_grad_norm", "seed",
                                  "gradient_checkpointing", "logging_steps", "save_strategy")},
    }  # fmt: skip
    if "lr_scheduler_kwargs" in shared:
        config["lr_scheduler_kwargs"] = shared["lr_scheduler_kwargs"]
    config |= {"adapter": "lora", "lora_r": recipe.lora, "lora_alpha": 2 * recipe.lora} if recipe.lora else {}
    config |= {"lora_target_linear": True} if recipe.lora else {}
    return config


def _dataset(name: str, tools: bool) -> dict[str, Any]:
    """An entry of LLaMA-Factory's dataset_info.json; `tools` only where a row has some, else it looks for the column in
    vain."""
    columns = {"messages": "conversations"} | ({"tools": "tools"} if tools else {})
    return {"file_name": f"{name}.jsonl", "formatting": "sharegpt", "columns": columns}


TRAINERS: dict[str, Callable[..., dict[str, Any]]] = {"trl": _trl, "axolotl": _axolotl, "llamafactory": _llamafactory}
COMMANDS = {"trl": "trl sft --config", "axolotl": "axolotl train", "llamafactory": "llamafactory-cli train"}
