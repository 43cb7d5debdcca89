"""The contrast guard: whether two texts, however similar, are different tasks. The words are in contrast_words.py.

Of each text the numbers and operators (in order), the negations, code tokens and languages become one hash, the
contrast key. Its other words become tokens: words that say how a thing is asked (NEUTRAL in contrast_words.py) none,
spellings and synonyms of one alternative the same one, other words their stem. Two texts are different tasks where
their keys differ, or where each has a token that the other lacks: ethanol here, methanol there, however long the
passage around them.
"""

from __future__ import annotations

import numpy as np

from instdata.steps.dedup.contrast_words import NEGATION, NEUTRAL, NUMBER, SET, STRONG
from instdata.steps.dedup.folding import BASE, DIGIT, WIDE, WORD, fold, kind_of, mix, run_hash, scratch_size, slot
from instdata.util.kernels import inner, jit

TOKEN_BITS = 55
LISTED = np.uint64(1 << 32)  # below it a token is an alternative of a contrasting set, above it another word
OWN = np.uint64(1 << 54)  # marks a word of its own
ADDED = 6  # tokens that one of two copies may have more than the other
LONG_WORD = 7  # letters of a stem from which it is known by its first letter and the set of its letters: typing errors
E, S, Z = 101, 115, 122


@inner
def meaning_of(h, words, meaning):
    """What a word with this hash stands for in the lexicon; 0 if it is not there."""
    return meaning[slot(h, words)]


@inner
def is_word(c, kind):
    k = kind_of(c, kind)
    return (k & WORD) != 0 and (k & WIDE) == 0


@inner
def neighbour(chars, n, i, step):
    """The nearest character that is not a space, or 0."""
    i += step
    while 0 <= i < n and chars[i] == 32:
        i += step
    return chars[i] if 0 <= i < n else np.uint32(0)


@inner
def untold(c):
    """Whether words of this script are no tokens: those that write no spaces (Thai, Lao, Burmese, Khmer), or join what
    others write apart (Arabic, Hebrew, the Indic scripts). Hiragana is grammar."""
    return 0x0590 <= c < 0x0E00 or 0x0E00 <= c < 0x10A0 or 0x1780 <= c < 0x1800 or 0x3040 <= c < 0x30A0


@inner
def stem_end(chars, start, end):
    """Where a word's stem ends: English plural and verb endings are cut, and an e or a doubled letter that they
    leave."""
    if end - start > 2 and chars[end - 1] == S and chars[end - 2] == 39:  # 's
        end -= 2
    cut = end
    if end - start >= 4 and chars[end - 1] == S:
        before = chars[end - 2]
        if before != S and before != 117 and before != 105:  # not ss, us, is
            cut = end - 1
    if cut - start >= 6 and chars[cut - 3] == 105 and chars[cut - 2] == 110 and chars[cut - 1] == 103:  # ing
        cut -= 3
    elif cut - start >= 5 and chars[cut - 2] == E and chars[cut - 1] == 100:  # ed
        cut -= 2
    elif cut - start >= 4 and chars[cut - 1] == E:
        return cut - 1
    if cut < end - 1 and cut - start > 2 and chars[cut - 1] == chars[cut - 2] and chars[cut - 1] != S:  # planning, plan
        cut -= 1
    return cut


@inner
def word_token(chars, start, end):
    """A token for a word: its stem, one spelling of British and American forms; in long words the order of letters, and
    whether one is doubled, do not count."""
    stop = stem_end(chars, start, end)
    h = np.uint64(0)
    american = stop - 2 if stop - start > 3 and chars[stop - 3] == 111 and chars[stop - 1] == 114 else stop  # colour
    if stop - start >= LONG_WORD:
        for i in range(start, stop):
            if i == american and chars[i] == 117:
                continue
            c = Z if chars[i] == S else chars[i]
            h |= np.uint64(1) << (mix(np.uint64(c)) & np.uint64(63))
        h ^= mix(np.uint64(chars[start]))
    else:
        for i in range(start, stop):
            c = 105 if chars[i] == 121 and i == stop - 1 else chars[i]  # story, stories
            if i == american and c == 117:
                continue
            h = h * BASE + np.uint64(c) + np.uint64(1)
    return (mix(h) >> np.uint64(10)) | OWN


@inner
def whole_word(chars, n, kind):
    """(hash of a folded text, its token where it is one word, else 0)."""
    for i in range(n):
        if not is_word(chars[i], kind) or untold(chars[i]):
            return mix(run_hash(chars, 0, n)), np.uint64(0)
    return mix(run_hash(chars, 0, n)), word_token(chars, 0, n)


