"""Secrets in recipes, in text that is written for others, and in what is pushed. Each line of a list is an attack that
passed before 2026-11-28, or a harmless thing that must go on passing."""

from __future__ import annotations

import base64
import codecs
import gzip
import json
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from instdata.publish.secret_scan import credentials
from instdata.recipe.load import read_recipe
from instdata.recipe.model import json_schema
from instdata.steps import overrides_file, reviews_file
from instdata.steps.filter import Filter
from instdata.util.errors import InputError
from instdata.util.redaction import redact, redacted, secret_in, shown
from instdata.util.secrets import secret_name, secret_value

KEY = "hf_" + "a1B2" * 9
RANDOM = "9f8Xk2LmQz7RtY4wVb6Nc1Pd"  # of no known kind
SLACK = "https://hooks.slack.com/services/T00000000/B00000000/abcdefghijklmnopqrstuvwx"
VARIABLES = [
    ("SLACK_HOOK", "x"), ("MY_HOOK", SLACK), ("TWILIO_SID", "AC" + "0123abcd" * 4), ("USERPASS", "x"), ("SSHKEY", "x"),
    ("MYSQL_CONN", "server=db;user id=sa;pwd=Hunter2!"), ("A_DSN", "x"), ("CACHE_URI", "redis://:secret7@h/0"),
    ("PASSPHRASE", "x"), ("COOKIE", "x"), ("SESSION", "a8f3-77"), ("MY_LOGIN", "hunter2"), ("dbPassword", "x"),
    ("AZURE_STORAGE", "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=" + "abcd1234" * 5),
    ("AWS", "wJalrXUtnFEMI/K7MDENG/bPxRfiCY3u9aTzQ1Lw"), ("BOT", "123456789:AA" + "bcDE" * 8 + "x"), ("JWT", "x"),
    ("ANY", "root:s3cret@tcp(127.0.0.1:3306)/db"), ("ANY", f"Authorization: Bearer {RANDOM}"), ("ANY", "Cookie: sid=a8f3"),
    ("MYPW", "hunter2"), ("DBPW", "x"), ("MY_PSWD", "x"), ("ANY", "https:\\\\me:pw7x@h"),
]  # fmt: skip
ADDRESSES = [
    "//me:pw@host/a.jsonl", "https://host/a.jsonl#token=abc123secret", SLACK, "s3:/me:pw@bucket/x",
    "https://discord.com/api/webhooks/123456789/abcdefGHIJKLMN0123456789_-abc",
    "https://open.feishu.cn/open-apis/bot/v2/hook/12345678-aaaa-bbbb",
    "https://oapi.dingtalk.com/robot/send?access_token=abcdef0123456789",
    "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=693a91f6-7xxx", "https://host/a;jsessionid=A8B7C6",
    "https://b.s3.amazonaws.com/a?X-Amz-Signature=deadbeef", "https://acct.blob.core.windows.net/c/a?sv=2020&sig=abc%2Fdef",
    "https://host/a?session=abc", "https://host/a?auth=abc", "https://host/a?pwd=abc", "https://host/a?access_key=abc",
    "https://me:p/w@host/a", "https://me:p)w@host/a", "https://me%3Apw@host/a", "https://host/a?%61pi_key=zzz",
    "https://host/#/route?token=zzz1", "https:\\\\me:pw@h", "https:\\/\\/me:pw@h/a", "https://host/a?access_key=1&b=abc",
]  # fmt: skip
PARAMS = [
    {"extra": {"pwd": "hunter2"}}, {"extra": {"apitoken": "zz12345678"}}, {"extra": {"session": "abc-123"}},
    {"extra_headers": {"X-Auth": "hunter2hunter2"}}, {"extra_headers": {"Cookie": "session=abcd1234"}},
    {"extra_headers": {"X-Token": "hunter2hunter2"}}, {"extra_headers": {"Ocp-Apim-Subscription-Key": "abc"}},
    {"extra_headers": {"PRIVATE-TOKEN": "abc"}}, {"extra": {"password": 12345678}}, {"extra": {"passwords": ["abc"]}},
    {"extra": {"note": f"Bearer {RANDOM}"}}, {"extra": {RANDOM: 1}}, {"extra": {"密码": "hunter2"}},
    {"extra": {"headers": [{"name": "X-Auth", "value": "hunter2hunter2"}]}}, {"extra": {"a": KEY.replace("h", "ｈ")}},
    {"extra": {"a": KEY.encode().hex()}}, {"extra": {"a": KEY[:9] + "\u200b" + KEY[9:]}},
    {"extra_headers": {"X-Team": "hunter2hunter2"}}, {"extra_headers": {"X-Team": "Bearer abc"}},
    {"extra_headers": [["X-Auth", "hunter2hunter2"]]}, {"extra_headers": [["X-Team", "hunter2hunter2"]]},
    {"extra_headers": ["X-Team: hunter2hunter2"]}, {"extra_body": {"auth": {"value": "hunter2hunter2"}}},
]  # fmt: skip
HARMLESS = [
    ("DATA_DIR", "/srv/data/belle"), ("LANG", "en_US.UTF-8"), ("MODEL", "Qwen/Qwen2.5-7B-Instruct"), ("USER", "root"),
    ("MODEL", "local:qwen2.5-0.5b"), ("COMMIT", "672ad1ed7e8d71e3e7fd280eb63f263c12345678"), ("PWD", "/srv/x"),
    ("REVISION", "0123456789abcdef0123456789abcdef01234567"), ("GIT_SHA", "0123abcdef456789aabb" * 2), ("SEED", "42"),
    ("DATASET", "BelleGroup/train_2M_CN"), ("HOME", "/root"), ("USERNAME", "wang"), ("OLDPWD", "/srv"), ("SPLIT", "train"),
    ("TERM", "xterm-256color"), ("NUM_TOKENS", "512"), ("MAX_TOKENS", "4096"), ("EOS_TOKEN", "<|im_end|>"),
    ("PAD_TOKEN", "<|endoftext|>"), ("REGION", "eu-west-1"), ("BUCKET", "s3://my-bucket/data"), ("RUN_ID", "2024-11-27T22"),
    ("URL", "https://huggingface.co/datasets/BelleGroup/train_2M_CN/resolve/main/train.json"), ("KEYBOARD", "us"),
    ("UUID", "123e4567-e89b-12d3-a456-426614174000"), ("TASK", "123e4567-e89b-12d3-a456-426614174000"),
    ("AUTHOR", "Zhang San"), ("KEYWORD", "finance"), ("MONKEY", "george"), ("COMPASS", "north"), ("BYPASS", "yes"),
    ("PASSAGE", "given"), ("TOKENIZER", "Qwen/Qwen2.5-7B"), ("SESSION", "train"), ("XDG_SESSION_TYPE", "wayland"),
    ("DESKTOP_SESSION", "ubuntu-xorg"), ("AUTH_MODE", "none"), ("PRIVATE", "true"), ("SORT_KEY", "id"), ("SIZE", "0.2M"),
    ("SHARE", "10%"), ("THRESHOLD", "0.7"), ("OUT", "builds/belle@limit-1000"), ("FILE", "data/Belle_2M/Train_part_01.json"),
    ("FILE", "InternLM2Chat20BTrainSplit2024.jsonl"), ("NAME", "instruction_tuning_2024_v2_final"), ("ABILITY", "math"),
    ("CKPT", "checkpoint-20000-epoch3-loss0123"), ("MODEL", "meta-llama/Meta-Llama-3.1-8B-Instruct"), ("M", "local:llama3@main"),
    ("HOST", "127.0.0.1:8000"), ("EMAIL", "me@example.org"), ("ENDPOINT", "http://localhost:8000/v1"), ("ORACLE_SID", "ORCL"),
    ("DATE", "20241127T221000Z"), ("VERSION", "2.5.1+cu124"), ("S", "s3://bucket/session=12/key=5/part-0000.parquet"),
    ("GGUF", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"), ("HUB", "Open-Orca/SlimOrca-Dedup"), ("LICENSE", "apache-2.0"),
    ("W", "https://site.org/a?page=2&lang=en&keyword=abc&author=me&max_tokens=5"), ("MAX_CONN", "100"),
    ("G", "https://drive.google.com/uc?id=1A2b3C4d5E6f7G8h9I0jKlMnOpQr"),
    ("P", "oss://bucket/ins/zh/train-00000-of-00012-a1b2c3d4e5f60718.parquet"), ("BOX", "abfs://box@a.dfs.core.windows.net/a"),
]  # fmt: skip


def told(recipe: dict[str, Any]) -> str:
    """What is said of a recipe that is refused."""
    with pytest.raises(InputError) as refused:
        read_recipe({"name": "a", "sources": [{"name": "a", "path": "a.jsonl"}], **recipe})
    return str(refused.value)


@pytest.mark.parametrize(("name", "value"), VARIABLES)
def test_a_variable_that_holds_a_secret_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    said = told({"sources": [{"name": "a", "path": f"${{{name}}}"}]})
    assert said.startswith(f"the recipe: sources.0.path: ${{{name}}} looks like a secret") and "\n" not in said
    assert len(value) < 6 or value not in said


@pytest.mark.parametrize(("name", "value"), HARMLESS)
def test_harmless_variables_and_literals_pass(name: str, value: str) -> None:
    assert not secret_name(name, value) and not secret_value(value, name) and not secret_value(value, literal=True)
    assert redact(value) == value and not secret_in(value)


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_that_unlocks_is_refused_and_redacted(address: str) -> None:
    assert told({"sources": [{"name": "a", "path": address}]}).startswith("the recipe: sources.0.path: ")
    hidden = redact(f"cannot reach {address} now")
    assert not re.search("pw|p/w|abc|zzz|hunter|deadbeef|A8B7C6|693a91f6|12345678", hidden), hidden


@pytest.mark.parametrize("params", PARAMS)
def test_params_that_unlock_are_refused(params: dict[str, Any]) -> None:
    said = told({"steps": [{"generate": {"method": "respond", "params": params}}]})
    assert said.startswith("the recipe: steps.0.generate.params.") and re.search("looks like a|may hold a key", said)
    assert not re.search("hunter2|zz123|abc|12345678", said) and RANDOM not in said


@pytest.mark.parametrize("value", [RANDOM, KEY, f"response <> '{RANDOM}'", "server=db;pwd=Hunter2!", SLACK])
def test_literals_are_refused_wherever_they_stand(value: str) -> None:
    for recipe in (
        {"steps": [{"filter": {"where": value}}]},
        {"sources": [{"name": "a", "path": "a.jsonl", "origin": value}]},
        {"description": value},
        {"steps": [Filter(where=value if "'" in value else f"response <> '{value}'")]},
    ):
        said = told(recipe)
        assert "looks like a key or token" in said and value not in said
    with pytest.raises(InputError, match="looks like a key") as refused:
        read_recipe({"sources": [{"name": "a", "path": "a.jsonl"}]}, sets=[f"sources.0.origin={json.dumps(value)}"])
    assert value not in str(refused.value)


def test_the_value_of_a_secret_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_PASSWORD", "opensesame-42-horse")
    monkeypatch.setenv("PGPASSWORD", "postgres")
    said = told({"sources": [{"name": "a", "path": "opensesame-42-horse.jsonl"}]})
    assert "secret variable MY_PASSWORD" in said and "opensesame" not in said
    read_recipe({"sources": [{"name": "postgres", "path": "postgres.jsonl"}]})


def test_two_halves_of_a_secret_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", KEY[:15])
    monkeypatch.setenv("B", KEY[15:])
    assert "with its ${…} filled in" in told({"sources": [{"name": "a", "path": "${A}${B}"}]})


def test_no_option_of_ours_is_called_like_a_secret() -> None:
    def names(node: Any) -> set[str]:
        if isinstance(node, dict):
            return set(node.get("properties", {})).union(*map(names, node.values()))
        return set().union(*map(names, node)) if isinstance(node, list) else set()

    assert {n for n in names(json_schema()) if secret_name(n, "some words that tell")} == {"private"}  # true or false


def test_our_own_recipes_hold_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (Path(__file__).parents[2] / "recipes").glob("*.yaml"):
        assert read_recipe(path).name


def coded(text: str) -> dict[str, str]:
    raw = text.encode()
    once = base64.b64encode(raw).decode()
    return {
        "base64": once, "base64 twice": base64.b64encode(once.encode()).decode(), "hexadecimals": raw.hex(),
        "percents": quote(f"https://a:{text}@c/", safe=""), "twice": quote(quote(f"https://a:{text}@c/", safe=""), safe=""),
        "wrapped": base64.encodebytes(b"some words before it, so that it wraps " + raw + b" end").decode(),
        "behind a path": f"data/{once}", "url-safe": base64.urlsafe_b64encode(b"\xff\xfe" + raw).decode(),
        "in JSON": json.dumps({"a": once}), "user and password": base64.b64encode(b"me:" + raw).decode(),
    }  # fmt: skip


@pytest.mark.parametrize("secret", [KEY, "correct-horse-battery"])
@pytest.mark.parametrize("way", list(coded("")))
def test_coded_secrets_are_found_and_redacted(way: str, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "correct-horse-battery")
    text = coded(secret)[way]
    assert secret_in(f"say {text} now") and text.strip() not in redact(f"say {text} now")


@pytest.mark.parametrize(
    "text", [KEY[:9] + "\u200b" + KEY[9:], KEY.replace("h", "ｈ"), "hf_\\u0061" + KEY[4:], "&#104;f_" + KEY[3:], "h\xadf_" + KEY[3:],
    KEY[:9] + "\u200d" + KEY[9:], KEY[:9] + "\ufe0f" + KEY[9:], KEY[:9] + "\u0301" + KEY[9:], "\\x68\\x66" + KEY[2:]]
)  # fmt: skip
def test_disguised_keys_are_found(text: str) -> None:
    assert secret_in(f"say {text}")


def test_a_key_that_an_invisible_character_splits_is_not_shown() -> None:
    assert KEY not in shown(KEY[:9] + "\u200b" + KEY[9:]) and KEY not in shown(KEY[:9] + "\x1b[0m" + KEY[9:])


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Basic bWU6cHdwdw==", "x-auth-token: a8f3a8f3", "{'X-Api-Key': 'a8f3a8f3'}", "Cookie: sid=a8f3a8f3; b=1",
        'headers={"authorization": "Bearer a8f3a8f3"}', '{\\"api-key\\": \\"a8f3a8f3\\"}', "password=a8f3a8f3;", "Bearer a8f3.a8f3-a8f3",
    ],
)  # fmt: skip
def test_headers_in_messages_are_redacted(text: str) -> None:
    assert not re.search("a8f3|bWU6", redact(f"HTTP 401 for {text}"))


