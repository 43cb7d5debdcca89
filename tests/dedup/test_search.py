"""dedup(): recall and precision against all pairs, templates, memory, bad input, the result object."""

import json
import resource
import time
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from datasketch import MinHash, MinHashLSH
from hypothesis import given, settings
from hypothesis import strategies as st

from instdata.steps.dedup import Index, band_join, dedup, near, search, signatures, to_datasketch
from instdata.steps.dedup.character_tables import prepare
from instdata.steps.dedup.compared_texts import Texts
from instdata.steps.dedup.minhash import Sketch, ngram_sets, scheme
from instdata.util.errors import BuildError, InputError

from .reference import all_pairs, jaccard, ngram_set


@pytest.fixture(scope="module")
def planted(request):
    """Real texts, and copies of some with a share of their characters overwritten: every similarity from 0.4 to 1."""
    realdata = request.getfixturevalue("realdata")
    english = [
        r["instruction"] + "\n" + r["output"] for r in json.loads((realdata / "alpaca_en_52k.json").read_text())[:1500]
    ]
    lines = (realdata / "alpaca_zh" / "human_checked_9251.jsonl").read_text("utf-8").splitlines()[:700]
    chinese = [(r := json.loads(line))["instruction"] + "\n" + r["output"] for line in lines]
    random = np.random.default_rng(7)
    texts = [t[:600] for t in english + chinese if len(t) > 60]
    for text in random.permutation(texts)[:1800].tolist():
        chars = list(text)
        at = int(random.integers(0, len(chars)))
        for i in range(at, min(len(chars), at + int(len(chars) * random.uniform(0, 0.35)))):
            chars[i] = chars[int(random.integers(0, len(chars)))]
        texts.append("".join(chars))
    return [texts[i] for i in random.permutation(len(texts))]


@pytest.fixture(scope="module")
def truth_from_half(planted):
    return all_pairs(planted, 0.5)


def contrast(texts, pair):
    """Whether the guard keeps this pair."""
    return not len(dedup([texts[i] for i in pair], 0.5).dropped)


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.7, 0.8, 0.9])
def test_recall_and_precision_against_all_pairs(planted, truth_from_half, threshold):
    truth = {pair: s for pair, s in truth_from_half.items() if s >= threshold}
    found = dedup(planted, threshold, contrast=False)
    later = np.repeat(np.arange(len(planted)), np.diff(found.at))
    pairs = {(int(a), int(b)): s for a, b, s in zip(found.earlier, later, found.similarity) if s >= threshold}
    copies = {(int(a), int(b)) for b, a in enumerate(found.copy_of) if a >= 0}
    assert len(truth) > 200
    assert all(truth.get(pair) == similarity for pair, similarity in pairs.items()), (
        "precision 1.0, and exact similarities"
    )
    # A copy of a row stands for all pairs of that row.
    missed = [p for p in truth if p not in pairs and p not in copies and not any(found.copy_of[i] >= 0 for i in p)]
    assert len(missed) <= 0.03 * len(truth)


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9])
def test_what_is_dropped_is_near_to_a_row_that_stays(planted, truth_from_half, threshold):
    """And what stays is near to none that stays, but for the pairs that the contrast guard or the search lets
    through."""
    found = dedup(planted, threshold)
    kept = set(found.kept.tolist())
    for dropped, to, similarity in zip(*found.pairs.to_pydict().values()):
        assert to in kept and dropped not in kept
        assert jaccard(ngram_set(planted[dropped]), ngram_set(planted[to])) == similarity >= threshold
    assert sorted([*found.kept, *found.dropped]) == list(range(len(planted)))
    left = [p for p, s in truth_from_half.items() if s >= threshold and kept.issuperset(p)]
    missed = [p for p in left if not contrast(planted, p)]
    assert len(missed) <= 0.03 * len(found.dropped)


def test_no_chaining():
    a = "alpha bravo charlie delta echo foxtrot golf hotel"
    b = a + " india juliet"
    c = b + " kilo lima"
    assert (
        jaccard(ngram_set(a), ngram_set(c))
        < 0.7
        <= min(jaccard(ngram_set(a), ngram_set(b)), jaccard(ngram_set(b), ngram_set(c)))
    )
    assert dedup([a, b, c]).kept.tolist() == [0, 2]
    assert dedup([b, a, c]).kept.tolist() == [0]


def words(random, n):
    return ["".join(map(chr, 97 + random.integers(0, 26, k))) for k in random.integers(8, 12, n)]


