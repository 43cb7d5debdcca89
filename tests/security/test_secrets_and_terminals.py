"""Secrets in recipes and artefacts, commands in text for terminals, folders that are not what they seem."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from instdata.builds import manifest
from instdata.corpus.write_build_folder import locked
from instdata.recipe.load import read_recipe
from instdata.util import kernels
from instdata.util.atomic import write_text
from instdata.util.errors import InputError
from instdata.util.paths import cache_folder, expanded
from instdata.util.redaction import redact, secret_in
from instdata.util.safe_text import bounded, plain
from instdata.util.secrets import named_secret, secret_address

NAMES = ["GH_PAT", "DB_PASS", "DATABASE_URL", "BEARER", "HF_TOKEN", "APIKEY", "MY_APIKEY", "REDIS_URL",
    "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "SLACK_WEBHOOK", "SENTRY_DSN"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_secret_variable_is_refused_by_its_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(InputError, match="looks like a secret"):
        read_recipe({"sources": [{"name": "a", "files": f"${{{name}}}"}]})


@pytest.mark.parametrize(
    "value", ["ghp_" + "a1B2" * 9, "postgres://me:pw@host/db", "9f8Xk2LmQz7RtY4wVb6Nc1Pd", "https://host/?api_key=abc"]
)
def test_a_secret_value_is_refused_whatever_its_name(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERE", value)
    with pytest.raises(InputError, match="looks like a secret"):
        read_recipe({"sources": [{"name": "a", "files": "${WHERE}"}]})


@pytest.mark.parametrize("kind", ["https", "abfs"])
def test_an_address_with_a_password_is_refused(kind: str) -> None:
    with pytest.raises(InputError, match="an address with a user") as told:
        read_recipe({"sources": [{"name": "a", "files": f"{kind}://me:hunter2@host/a.jsonl"}]})
    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize("key", ["api_key", "password", "X-Api-Key", "access_token", "Authorization"])
def test_what_unlocks_an_endpoint_is_refused_in_params(key: str) -> None:
    steps = [{"generate": {"method": "respond", "params": {"extra": {key: "hunter2hunter2"}}}}]
    with pytest.raises(InputError, match="looks like a key or token") as told:
        read_recipe({"name": "a", "sources": [{"name": "a", "path": "a.jsonl"}], "steps": steps})
    assert "hunter2" not in str(told.value)


def test_other_params_are_no_secrets() -> None:
    steps = [{"generate": {"method": "respond", "params": {"stop_token": "<|im_end|>", "max_tokens": 5}}}]
    read = read_recipe({"name": "a", "sources": [{"name": "a", "path": "a.jsonl"}], "steps": steps})
    assert read.steps[0].params["stop_token"] == "<|im_end|>"


def test_secrets_are_redacted_as_json_writes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_PASSWORD", 'pass"wörd\\1')
    for text in (json.dumps('pass"wörd\\1'), json.dumps('pass"wörd\\1', ensure_ascii=False)):
        assert "rd" not in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/a?page=2",
        "data/Belle_2M/Train_part_01.json",
        "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        "a@b.org",
        "abfs://box@account.dfs.core.windows.net/a.jsonl",
    ],
)
def test_ordinary_text_is_no_secret(text: str) -> None:
    assert secret_address(text) is None and not secret_in(text) and redact(text) == text


@pytest.mark.parametrize(
    "text",
    [
        'headers = {"x-rapidapi-key": "9f8Xk2LmQz7RtY4wVb6Nc1Pd"}',
        "API_KEY=9f8Xk2LmQz7RtY4wVb6Nc1Pd python run.py",
        "Authorization: Bearer 9f8Xk2LmQz7RtY4wVb6Nc1Pd",
        "我的密钥：9f8Xk2LmQz7RtY4wVb6Nc1Pd，别告诉别人",
    ],
)
def test_a_random_value_of_something_called_a_key_is_a_secret(text: str) -> None:
    assert named_secret(text) == "9f8Xk2LmQz7RtY4wVb6Nc1Pd"


@pytest.mark.parametrize(
    "text",
    [
        'key = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"',
        "api_key=YOUR_API_KEY_GOES_HERE_123456",
        "the key takeaway-from-this-2020-and-2021-report",
        "token: aaaaaaaaaaaaaaaaaaaaaaaa1111",
        "commit 672ad1ed7e8d71e3e7fd280eb63f263c",
        "https://site.org/?trackingId=fUBazF33DJTXqrb3U8pl6Q",
        "password: must have 8 characters",
    ],
)
def test_stand_ins_and_words_are_no_secrets(text: str) -> None:
    assert named_secret(text) is None


def test_secrets_are_redacted_also_as_base64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "correct-horse-battery")
    coded = [
        base64.b64encode(t.encode()).decode()
        for t in ("correct-horse-battery", "me:correct-horse-battery", "hf_" + "a" * 34)
    ]
    for text in ("correct-horse-battery", "https://me:pw@host/x", *coded):
        assert secret_in(f"say {text} now") and text not in redact(f"say {text} now")


@pytest.mark.parametrize(
    "bad", ["\x1b[31m", "\x1b]0;title\x07", "\u202e", "\u2066", "\x00", "\x9b31m", "\x07", "\x7f", "\ufeff"]
)
def test_nothing_commands_a_terminal(bad: str) -> None:
    assert plain(f"a{bad}b") == "ab"


def test_a_cell_is_bounded() -> None:
    assert len(bounded("x" * 10**6)) < 1100
    assert plain("\ud800") == "\ufffd" and plain("line\n\tnext 中文 \u200d") == "line\n\tnext 中文 \u200d"


def test_files_follow_umask_and_caches_are_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    was = os.umask(0o077)
    try:
        write_text(tmp_path / "f", "x")
    finally:
        os.umask(was)
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("INSTDATA_CACHE", str(tmp_path / "cache"))
    assert cache_folder().stat().st_mode & 0o777 == 0o700
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    assert not kernels._ours(tmp_path / "open") and kernels._ours(tmp_path / "cache")


@pytest.mark.parametrize("name", ["~nouser-here/x", "a\n", "a\0b", "a\ud800"])
def test_names_that_no_file_has(name: str) -> None:
    with pytest.raises(InputError):
        expanded(name)


def test_folders_that_only_look_like_builds(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"recipe_sha256": "x"}')
    with pytest.raises(InputError, match="did not write it"), locked(tmp_path):
        pass
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "data").symlink_to(tmp_path)
    with pytest.raises(InputError, match="a link"), locked(linked):
        pass


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "data/../../x"])
def test_a_manifest_that_names_files_outside(tmp_path: Path, name: str) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"configs": {"full": {"files": [name]}}}))
    with pytest.raises(InputError, match="outside"):
        manifest(tmp_path)
