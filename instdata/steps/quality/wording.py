"""Rules about what a text says: refusals, missing inputs, leftovers of the format it was generated in, broken encoding.

Each takes a Text and returns a boolean mask. rule_table.py says what each is for, phrases/ holds the words.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow.compute as pc

from instdata.steps.quality.phrases import pattern
from instdata.steps.quality.rule_text import Sought, Text, asks, count, each_phrase, has


def empty_prompt(t: Text) -> np.ndarray:
    return ~has(t.prompt, r"[\pL\pN\p{So}\p{Sm}]")


def no_response(t: Text) -> np.ndarray:
    return ~t.answered


ONLY_MARKS = r"^[\s.…。,，、;；?？*#_~\"'“”‘’()（）<>《》【】\[\]{}|\x{200B}\x{FEFF}-]+$"


def empty_response(t: Text) -> np.ndarray:
    """ "null", "N/A" and marks are right answers where a word, a value or a mark is asked for."""
    says_nothing = asks(t.head, "says_none")
    perhaps = asks(t.head, "perhaps_none") | (has(t.head, ONLY_MARKS) & (t.chars < 100))
    found = t.unless(says_nothing | perhaps, lambda f: asks(f.ask, "marks_wanted"))
    return t.answered & t.unless(found, lambda f: ~asks(f.head, "says_none") & asks(f.ask, "literal_wanted"))


PARTS = r"(?:#{1,4}\s*)?(?:\d{1,3}\s*[.)．、]\s*)?\**"
TASK_HEADER = rf"(?i)\n\s*{PARTS}(?:instruction|指令|说明|任务说明|任务指令)\**\s*[:：]"
TASK_PART = rf"(?i)(?:^|\n)\s*{PARTS}(?:input|output|输入|输出)\**\s*[:：]"
NUMBERED_TASK = r"(?i)(?:^|\n|\s)#{0,4}\s*\d{1,3}\s*[.)．、]\s*\**(?:instruction|指令|说明|任务指令)\**\s*[:：]"


def merged_task(t: Text) -> np.ndarray:
    numbered = t.has("response", NUMBERED_TASK)
    headed = t.only(t.has("response", TASK_HEADER), lambda f: has(f.response, TASK_PART))
    return numbered | t.unless(headed, lambda f: has(f.ask, r"(?i)\b(?:instructions?|prompt|gpt)\b|指令"))


NO_INPUT_SAID = r"(?i)^\s*(?:无输入|no ?input)\s*$"


def template_mark() -> str:
    """A template's token in any brackets."""
    words = pattern("template_token").removeprefix("(?i)")
    return rf"(?i)(?:<|&lt;|\[|\()\s*(?:{words})\s*[^<>&\n]{{0,40}}(?:>|&gt;|\]|\))"


def template_token(t: Text) -> np.ndarray:
    def about(f: Text) -> np.ndarray:
        listed = has(f.prompt, template_mark()) & has(f.ask, r"(?i)\binstructions?\b|指令")  # tasks about such formats
        return listed | asks(f.ask, "format_asked")

    marked = t.has("response", template_mark())
    return t.unless(marked | t.has("head", NO_INPUT_SAID), about)


CHAT_MARK = (
    r"<\|[a-zA-Z_]{2,20}\|>|\[/?INST\]|<</?SYS>>|</?s>\s*$|"
    r"###\s*(?:Human|Assistant|User|Response|Instruction|Input|回答|指令|问题)\s*[:：]"
)
# Said on the same line: a lone "User:" heads a list.
CHAT_TURN = r"\n\s*(?:Human|User|Assistant|用户|人类|助手|问)\s*[:：][ \t]*[^\s<]"
SCRIPT = r"^\W*[\pL][\pL '’.-]{0,20}\s*[:：]\s*\S"  # the response begins with somebody's line: a scene
CHAT_START = r"(?i)^\W*(?:human|user|assistant|ai|bot|system|用户|人类|助手|问|答)\s*[:：]"


def chat_marker(t: Text) -> np.ndarray:
    marked = t.has("response", CHAT_MARK)
    tokens = t.unless(marked, lambda f: has(f.prompt, CHAT_MARK) | asks(f.ask, "format_asked"))
    return tokens | t.unless(t.has("response", CHAT_TURN), _is_scene)


def _is_scene(t: Text) -> np.ndarray:
    script = has(t.response, SCRIPT) & ~has(t.response, CHAT_START)
    return script | asks(t.prompt, "dialogue_wanted")