def templates(n):
    random = np.random.default_rng(n)
    w = words(random, 3 * n)
    numbers = random.permutation(10 * n)[: 2 * n]
    yield [
        f"Translate the word '{w[3 * i]}' into French and use it in one sentence about {w[3 * i + 1]} and "
        f"{w[3 * i + 2]}."
        for i in range(n)
    ]
    yield [
        f"What is {numbers[2 * i]} plus {numbers[2 * i + 1]}? Please show all the steps of your calculation."
        for i in range(n)
    ]


@pytest.mark.parametrize("which", [0, 1])
def test_templates_stay_and_take_near_linear_time(which):
    seconds = {}
    for n in (5_000, 10_000):
        texts = list(templates(n))[which]
        runs = []
        for _ in range(2):
            start = time.perf_counter()
            found = dedup(texts + texts[:50])
            runs.append(time.perf_counter() - start)
        seconds[n] = min(runs)
        assert found.dropped.tolist() == list(range(n, n + 50)) or n - len(set(texts)) > 0
        assert found.pairs["similarity"].to_pylist() == [1.0] * 50
    assert seconds[10_000] < 3.5 * seconds[5_000] + 0.5


def test_a_long_template_with_one_slot_stays_and_a_copy_goes():
    random = np.random.default_rng(1)
    frame = (
        "You answer for a shop that sells shoes. A customer named {} writes that the parcel did not arrive in time "
        "and asks for help. " * 2
    )
    frame += (
        "Write an answer that is friendly and short, explains where the parcel may be, and says what we will do "
        "about it today or tomorrow."
    )
    texts = [frame.format(a, b) for a, b in np.array(words(random, 4000)).reshape(-1, 2)]
    found = dedup([*texts, texts[1000] + " Thank you so much"])
    assert [(p["dropped"], p["kept"]) for p in found.pairs.to_pylist()] == [(2000, 1000)]
    plain = dedup([*texts, texts[1000] + " Thank you so much"], contrast=False)
    assert len(plain.kept) == 1, "by Jaccard alone all are one"
    high = plain.rethreshold(0.93)
    assert high.pairs.to_pylist()[-1]["dropped"] == 2000 and high.pairs.to_pylist()[-1]["kept"] == 1000


def test_identical_rows():
    found = dedup(pa.array(["The same text, again and again and again"] * 1_000_000))
    assert found.kept.tolist() == [0] and len(found.dropped) == 999_999


def test_dense_join_agrees_with_comparing_all_pairs(planted, monkeypatch):
    wanted = dedup(planted, contrast=False)
    monkeypatch.setattr(band_join, "SMALL", 1)
    got = dedup(planted, contrast=False)
    pairs = [{(a, b) for a, b, _ in zip(*f.pairs.to_pydict().values())} for f in (wanted, got)]
    assert len(pairs[0] - pairs[1]) <= 0.02 * len(pairs[0])
    assert set(got.similarity.tolist()) >= set(wanted.similarity.tolist()) - {1.0} or len(got.earlier) >= 0.98 * len(
        wanted.earlier
    )


def same(one, other):
    return (
        one.pairs.equals(other.pairs)
        and one.earlier.tolist() == other.earlier.tolist()
        and one.similarity.tolist() == other.similarity.tolist()
    )


def test_results_do_not_depend_on_memory_threads_or_chunks(planted, monkeypatch, tmp_path):
    from instdata.steps.dedup.api import find_in, sketch_all
    from instdata.steps.dedup.minhash import slices

    wanted = dedup(planted)
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    assert same(wanted, dedup(planted))
    for part in (700, 10):  # keys sorted in 8 parts, and in 512
        monkeypatch.setattr(band_join, "PART", part)
        assert same(wanted, dedup(planted))
    monkeypatch.setenv("NUMBA_NUM_THREADS", "5")
    assert same(wanted, dedup(pa.chunked_array([pa.array(planted[:7]), pa.array(planted[7:])])))
    s = scheme()
    sketched = sketch_all(slices(planted), len(planted), s, 1 << 16, folder=tmp_path)
    assert isinstance(sketched.sketch.keys, np.memmap) and sketched.texts._file is not None
    assert same(wanted, find_in(sketched, s, np.arange(len(planted)), 0.7, 0.7, "minhash"))


