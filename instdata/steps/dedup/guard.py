"""The contrast guard: whether two short texts, however similar, are different tasks. The words are in contrast.py."""

from __future__ import annotations

import numpy as np

from instdata.steps.dedup.contrast import NEGATION, NUMBER, SET, STRONG
from instdata.steps.dedup.text import BASE, DIGIT, WIDE, WORD, kind_of, mix, run_hash, slot
from instdata.util.kernels import jit

ALTERNATIVES = 24  # words of contrasting sets that are looked at in a text
SHORT = 200  # characters (folded) up to which the contrast key counts


@jit
def meaning_of(h, words, meaning):
    """What a word with this hash stands for in the lexicon; 0 if it is not there."""
    return meaning[slot(h, words)]


@jit
def is_word(c, kind):
    k = kind_of(c, kind)
    return (k & WORD) != 0 and (k & WIDE) == 0


@jit
def neighbour(chars, n, i, step):
    """The nearest character that is not a space, or 0."""
    i += step
    while 0 <= i < n and chars[i] == 32:
        i += step
    return chars[i] if 0 <= i < n else np.uint32(0)


@jit
def contrast_key(chars, camel, n, t, alternatives):
    """A hash of what two copies must have in common: their numbers and operators in order, and the bags of their code tokens,
    negations and languages. Never 0. The words of contrasting sets go to `alternatives`, as many as fit, sorted, 0 for none."""
    alternatives[:] = 0
    listed = 0
    kind, words, meaning = (
        t.kind,
        t.words,
        t.meaning,
    )  # a tuple handed down call by call costs a count of references each
    in_order, bag = np.uint64(0), np.uint64(0)
    code = False
    i = 0
    while i < n:
        c = chars[i]
        k = kind_of(c, kind)
        if k & DIGIT:
            h = np.uint64(0)
            while i < n and (
                kind_of(chars[i], kind) & DIGIT
                or (
                    i + 1 < n
                    and (chars[i] == 46 or chars[i] == 44 or chars[i] == 58)
                    and kind_of(chars[i + 1], kind) & DIGIT
                )
            ):
                if chars[i] == 46 or chars[i] == 58:
                    h = mix(h + np.uint64(chars[i]))
                elif chars[i] != 44:  # 1,000 is 1000
                    h = h * np.uint64(10) + np.uint64(chars[i]) - np.uint64(48)
                i += 1
            in_order = mix(in_order * BASE + h)
            continue
        if k & WIDE:
            step = 1
            for length in range(min(6, n - i), 0, -1):
                m = meaning_of(mix(run_hash(chars, i, i + length)), words, meaning)
                if m:
                    if m >= NUMBER:
                        in_order = mix(in_order * BASE + m - NUMBER)
                    elif m >= STRONG:
                        bag += mix(m)
                    elif listed < len(alternatives):
                        alternatives[listed] = np.int32(m)
                        listed += 1
                    step = length
                    break
            i += step
            continue
        if k & WORD:
            start, odd = i, code
            while i < n:
                c = chars[i]
                inner = i + 1 < n and is_word(chars[i + 1], kind)
                if c == 95 or (c == 46 and inner):  # snake_case, list.append
                    odd = True
                elif c == 39 and inner:  # don't
                    pass
                elif is_word(c, kind):
                    odd |= camel[i] or (kind_of(c, kind) & DIGIT) != 0  # getName, h2o
                else:
                    break
                i += 1
            h = mix(run_hash(chars, start, i))
            m = meaning_of(h, words, meaning)
            if i - start > 3 and chars[i - 1] == 116 and chars[i - 2] == 39 and chars[i - 3] == 110:  # n't
                m = np.uint64(NEGATION)
            if m >= NUMBER:
                in_order = mix(in_order * BASE + m - NUMBER)
            elif m >= STRONG:
                bag += mix(m)
            elif odd:
                bag += mix(h)
            elif m and listed < len(alternatives):
                alternatives[listed] = np.int32(m)
                listed += 1
            continue
        if c == 96:
            code = not code
        elif (
            c == 43 or c == 42 or c == 47 or c == 94 or c == 61 or c == 60 or c == 62 or c == 37 or c == 124 or c == 38
        ):  # + * / ^ = < > % | &
            before, after = neighbour(chars, n, i, -1), neighbour(chars, n, i, 1)
            if (
                code
                or ((is_word(before, kind) or before == 41) and (is_word(after, kind) or after == 40))
                or (i and (c == 43 and is_word(chars[i - 1], kind)))
            ):
                in_order = mix(in_order * BASE + np.uint64(c))
        elif c == 45:  # minus: before a number, not inside a word or a range of words
            before, after = neighbour(chars, n, i, -1), neighbour(chars, n, i, 1)
            if kind_of(after, kind) & DIGIT and (
                kind_of(before, kind) & DIGIT or not (i and is_word(chars[i - 1], kind))
            ):
                in_order = mix(in_order * BASE + np.uint64(c))
        elif (c == 40 or c == 35 or c == 91) and i and is_word(chars[i - 1], kind):  # print(, c#, a[
            bag += mix(np.uint64(c))
        i += 1
    alternatives[:listed].sort()
    return mix(in_order + mix(bag)) | np.uint64(1)


@jit
def contrasting(one, other, mine, yours):
    """Whether two short texts are different tasks: by their contrast keys (0: not short), or where of one set each holds an
    alternative that the other lacks (`mine`, `yours`: sorted, 0 for none)."""
    if one == 0 or other == 0:
        return False
    if one != other:
        return True
    for x in mine:
        if x and not holds(yours, x):
            for y in yours:
                if y and y // SET == x // SET and not holds(mine, y):
                    return True
    return False


@jit
def holds(values, x):
    for value in values:  # noqa: SIM110 - numba compiles no generator
        if value == x:
            return True
    return False