def ways_of_a_known_value(value: str) -> dict[str, str]:
    """What only a process that knows a secret can tell: its form is of no known kind, written otherwise."""
    raw, within = value.encode(), f"me:{value} and more".encode()
    return {
        "base32": base64.b32encode(raw).decode(), "base32, within": base64.b32encode(within).decode(),
        "base85": base64.b85encode(raw).decode(), "base85, within": base64.b85encode(b"x" + within).decode(),
        "ASCII85": base64.a85encode(within).decode(), "gzip": base64.b64encode(gzip.compress(within, mtime=0)).decode(),
        "zlib": base64.b64encode(zlib.compress(within)).decode(), "spaced hexadecimals": raw.hex(" "), "colons": raw.hex(":"),
        "escapes": "".join(f"\\x{b:02x}" for b in raw), "quoted-printable": "".join(f"={b:02X}" for b in raw),
        "a soft end of a line": value[:9] + "=\n" + value[9:], "numbers": ", ".join(map(str, raw)), "apart": " ".join(value),
        "dashed": "-".join(value), "backwards": value[::-1], "rot13": codecs.encode(value, "rot13"),
    }  # fmt: skip


@pytest.mark.parametrize("way", list(ways_of_a_known_value("x")))
def test_a_known_value_is_found_however_it_is_written(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "correct7horse-battery")
    text = f"say {ways_of_a_known_value('correct7horse-battery')[way]} now"
    other = f"say {ways_of_a_known_value('another8words-in-here')[way]} now"
    assert secret_in(text, addresses=False) and "[redacted]" in redact(text)
    assert not secret_in(other, addresses=False) and redact(other) == other