def test_temporary_files_have_no_name_and_a_full_disk_is_an_error(tmp_path):
    from instdata.steps.dedup.api import sketch_all
    from instdata.steps.dedup.minhash import slices

    texts = [f"{i} {'some words of a text that fills the disk ' * 9}" for i in range(3000)]

    def spill(memory):
        return sketch_all(slices(texts), len(texts), scheme(), memory, folder=tmp_path)

    sketched = spill(1 << 16)
    assert sketched.texts._file is not None and not list(tmp_path.iterdir()), "a crash leaves nothing behind"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for memory in (1 << 16, 4 * sketched.sketch.keys.nbytes):  # the keys do not fit; the texts do not
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, hard))
        try:
            with pytest.raises(BuildError, match=r"cannot be written: .*raise max_memory"):
                spill(memory)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with pytest.raises(BuildError, match="No such file"):
        sketch_all(slices(texts), len(texts), scheme(), 1 << 16, folder=tmp_path / "gone")


def test_priority():
    texts = ["Write a poem about the sea", "write a poem about the sea.", "Write a poem about the sea!"]
    assert dedup(texts, priority=np.array([2, 0, 1])).kept.tolist() == [2]


def test_result_object():
    base = "The quick brown fox jumps over the lazy dog near the river bank at dawn"
    found = dedup([base, base + " today", base + " and then it sleeps", "something else entirely, unrelated"], 0.7)
    assert found.kept.tolist() == [0, 3]
    assert found.rethreshold(0.9).kept.tolist() == [0, 2, 3]
    assert found.rethreshold(0.9).rethreshold(0.7).kept.tolist() == [0, 3]
    assert found.least_similar_dropped(1)["dropped"].to_pylist() == [2]
    with pytest.raises(InputError, match=r"searched from similarity 0\.7"):
        found.rethreshold(0.6)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=30)), max_size=30),
    st.sampled_from([0.3, 0.7, 1.0]),
    st.sampled_from(["minhash", "exact"]),
)
def test_anything_goes(texts, threshold, method):
    found = dedup(texts, threshold, method=method)
    kept = set(found.kept.tolist())
    assert all(i in kept for i, t in enumerate(texts) if t is None)
    seen = {}
    for i, t in enumerate(texts):
        if t is not None and seen.setdefault(t, i) != i:
            assert i not in kept, "an exact copy always goes"


@pytest.mark.parametrize(
    "texts", [[], [""], ["", ""], ["a"], ["a", "a", "b"], ["😀", "🎉", "😀"], [" ", "\n"], [None, None]]
)
def test_small_inputs(texts):
    found = dedup(texts)
    distinct = len({t.strip() for t in texts if t is not None}) + texts.count(None)
    assert len(found.kept) == distinct


def test_huge_rows():
    random = np.random.default_rng(0)
    huge = random.integers(97, 123, 20_000_000).astype(np.uint8).tobytes().decode()
    found = dedup([huge, "small", huge[:-500].upper() + " with another end"])
    assert found.kept.tolist() == [0, 1]


@pytest.mark.parametrize(
    "options", [{"threshold": 0}, {"threshold": 1.5}, {"num_perm": 1}, {"ngram": 0}, {"max_memory": "lots"}]
)
def test_impossible_options_are_clear_errors(options):
    with pytest.raises(InputError):
        dedup(["a", "b"], **options)


def test_threshold_one_and_few_hashes():
    assert dedup(["aaaa bbbb cccc dddd eeee", "aaaa bbbb cccc dddd eeee ffff"], 1.0).kept.tolist() == [0, 1]
    assert dedup(["Write a poem about the sea", "Write a poem about the sea today"], 0.7, num_perm=4).kept.tolist() == [
        0
    ]


def test_signatures_equal_datasketch():
    texts = ["The quick brown fox jumps over the lazy dog", "你好世界，今天的天气真不错，我们去公园", "short", ""]
    data, offsets = prepare(pa.array(texts))
    sets = ngram_sets(data, offsets, scheme(1.0))
    ours = signatures(texts)
    for i in range(len(texts)):
        oracle = MinHash(num_perm=128, scheme="affine32", hashfunc=int)
        for gram in sets.values[sets.at[i] : sets.at[i] + sets.sizes[i]]:
            oracle.update(int(gram >> np.uint64(23)))
        assert ours[i].tolist() == oracle.hashvalues.tolist()


