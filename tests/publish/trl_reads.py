"""Run by test_export.py in TRL's own environment: `python trl_reads.py FILE`. Trains one step on an exported file with
SFTTrainer and prints what TRL took the rows for, as JSON."""

from __future__ import annotations

import json
import sys
import tempfile

import datasets
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer
from trl.data_utils import is_conversational, is_conversational_from_value

TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }} </s>{% endfor %}{% if add_generation_prompt "
    "%}<assistant> {% endif %}"
)

torch.set_num_threads(1)
rows = datasets.load_dataset("json", data_files=sys.argv[1], split="train", cache_dir=tempfile.mkdtemp())


def texts(value):
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value] if isinstance(value, str) else [t for part in parts for t in texts(part)]


words = sorted({w for row in rows for text in texts(row) for w in text.split()})[:350]
vocab = {w: i for i, w in enumerate(["<unk>", "</s>", "<user>", "<assistant>", "<system>", "<human>", "<gpt>", *words])}
plain = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="<unk>", eos_token="</s>", pad_token="</s>")
tokenizer.chat_template = TEMPLATE
shape = LlamaConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=400)
args = SFTConfig(output_dir=tempfile.mkdtemp(), max_steps=1, per_device_train_batch_size=2, report_to=[],
    save_strategy="no", use_cpu=True, bf16=False, disable_tqdm=True)  # fmt: skip
first = rows[0]
trainer = SFTTrainer(LlamaForCausalLM(shape), args=args, train_dataset=rows, processing_class=tokenizer)
trainer.train()
batch = next(iter(trainer.get_train_dataloader()))
found = {
    "conversational": is_conversational(first) or is_conversational_from_value(first),
    "rows": len(trainer.train_dataset),
    "learned": int((batch["labels"] != -100).sum()),
    "masked": int((batch["labels"] == -100).sum()),
    "text": tokenizer.decode(trainer.train_dataset[0]["input_ids"]),
}
print(json.dumps(found, ensure_ascii=False))
