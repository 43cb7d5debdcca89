"""Rules about the form of a response: length, repetition, echo, truncation, language, and what the task asked to count."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.steps.quality.text import Text, among, count, has

NGRAM = 8  # words (or Chinese characters) in a row that make a repetition
SURE = 0.6  # language confidence from which a rule on language acts


# -- repetition ------------------------------------------------------------------------------------------------------


def repetition(t: Text) -> np.ndarray:
    """Share of each response's words covered by an 8-gram that came before in it, 0..1 (float32); 0 for code.

    The duplicate n-gram fraction of Rae et al. 2021 (Gopher), on words and, where a script has no spaces, characters.
    Numbers and single letters are no words: tables, sums and melodies repeat by nature.
    """
    share = np.zeros(len(t), np.float32)
    code, row = t.points
    dense = ((code >= 0x3040) & (code <= 0x9FFF)) | ((code >= 0xAC00) & (code <= 0xD7A3)) | (code >= 0x20000)
    wordy = dense | _is_word(code)
    if len(code) == 0:
        return share
    edge = np.append(True, (row[1:] != row[:-1]) | dense[1:] | dense[:-1] | (wordy[1:] != wordy[:-1]))
    starts = np.flatnonzero(edge & wordy)
    end = np.flatnonzero(np.append(edge[1:], True) & wordy)
    starts = starts[dense[starts] | ((end > starts) & (code[starts] > ord("9")))]
    if len(starts) < NGRAM:
        return share
    words = _hash_runs(np.where(wordy, code, 0), starts)
    word_row = row[starts]
    grams = len(words) - NGRAM + 1
    key = np.zeros(grams, np.uint64)
    for k in range(NGRAM):
        key = key * np.uint64(0x9E3779B97F4A7C15) + words[k : k + grams]
    inside = np.flatnonzero(word_row[:grams] == word_row[NGRAM - 1 :])
    key = _mix(key[inside] ^ _mix(word_row[inside].astype(np.uint64)))
    order = np.argsort(key, kind="stable")
    again = inside[order[1:][key[order[1:]] == key[order[:-1]]]]
    cover = (
        np.bincount(again, minlength=len(words))
        - np.bincount(np.minimum(again + NGRAM, len(words)), minlength=len(words) + 1)[:-1]
    )
    total = np.bincount(word_row, minlength=len(t))
    share = np.bincount(word_row, np.cumsum(cover) > 0, len(t)) / np.maximum(total, 1)
    return np.where(t.code, 0, share).astype(np.float32)


def _is_word(code: np.ndarray) -> np.ndarray:
    ascii_word = ((code | 32) - np.uint32(97) < 26) | (code - np.uint32(48) < 10)
    return ascii_word | ((code >= 0xC0) & (code < 0x2000))


def _hash_runs(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """A hash of the values from each start to the next; zeros count for nothing."""
    values = values[starts[0] :]
    place = np.arange(len(values), dtype=np.int32) - np.repeat(
        starts - starts[0], np.diff(np.append(starts - starts[0], len(values)))
    ).astype(np.int32)
    return np.add.reduceat(CHARS[values & 0xFFFF] * WEIGHTS[np.minimum(place, 63)], starts - starts[0])


def _mix(x: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


CHARS = _mix(np.arange(1 << 16, dtype=np.uint64))  # a hash of each character; that of 0 is 0
WEIGHTS = np.cumprod(np.full(64, 0xD6E8FEB86659FD93, np.uint64))  # of each place in a word


REPEATING = r"(?i)\b(repeat\w*|times|chant|chorus|song|lyrics|poem|rhyme|mantra|pattern|tongue twister|refrain|ascii|loop|pi|binary|rap|verse)\b|重复|遍|诗|歌|曲|口号|绕口令"


def repeated_line(t: Text) -> np.ndarray:
    candidates = (count(t.response, r"\n") >= 3) & ~t.code & ~has(t.ask, REPEATING)

    def stuck(response: str) -> bool:
        lines = [line for line in (raw.strip() for raw in response.split("\n")) if sum(map(str.isalpha, line)) >= 6]
        return len(lines) >= 4 and len(set(lines)) <= len(lines) / 3

    return among(candidates, stuck, t.response)


def repeated_char(t: Text) -> np.ndarray:
    """A letter, Chinese character or sentence mark 12 times running (rules, dots to fill and digits do not count)."""
    code, row = t.points
    found = np.zeros(len(t), bool)
    if len(code) < 12:
        return found
    same = (code[1:] == code[:-1]) & (row[1:] == row[:-1])
    for step in (1, 2, 4, 3):  # 1 + 1 + 2 + 4 + 3: eleven in a row like the one before
        same = same[:-step] & same[step:]
    at = np.flatnonzero(same)
    value = code[at]
    letter = _is_word(value) & ~((value >= ord("0")) & (value <= ord("9"))) & ((value | 32) != ord("x"))
    letter |= (value >= 0x3400) & (value < 0xFF00) & (value != 0xFEFF)
    found[row[at[letter | np.isin(value, [ord(c) for c in "!?！？。，,"])]]] = True
    return found & ~t.code & ~has(t.ask, REPEATING)


# -- echo, length, truncation ----------------------------------------------------------------------------------------

REWRITE = r"(?i)\b(re-?write|rephrase|paraphrase|re-?word|summari[sz]e|simplify|shorten|translate|restate|improve|re-?phrase|convert .* (to|into) (passive|active|past|future|present))\b|改写|重写|总结|概括|翻译|简化|润色|缩写|扩写"


def echo(t: Text) -> np.ndarray:
    prompt, response = pc.utf8_trim_whitespace(t.prompt), pc.utf8_trim_whitespace(t.response)
    whole = pc.equal(pc.utf8_lower(prompt), pc.utf8_lower(response))
    line = pc.equal(pc.utf8_lower(pc.utf8_trim_whitespace(t.line)), pc.utf8_lower(response))
    rewriting = has(t.line, REWRITE) & (t.chars >= 8) & (t.chars < t.prompt_chars)
    unchanged = among(rewriting, lambda p, r: _ends_with(p, r), prompt, response)
    excused = has(
        t.line,
        r"(?i)\b(repeat|copy|echo|if (needed|necessary|it|there|the)|as is|say|type|same|verbatim|capitali[sz]\w*|case|check)\b|重复|复述|照抄|原样|跟我说",
    )
    return (np.asarray(whole) | np.asarray(line) | unchanged) & t.answered & (t.chars >= 4) & ~excused


def _ends_with(prompt: str, response: str) -> bool:
    """Whether the prompt's last part (after a line break or a colon, quotes aside) is the response."""
    prompt, response = prompt.rstrip("\"”'’」"), response.strip("\"“”'’「」")
    before = prompt[: -len(response)].rstrip(" \t\"“'‘「")
    return prompt.endswith(response) and before[-1:] in ("\n", ":", "：")