def test_to_datasketch_feeds_its_lsh():
    base = "The quick brown fox jumps over the lazy dog near the river bank at dawn"
    first, second, third = to_datasketch([base, base + " today", "Nothing of the sort is written in this sentence"])
    lsh = MinHashLSH(threshold=0.7, num_perm=128)
    lsh.insert("first", first)
    assert lsh.query(second) == ["first"] and lsh.query(third) == []
    assert abs(first.jaccard(second) - jaccard(ngram_set(base), ngram_set(base + " today"))) < 0.15


def test_near_and_index_agree_with_brute_force(planted, truth_from_half):
    one, other = planted[:700], planted[700:]
    truth = {
        (i, j - 700)
        for (i, j), s in truth_from_half.items()
        if i < 700 <= j and s >= 0.7 and not contrast(planted, (i, j))
    }
    both = [{(int(q), int(i)) for q, i in zip(*near(a, b)[:2])} for a, b in ((one, other), (other, one))]
    assert both[0] == {(b, a) for a, b in both[1]}
    assert both[0] <= truth and len(truth - both[0]) <= 0.03 * len(truth)


def test_index_grows(monkeypatch):
    monkeypatch.setattr("instdata.steps.dedup.band_buckets.START", 8)
    random = np.random.default_rng(3)
    index, texts = Index(), []
    for _ in range(12):
        batch = [" ".join(words(random, 12)) for _ in range(5)]
        index.add(batch)
        texts += batch
        best, similarity = index.query([t + " more" for t in batch] + ["nothing is like this text at all"])
        assert (
            best.tolist() == [*range(len(texts) - 5, len(texts)), -1]
            and similarity[-1] == 0
            and similarity[:-1].min() > 0.8
        )
    assert len(index) == len(texts) == 60
    index.add([None])
    assert index.query([None, texts[0]])[0].tolist() == [-1, 0]


@given(st.lists(st.integers(0, 2**32 - 1) | st.sampled_from([0, 2**32 - 1, 7])), st.integers(1, 20))
def test_equal_values_are_in_one_part(values, part):
    values, was = np.array(values, np.uint32), band_join.PART
    try:
        band_join.PART = part
        parts = list(band_join.by_prefix(values))
    finally:
        band_join.PART = was
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(values)))
    held = [set(values[at].tolist()) for at in parts]
    assert sum(map(len, held)) == len(set(values.tolist()))


def test_a_misspelt_word_is_no_word_of_its_own_where_the_corpus_says_so():
    """A slip of a word that many rows hold goes; another word, a name and a word of a small corpus stay."""
    many = [f"Please describe the {w} winter over the mountains near town number {i}" for i, w in enumerate("ab" * 30)]
    task = "Tell me how the farmers over there predict the winter before harvest time comes"
    for slip in ("witer", "wintter", "wniter", "wintwr"):
        assert len(dedup([*many, task, task.replace("winter", slip)]).dropped) == 1, slip
        assert not len(dedup([task, task.replace("winter", slip)]).dropped), "too few rows to say which words there are"
    for other in ("winner", "wander", "Witer", "whiter", "weather"):
        assert not len(dedup([*many, task, task.replace("winter", other)]).dropped), other


def test_listed_real_words_are_no_slips_of_each_other():
    many = [f"Please describe the {w} country over the mountains near town number {i}" for i, w in enumerate("ab" * 30)]
    task = "Which is the largest country that a traveller from the north can reach on foot within a week"
    assert not len(dedup([*many, task, task.replace("country", "county")]).dropped)


def test_a_search_holds_few_bytes_of_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not clocked: what is allocated at most while rows without a copy are searched, beside their sketches."""
    rows, s = 300_000, scheme(0.7)
    random = np.random.default_rng(0)
    whole, bits = (random.integers(0, 1 << 63, (rows, 2)).astype(np.uint64) for _ in range(2))
    sketch = Sketch(random.integers(0, 1 << 32, (s.bands, rows), dtype=np.uint32), whole, bits)
    monkeypatch.setattr(band_join, "PART", 1 << 12)  # what a part of the keys takes does not grow with the rows
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    order = np.arange(rows)[::-1].copy()
    search.search(Texts(0), sketch, s, order[:10], 0.7)  # imports and compiles
    tracemalloc.start()
    try:
        found = search.search(Texts(0), sketch, s, order, 0.7)
        most = tracemalloc.get_traced_memory()[1] / rows
    finally:
        tracemalloc.stop()
    assert not len(found.later) and (found.copy_of == -1).all()
    assert most < 30
