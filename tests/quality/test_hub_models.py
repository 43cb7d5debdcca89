"""A model of the Hub is known by its commit: in keys, in the resolved recipe, and in what is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from instdata.llm import hub_revisions
from instdata.llm.causal_models import digest_of
from instdata.steps.dedup.step import Dedup
from instdata.steps.quality import perplexity_and_ifd
from instdata.steps.quality.step import Quality
from instdata.steps.select.step import Select
from instdata.util.build_context import Context
from instdata.util.errors import InputError
from tests.hub_repos import Blob
from tests.hub_server import Hub
from tests.publish.conftest import hub  # noqa: F401  (a fixture)
from tests.quality.test_scorers import tiny  # noqa: F401  (a fixture)


@pytest.fixture(autouse=True)
def fresh_process():
    hub_revisions._commit.cache_clear()
    yield
    hub_revisions._commit.cache_clear()


def steps():
    return (
        Quality(model={"path": "me/small"}, max={"ifd": 1}),
        Select(method="ifd", model="me/small", keep="10%"),
        Select(method="embed", model="me/small", keep="10%", query="q.jsonl"),
        Dedup(method="semantic", model="me/small"),
    )


def test_a_push_is_another_key(hub: Hub, tmp_path: Path) -> None:  # noqa: F811
    pytest.importorskip("huggingface_hub")
    (tmp_path / "q.jsonl").write_text('{"question": "Which hill is the highest here?", "answer": "Ben Nevis"}\n')
    repo, context = hub.add("me/small", {"config.json": b"{}"}, kind="models"), Context(base=tmp_path)
    first = repo.commits[-1].sha
    before = [s.scoring(context) for s in steps()]
    resolved = [s.resolve(context) for s in steps()]
    assert [s.model.path if isinstance(s, Quality) else s.model for s in resolved] == [f"me/small@{first}"] * 4
    repo.commit("other weights", {"config.json": Blob(b'{"a": 1}', False)})
    assert [s.scoring(context) for s in steps()] == before  # one process sees one commit
    hub_revisions._commit.cache_clear()
    after = [s.scoring(context) for s in steps()]
    assert all(a != b for a, b in zip(before, after, strict=True))
    assert digest_of("me/small") == ("small", f"me/small@{repo.commits[-1].sha}")
    asked = len(hub.requests)
    assert [s.resolve(context) for s in resolved] == resolved
    assert len(hub.requests) == asked  # what is pinned is not asked for again
    assert (
        perplexity_and_ifd.digest(perplexity_and_ifd.CausalModel(path=f"me/small@{first}"), context)
        == f"me/small@{first}"
    )


def test_weights_of_the_commit_are_loaded(hub: Hub, tiny: Path, tmp_path: Path) -> None:  # noqa: F811
    files = {p.name: p.read_bytes() for p in tiny.iterdir()}
    repo = hub.add("me/small", files, kind="models")
    first = repo.commits[-1].sha
    repo.commit("broken", {"config.json": Blob(b"{}", False)})
    tokenizer, net = perplexity_and_ifd.load(f"me/small@{first}", "float32")
    assert net.config.hidden_size == 32
    assert tokenizer.bos_token == "<s>"
    hub.close()  # offline: what lies in the client's cache
    assert hub_revisions.pinned(f"me/small@{first}") == f"me/small@{first}"


def test_without_a_hub_one_line_says_so(hub: Hub) -> None:  # noqa: F811
    with pytest.raises(InputError, match="model: no/such: .*Or give a folder"):
        hub_revisions.pinned("no/such")
    repo = hub.add("me/kept", {"config.json": b"{}"}, kind="models")
    from huggingface_hub import hf_hub_download

    hf_hub_download("me/kept", "config.json")
    hub.close()
    assert hub_revisions.pinned("me/kept") == f"me/kept@{repo.commits[-1].sha}"


def test_a_registered_model_is_known_by_its_bytes() -> None:
    found = perplexity_and_ifd.digest(perplexity_and_ifd.CausalModel(path="local:smollm2-135m-instruct"), Context())
    assert found.endswith("b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")