LONG_FORM = (
    r"(?i)^\W*(please )?(write|compose|create|draft|generate|produce|provide|craft|develop|prepare|deliver)( me| us)?( an?| the| one)?( [\w-]+){0,3}? (essay|article|blog post|story|speech|report|research paper|cover letter)\b\W*($|about|on|of|for|that|which|to|describing|in which|where|with|explaining|arguing|discussing|from|based|using|in)|"
    r"^(请)?(你)?(给我|帮我|为我)?(写|撰写|创作|编写|生成|起草)(一|1)?(篇|封|份|个|段)[^。，\n]{0,25}(文章|作文|论文|故事|小说|散文|演讲稿|报告|博客|求职信|读后感|评论)"
)
SHORT_FORM = r"(?i)\b(one|two|three|single|[1-6]|few|four|six|five)[- ](sentences?|lines?|words?|paragraphs?)|\b(title|headline|topic|name|outline|thesis|question|introduction|opening|sentence|line|idea|theme|moral|summary|conclusion|words|tagline|brief|tweet|prompt|plot|list|ending|structure|hook|synopsis|keywords?|subject|characters?|caption|abstract|slogan|hashtag|starter|problem|contents|code|function|closing|quote|premise|bullet|pitch|criteria|rhyme|statement|haiku)\b|标题|题目|一句|两句|开场|大纲|提纲|摘要|简短|短句|开头|结尾|字以内|不超过|名字|主题|概要|列表|代码"


def short_for_task(t: Text) -> np.ndarray:
    dense = has(t.response, r"\p{Han}")
    short = t.chars < np.where(dense, 50, 150)
    return t.answered & short & has(t.line, LONG_FORM) & ~has(t.ask, SHORT_FORM) & ~t.code


