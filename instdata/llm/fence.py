"""How text that nobody vouches for is shown to a model: between marks that it cannot write itself.

A response that is judged, a task that is labelled: each may have been written to fool whoever reads it.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence

from instdata.util.safe_text import JOINERS

# Invisible though they are letters or marks by category: fillers, selectors of a glyph's form, joiners of graphemes.
UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200c\u200d\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# What looks like the marks of a template, beside the full-width forms that NFKC knows.
ALIKE = str.maketrans({
    **dict.fromkeys("˂‹❮〈⟨〈≺", "<"), **dict.fromkeys("˃›❯〉⟩〉≻", ">"), **dict.fromkeys("∣ǀ│┃¦❘⏐", "|"),
    **dict.fromkeys("【〔〖⟦", "["), **dict.fromkeys("】〕〗⟧", "]"), "∕": "/", "⁄": "/", "꞉": ":", "∶": ":", "⌗": "#",
    # Letters of Cyrillic, Armenian and Greek.
    **dict(zip("аеорсухіјѕтмнкԁոɡαορτικνυ", "aeopcyxijstmhkdngaoptikvu")),
    **dict(zip("АЕОРСУХІЈЅТМНКԀՈΑΟΡΤΙΚΝΥ", "AEOPCYXIJSTMHKDNAOPTIKVU")),
})  # fmt: skip
# Local servers read these in a message as the end of a turn and the start of the next.
# Of templates in use: ChatML and what was made after it (with full-width bars too), Llama's, Mistral's in capitals,
# Gemma's, tags of tools and thinking (Qwen, Hermes, DeepSeek, Claude), Command R's, GLM's, MiniMax's.
TAGS = (
    r"s|bos|eos|pad|unk|sop|eop|eod|mask|(?:start|end)_of_(?:turn|image|text)|im_start|im_end|im_sep|system|user|assistant|human|bot|"
    r"(?:\w{1,24}_)?think(?:ing)?|thought|reasoning|scratchpad|reflection|tools?|tool_(?:calls?|code|response|results?|outputs?|use|declare|list)|"
    r"function(?:s|_calls?|_results?|_response)?|function=[\w.-]{1,64}|parameters?|parameter=[\w.-]{1,64}|invoke|antml:\w{1,40}|"
    r"available_tools|instructions?|unused\d+|reserved_\d+|"
    r"extra_id_\d+|seed:[\w:]{1,40}|[CE]O[ST]|minimax:[\w:]{1,40}|arg_(?:key|value)|observation|endoftext|startoftext|"
    r"fim_(?:prefix|middle|suffix)|(?:begin|end)_of_\w{1,24}|系统|用户|助手|思考|工具调用"
)
CAPITALS = (
    r"INST|SYS|[BE]_INST|UNK|BOS|EOS|SYSTEM(?:_PROMPT)?|USER|ASSISTANT|AVAILABLE_TOOLS|TOOL_CALLS?|TOOL_RESULTS?|TOOL_CONTENT|ARGS|"
    r"CALL_ID|THINK|PREFIX|MIDDLE|SUFFIX|IMG(?:_BREAK|_END)?|CONTROL_\d+|gMASK|sMASK|MODEL_SETTINGS"
)
TURNS = re.compile(
    rf"<\|[^<>|\s]{{1,64}}\|[^<>|\s]{{0,64}}>|\[\|[^\[\]|\s]{{1,64}}\|\]"
    rf"|<\|\w[^<>|\s]{{0,63}}>|<\w[^<>|\s]{{0,63}}\|>|(?i:</?(?:{TAGS})(?: [^<>\n]{{0,200}})?/?>)"
    rf"|(?i:\[/?(?:{CAPITALS})\])|\[/?(?:系统|用户|助手)(?:提示|消息|指令)?\]|<</?SYS>>"
)
# Templates that know no tokens: a speaker at the head of a line, before a colon.
SPEAKERS = (
    r"Human|Judge|Evaluator|Grader|Assistant|User|System|AI|Bot|GPT|Instructions?|Response|Input|Output|"
    r"系统(?:提示|消息|指令)?|用户|评审|评委|裁判|助手|人类|指令|回复|问|答"
)
HEADS = re.compile(rf"^[ \t]{{0,8}}(?:#{{1,6}} ?|\*\*|\[)?(?i:{SPEAKERS})(?:\*\*|\])?(?=[ \t]?:)", re.M)


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
    """The text without invisible characters, and with what chat formats take for the marks of a turn broken by a blank,
    however it is disguised: in full width, by look-alikes, by invisible characters between its letters."""
    seen = "".join(
        c for c in text if c in "\n\t" or c in JOINERS or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co")
    )
    plain, at = _folded(seen)
    cuts: set[int] = set()
    for mark in TURNS.finditer(plain):
        cuts |= {at[mark.start()] + 1, at[mark.end() - 1]}
    cuts |= {at[head.end() - 1] + 1 for head in HEADS.finditer(plain)}
    edges = [0, *sorted(cuts), len(seen)]
    return " ".join(seen[a:b] for a, b in zip(edges, edges[1:]))


def _folded(text: str) -> tuple[str, Sequence[int]]:
    """(the text as a reader who is not to be fooled sees it, where each of its characters stands in the text)."""
    if text.isascii():
        return text, range(len(text))
    letters, at = [], []
    for n, c in enumerate(text):
        seen = c if c < "\x7f" else "" if UNSEEN.match(c) else unicodedata.normalize("NFKC", c.translate(ALIKE))
        letters.append(seen)
        at += [n] * len(seen)
    return "".join(letters), at


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