@jit
def read_words(data, offsets, t, whole, first, lengths, stem):
    """Of every text, folded: the hash of all of it, its first character, how many it has; and its token where it is one
    word, else 0. None is empty."""
    size, _ = scratch_size(data, offsets, t)
    chars, camel = np.empty(size, np.uint32), np.empty(size, np.bool_)
    for row in range(len(offsets) - 1):
        lengths[row] = fold(data, offsets[row], offsets[row + 1], t, chars, camel)
        first[row] = chars[0]
        whole[row], stem[row] = whole_word(chars, lengths[row], t.kind)


@inner
def read_number(chars, n, i, kind):
    """(hash of the number that starts here, where it ends)."""
    h = np.uint64(0)
    while i < n and (
        kind_of(chars[i], kind) & DIGIT
        or (i + 1 < n and (chars[i] == 46 or chars[i] == 44 or chars[i] == 58) and kind_of(chars[i + 1], kind) & DIGIT)
    ):
        if chars[i] == 46 or chars[i] == 58:
            h = mix(h + np.uint64(chars[i]))
        elif chars[i] != 44:  # 1,000 is 1000
            h = h * np.uint64(10) + np.uint64(chars[i]) - np.uint64(48)
        i += 1
    return h, i


@inner
def word_end(chars, camel, n, i, kind):
    """(where the word that starts here ends, whether it looks like code: snake_case, list.append, getName, h2o)."""
    odd = False
    while i < n:
        c = chars[i]
        inner = i + 1 < n and is_word(chars[i + 1], kind)
        if c == 95 or (c == 46 and inner):
            odd |= inner  # a row of underscores is a gap to fill
        elif c == 39 and inner:  # don't
            pass
        elif is_word(c, kind):
            odd |= camel[i] or (kind_of(c, kind) & DIGIT) != 0
        else:
            break
        i += 1
    return i, odd


@inner
def operator(chars, n, i, code, kind):
    """Whether the sign here is one of a formula: between operands, or in code; a minus only before a number."""
    c = chars[i]
    before, after = neighbour(chars, n, i, -1), neighbour(chars, n, i, 1)
    if c == 45:
        number = (kind_of(after, kind) & DIGIT) != 0
        return number and ((kind_of(before, kind) & DIGIT) != 0 or not (i > 0 and is_word(chars[i - 1], kind)))
    if not (
        c == 43 or c == 42 or c == 47 or c == 94 or c == 61 or c == 60 or c == 62 or c == 37 or c == 124 or c == 38
    ):
        return False  # + * / ^ = < > % | &
    return (
        code
        or ((is_word(before, kind) or before == 41) and (is_word(after, kind) or after == 40))
        or (i > 0 and c == 43 and is_word(chars[i - 1], kind))
    )


@inner
def break_end(chars, n, i):
    """Where a line break in HTML that starts here ends (br or p in angle brackets); i for anything else."""
    at = i + 2 if i + 1 < n and chars[i + 1] == 47 else i + 1
    if at + 1 < n and chars[at] == 98 and chars[at + 1] == 114:
        at += 2
    elif at < n and chars[at] == 112:
        at += 1
    else:
        return i
    while at < n and (chars[at] == 32 or chars[at] == 47):
        at += 1
    return at + 1 if at < n and chars[at] == 62 else i


@inner
def body_start(chars, n, kind):
    """Where a text begins behind the number that a list gave it: 12. or (3) or 7、 before a word, not before a number.
    Line breaks in HTML become spaces."""
    for at in range(n):
        if chars[at] == 60:
            chars[at : break_end(chars, n, at)] = 32
    i = 1 if n and chars[0] == 40 else 0
    start = i
    while i < n and i - start < 3 and kind_of(chars[i], kind) & DIGIT:
        i += 1
    if (
        i == start
        or i >= n
        or not (chars[i] == 46 or chars[i] == 41 or chars[i] == 0x3001 or chars[i] == 58 or chars[i] == 44)
    ):
        return 0
    after = neighbour(chars, n, i, 1)
    if chars[i] == 44 and not kind_of(after, kind) & WIDE:  # 、 is folded to a comma
        return 0
    return i + 1 if kind_of(after, kind) & WORD and not kind_of(after, kind) & DIGIT else 0


@inner
def wide_meaning(chars, n, i, t_longest, words, meaning):
    """(meaning of the longest listed word of an unspaced script that starts here, its characters); (0, 1) for none."""
    best, best_length, h = np.uint64(0), 1, np.uint64(0)
    longest = t_longest[chars[i]] if chars[i] < len(t_longest) else 0
    for length in range(1, min(np.int64(longest), n - i) + 1):
        h = h * BASE + np.uint64(chars[i + length - 1]) + np.uint64(1)
        m = meaning_of(mix(h), words, meaning)
        if m:
            best, best_length = m, length
    return best, best_length


