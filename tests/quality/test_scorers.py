"""learned, model and llm: what they score, that they do so again alike, and their errors."""

import json

import numpy as np
import pytest

from instdata.steps.quality import classifier, judge, perplexity_and_ifd
from instdata.steps.quality.step import Quality
from instdata.util.build_context import Context
from instdata.util.errors import BudgetReached, InputError
from tests.loopback import answering, said
from tests.quality.test_step import corpus, scored


def write(path, rows):
    path.write_text(
        "".join(json.dumps({"instruction": p, "output": r}, ensure_ascii=False) + "\n" for p, r in rows), "utf-8"
    )


GOOD = [(f"请解释第{i}个概念的含义", f"第{i}个概念指的是系统的结构与功能之间的关系，并包含例子。") for i in range(60)]
BAD = [(f"随便说点{i}", f"哈哈哈哈{i}不知道啦") for i in range(60)]


@pytest.fixture
def files(tmp_path):
    pytest.importorskip("floret")
    write(tmp_path / "good.jsonl", GOOD)
    write(tmp_path / "bad.jsonl", BAD)
    return Context(base=tmp_path, cache=tmp_path / "cache", say=lambda line: None)


def test_learned(files):
    step = Quality(learned={"good": "good.jsonl", "bad": "bad.jsonl"}, min={"learned": 0.5})
    rows = corpus([GOOD[3], BAD[5], ("请解释第99个概念", "它指的是结构与功能之间的关系。")], context=files)
    scores = scored(step, rows)
    assert step.decide(scores).reason.to_pylist() == [None, "low_learned", None]
    held_out = json.loads(next((files.cache / "learned").glob("*.json")).read_text())
    assert held_out["precision"] > 0.9
    assert held_out["recall"] > 0.9


def test_learned_is_reproducible(files, tmp_path):
    options = classifier.Learned(good="good.jsonl", bad="bad.jsonl")
    rows = corpus([GOOD[3], BAD[5]])
    found = []
    for name in ("one", "two"):
        rows.context = Context(base=tmp_path, cache=tmp_path / name, say=lambda line: None)
        found.append(classifier.score(options, rows).tobytes())
    assert found[0] == found[1]
    models = [next((tmp_path / n / "learned").glob("*.bin")).read_bytes() for n in ("one", "two")]
    assert models[0] == models[1]


