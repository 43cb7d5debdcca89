"""Near copies by meaning: the embedded model, a model folder, and the index for many rows."""

import shutil

import numpy as np
import pyarrow as pa
import pytest

from instdata.steps.dedup import dedup, semantic
from instdata.steps.dedup.step import Dedup
from instdata.util.build_context import Context
from instdata.util.errors import InputError

from .test_step import rows, run


def test_semantic(tmp_path):
    pytest.importorskip("wordllama", reason="wordllama is not installed: pip install 'instdata[embed]'")
    asked = [
        "How do I bake bread?",
        "What is the way to bake bread at home?",
        "How do I fix a bike?",
        "list the even numbers",
        "list the odd numbers",
        "How do I bake bread",
    ]
    given = rows([(a, "x") for a in asked])
    given.context = Context(cache=tmp_path)
    scored, verdicts = run(Dedup(method="semantic", threshold=0.85), given)
    assert verdicts.reason.to_pylist() == [None, "near_duplicate", None, None, None, "near_duplicate"]
    kept = list((tmp_path / "embeddings").glob("*.npy"))
    assert len(kept) == 1
    before = kept[0].stat().st_mtime_ns
    assert pa.table(dict(Dedup(method="semantic", threshold=0.86).resolve(given.context).score(given))).equals(scored)
    assert kept[0].stat().st_mtime_ns == before, "embeddings are computed once"
    whole, said = kept[0].read_bytes(), list[str]()
    given.context = Context(cache=tmp_path, say=said.append)
    for damaged in (whole[:-3], whole[:-1] + bytes([whole[-1] ^ 64])):
        kept[0].write_bytes(damaged)
        again = dict(Dedup(method="semantic", threshold=0.85).resolve(given.context).score(given))
        assert pa.table(again).equals(scored) and kept[0].read_bytes() == whole
    assert said == ["cached embeddings are damaged; they are computed again"] * 2


def test_semantic_at_scale_agrees_with_faiss(monkeypatch):
    pytest.importorskip("faiss", reason="faiss is not installed: pip install 'instdata[embed]'")
    vectors = clustered(3000, 32, 0.2)
    none = np.zeros(3000, np.uint64), np.zeros(0, np.uint64), np.zeros(3001, np.int64)
    exact, ann = (f(vectors, none, 0.9) for f in (semantic._exact, semantic._faiss))
    truth, found = ({(int(a), int(b)) for a, b in zip(*r[:2])} for r in (exact, ann))
    assert found <= truth and len(found) > 0.95 * len(truth) > 1000


def clustered(n, size, spread, seed=0):
    """Unit vectors, the second half each near to one of the first."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(n, size)).astype(np.float32)
    vectors[n // 2 :] = vectors[: n // 2] + random.normal(size=(n // 2, size)).astype(np.float32) * spread
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_beyond_exact_rows_faiss_answers_and_threads_do_not_matter(monkeypatch):
    faiss = pytest.importorskip("faiss", reason="faiss is not installed: pip install 'instdata[embed]'")
    pytest.importorskip("wordllama", reason="wordllama is not installed: pip install 'instdata[embed]'")
    random = np.random.default_rng(5)
    words = ["".join(map(chr, 97 + random.integers(0, 26, 7))) for _ in range(300)]
    texts = [" ".join(random.choice(words, 14)) for _ in range(1500)]
    texts += [" ".join([*t.split()[1:], "again"]) for t in texts[:500]]
    exact = dedup(texts, 0.9, method="semantic")
    monkeypatch.setattr(semantic, "EXACT", 1000)
    threads, found = faiss.omp_get_max_threads(), []
    for n in (1, 2):
        faiss.omp_set_num_threads(n)
        found.append(dedup(texts, 0.9, method="semantic"))
    faiss.omp_set_num_threads(threads)
    assert found[0].pairs.equals(found[1].pairs)
    assert len(exact.dropped) > 300
    assert len(set(exact.dropped) - set(found[0].dropped)) <= 0.05 * len(exact.dropped)
    assert not set(found[0].dropped) - set(exact.dropped)


@pytest.mark.slow
def test_more_rows_than_are_compared_exactly():
    """The whole way at its real size: 200,000 rows and some."""
    pytest.importorskip("faiss", reason="faiss is not installed: pip install 'instdata[embed]'")
    n = semantic.EXACT + 1000
    vectors = clustered(n, 32, 0.02)
    none = np.zeros(n, np.uint64), np.zeros(0, np.uint64), np.zeros(n + 1, np.int64)
    later, earlier, similarity = semantic._faiss(vectors, none, 0.95)
    true = np.einsum("ij,ij->i", vectors[later], vectors[earlier])
    assert np.allclose(true, similarity, atol=2e-5) and similarity.min() >= 0.95 and (earlier < later).all()
    planted = np.einsum("ij,ij->i", vectors[n // 2 :], vectors[: n // 2]) >= 0.9501
    assert (
        len(np.intersect1d(later[earlier == later - n // 2], n // 2 + np.flatnonzero(planted))) > 0.97 * planted.sum()
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a tiny sentence-transformers model with random weights."""
    st = pytest.importorskip(
        "sentence_transformers", reason="sentence-transformers is not installed: pip install 'instdata[embed]'"
    )
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("bert")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, **sizes)).save_pretrained(folder)
    st.SentenceTransformer(str(folder), device="cpu").save(str(folder / "model"))  # mean pooling, as it says
    return folder / "model"


