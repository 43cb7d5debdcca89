"""Questions that say nothing of their own: "Which of the following statements is true?", 下列说法正确的是."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.steps.dedup.character_tables import prepare
from instdata.steps.dedup.minhash import ngram_sets, scheme

SAYING = 3  # words of its own that a question needs to be evidence alone; a Chinese character is half a word
# What exams ask with: about passages, options, statements and answers, whatever these say.
EN = (
    "passages?|texts?|paragraphs?|articles?|dialogues?|following|above|below|according|questions?|answers?|answered|"
    "options?|choices?|statements?|sentences?|words?|phrases?|blanks?|correct|incorrect|best|true|false|yes|no|not|"
    "main|idea|infer(?:red|s)?|conclu\\w+|authors?|attitude|tone|purpose|choose|select|pick|fill|completes?|final|steps?|"
    "problems?|tasks?|solves?|positive|negative|neutral|sentiment|classify|summari[sz]e|translat\\w+|read|describ\\w+|"
    "support\\w*|weakens?|strengthens?|arguments?|assum\\w+|most|least|likely|accurate\\w*|appropriate|functions?|python|"
    "chinese|english|think|based|given|refers?|mean(?:s|ing)?|implied|implies|except|stated|mentioned|logically"
)
ZH = (
    "下列|以下|上述|上文|文中|文章|短文|下面|下文|说法|表述|叙述|正确|错误|不正确|的是|选项|一项|最能?|支持|削弱|加强|质疑|反驳|结论|论证|论述|观点|推论|"
    "推出|推断|由此|可以|能够|如果|为真|除了|哪一?项|根据|选择|单项|多项|合适|恰当|填入|横线|空格|词语|成语|一组|依次|各句|句子|语病|没有|翻译|英文|中文|"
    "判断|情感|倾向|积极|消极|阅读|文字|材料|完成|小题|直接|给出|答案|回答|概括|主旨|题目|问题|专家|假设|前提|解释|评价|符合|属于|关于|作者|态度|理解|分析"
)
STEM = rf"(?i)\b(?:{EN})\b|{ZH}"
KANA_OR_HAN = re.compile("[\u3040-\u9fff]")


def own_words(questions: pa.Array) -> np.ndarray:
    """How many words of its own each question has: grammar, a task's usual verbs and what exams ask with do not count,
    numbers do. float64[questions]."""
    rest = pc.replace_substring_regex(questions, STEM, " ")
    data, offsets = prepare(rest)
    words = ngram_sets(data, offsets, scheme(1.0, script=True)).token_sizes.astype(np.float64)
    for i, text in enumerate(questions.to_pylist()):
        if KANA_OR_HAN.search(text):
            words[i] /= 2
        words[i] += len(re.findall(r"\d+", text))
    return words
