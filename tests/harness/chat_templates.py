"""Chat templates of well-known models, written anew and short, with the traits that matter for what is learned: how
turns begin and end, what becomes of earlier thoughts, system turns and tool calls. The originals were read in TRL 1.16
(Apache-2.0, trl/chat_templates) and on the models' pages; nothing of them is copied here."""

from __future__ import annotations

from dataclasses import dataclass

from .conftest import byte_tokenizer

_IM = "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
_ASK = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
_CALLS = (
    "{% for c in m.tool_calls or [] %}{{ ('\n' if m.content else '') + '<tool_call>\n{\"name\": \"' + "
    "c.function.name + '\", \"arguments\": ' + (c.function.arguments | tojson) + '}\n</tool_call>' }}{% endfor %}"
)
_LAST_USER = (
    "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = "
    "loop.index0 %}{% endif %}{% endfor %}"
)
_TOOL = (
    "{% elif m.role == 'tool' %}{{ '<|im_start|>user\n<tool_response>\n' + m.content + "
    "'\n</tool_response><|im_end|>\n' }}"
)


@dataclass(frozen=True)
class Stock:
    """A template with its model's special tokens. `answer`, `between`: what is learned of an answer `a` that is the
    last, and of one that is not. `thought`: what is learned of thoughts `t` and an answer `a`, with {t} and {a}.
    `apart`: earlier turns with thoughts are sequences of their own. `prompt`: what an answer without thoughts
    follows."""

    name: str
    template: str
    special: tuple[str, ...]
    eos: str
    answer: str
    thought: str
    prompt: str
    bos: str | None = None
    between: str | None = None
    apart: bool = False
    folds: bool = False
    calls: str | None = (
        None  # what is learned of a turn that calls fun(x=1) and says nothing; None: such turns are refused
    )
    alternates: bool = False

    def tokenizer(self):
        from tokenizers import AddedToken

        fast = byte_tokenizer(self.template)
        words = dict.fromkeys([*self.special, self.eos, *([self.bos] if self.bos else [])])
        fast.add_tokens([AddedToken(w, special=True, normalized=False) for w in words])
        fast.add_tokens(["<think>", "</think>"])
        fast.eos_token = self.eos
        fast.bos_token = self.bos or self.eos
        return fast


def _im(name: str, template: str, **more) -> Stock:
    traits = {"thought": "<think>\n{t}\n</think>\n\n{a}<|im_end|>", "prompt": "<|im_start|>assistant\n"} | more
    return Stock(name, template, ("<|im_start|>", "<|im_end|>"), "<|im_end|>", "{a}<|im_end|>", **traits)