def test_a_key_of_a_known_form_in_base32_or_gzip() -> None:
    for coded in (base64.b32encode(f"a key: {KEY}".encode()), base64.b64encode(gzip.compress(KEY.encode()))):
        assert secret_in(f"say {coded.decode()}")


HARMLESS_PARAMS = [
    {"extra_headers": {"HTTP-Referer": "https://example.org/a?b=1", "X-Title": "My app, v2", "User-Agent": "instdata/0.1 (linux)"}},
    {"extra_headers": {"X-Region": "eu-west", "X-Retries": "3", "X-DashScope-SSE": "enable"}},
    {"stop": ["a", "b"], "extra_body": {"chat_template_kwargs": {"enable_thinking": False}, "guided": {"value": "a or b"}}},
]  # fmt: skip


@pytest.mark.parametrize("params", HARMLESS_PARAMS)
def test_harmless_params_pass(params: dict[str, Any]) -> None:
    steps = [{"generate": {"method": "respond", "params": params}}]
    assert read_recipe({"name": "a", "sources": [{"name": "a", "path": "a.jsonl"}], "steps": steps})


@pytest.mark.parametrize(
    "said", [f"my {KEY}", "password: a8f3a8f3", f"the key {RANDOM}", "https://me:pw7x@h/", "opensesame-42-horse"]
)
def test_what_people_say_of_rows_holds_no_secret(said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--why, --who, a line of an overrides file, a reviewer's name and note."""
    monkeypatch.setenv("MY_PASSWORD", "opensesame-42-horse")
    for why, who in ((said, "ann"), ("wrong", said)):
        with pytest.raises(InputError, match=r"--wh.: this holds what looks like") as refused:
            overrides_file.append(tmp_path, "a" * 32, "drop", None, why, who, None)
        assert said not in str(refused.value)
    file = tmp_path / "fixes.jsonl"
    file.write_text(json.dumps({"id": "a" * 32, "action": "drop", "why": said}) + "\n")
    with pytest.raises(InputError, match="why: this holds") as refused:
        overrides_file.read_lines(file)
    assert said not in str(refused.value)
    review = {"uid": "u", "rid": "a/b:1", "id": "a" * 32, "who": "ann", "verdict": "fail"}
    for given in ({"note": said}, {"who": said}):
        with pytest.raises(ValueError, match="this holds what looks like") as told:
            reviews_file.append(tmp_path / "r.jsonl", [review | given])
        assert said not in str(told.value)
    reviews_file.append(tmp_path / "r.jsonl", [review | {"note": "see row 3f2a of https://example.org/a?page=2"}])


def test_names_and_plain_data_are_redacted() -> None:
    found = redacted({KEY: [{"a": f"x {KEY}", "n": 1}, None], "keep": "this"})
    assert KEY not in json.dumps(found) and found["keep"] == "this"


def test_short_values_of_secret_variables_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASS", "hunt-2")
    monkeypatch.setenv("XDG_SESSION_TYPE", "wayland")
    assert redact("hunt-2 on wayland") == "[redacted] on wayland"


PUSHED = {
    "plain": f"my key is {KEY}", "address": "postgres://me:hunter2@db/x works", "webhook": SLACK, "groq": "gsk_" + "aB3x" * 13,
    "base64": base64.b64encode(f"user:{KEY}".encode()).decode(), "hexadecimals": KEY.encode().hex(),
    "percents": quote(f"https://me:{KEY}@h/", safe=""), "own": "opensesame-42-horse", "own, coded": b"opensesame-42-horse".hex(),
    "disguised": KEY[:9] + "\u200b" + KEY[9:], "joined": KEY[:9] + "\u200d" + KEY[9:], "selected": KEY[:9] + "\ufe0f" + KEY[9:],
    "presigned": "https://b.s3.amazonaws.com/a?X-Amz-Signature=" + "ab12" * 16,
}  # fmt: skip


@pytest.mark.parametrize(
    "where", ["row", "source_file", "ledger.parquet", "README.md", "recipe.yaml", "croissant.json", "name"]
)
def test_push_finds_keys_everywhere(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_PASSWORD", "opensesame-42-horse")
    for number, (kind, text) in enumerate(PUSHED.items()):
        folder = tmp_path / str(number)
        (folder / "data").mkdir(parents=True)
        turns = [
            [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": text if where == "row" else "Hi"}]
        ]
        table = pa.table(
            {"id": ["a" * 32], "messages": turns, "source_file": [text if where == "source_file" else "a"]}
        )
        pq.write_table(table, folder / "data/00-full.parquet")
        ledger = pa.table(
            {"id": ["a" * 32], "evidence": [json.dumps({"x": text}) if where == "ledger.parquet" else None]}
        )
        pq.write_table(ledger, folder / "ledger.parquet")
        if "." in where and where != "ledger.parquet":
            (folder / where).write_text(f"a: {text}\n")
        if where == "name":
            (folder / f"{text.replace('/', '_')[:120]}.txt").write_text("x")
        expected = where != "name" or kind not in ("address", "webhook")  # no file has a / in its name
        found = credentials(folder)
        assert [k for k, _ in found] == (["credentials"] if expected else []), (kind, found)
        assert KEY not in str(found)


def test_push_lists_its_own_secrets_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from instdata.publish import secret_scan

    listed: list[int] = []
    real = secret_scan.held_pattern
    monkeypatch.setattr(secret_scan, "held_pattern", lambda: listed.append(1) or real())
    (tmp_path / "data").mkdir()
    pq.write_table(
        pa.table({"id": ["a"] * 9, "a": ["x"] * 9, "b": ["y"] * 9}), tmp_path / "data/00-full.parquet", row_group_size=2
    )
    assert credentials(tmp_path) == [] and listed == [1]


def test_a_trace_of_a_crash_is_redacted(tmp_path: Path) -> None:
    code = (
        "import sys; from instdata.cli import main\n"
        f"def broken(): raise RuntimeError('https://me:pw7x@host/ {KEY} \\x1b[31m')\n"
        "import instdata.cli.doctor as d; d.examine = broken; sys.argv = ['instdata', 'doctor', '--json']; main.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "INSTDATA_DEBUG": "1"})  # fmt: skip
    assert done.returncode == 1 and "Traceback" in done.stderr
    for text in (done.stdout, done.stderr):
        assert KEY not in text and "pw7x" not in text and "\x1b" not in text
