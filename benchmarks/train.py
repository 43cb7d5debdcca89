"""Tokens a second of our training loop beside TRL's SFTTrainer: same model, rows, batch, length, precision, threads.

    python benchmarks/train.py [--sizes tiny smollm2] [--rows 256] [--repeats 3] [--length 1024]

tiny     a random Llama of 5 million parameters
smollm2  SmolLM2-135M-Instruct
Each run is a process of its own; its clock starts after loading, tokenising and one warm-up step are over. Rows are
Alpaca's (needs the real data). TRL is put into $INSTDATA_HOME/peers/trl, beside our own torch and transformers, and
skipped, saying so, where it cannot be had. Times are the minimum of the repeats; ratios come from one run on one
machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PEERS = Path(os.environ.get("INSTDATA_HOME", "~/.cache/instdata")).expanduser() / "peers"
REALDATA = Path(os.environ.get("INSTDATA_REALDATA") or Path(__file__).parents[2] / "shared" / "data")
BATCH = 8  # rows a step

OURS = """
import json, sys, time
from instdata.train.render import encode
from instdata.llm.causal_models import load
from instdata.train.training_recipe import RECIPES
from instdata.train.loop import begin, schedule, train
spec, data, length, batch = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
loaded = load(spec, lambda line: None)
talks = [json.loads(line)["messages"] for line in open(data, encoding="utf-8")]
rows = encode(loaded.tokenizer, talks, length)
recipe = RECIPES["proxy"].model_copy(update={"length": length, "batch": batch})
run = begin(loaded, recipe, 0)
steps = schedule(rows, [len(rows)], recipe, 0)
train(run, rows, steps, 1, len(steps))
tokens = sum(len(rows[i].ids) for s in steps[1:] for b in s for i in b)
start = time.perf_counter()
train(run, rows, steps, len(steps), len(steps))
print(json.dumps({"tokens": tokens, "seconds": time.perf_counter() - start, "steps": len(steps) - 1}))
"""
# packed: as many bins a step as `batch` rows fill; unpacked: padded batches of `batch` rows, as by default
TRL = """
import json, sys, tempfile, time
import torch
from datasets import Dataset
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer
spec, data, length, batch, packing, dtype = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5] == "packed", sys.argv[6]
loaded = load(spec, lambda line: None)
talks = [json.loads(line)["messages"] for line in open(data, encoding="utf-8")]
rows = Dataset.from_list([{"prompt": t[:-1], "completion": t[-1:]} for t in talks])
texts = [loaded.tokenizer.apply_chat_template(t, tokenize=False) for t in talks]
mean = sum(len(ids) for ids in loaded.tokenizer(texts)["input_ids"]) / len(talks)
bins = max(1, round(mean * batch / length))
class Clock(TrainerCallback):
    start = None
    def on_step_end(self, args, state, control, **kwargs):
        if self.start is None:
            self.start, self.first = time.perf_counter(), state.num_input_tokens_seen
        self.end, self.last, self.steps = time.perf_counter(), state.num_input_tokens_seen, state.global_step
clock = Clock()
config = SFTConfig(
    output_dir=tempfile.mkdtemp(), packing=packing, max_length=length, per_device_train_batch_size=1 if packing else batch,
    gradient_accumulation_steps=bins if packing else 1, num_train_epochs=1, learning_rate=5e-5, lr_scheduler_type="constant",
    bf16=dtype == "bfloat16", use_cpu=not torch.cuda.is_available(), gradient_checkpointing=False, logging_strategy="no",
    save_strategy="no", report_to="none", optim="adamw_torch_fused", include_num_input_tokens_seen="non_padding",
    dataloader_pin_memory=False, seed=0)
trainer = SFTTrainer(
    model=loaded.net, args=config, train_dataset=rows, processing_class=loaded.tokenizer, callbacks=[clock])
