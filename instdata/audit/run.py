"""The audit: what is found is said as soon as it is, and written as one page and one JSON that can be handed on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from instdata.audit import findings
from instdata.audit.audited_set import Subject, files_of, open_subject, read
from instdata.audit.masked_rows import masked, rows_shown
from instdata.audit.repair_recipe import write_mending
from instdata.corpus.corpus import Corpus, versions
from instdata.corpus.rows import UNKNOWN
from instdata.corpus.write_build_folder import write_json
from instdata.report.page import write_page
from instdata.steps.compile_kernels import warm
from instdata.steps.dedup.decontaminate import Decontaminate
from instdata.util.engine import Engine, open_engine
from instdata.util.errors import InputError

SCHEMA_VERSION = 1
Say = Callable[[str], None]
# What `--fail-if` may name, with what each counts.
COUNTS = {
    "rows": "rows that were read",
    "unreadable": "records that were not",
    "damaged_files": "files that are cut off or damaged",
    "unused_columns": "columns that feed nothing",
    "unanswered": "rows without an answer",
    "exact_copies": "rows that another row equals, answer and all",
    "near_copies": "rows that ask what an earlier row asks",
    "leaks": "rows that hold items of the suites",
    "defects": "rows on which a rule of `default` fires",
    "personal_data": "rows with an address, phone, identity or card number",
    "secrets": "rows with a key",
    "unlicensed": "rows that name no licence",
    "languages": "languages",
    "unknown_ability": "rows whose ability is unknown",
    **{rule: findings.ABOUT[rule] for rule in findings.RULE_NAMES},
}
COUNTS_ZH = {  # of the page; rules have their Chinese words in report/rule_meanings.zh.json
    "rows": "读入的行",
    "unreadable": "无法读取的记录",
    "damaged_files": "被截断或损坏的文件",
    "unused_columns": "未使用的列",
    "unanswered": "没有回复的行",
    "exact_copies": "与另一行完全相同（包括回复）的行",
    "near_copies": "与之前某行提问近似的行",
    "leaks": "含评测题目的行",
    "defects": "触发 `default` 中某条规则的行",
    "personal_data": "含地址、电话、身份证号或卡号的行",
    "secrets": "含密钥的行",
    "unlicensed": "未注明许可证的行",
    "languages": "语言数",
    "unknown_ability": "能力未知的行",
}


def audit(
    given: str, against: list[str], out: Path | None, recipe: Path | None, limit: int | None, jobs: int, say: Say
) -> tuple[dict[str, Any], Path]:
    """Audit a set; returns what audit.json holds, and the folder that has it and audit.html (by default audits/<name>).
    Raises InputError where the set, a suite or the folder is not there or no row can be read."""
    started = time.time()
    subject = open_subject(given, jobs, say)
    folder = out or Path("audits") / subject.name
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: a file is there; --out names a folder")
    if (folder / "manifest.json").is_file():
        raise InputError(f"{folder}: a build is there; --out names another folder")
    if against and (problems := Decontaminate(against=against).check(subject.context)):
        raise InputError([("", None, f"--{p}") for p in problems])
    clock = _Clock(say, started)
    clock.say(f"{subject.name}: {subject.look.line}")
    first, early = findings.preview(subject.inputs[0], subject.context)
    if first:
        clock.say(
            f"of the first {_n(first, 'row')}: {early['defects']:,} with defects ({_most(early['fired'], 'rule')})"
        )
    with open_engine("local", jobs) as engine:
        corpus = read(subject, engine, limit)
        found = _measured(subject, corpus, engine, against, clock) | {"limit": limit}
    found["rows"] = _put_in(found, corpus)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "audit.json", found)
    write_page(
        folder / "audit.html", "audit.html", found["set"], {"a": found, "counts_about": COUNTS, "counts_zh": COUNTS_ZH}
    )
    if recipe is not None:
        write_mending(recipe, subject, found, against)
    return found, folder


class _Clock:
    """Says findings with the seconds since the start."""

    def __init__(self, say: Say, started: float):
        self._say, self.started = say, started

    def say(self, line: str) -> None:
        self._say(masked(f"{time.time() - self.started:5.1f} s  {line}"))


def _measured(subject: Subject, corpus: Corpus, engine: Engine, against: list[str], clock: _Clock) -> dict[str, Any]:
    """Everything that is found, quick things first."""
    bad = findings.unreadable(corpus)
    if not corpus.n:
        names = ", ".join(i.file for i in subject.inputs[:3])
        first = next(iter(bad["examples"]), None)
        if first is None:
            raise InputError(f"{names}: no record is in it")
        why = f"record {first['row']} of {first['file']}: {first['error']}"
        raise InputError(f"{names}: none of {_n(bad['rows'], 'record')} can be read; {masked(why)}")
    shape = findings.shape(corpus)
    counted = shape.pop("files")
    files = [f | {"rows": counted.get(f["file"], 0)} for f in files_of(subject)]
    clock.say(f"{_n(corpus.n, 'row')}, {bad['rows']:,} unreadable, {shape['unanswered']['rows']:,} without an answer, "
              f"{_most(shape['languages'], 'lang')}")  # fmt: skip
    rules = findings.rules(corpus, engine)
    clock.say(f"{_n(rules['defects'], 'row')} with defects ({_most(rules['fired'], 'rule')})")
    clock.say(f"{_n(rules['secrets'], 'row')} with keys, {rules['personal_data']:,} with personal data")
    warm(("dedup", "decontaminate", "categorize"), engine.jobs, clock.say)
    copies = findings.near_copies(corpus, engine)
    near = _n(copies["rows"], "near copy", "near copies")
    clock.say(f"{near} at {copies['threshold']}, {shape['exact_copies']:,} exact")
    leaked = findings.leaks(corpus, engine, against) if against else None
    if leaked:
        clock.say(f"{leaked['rows']:,} rows hold items of {', '.join(against)}")
    labels = findings.abilities(corpus, engine)
    unknown = sum(a["rows"] for a in labels if a["ability"] == UNKNOWN)
    clock.say(f"abilities: {_most(labels, 'ability')}; {unknown:,} unknown")
    fired = {f["rule"]: f["rows"] for f in rules["fired"]}
    counts = dict.fromkeys(COUNTS, 0) | fired | {
        "rows": corpus.n, "unreadable": bad["rows"], "damaged_files": sum("lost" in f for f in files),
        "unused_columns": len(subject.look.unused), "unanswered": shape["unanswered"]["rows"],
        "exact_copies": shape["exact_copies"], "near_copies": copies["rows"], "leaks": leaked["rows"] if leaked else 0,
        **{name: rules[name] for name in ("defects", "personal_data", "secrets")},
        "unlicensed": shape.pop("unlicensed"),
        "languages": sum(x["lang"] is not None for x in shape["languages"]), "unknown_ability": unknown,
    }  # fmt: skip
    if leaked is None:
        del counts["leaks"]  # nobody looked: 0 would say that there is none
    return {
        "schema_version": SCHEMA_VERSION, "kind": "audit", "set": masked(subject.name), "versions": versions(),
        "files": masked(files), "counts": counts, "shape": masked(shape | {"unused": subject.look.unused}),
        "objection": masked(subject.look.objection), "unreadable": masked(bad), "rules": masked(rules),
        "near_copies": copies, "against": masked([Path(a).name for a in against]), "leaks": masked(leaked),
        "abilities": masked(labels),
    }  # fmt: skip


def _n(number: int, word: str, more: str | None = None) -> str:
    return f"{number:,} {word if number == 1 else more or word + 's'}"


def _most(found: list[dict[str, Any]], name: str) -> str:
    """The most frequent few, in words."""
    shown = ", ".join(f"{f[name] or 'undecided'} {f['rows']:,}" for f in found[:3])
    return (shown or "none") + (", …" if len(found) > 3 else "")


def _put_in(found: dict[str, Any], corpus: Corpus) -> dict[str, dict[str, Any]]:
    """The rows that findings show, by rid; in the findings, numbers become rids."""
    numbers: set[int] = set()

    def walk(value: Any, change: Callable[[int], Any]) -> None:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if key in ("row", "kept") and isinstance(item, int):
                value[key] = change(item)
            elif key == "examples" and item and isinstance(item[0], int):
                value[key] = [change(i) for i in item]
            elif isinstance(item, (dict, list)):
                walk(item, change)

    def noted(i: int) -> int:
        numbers.add(i)
        return i

    parts = [found["shape"], found["rules"], found["near_copies"], found["abilities"], *filter(None, [found["leaks"]])]
    for part in parts:
        walk(part, noted)
    rows = rows_shown(corpus, numbers)
    for part in parts:
        walk(part, lambda i: rows[i]["rid"])
    return {row["rid"]: row for row in rows.values()}