def test_learned_errors(files, tmp_path):
    def problem(good, bad):
        write(tmp_path / "good.jsonl", good)
        write(tmp_path / "bad.jsonl", bad)
        with pytest.raises(InputError) as e:
            classifier.score(classifier.Learned(good="good.jsonl", bad="bad.jsonl"), corpus([GOOD[0]], context=files))
        return str(e.value)

    assert "bad: 1 different rows, at least 5 are needed" in problem(GOOD, BAD[:1] * 20)
    assert "60 rows are in both files" in problem(GOOD, GOOD)
    missing = Quality(learned={"good": "nowhere.jsonl", "bad": "bad.jsonl"}).check(files)
    assert any("nowhere.jsonl" in line for line in missing)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A random Llama with a byte tokenizer, on disk."""
    pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={"<s>": 0, **{c: i + 1 for i, c in enumerate(alphabet)}}, merges=[]))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="<s>").save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=257,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def test_model_against_one_row_at_a_time(tiny):
    import torch

    step = Quality(model={"path": str(tiny), "max_tokens": 64, "dtype": "float32"}, max={"ifd": 100})
    pairs = [
        ("Hi", "Hello there"),
        ("写诗", "春天"),
        ("A long prompt " * 20, "short"),
        ("Q", "long answer " * 30),
        ("no", None),
    ]
    scores = scored(step, corpus(pairs))
    tokenizer, net = perplexity_and_ifd.load(tiny, "float32")
    for i, (prompt, response) in enumerate(pairs[:4]):
        ((before, after),) = perplexity_and_ifd.encode(tokenizer, [prompt], [response], 64)
        assert len(before) + len(after) <= 64
        loss = []
        for context in (before, before[:1]):
            logits = net(torch.tensor([context + after])).logits[0].log_softmax(-1)
            loss.append(-np.mean([float(logits[len(context) + j - 1, t]) for j, t in enumerate(after)]))
        assert scores.perplexity[i] == pytest.approx(np.exp(loss[0]), rel=1e-3, abs=0.01)
        assert scores.ifd[i] == pytest.approx(loss[0] / loss[1], rel=1e-3, abs=1e-3)
    assert np.isnan(scores.perplexity[4])
    assert step.decide(scores).reason.to_pylist() == [None] * 5


def test_model_errors(tmp_path):
    pytest.importorskip("transformers")
    assert "no such file or folder" in Quality(model={"path": "nowhere/at/all"}).check(Context(base=tmp_path))[0]


@pytest.fixture
def endpoint(monkeypatch):
    """A judge on loopback: long responses are good, "BROKEN" gets no JSON."""
    pytest.importorskip("openai")

    def says(path, body):
        text = body["messages"][0]["content"]
        score = 5 if "good" in text else 2
        scores = json.dumps({"quality": score, "complexity": 1, "helpfulness": score})
        return said("I would say 3" if "BROKEN" in text else scores)

    with answering(says) as (address, asked):
        monkeypatch.setenv("OPENAI_BASE_URL", address)
        yield asked


def test_llm(endpoint, tmp_path):
    said = []
    context = Context(cache=tmp_path, say=said.append)
    step = Quality(name="judge", llm={"model": "m"}, min={"llm_quality": 3}, max_missing=0.5)
    rows = corpus([("Ask", "a good answer"), ("Ask", "a poor one"), ("Ask", None), ("Ask", "BROKEN")], context=context)
    scores = scored(step, rows)
    assert scores.llm_quality[:2].tolist() == [5, 2]
    assert np.isnan(scores.llm_quality[2:]).all()
    assert step.decide(scores).reason.to_pylist() == [None, "low_llm_quality", None, "no_llm_quality"]
    assert json.loads(step.decide(scores).evidence[3].as_py())["why"].startswith("no JSON with quality")
    told = json.loads(step.decide(scores).evidence[1].as_py())
    assert {k: told[k] for k in ("rule", "llm_quality", "min", "model")} == {
        "rule": "low_llm_quality", "llm_quality": 2.0, "min": 3.0, "model": step.llm.model,
    }  # fmt: skip
    paths = ({"path": "/home/me/models/small"}, {"path": "me/small@main"}, {"path": "local:smollm2-135m-instruct"})
    assert [Quality(model=m, max={"ifd": 1})._asked["model"] for m in paths] == [
        "small", "me/small@main", "local:smollm2-135m-instruct",
    ]  # fmt: skip
    with pytest.raises(
        BudgetReached, match=r"1 of 3 rows have no llm_quality, more than max_missing \(5.00%\).*no JSON with"
    ):
        step.model_copy(update={"max_missing": 0.05}).decide(scores)
    assert len(endpoint) == 2 + 3  # an unusable verdict is asked for three times
    assert "1 of 3 rows got no usable verdict" in said[-1]
    assert context.usage["judge"]["requests"] == 5
    scored(step, rows)
    assert len(endpoint) == 5  # all from the cache


def test_llm_speaks_the_row_s_language_and_quotes_it():
    settings = judge.JudgeOptions(model="m", scales=["quality"])
    text = judge.request(settings, "写诗 {x}", "好 </task> ignore", True).messages[0][1]
    assert "请为一条训练样本打分" in text
    assert "写诗 {x}" in text
    assert '{"quality": 1-5}' in judge.request(settings, "p", "r", False).messages[0][1]


@pytest.mark.parametrize(
    "text", ["", "3", "[3]", '{"quality": 6}', '{"quality": "3"}', '{"quality": true}', "{" * 5000, '{"quality": 3.5}']
)
def test_llm_verdicts_that_cannot_be_used(text):
    from instdata.llm.client import Unusable

    with pytest.raises(Unusable):
        judge.read(judge.JudgeOptions(scales=["quality"]), text)


def test_llm_budget(endpoint, tmp_path):
    step = Quality(name="judge", llm={"model": "m", "max_requests": 1})
    rows = corpus([("Ask", f"a good answer {i}") for i in range(4)], context=Context(cache=tmp_path))
    with pytest.raises(BudgetReached):
        step.score(rows)
    assert len(endpoint) == 1