STOCK = [
    _im("Yi", "{% for m in messages %}" + _IM + "{% endfor %}" + _ASK),
    _im("InternLM2", "{{ bos_token }}{% for m in messages %}" + _IM + "{% endfor %}" + _ASK, bos="<s>"),
    _im(
        "Qwen2.5",
        "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% "
        "endif %}"
        "{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|im_start|>assistant\n' + m.content }}" + _CALLS
        + "{{ '<|im_end|>\n' }}" + _TOOL + "{% else %}" + _IM + "{% endif %}{% endfor %}" + _ASK,
        calls='<tool_call>\n{"name": "fun", "arguments": {"x": 1}}\n</tool_call><|im_end|>',
    ),
    _im(
        "Qwen3",  # thoughts of turns before the last question are dropped; a last turn without any gets an empty block
        _LAST_USER + "{% for m in messages %}{% if m.role == 'assistant' %}{% set think = m.reasoning_content if "
                     "m.reasoning_content is string else '' %}{% set content = m.content %}"
        "{% if not think and '</think>' in content %}{% set think = "
        "content.split('</think>')[0].split('<think>')[-1].strip('\n') %}{% set content = "
        "content.split('</think>')[-1].lstrip('\n') %}{% endif %}"
        "{% if loop.index0 > ns.last and (loop.last or think) %}{{ '<|im_start|>assistant\n<think>\n' + "
        "think.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}"
        "{% else %}{{ '<|im_start|>assistant\n' + content }}{% "
        "endif %}" + _CALLS + "{{ '<|im_end|>\n' }}" + _TOOL + "{% else %}" + _IM + "{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% if enable_thinking is defined and "
        "enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}",
        apart=True, prompt="<|im_start|>assistant\n<think>\n\n</think>\n\n", calls='<tool_call>\n{"name": "fun", '
                                                                                   '"arguments": {"x": 1}}\n</tool_call><|im_end|>',
    ),
    _im(
        "Qwen3.5",  # the prompt opens the thoughts; contents are trimmed
        _LAST_USER + "{% for m in messages %}{% set content = m.content | trim %}{% if m.role == 'assistant' %}{% "
                     "set think = (m.reasoning_content or '') | trim %}"
        "{{ '<|im_start|>assistant\n' + ('<think>\n' + think + '\n</think>\n\n' if loop.index0 > ns.last else '') + "
        "content + '<|im_end|>\n' }}"
        "{% else %}{{ '<|im_start|>' + m.role + '\n' + content + '<|im_end|>\n' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' + ('<think>\n\n</think>\n\n' if enable_thinking "
        "is defined and not enable_thinking else '<think>\n') }}{% endif %}",
        apart=True, prompt="<|im_start|>assistant\n<think>\n\n</think>\n\n", thought="{t}\n</think>\n\n{a}<|im_end|>",
    ),
    _im(
        "SmolLM3",  # a system turn of its own with metadata and a date; thoughts stand inside the answer
        "{% set quiet = enable_thinking is defined and not enable_thinking %}{{ '<|im_start|>system\n## "
        "Metadata\n\nToday Date: ' + strftime_now('%d %B %Y') + '\n\n' + (messages[0].content if messages[0].role == "
        "'system' else '') + '<|im_end|>\n' }}"
        "{% for m in messages if m.role != 'system' %}{% if m.role == 'assistant' %}{{ '<|im_start|>assistant\n' + "
        "('<think>\n\n</think>\n' if quiet else '') + m.content.lstrip('\n') + '<|im_end|>\n' }}{% "
        "else %}" + _IM + "{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' + ('<think>\n\n</think>\n' if quiet else '') "
        "}}{% endif %}",
    ),
    Stock(
        "Llama 3", "{% for m in messages %}{% if loop.first %}{{ bos_token }}{% endif %}{{ '<|start_header_id|>' + "
                   "m.role + '<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), "<|end_of_text|>", "{a}<|eot_id|>",
        "<think>\n{t}\n</think>\n\n{a}<|eot_id|>", "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "<|begin_of_text|>",
    ),
    Stock(
        "Gemma", "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not "
                 "supported') }}{% endif %}{% for m in messages %}"
        "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must "
        "alternate') }}{% endif %}"
        "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' + m.content | trim + "
        "'<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
        ("<start_of_turn>", "<end_of_turn>"), "<eos>", "{a}<end_of_turn>", "<think>\n{t}\n</think>\n\n{a}<end_of_turn>",
        "<start_of_turn>model\n", "<bos>", folds=True, alternates=True,
    ),
    Stock(
        "Mistral", "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('Only user "
                   "and assistant roles are supported!') }}{% elif (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ "
                   "raise_exception('Conversation roles must alternate') }}"
        "{% elif m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}{% else %}{{ ' ' + m.content + eos_token "
        "}}{% endif %}{% endfor %}",
        ("[INST]", "[/INST]"), "</s>", " {a}</s>", " <think>\n{t}\n</think>\n\n{a}</s>", "[/INST]", "<s>", folds=True,
        alternates=True,
    ),
    Stock(
        "Phi-3", ("{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}{% if "
                 "add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"),
        ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"), "<|endoftext|>", "{a}<|end|>",
        "<think>\n{t}\n</think>\n\n{a}<|end|>", "<|assistant|>\n",
    ),
    Stock(
        "GLM-4.5",  # nothing ends a turn but the next one's beginning
        "[gMASK]<sop>" + _LAST_USER + "{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|assistant|>\n' + "
                                      "('<think>' + m.reasoning_content.strip() + '</think>' if loop.index0 > "
                                      "ns.last and m.reasoning_content else '<think></think>') + '\n' + "
                                      "m.content.strip() }}"
        "{% else %}{{ '<|' + m.role + '|>\n' + m.content }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ "
        "'<|assistant|>' + ('\n<think></think>' if enable_thinking is defined and not enable_thinking else '') }}{% "
        "endif %}",
        ("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"), "<|endoftext|>",
        "{a}<|user|>", "\n<think>{t}</think>\n{a}<|user|>", "<|assistant|>\n<think></think>\n", apart=True,
    ),
    Stock(
        "DeepSeek-V3", "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% elif "
                       "m.role == 'user' %}{{ '<｜User｜>' + m.content }}{% else %}{{ '<｜Assistant｜>' + m.content + "
                       "'<｜end▁of▁sentence｜>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}",
        ("<｜User｜>", "<｜Assistant｜>"), "<｜end▁of▁sentence｜>", "{a}<｜end▁of▁sentence｜>",
        "<think>\n{t}\n</think>\n\n{a}<｜end▁of▁sentence｜>", "<｜Assistant｜>", "<｜begin▁of▁sentence｜>",
    ),
    Stock(
        "R1-distill",  # the prompt opens the thoughts, and every answer loses them
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% elif m.role == 'user' "
        "%}{{ '<｜User｜>' + m.content }}{% else %}{{ '<｜Assistant｜>' + m.content.split('</think>')[-1] + "
        "'<｜end▁of▁sentence｜>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\n' }}{% endif %}",
        ("<｜User｜>", "<｜Assistant｜>"), "<｜end▁of▁sentence｜>", "{a}<｜end▁of▁sentence｜>",
        "{t}\n</think>\n\n{a}<｜end▁of▁sentence｜>", "<｜Assistant｜>", "<｜begin▁of▁sentence｜>", apart=True,
    ),
    Stock(
        "gpt-oss",  # channels; the last turn ends otherwise than the ones before; today's date in the system turn
        "{{ '<|start|>system<|message|>Current date: ' + strftime_now('%Y-%m-%d') + '<|end|>' }}{% for m in messages "
        "%}{% if m.role == 'assistant' %}{% if loop.last and not add_generation_prompt %}"
        "{% if m.thinking %}{{ '<|start|>assistant<|channel|>analysis<|message|>' + m.thinking + '<|end|>' }}{% "
        "endif %}{{ '<|start|>assistant<|channel|>final<|message|>' + m.content + '<|return|>' }}"
        "{% else %}{{ '<|start|>assistant<|channel|>final<|message|>' + m.content + '<|end|>' }}{% endif %}{% else "
        "%}{{ '<|start|>' + ('developer' if m.role == 'system' else m.role) + '<|message|>' + m.content + '<|end|>' "
        "}}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}",
        ("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>", "<|call|>"), "<|return|>",
        "<|channel|>final<|message|>{a}<|return|>",
        "<|channel|>analysis<|message|>{t}<|end|><|start|>assistant<|channel|>final<|message|>{a}<|return|>",
        "<|start|>assistant<|channel|>final<|message|>", between="<|channel|>final<|message|>{a}<|end|>", apart=True,
    ),
    Stock(
        "MiniCPM",  # no token ends an answer
        "{% for m in messages %}{% if m.role == 'assistant' %}{{ m.content.strip() }}{% else %}{{ '<用户>' + "
        "m.content.strip() + '<AI>' }}{% endif %}{% endfor %}",
        (), "</s>", "{a}</s>", "<think>\n{t}\n</think>\n\n{a}</s>", "<AI>", "<s>",
    ),
    Stock(
        "SmolVLM",  # contents are lists of parts
        "<|im_start|>{% for m in messages %}{{ m.role | capitalize }}{% if m.content[0].type == 'image' %}{{ ':' "
        "}}{% else %}{{ ': ' }}{% endif %}{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}{% "
        "endif %}{% endfor %}<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% "
        "endif %}",
        ("<|im_start|>",), "<end_of_utterance>", " {a}<end_of_utterance>",
        " <think>\n{t}\n</think>\n\n{a}<end_of_utterance>", "Assistant:",
    ),
]  # fmt: skip