def truncated(t: Text) -> np.ndarray:
    cut = has(
        t.tail,
        r"[\pL\d)\"”’](,|，|、)$|[\pL,] (and|or|but|the|a|an|of|because|including|such as|their|its|your|my|our|and the|is a|are the|is the|to the|of the|in the)$|"
        r"[\p{Han}，。]((它们|他们|她们|其)的|和|与|以及|而且|因为|但是|并且|例如|包括|或者|由于|给|使|在|把|被|对)$|[\pL](:|：)$",
    )
    closing = has(
        t.tail,
        r"(?i)\b(best|sincerely|regards|yours|love|cheers|thanks|thank you|wishes|truly|faithfully|warmly|respectfully|gratitude|appreciation)\b[^.\n]{0,12},$|(此致|敬上|祝好|祝您|谨上|真挚|真诚|诚挚|敬礼|致敬)[^。，,]{0,4}[，,]?$",
    )
    open_end = has(
        t.ask,
        r"(?i)\b(complete|finish|fill|continue|beginning|start|opening|first (line|half|part)|prefix|introduct\w*|incomplete|fragment|preposition|conjunction|article|header|subject|salutation|greeting|phrase|part of speech|punctuation|comma|remove|delete|label|title|heading|blank|split|truncat\w*|lead-?in|begin|edit|rewrite|format|form|template|survey|questionnaire|fields?|letters?|words?|line|notes|chords?|melody|initial\w*|poem|haiku|stanza|verse|tweet|outline|list|e-?mails?|respon\w+|repl(y|ies)|message|invit\w+|note)\b|"
        r"开头|填空|补全|续写|前半|介词|连词|单词|词语|断句|标点|词|模板|表单|问卷|大纲|诗|列表",
    )
    return cut & (t.chars > 80) & ~open_end & ~closing & ~t.code


# -- language --------------------------------------------------------------------------------------------------------

LANGUAGES = {
    "fr": "french|法语|法文", "es": "spanish|西班牙语|西班牙文", "de": "german|德语|德文", "it": "italian|意大利语",
    "pt": "portuguese|葡萄牙语", "ja": "japanese|日语|日文", "ko": "korean|韩语|韩文", "ru": "russian|俄语|俄文",
    "zh": "chinese|mandarin|中文|汉语|简体", "en": "english|英语|英文", "ar": "arabic|阿拉伯语", "hi": "hindi|印地语",
    "nl": "dutch|荷兰语", "sv": "swedish|瑞典语", "pl": "polish|波兰语", "tr": "turkish|土耳其语", "el": "greek|希腊语",
    "vi": "vietnamese|越南语", "th": "thai|泰语", "he": "hebrew|希伯来语", "uk": "ukrainian|乌克兰语",
}  # fmt: skip
NAMED = (
    "|".join(LANGUAGES.values())
    + "|latin|拉丁|hawaiian|esperanto|welsh|irish|gaelic|swahili|tagalog|filipino|persian|urdu|bengali|danish|norwegian|finnish|romanian|hungarian|czech|indonesian|malay|piglatin|pig latin"
)
ABOUT_LANGUAGE = (
    r"(?i)\b(translat\w*|languages?|bilingual|foreign|words?|phrases?|idiom|proverb|lyrics|names?|country|dish\w*|recipe|motto|greeting|hello|say)\b|翻译|译成|译为|语言|双语|单词|外语|英|法|德|日|韩|俄|文言|词汇|拼写|语法|句子|短语|名字|名称|歌|代码|程序|函数|脚本|编程|算法|邮件|字母|缩写|公式|标题|口号|"
    + NAMED
)
TRANSLATE = (
    r"(?i)(?:translat\w*|翻译|译)[^\n]{0,60}?(?:\b(?:in)?to\b|成|为|到)\s*(?:the |simplified |traditional )?(?P<target>"
    + "|".join(LANGUAGES.values())
    + ")"
)
TARGET = {word: code for code, words in LANGUAGES.items() for word in words.split("|")}


DENSE_SCRIPT = ["zh", "ja", "ko"]