def leaked_prompt(t: Text) -> np.ndarray:
    known = pattern("leaked_prompt")
    return t.unless(t.has("response", known), lambda f: has(f.prompt, known))


def self_reference(t: Text) -> np.ndarray:
    said = t.has("response", pattern("self_reference"))
    return t.unless(said, lambda f: asks(f.ask, "played") | asks(f.prompt, "speaks_as_ai"))


QUOTED_WHOLE = r"^\s*[\"“「『][^\"”」』]{1,300}[\"”」』]\W*(?:$|\n|[-—–(（])"


def refusal(t: Text) -> np.ndarray:
    of_stock = t.unless(t.asks("head", "stock_refusal"), lambda f: asks(f.line, "spoken"))
    of_self = t.unless(t.asks("head", "self_refused"), lambda f: asks(f.line, "role"))
    refused = t.asks_each("head", "task_refused") | of_stock | of_self
    return t.unless(refused, lambda f: asks(f.ask, "about_refusing") | has(f.head, QUOTED_WHOLE))


def missing_input(t: Text) -> np.ndarray:
    told = t.asks("head", "input_missing", "input_wanted")
    found = t.unless(told, lambda f: asks(f.ask, "conversation", "input_missing"))
    found |= t.unless(t.asks("head", "input_asked"), lambda f: asks(f.ask, "role", "requests_wanted"))
    return found & (t.chars < 400) & ~t.code


MEDIA_LINK = r"(?i)!\[[^\]\n]{0,80}\]\s?[(\[]|https?://\S+\.(?:jpe?g|png|gif|bmp|webp|mp[34]|wav|avi|mov|pdf)\b"


def needs_media(t: Text) -> np.ndarray:
    stand_in = t.asks("ask", "media_stand_in") | t.has("ask", MEDIA_LINK)
    # Nothing follows that could describe it.
    points = t.asks("line", "media_pointed") & (t.prompt_chars < 150)
    points = t.unless(points, lambda f: has(f.prompt, r"\S\s*\n\s*\S") | has(f.line, r"[:：]\s*[\"“'\w]"))
    return t.unless(stand_in | points, lambda f: asks(f.ask, "media_excused"))


LINK = r"https?://\S+|www\.\S+"


def needs_link(t: Text) -> np.ndarray:
    return t.only(t.has("prompt", LINK), _needs_link)


def _needs_link(t: Text) -> np.ndarray:
    builds = asks(pc.replace_substring_regex(t.ask, LINK, " "), "link_used")
    # What kind of site a well-known address is can be told without a visit.
    home = has(t.prompt, r"(?i)(?:https?://|www\.)[\w.-]+/?\s*$") & asks(t.line, "site_kind")
    rest = t.prompt_chars - count(t.prompt, r"[!-~]")  # a prompt that is little more than the task and the address
    bare = has(t.prompt, r"(?s)^\s*[^\n]{0,200}\s*?[^\n]{0,40}(?:" + LINK + r")[^\n]{0,20}\s*$") & (rest < 400)
    return bare & asks(t.line, "page_opened") & ~builds & ~home & ~has(t.line, r"[:：]\s*[\"“].{40,}")


def placeholder(t: Text) -> np.ndarray:
    return t.unless(t.has("response", pattern("placeholder")), lambda f: asks(f.ask, "template_wanted")) & ~t.code


def gpt_name(t: Text) -> np.ndarray:
    return t.unless(t.has("response", pattern("gpt_names")), lambda f: asks(f.prompt, "about_models"))


MOJIBAKE = "|".join(
    (
        r"â€[™œ\x{9d}\x{99}\x{9c}“”¦˜\x{80}\x{93}\x{94}\x{a6}]",  # quotes and dashes
        r"Ã[\x{a0}-\x{bf}]|Â[°£»«·®©\x{a0}]|ï»¿|ï¿½|[ÃÂ][\x{80}-\x{9f}]",  # Latin letters with accents
        r"[äåæçèé][\x{80}-\x{9f}¡-¿][\x{80}-\x{9f}¡-¿]|ã€[‚\x{81}]|ï¼[Œ\x{81}š]",  # Chinese in Latin-1
        r"Ð[\x{80}-\x{9f}°-¿][ÐÑ]",  # Russian in Latin-1
        r"锟斤拷|烫烫烫|屯屯屯|锛[\x{5B40}-\x{5DFF}]|銆[\x{4F80}-\x{50FF}]",  # Chinese in GBK
    )
)


