"""How text that nobody vouches for is shown to a model: between marks that it cannot write itself.

A response that is judged, a task that is labelled: each may have been written to fool whoever reads it.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence

JOINERS = "\u200c\u200d"  # invisible, but emoji and several scripts are spelled with them
# Local servers read these in a message as the end of a turn and the start of the next.
# Of templates in use: ChatML and what was made after it (with full-width bars too), Llama's, Mistral's in capitals, Gemma's, tags  # noqa: E501
# of tools and thinking (Qwen, Hermes, DeepSeek), Command R's, GLM's, MiniMax's.
TAGS = (
    r"s|bos|eos|pad|unk|sop|eop|eod|mask|(?:start|end)_of_(?:turn|image|text)|im_start|im_end|im_sep|system|user|assistant|human|bot|"
    r"think(?:ing)?|thought|reasoning|scratchpad|reflection|tools?|tool_(?:calls?|response|result|outputs?|use|declare|list)|"
    r"function(?:s|_calls?|_results?|_response)?|function=[\w.-]{1,64}|parameter=[\w.-]{1,64}|invoke|available_tools|unused\d+|reserved_\d+|"
    r"extra_id_\d+|seed:[\w:]{1,40}|[CE]O[ST]|minimax:[\w:]{1,40}|arg_(?:key|value)|observation|endoftext|startoftext|"
    r"fim_(?:prefix|middle|suffix)|(?:begin|end)_of_\w{1,24}"
)
CAPITALS = (
    r"INST|SYS|[BE]_INST|UNK|BOS|EOS|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS?|TOOL_RESULTS?|TOOL_CONTENT|ARGS|CALL_ID|THINK|PREFIX|"
    r"MIDDLE|SUFFIX|IMG(?:_BREAK|_END)?|CONTROL_\d+|gMASK|sMASK|MODEL_SETTINGS"
)
TURNS = re.compile(
    rf"<([|｜])([^<>|｜\s]{{1,64}})\1>|<[|｜]\w[^<>|｜\s]{{0,63}}>|<\w[^<>|｜\s]{{0,63}}[|｜]>|(?i:</?(?:{TAGS})(?: [^<>\n]{{0,200}})?/?>)"  # noqa: E501
    rf"|(?i:\[/?(?:{CAPITALS})\])|<<(/?SYS)>>"
)


def fence(parts: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """(code, text): named texts, each between two lines that carry the code.

    The code must be new to whoever wrote the texts, yet the same whenever the same is asked, or no answer would ever
    come from the cache. It is 96 bits of a hash over all that is fenced: to close a fence, a text would have to hold
    the hash of a whole that it is itself a part of, and each guess it makes changes that hash. So no secret is kept,
    and another machine asks in the same bytes."""
    cleaned = [(name, clean(text)) for name, text in parts]
    code = hashlib.blake2b(json.dumps(cleaned).encode(), digest_size=12).hexdigest()
    blocks = [f"===== {name} {code} =====\n{text}\n===== /{name} {code} =====" for name, text in cleaned]
    return code, "\n\n".join(blocks)


def clean(text: str) -> str:
    """The text without invisible characters, and with the control tokens of chat formats broken by a blank."""
    seen = "".join(
        c for c in text if c in "\n\t" or c in JOINERS or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co")
    )
    return TURNS.sub(lambda m: f"{m[0][0]} {m[0][1:-1]} {m[0][-1]}", seen)


def clip(texts: Sequence[str], size: int) -> list[str]:
    """Texts cut so that all together have at most about `size` bytes of UTF-8: short ones stay whole, and what they
    leave is shared by the longer ones. A cut text keeps its start and its end, and says how much is missing."""
    sizes = [len(t.encode()) for t in texts]
    most, left = size, size
    for n, length in enumerate(sorted(sizes)):
        most = left // (len(sizes) - n)
        if length > most:
            break
        left -= length
    return [t if length <= most else _cut(t, most * len(t) // length) for t, length in zip(texts, sizes, strict=True)]


def _cut(text: str, characters: int) -> str:
    head, tail = characters * 2 // 3, characters // 3
    return f"{text[:head]} […{len(text) - head - tail:,} characters left out…] {text[len(text) - tail :]}"