def wrong_language(t: Text) -> np.ndarray:
    asked, sure_asked = t.prompt_language
    given, sure_given = t.response_language
    scripts = np.isin(asked, DENSE_SCRIPT) != np.isin(given, DENSE_SCRIPT)
    # between two languages in Latin letters the model is often sure and wrong
    decided = np.where(scripts, (sure_asked >= SURE) & (sure_given >= 0.8), (sure_asked >= 0.95) & (sure_given >= 0.95))
    shown = has(t.prompt, r"(?:[A-Za-z'’-]+[ ,.]+){4}[A-Za-z]+") & has(t.prompt, r"\p{Han}")  # the prompt has both
    enough = t.chars >= np.where(np.isin(given, DENSE_SCRIPT), 15, 40)
    return decided & enough & (asked != given) & ~shown & ~has(t.prompt, ABOUT_LANGUAGE) & ~t.code


def mixed_language(t: Text) -> np.ndarray:
    """A run of six words in one script inside a response in the other, that the prompt neither has nor asks for."""
    return t.only(has(t.response, r"\p{Han}") & has(t.response, r"[A-Za-z]{2}"), _mixed)


def _mixed(t: Text) -> np.ndarray:
    latin, han = r"(?:[A-Za-z][A-Za-z'’-]*[ ,]+){6,}[A-Za-z]", r"\p{Han}[\p{Han}，、]{9,}"
    english = has(t.response, latin) & (count(t.response, r"\p{Han}") >= 10)
    english &= ~has(t.prompt, r"[A-Za-z]{3,} [A-Za-z]{2,} [A-Za-z]{2,}")
    chinese = has(t.response, han) & (count(t.response, r"[A-Za-z]+") >= 10) & ~has(t.prompt, r"\p{Han}")
    about = has(t.prompt, ABOUT_LANGUAGE) | has(
        t.prompt, r"(?i)引用|名言|诗|电影|书|论文|文献|参考|GPT|SQL|Python|Java|HTML|API|quote|poem|china|chinese"
    )
    quoted = has(t.response, r"[\"“《(（‘'](?:[A-Za-z][A-Za-z'’-]*[ ,]+){6,}[^\"”》)）]{0,200}[\"”》)）’']|https?://")
    return (english | chinese) & ~about & ~quoted & ~t.code


def wrong_target(t: Text) -> np.ndarray:
    """A translation that is still in the language it came from."""
    asked = pc.struct_field(pc.extract_regex(t.line, TRANSLATE), "target")
    candidates = np.asarray(pc.is_valid(asked)) & (t.chars >= 8)
    if not candidates.any():
        return candidates
    target = np.array([TARGET.get(word.lower()) if word else None for word in asked.to_pylist()], object)
    given, sure = t.response_language
    source = np.isin(given, ["en", "zh"])
    quoted = has(
        t.response, r"(?i)[\"“‘'「][A-Za-zÀ-ÿ]|翻译|意思|\b(means?|translat\w*)\b"
    )  # an answer about the phrase
    mixed = (target == "zh") & has(t.response, r"\p{Han}") | (target == "en") & has(
        t.response, r"[A-Za-z]{3,} [A-Za-z]{2,}"
    )
    more = has(t.line, r"(?i)\b(and|explain|pronounc\w*|phonetic|romaji|pinyin)\b|拼音|解释")
    return candidates & source & (given != target) & (sure >= 0.7) & ~mixed & ~quoted & ~more


# -- what the task asked to count ------------------------------------------------------------------------------------

NUMBERS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "twelve": 12,
    "fifteen": 15, "twenty": 20, "两": 2, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9, "十": 10,
    "十二": 12, "十五": 15, "二十": 20,
}  # fmt: skip
LIST_ASKED = (
    r"(?i)^\W*(?:please |can you |could you )?(?:list|name|give|provide|generate|suggest|create|brainstorm|identify|come up with|write|make|think of|find|describe|state|recommend|propose)\b"
    r"(?: me| us| down| out| a list of| the| any| some| at least| up)*\s(?P<k>\d{1,2}|"
    + "|".join(k for k in NUMBERS if k.isascii())
    + r")\s(?P<what>[a-z' -]{3,60})"
    r"|^(?:请)?(?:你)?(?:给我|帮我|为我)?(?:列出|列举|写出|提供|给出|说出|举出|生成|推荐|提出|描述)(?:至少)?(?P<zk>\d{1,2}|十二|十五|二十|[两二三四五六七八九十])(?:个|种|条|项|点|位|本|部|款|件|句)"
)
BULLET = re.compile(r"^[ \t]*(?:[-*•·●–](?![-*])|[一二三四五六七八九十]{1,3}[、.．])", re.MULTILINE)
GROUPED = re.compile(r"^[ \t]*(?:\d{1,3}[.)、]|[-*•])[^\n:：]{1,60}[:：][^\n,，、;；]{1,60}[,，、;；]", re.MULTILINE)
UNGROUPED = re.compile(r"^[ \t]*(?:\d{1,3}[.)、]|[-*•])[^\n:：]*$", re.MULTILINE)
NUMBERED = re.compile(r"(?<![\d.$])(\d{1,3})[.)、:：．](?!\d)")


