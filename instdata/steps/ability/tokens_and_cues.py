"""A text as tokens and as cues of its form, compiled.

A token is a word, a number (all alike), a punctuation mark, a line break, or one Chinese or Japanese character; width,
case and quote style are folded. A long text is read at both ends only: the task is stated there, the middle is
material. A cue is a count on a coarse scale: of lines, question marks, lettered options, and the like.
"""

from __future__ import annotations

import numpy as np

from instdata.util.kernels import inner

HEAD, TAIL = 600, 300  # characters read at either end
TOKENS = HEAD + TAIL + 2  # at most, in one text
STEM = 5  # letters: translate, translation and translating share them

LETTER, WIDE, NUMBER, MARK, BREAK, BLANK = range(6)  # kinds of character
CHARS, LINES, NUMBERS, QUESTIONS, ASKS, COLONS, QUOTES, CODE, COMMAS, FIRST, CJK, UPPER, ITEMS, LATIN = range(14)
GIVEN, OPTIONS, BLANKS, FENCES, OPERATORS = range(
    14, 19
)  # material after the ask, lettered lines, ___, ```, + - * / = by numbers
LAST_CUE = OPERATORS
LEVELS = 32  # a cue is below: counts of characters have 32 bits
QUESTION, COLON, COMMA, STOP, QUOTE = ord("?"), ord(":"), ord(","), ord("."), ord('"')


@inner
def fold(c):
    """(folded character, kind)."""
    if 0xFF01 <= c <= 0xFF5E:  # full width
        c -= 0xFEE0
    if c == 10 or c == 0x2028 or c == 0x2029:
        return 10, BREAK
    if c <= 32 or c == 0xA0 or c == 0x3000 or 0x2000 <= c <= 0x200F or c == 0xFEFF:
        return 32, BLANK
    if 65 <= c <= 90:
        return c + 32, LETTER
    if 48 <= c <= 57:
        return 48, NUMBER
    if 97 <= c <= 122:
        return c, LETTER
    if c < 128:
        return c, MARK
    if 0x3400 <= c <= 0x9FFF or 0x3041 <= c <= 0x30FF or 0xF900 <= c <= 0xFAFF or 0x20000 <= c <= 0x3FFFF:
        return c, WIDE
    if 0x201C <= c <= 0x201F or 0x300C <= c <= 0x300F or c == 0xAB or c == 0xBB:
        return QUOTE, MARK
    if 0x2018 <= c <= 0x201B:
        return 39, MARK
    if c == 0x3002:
        return STOP, MARK
    if c == 0x3001:
        return COMMA, MARK
    if 0x2010 <= c <= 0x2BFF or 0x3003 <= c <= 0x303F or 0xA1 <= c <= 0xBF or c == 0xD7 or c == 0xF7:
        return c, MARK
    if 0xC0 <= c <= 0xDE or 0x391 <= c <= 0x3A9 or 0x410 <= c <= 0x42F:
        return c + 32, LETTER
    return c, LETTER


PLAIN = np.array([fold(c) for c in range(128)], np.int8)  # the same of ASCII, read from a table


@inner
def mix(h, x):
    """One step of a 64-bit hash."""
    h = (h ^ np.uint64(x)) * np.uint64(0x9E3779B97F4A7C15)
    return h ^ (h >> np.uint64(29))


@inner
def level(count):
    """A count on a coarse scale: 0, 1, 3, 7, 15, …"""
    found = 0
    while found < LEVELS - 1 and (count + 1) >> (found + 1):
        found += 1
    return found