trainer.train()
print(json.dumps({"tokens": int(clock.last - clock.first), "seconds": clock.end - clock.start, "steps": clock.steps - 1}))
"""


def tiny_model(folder: Path) -> str:
    """A random Llama of five million parameters and SmolLM2's vocabulary."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    from instdata.llm.causal_models import load, save

    tokenizer = load("auto").tokenizer
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=80, intermediate_size=320, num_hidden_layers=10, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=4096, tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    net = AutoModelForCausalLM.from_config(config)
    print(f"tiny: {sum(p.numel() for p in net.parameters()) / 1e6:.1f} million parameters")
    save(net, tokenizer, folder)
    return str(folder)


def trl() -> dict[str, str] | None:
    """The environment with TRL in it; None where it cannot be had."""
    folder = PEERS / "trl"
    if not (folder / "trl").is_dir():
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            str(folder),
            "trl==1.16.0",
            "accelerate",
        ]
        if subprocess.run(command).returncode:
            return None
    return {**os.environ, "PYTHONPATH": str(folder)}


def rows(path: Path, count: int) -> None:
    """The first `count` Alpaca rows as messages."""
    with open(REALDATA / "alpaca_en_52k.json", encoding="utf-8") as file:
        found = [r for r in json.load(file) if r["output"].strip()][:count]
    with open(path, "w", encoding="utf-8") as out:
        for r in found:
            asked = r["instruction"] + (f"\n{r['input']}" if r["input"] else "")
            talk = [{"role": "user", "content": asked}, {"role": "assistant", "content": r["output"]}]
            out.write(json.dumps({"messages": talk}) + "\n")


def measured(code: str, args: list[str], env: dict[str, str] | None = None) -> dict[str, float] | None:
    # Threads wait in the same way in both: ours would sleep, torch's own would spin.
    alike = {**(env or os.environ), "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "active")}
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, env=alike)
    if done.returncode:
        print("  failed: " + (done.stderr.strip().splitlines() or ["?"])[-1][:200])
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def _pace(found: dict[str, float]) -> float:
    return found["seconds"] / found["tokens"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["tiny", "smollm2"], choices=["tiny", "smollm2"])
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--length", type=int, default=1024)
    args = parser.parse_args()
    if not REALDATA.is_dir():
        sys.exit(f"no real data at {REALDATA}: set INSTDATA_REALDATA")
    import torch

    from instdata.llm.causal_models import fast_device, fast_dtype

    device = fast_device()
    dtype = str(fast_dtype(device)).removeprefix("torch.")
    print(
        f"{device.type}, {dtype}, {torch.get_num_threads()} threads, {args.rows} rows, bins of {args.length}, best "
        f"of {args.repeats}"
    )
    peer = trl()
    if peer is None:
        print("TRL could not be installed: ours alone")
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "rows.jsonl"
        rows(data, args.rows)
        for size in args.sizes:
            spec = tiny_model(Path(scratch) / "tiny") if size == "tiny" else "auto"
            shared = [spec, str(data), str(args.length), str(BATCH)]
            runs = {"instdata": (OURS, shared, None)}
            if peer:
                runs["trl packed"] = (TRL, [*shared, "packed", dtype], peer)
                runs["trl unpacked"] = (TRL, [*shared, "unpacked", dtype], peer)
            best: dict[str, dict[str, float]] = {}
            for _ in range(args.repeats):  # in turns, so that a slow minute hits all alike
                for name, (code, given, env) in runs.items():
                    found = measured(code, given, env)
                    if found and (name not in best or _pace(found) < _pace(best[name])):
                        best[name] = found
            for name, found in best.items():
                speed = found["tokens"] / found["seconds"]
                ratio = ""
                if name != "instdata" and "instdata" in best:
                    ours = best["instdata"]["tokens"] / best["instdata"]["seconds"]
                    ratio = f", instdata {ours / speed:.2f}x"
                print(
                    f"{size:8} {name:13} {speed:9,.0f} tokens/s ({found['tokens']:,} tokens, {found['steps']} "
                    f"steps){ratio}"
                )


if __name__ == "__main__":
    main()
