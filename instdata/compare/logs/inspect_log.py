"""Inspect: `.eval`, a zip of JSON (a member for each sample), and the same log as one JSON file."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import zstandard

from instdata.compare.logs.log_rows import Asked, LogRow, bad, document, fingerprint, head, newest, number, parsed

NAME = "inspect"
MEMBER, ALL = 256 << 20, 8 << 30  # bytes of one unpacked sample, and of all of a log
ZSTD = 93  # the zip method of logs since 2025, which Python reads from 3.14 on
HEADERS = ("header.json", "_journal/start.json")  # the second alone: a log that was not finished
SAMPLE = re.compile(r"samples/[^\x00]*_epoch_\d+(?:\.json|/sample\.json)")
WORDS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0, "yes": 1.0, "no": 0.0}  # as inspect's value_to_float


def claims(path: Path) -> bool:
    if path.suffix == ".eval":
        return True
    return path.suffix == ".json" and re.match(rb'\s*\{\s*"version"\s*:\s*\d+\s*,\s*"status"', head(path)) is not None


def choose(files: list[Path], asked: Asked) -> list[Path]:
    """The newest log of each task and model."""
    return newest(files, _about, asked)


def rows(path: Path, asked: Asked) -> Iterator[LogRow]:
    """A metric is called by its scorer, "scorer.key" where a score holds several. An epoch is one more draw of its
    sample. A sample that failed has no score: missing."""
    log, samples = _opened(path)
    task, model = _task(log), str(log["eval"].get("model") or "")
    if log.get("status") != "success":
        asked.say(f"{path.name}: this evaluation did not finish ({log.get('status') or 'started'})")
    for sample in samples:
        if sample.get("id") is None:
            raise bad(path, None, "a sample has no id: this is no log of inspect")
        asked_of = sample.get("input")
        if isinstance(asked_of, list):  # messages have ids of their own in every run
            asked_of = [[m.get("role"), m.get("content")] if isinstance(m, dict) else m for m in asked_of]
        metrics = {} if sample.get("error") and not sample.get("scores") else _metrics(sample, path, asked)
        cluster = asked.cluster_of(sample.get("metadata"), sample)
        yield LogRow(task, str(sample["id"]), metrics, fingerprint(asked_of), cluster=cluster, model=model)


def _metrics(sample: dict[str, Any], path: Path, asked: Asked) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for scorer, score in (sample.get("scores") or {}).items():
        value = score.get("value") if isinstance(score, dict) else score
        for key, one in value.items() if isinstance(value, dict) else [("", value)]:
            name = f"{scorer}.{key}" if key else scorer
            try:
                found[name] = WORDS[one] if isinstance(one, str) and one in WORDS else number(one)
            except ValueError:
                asked.say(f"{path.name}: {name} has values that are no numbers: these count as missing")
    return found


def _task(log: dict[str, Any]) -> str:
    return str(log["eval"].get("task") or "task")


def _about(path: Path) -> tuple[tuple[str, ...], str]:
    if path.suffix == ".eval":
        with _archive(path) as archive:
            run = _header(archive, path)["eval"]
    else:
        start = head(path).decode("utf-8", "replace")
        run = {k: m[1] for k in ("task", "model", "created") if (m := re.search(rf'"{k}"\s*:\s*"([^"]*)"', start))}
    return (str(run.get("task")), str(run.get("model"))), str(run.get("created"))


def _opened(path: Path) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """The log without its samples, and these."""
    if path.suffix == ".eval":
        with _archive(path) as archive:
            return _header(archive, path), _members(path)
    log = document(path)
    samples = log.pop("samples", None)
    if not isinstance(samples, list) or not isinstance(log.get("eval"), dict):
        raise bad(path, None, "no samples in it: run the evaluation with its samples logged (log_samples)")
    if not all(isinstance(s, dict) for s in samples):
        raise bad(path, None, "a sample is no object: this is no log of inspect")
    return log, iter(samples)


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as e:
        raise bad(path, None, f"no whole zip archive ({e}): a .eval log that was cut off; copy it again") from e


def _header(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    for name in HEADERS:
        if name in archive.NameToInfo:
            log = parsed(_unpacked(archive, archive.NameToInfo[name], path), path, name)
            if isinstance(log.get("eval"), dict):
                return log
    raise bad(path, None, "neither header.json nor _journal/start.json is in it: this is no log of inspect")


def _members(path: Path) -> Iterator[dict[str, Any]]:
    """The samples of an archive, one at a time, the last of each name."""
    left = ALL
    with _archive(path) as archive:
        infos = [info for name, info in archive.NameToInfo.items() if SAMPLE.fullmatch(name)]
        if not infos:
            raise bad(path, None, "no samples in it: run the evaluation with its samples logged (log_samples)")
        for info in infos:
            raw = _unpacked(archive, info, path)
            left -= len(raw)
            if left < 0:
                raise bad(path, None, f"unpacks to more than {ALL >> 30} GB: split it, one log a task")
            sample = parsed(raw, path, info.filename)
            kept = info.filename.removesuffix("sample.json") + "metadata.json"  # a sample in chunks has it apart
            if info.filename.endswith("/sample.json") and kept in archive.NameToInfo:
                sample["metadata"] = parsed(_unpacked(archive, archive.NameToInfo[kept], path), path, kept)
            yield sample


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> bytes:
    """The bytes of a member, at most MEMBER whatever it claims, checked against its sum."""
    say = partial(bad, path, None)
    try:
        if info.compress_type == ZSTD:
            data = _from_zstd(path, info)
        else:
            with archive.open(info) as file:
                data = file.read(MEMBER + 1)
    except (zipfile.BadZipFile, zlib.error, zstandard.ZstdError, struct.error, RuntimeError, EOFError) as e:
        raise say(f"{info.filename} is damaged ({e}): copy the log again") from e
    if len(data) > MEMBER:
        raise say(f"{info.filename} unpacks to more than {MEMBER >> 20} MB: no sample is so long")
    if zlib.crc32(data) != info.CRC:
        raise say(f"{info.filename} is damaged (its checksum is another): copy the log again")
    return data


def _from_zstd(path: Path, info: zipfile.ZipInfo) -> bytes:
    """A member packed by zstd, in one frame or several, found by its local header: 30 bytes, its name, an extra
    field."""
    with open(path, "rb") as file:
        file.seek(info.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4))
        file.seek(name + extra, 1)
        packed = file.read(min(info.compress_size, MEMBER))
    with zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as stream:
        return stream.read(MEMBER + 1)