@inner
def contrast_key(chars, camel, n, t, words_count, tokens):
    """(contrast key, hash of the bag of tokens, number of tokens) of a folded text; neither hash is ever 0. The tokens
    are written to `tokens`, in the order of the text; only those of listed words are in the bag unless `words_count`.
    `chars` may change."""
    # Taken out of the tuple once: handed down call by call it costs a count of references each.
    kind, longest, words, meaning = t.kind, t.longest, t.words, t.meaning
    in_order, bag, held = np.uint64(0), np.uint64(0), np.uint64(0)
    code, count, i = False, 0, body_start(chars, n, kind)
    while i < n:
        c = chars[i]
        k = kind_of(c, kind)
        m, token = np.uint64(0), np.uint64(0)
        if k & DIGIT:
            h, i = read_number(chars, n, i, kind)
            in_order = mix(in_order * BASE + h)
            continue
        if k & WIDE:
            m, length = wide_meaning(chars, n, i, longest, words, meaning)
            if m == 0 and k & WORD and not untold(c):
                token = (mix(np.uint64(c)) >> np.uint64(10)) | OWN
            i += length
        elif k & WORD:
            start = i
            i, odd = word_end(chars, camel, n, i, kind)
            if i == start + 1 and i + 1 < n and chars[i] == 45 and is_word(chars[i + 1], kind):
                chars[i], start = chars[start], i  # e-mail is email
                i, odd = word_end(chars, camel, n, i, kind)
            h = mix(run_hash(chars, start, i))
            m = meaning_of(h, words, meaning)
            if i - start > 3 and chars[i - 1] == 116 and chars[i - 2] == 39 and chars[i - 3] == 110:  # n't
                m = np.uint64(NEGATION)
            # A single letter is a label or a variable: vitamin D, option C, let x be.
            if (odd or code or (m == 0 and i == start + 1)) and m < STRONG:
                bag += mix(h)
                continue
            if m == 0 and not untold(c):
                token = word_token(chars, start, i)
                m = meaning_of(token, words, meaning)
        else:
            if c == 96:
                code = not code
            elif (c == 40 or c == 35 or c == 91) and i and is_word(chars[i - 1], kind):  # print(, c#, a[
                bag += mix(np.uint64(c))
            elif operator(chars, n, i, code, kind):
                in_order = mix(in_order * BASE + np.uint64(c))
            i += 1
            continue
        if m >= NUMBER:
            in_order = mix(in_order * BASE + m - NUMBER)
        elif m >= STRONG:
            bag += mix(m)
        elif m != NEUTRAL:
            token = m if m else token
        if token:
            tokens[count] = token
            if words_count or token < LISTED:
                held += mix(token)
            count += 1
    return mix(in_order + mix(bag)) | np.uint64(1), mix(held) | np.uint64(1), count


@inner
def contrasting(one, other, x, x_start, x_end, y, y_start, y_end, words):
    """Whether two texts are different tasks: by their contrast keys (0: nothing contrasts), where each has a token that
    the other lacks, or where one has more than ADDED tokens more. x[x_start:x_end] and y[y_start:y_end] are their
    tokens, sorted. Without `words` only words listed as contrasting count: two alternatives of one set."""
    if one == 0 or other == 0:
        return False
    if one != other:
        return True
    if not words:
        return opposed(x, x_start, x_end, y, y_start, y_end)
    mine, yours = lacking(x, x_start, x_end, y, y_start, y_end, ADDED)
    return (mine > 0 and yours > 0) or mine + yours > ADDED


@inner
def lacking(x, i, x_end, y, j, y_end, most):
    """How many tokens of each of two sorted runs the other lacks, counted until they are more than `most` together."""
    mine, yours = 0, 0
    while (i < x_end or j < y_end) and mine + yours <= most:
        if j == y_end or (i < x_end and x[i] < y[j]):
            mine += 1
            i += 1
        elif i == x_end or y[j] < x[i]:
            yours += 1
            j += 1
        else:
            i += 1
            j += 1
    return mine, yours


@inner
def one_each(x, x_start, x_end, y, y_start, y_end):
    """Whether each of two sorted runs has a token that the other lacks, and no other."""
    mine, yours = lacking(x, x_start, x_end, y, y_start, y_end, 2)
    return mine == 1 and yours == 1


@inner
def opposed(x, x_start, x_end, y, y_start, y_end):
    """Whether of one set of alternatives each text holds one that the other lacks."""
    for i in range(x_start, x_end):
        if x[i] >= LISTED:
            break
        if holds(y, y_start, y_end, x[i]):
            continue
        for j in range(y_start, y_end):
            if y[j] >= LISTED:
                break
            if y[j] // np.uint64(SET) == x[i] // np.uint64(SET) and not holds(x, x_start, x_end, y[j]):
                return True
    return False


@inner
def holds(values, start, end, x):
    for i in range(start, end):  # noqa: SIM110 - numba compiles no generator
        if values[i] == x:
            return True
    return False