def _of_encodings(t: Text) -> np.ndarray:
    return asks(t.ask, "about_encoding")


def mojibake(t: Text) -> np.ndarray:
    return t.unless(t.anywhere(MOJIBAKE), _of_encodings)


LOST = "\ufffd"


def replacement_char(t: Text) -> np.ndarray:
    return t.unless(t.anywhere(LOST), _of_encodings)


# Joiners (U+200C, U+200D) belong to Persian and to emoji, isolates (U+2066 to U+2069) to any text of two directions.
CONTROL = r"[\x{00}-\x{08}\x{0b}\x{0e}-\x{1f}\x{7f}-\x{84}\x{86}-\x{9f}\x{202d}\x{202e}\p{Co}\x{fffe}\x{ffff}]"
EMBEDDING = r"[\x{202a}-\x{202c}]"
ZERO_WIDTH = (
    r"\S ?[\x{200b}\x{2060}\x{feff}]+ ?[^\s\x{200b}\x{2060}\x{feff}]"  # inside a line: at its ends it harms nobody
)
SPACELESS = r"[\p{Thai}\p{Khmer}\p{Lao}\p{Myanmar}\p{Tibetan}\p{Arabic}\p{Hebrew}]"  # U+200B separates words there
INVISIBLE = f"{CONTROL}|{EMBEDDING}|{ZERO_WIDTH}"
HIDDEN = f"{ZERO_WIDTH}|{EMBEDDING}"


def invisible_chars(t: Text) -> np.ndarray:
    found = np.zeros(len(t), bool)
    for view in ("prompt", "response"):
        hidden = t.has(view, HIDDEN)
        found |= t.has(view, CONTROL)
        found |= t.unless(hidden, lambda f, view=view: has(getattr(f, view), SPACELESS))  # type: ignore[misc]
    return t.unless(found, _of_encodings)


ENTITY = r"(?i)&(?:nbsp|amp|lt|gt|quot|apos|ldquo|rdquo|hellip|mdash|#\d{2,5}|#x[0-9a-f]{2,5});"
ESCAPE = r"\\u[0-9a-f]{4}|[\pL.!?,;:。，]\\n(?:\\n)?[A-Z\d\p{Han}-]"
TAG = r"(?i)</?(?:br|p|div|span|font|b|i|u|strong|em|li|ul|ol|td|tr|center|blockquote)(?: [^<>\n]{0,100})?/?>"


def markup_debris(t: Text) -> np.ndarray:
    left = (t.has("response", ENTITY) | t.has("response", ESCAPE)) & ~t.code
    tags = t.unless(t.has("response", TAG) & ~t.code, _is_document)
    return t.unless(left | tags, _has_markup)


def _is_document(t: Text) -> np.ndarray:
    shown = has(t.response, r"(?i)<(?:html|form|h[1-6]|body|label|input|img|table|style|section|a href)\b")
    return asks(t.ask, "styled") | shown


def _has_markup(t: Text) -> np.ndarray:
    return has(t.prompt, ENTITY) | has(t.prompt, r"</?[a-z][a-z0-9]*(?: [^<>]{0,100})?>|\\[nu]")


# The words on which BELLE's generator discards a task (LianjiaTech/BELLE, 1.5M/generate_instruction.py).
BELLE_WORDS = r"图像|图片|照片|文件|图表|图层|曲线图|折线图|直线图|柱形图|饼状图|链接|http|(?i:openai|chatgpt|gpt-[34])"


def belle_word(t: Text) -> np.ndarray:
    asked = t.has("prompt", BELLE_WORDS) | t.has("prompt", "GPT")
    return asked | t.has("response", BELLE_WORDS)


SOUGHT: Sought = (
    LOST, MOJIBAKE, CONTROL, HIDDEN, LINK, MEDIA_LINK, BELLE_WORDS, "GPT",
    NUMBERED_TASK, TASK_HEADER, template_mark, NO_INPUT_SAID, CHAT_MARK, CHAT_TURN, ENTITY, ESCAPE, TAG,
    partial(each_phrase, "task_refused"), partial(pattern, "input_missing", "input_wanted"),
    *(partial(pattern, name) for name in (
        "leaked_prompt", "self_reference", "placeholder", "gpt_names", "stock_refusal", "self_refused",
        "input_asked", "media_stand_in", "media_pointed")),
)  # fmt: skip