def list_count(t: Text) -> np.ndarray:
    found = pc.extract_regex(t.line, LIST_ASKED)
    asked = pc.coalesce(
        pc.replace_with_mask(
            pc.struct_field(found, "k"), pc.equal(pc.struct_field(found, "k"), ""), pa.scalar(None, pa.string())
        ),
        pc.struct_field(found, "zk"),
    )
    vague = has(
        t.line,
        r"(?i)\b(each|per|every|and (an?|two|three|four|five|\d+|one)|categor\w+|pairs?|-word|words?|sentences?|paragraphs?|lines?|step|minutes?|hours?|days?|weeks?|stanza|digit\w*|letters?|characters?|people|items? (in|from)|star|numbers?|or more|to \d|-\d|course|different types|syllable|sided|players?)\b|和|每|各|或|到|至|以上|字|词|句|段|行",
    )
    listed = has(t.response, r"(?m)^\s*(1\s*[.)、:：．]|[-*•●]\s|一、)")
    candidates = np.asarray(pc.is_valid(asked)) & listed & ~vague & ~t.code

    def fewer(k: str, response: str) -> bool:
        wanted = int(k) if k.isdigit() else NUMBERS[k.lower()]
        if GROUPED.search(response) and not UNGROUPED.search(response):
            return False  # "1. Fungi: Aspergillus, Candida": the items are lists themselves
        given = max(
            len(BULLET.findall(response)),
            len(re.findall(r"^\s*\d{1,3}\s*[.)、:：．]", response, re.MULTILINE)),
            _numbered(response),
        )
        return 0 < given < wanted

    return among(candidates, fewer, pc.fill_null(asked, ""), t.response)


def _numbered(response: str) -> int:
    """The highest number of a list 1, 2, 3, …, on lines of its own or within one."""
    highest = 0
    for number in NUMBERED.findall(response):
        highest += int(number) == highest + 1
    return highest


WORD_LIMIT = (
    r"(?i)\b(?:in (?:less than|under|at most|no more than|fewer than|up to|a maximum of)|less than|under|no more than|at most|fewer than|within|maximum of|max|up to|not exceed(?:ing)?|limit(?:ed)? to|no longer than|(?:must|should) (?:be|not exceed)(?: less than| under| at most)?|in|using|of) "
    r"(?P<n>\d{1,4})\s*(?:words?|-word)(?: or (?:less|fewer)| max\w*| limit)?\b|(?:不超过|少于|不多于|控制在|限制在|在|最多)\s*(?P<zn>\d{1,4})\s*(?:个)?(?:字|词)(?:以内|之内|以下|内)?|(?P<zm>\d{1,4})\s*个?(?:字|词)(?:以内|之内|以下)"
)


def word_limit(t: Text) -> np.ndarray:
    found = pc.extract_regex(t.ask, WORD_LIMIT)
    vague = has(
        pc.replace_substring_regex(t.ask, r"(?i)\b(no|not) more than\b", ""),
        r"(?i)\b(at least|more than|no(t)? (less|fewer) than|minimum|or more|between|each|about|around|approximately|roughly|unscramble|\d+-\d+)\b|至少|左右|大约|以上|每|不少于|不低于",
    )
    candidates = np.asarray(pc.is_valid(found)) & ~vague & t.answered

    def exceeds(n: str, zn: str, zm: str, response: str) -> bool:
        limit = int(n or zn or zm or 0)
        chinese = len(re.findall(r"[\u3400-\u9fff]", response))
        words = chinese if chinese > 10 else len(re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", response))
        return limit >= 5 and words > max(1.25 * limit, limit + 5)

    limits = (pc.fill_null(pc.struct_field(found, name), "") for name in ("n", "zn", "zm"))
    return among(candidates, exceeds, *limits, t.response)