@inner
def read(data, lo, hi, token, stem, kind, cue, span):
    """Fill the tokens of data[lo:hi] (UTF-8) and the cues; returns the number of tokens."""
    chars = 0
    for i in range(lo, hi):
        chars += (data[i] & 0xC0) != 0x80
    skip = HEAD if chars > HEAD + TAIL else -1  # where the middle is left out
    n, at, seen, size = 0, lo, 0, 0
    before = BREAK
    last_mark, seen_number = 0, False
    quiet = True  # nothing on this line so far
    last, again, letters = 0, 0, 0
    wide, upper, latin, numbers, lines, first, items = 0, 0, 0, 0, 0, 0, 0
    questions, colons, commas, quotes, code, options, blanks, fences, operators = 0, 0, 0, 0, 0, 0, 0, 0, 0
    h = np.uint64(0)
    while at < hi:
        if seen == skip:
            while chars - seen > TAIL:
                at += 1
                while at < hi and (data[at] & 0xC0) == 0x80:
                    at += 1
                seen += 1
            before = BREAK
        begin = at
        b = data[at]
        seen += 1
        if b < 0x80:
            raw = np.int64(b)
            c, kd = np.int64(PLAIN[b, 0]), np.int64(PLAIN[b, 1])
            at += 1
        else:
            more = min(1 if b < 0xE0 else 2 if b < 0xF0 else 3, hi - at - 1)
            raw = np.int64(b) if more == 0 else np.int64(b) & (0x3F >> more)
            for k in range(more):
                raw = (raw << 6) | (np.int64(data[at + 1 + k]) & 0x3F)
            at += 1 + more
            c, kd = fold(raw)
        upper += 65 <= raw <= 90
        if kd == BLANK:
            before = BLANK
            continue
        last = c
        if kd == before and (kd == LETTER or kd == NUMBER):
            letters = 0
            if kd == LETTER:
                h = mix(h, c)
                size += 1
                token[n - 1] = h
                if size <= STEM:
                    stem[n - 1] = h
                span[n - 1, 1] = at
                kind[n - 1] = LETTER if size <= STEM else -1  # -1: a word longer than its stem
            continue
        h = mix(np.uint64(kd + 1), c)
        size = 1
        token[n] = h
        stem[n] = h
        kind[n] = kd
        span[n, 0], span[n, 1] = begin, at
        n += 1
        again = again + 1 if c == last_mark and kd == MARK else 0
        last_mark = c
        # "A." or "(B)" at the start of a line
        options += letters == 2 and (c == STOP or c == 41 or c == COLON)
        letters = 2 if quiet and kd == LETTER and 65 <= raw <= 72 else 0
        operators += seen_number and (
            c == 43 or c == 45 or c == 42 or c == 47 or c == 61 or c == 94 or c == 0xD7 or c == 0xF7
        )
        seen_number = kd == NUMBER
        numbers += seen_number
        wide += kd == WIDE
        if quiet and (kd == NUMBER or c == 45 or c == 42 or c == 0x2022):
            items += 1
        quiet = kd == BREAK
        if kd == BREAK:
            if lines == 0:
                first = seen
            lines += before != BREAK
        elif kd == MARK:
            questions += c == QUESTION
            colons += c == COLON
            commas += c == COMMA
            quotes += c == QUOTE or c == 0x300A
            # ( ) ; < = > [ \ ] _ ` { | }
            code += c == 40 or c == 41 or 59 <= c <= 62 or 91 <= c <= 93 or c == 95 or c == 96 or 123 <= c <= 125
            blanks += c == 95 and again == 1
            fences += c == 96 and again == 2
        elif kd == LETTER:
            latin += 1
            while at < hi and seen != skip and data[at] < 0x80 and PLAIN[data[at], 1] == LETTER:  # most of any text
                last = np.int64(PLAIN[data[at], 0])
                upper += data[at] <= 90
                h = mix(h, last)
                size += 1
                if size <= STEM:
                    stem[n - 1] = h
                at += 1
                seen += 1
            if size > 1:
                letters = 0
                token[n - 1] = h
                span[n - 1, 1] = at
                kind[n - 1] = LETTER if size <= STEM else -1
        before = kd
    if lines == 0:
        first = chars
    cue[CHARS], cue[LINES], cue[NUMBERS], cue[QUESTIONS] = level(chars), level(lines), level(numbers), questions
    cue[ASKS], cue[COLONS], cue[QUOTES], cue[CODE] = last == QUESTION, level(colons), level(quotes), level(code)
    cue[COMMAS], cue[FIRST], cue[ITEMS], cue[LATIN] = level(commas), level(first), level(items), level(latin)
    cue[GIVEN], cue[OPTIONS] = level(chars - first if lines else 0), level(options)
    cue[BLANKS], cue[FENCES], cue[OPERATORS] = level(blanks), level(fences), level(operators)
    cue[QUESTIONS] = min(level(questions), 2)
    cue[CJK] = 4 * wide // max(n, 1)
    cue[UPPER] = np.int64(np.log2(20.0 * upper / max(chars, 1) + 1.0))
    return n