WORDS = [
    "bake",
    "bread",
    "bike",
    "bird",
    "blue",
    "boat",
    "book",
    "cold",
    "dance",
    "fish",
    "garden",
    "green",
    "house",
    "list",
    "moon",
    "music",
    "odd",
    "even",
    "paint",
    "river",
    "ship",
    "sing",
    "snow",
    "sun",
    "tree",
    "walk",
    "wind",
    "write",
]


def test_a_model_folder(model, tmp_path):
    from sentence_transformers import SentenceTransformer

    random = np.random.default_rng(1)
    texts = [" ".join(random.choice(WORDS, 9)) for _ in range(60)]
    texts += [" ".join([*t.split()[1:], t.split()[0]]) for t in texts[:20]]
    vectors = SentenceTransformer(str(model), device="cpu").encode(texts, normalize_embeddings=True)
    similarity = vectors @ vectors.T
    threshold = float(np.round(np.quantile(similarity[np.triu_indices(80, 1)], 0.97), 3))
    found = dedup(texts, threshold, method="semantic", model=str(model), contrast=False)
    pairs = {(int(a), int(b)): s for a, b, s in zip(*found.pairs.to_pydict().values())}
    assert len(pairs) > 10
    assert all(abs(similarity[a, b] - s) < 2e-3 and s >= threshold for (a, b), s in pairs.items() if s < 1)
    kept = found.kept
    left = np.triu(similarity[np.ix_(kept, kept)], 1)
    assert left.max() < threshold + 2e-3, "what stays is like nothing that stays"

    given = rows([(t, "x") for t in texts])
    given.context = Context(cache=tmp_path)
    step = Dedup(method="semantic", model=str(model), threshold=threshold)
    assert step.check(given.context) == []
    _, verdicts = run(step, given)
    assert {"near_duplicate"} == set(verdicts.reason.drop_null().to_pylist())
    assert len(list((tmp_path / "embeddings").glob("*.npy"))) == 1


def test_a_model_folder_is_known_by_what_it_holds(model, tmp_path):
    shutil.copytree(model, tmp_path / "models" / "mine")
    context = Context(base=tmp_path)
    step = Dedup(method="semantic", model="models/mine").resolve(context)
    assert step.check(context) == []
    before = step.scoring(context)
    shutil.move(tmp_path / "models", tmp_path / "elsewhere")
    assert Dedup(method="semantic", model="elsewhere/mine").resolve(context).scoring(context) == before
    (tmp_path / "elsewhere" / "mine" / "README.md").write_text("another model")
    assert Dedup(method="semantic", model="elsewhere/mine").resolve(context).scoring(context) != before
    assert "no such folder" in Dedup(method="semantic", model="./models/mine").resolve(context).check(context)[0]


def test_a_model_that_cannot_be_loaded(model):
    with pytest.raises(InputError, match=r"cannot be loaded: .*Give a folder, or model: auto"):
        dedup(["a", "b"], method="semantic", model=str(model / "nothing-here"))
