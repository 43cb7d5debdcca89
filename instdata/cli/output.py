"""What commands print for people: plain tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from instdata.cli.output_evidence import evidence_lines
from instdata.util.safe_text import bounded, plain

TEXT = 4000  # characters of one text of a row; --json has all


class _Console(Console):
    """A console that no text of data, files or recipes can command."""

    def print(self, *objects: Any, **how: Any) -> None:
        super().print(*(plain(o) if isinstance(o, str) else o for o in objects), **how)


class _Table(Table):
    """A table whose cells are plain and bounded."""

    def add_row(self, *cells: Any, **how: Any) -> None:
        super().add_row(*(bounded(c) if isinstance(c, str) else c for c in cells), **how)


def _console() -> Console:
    return _Console(highlight=False, soft_wrap=False)


def _table(*columns: str, title: str | None = None) -> Table:
    """Columns whose name starts with '>' are right-aligned."""
    table = _Table(
        box=box.SIMPLE_HEAD,
        title=title and bounded(title),
        title_justify="left",
        title_style="bold",
        pad_edge=False,
        show_edge=False,
    )
    for i, name in enumerate(columns):
        right: Literal["right", "left"] = "right" if name.startswith(">") else "left"
        table.add_column(name.lstrip(">"), justify=right, overflow="fold", no_wrap=i == 0)
    return table


def build_result(done: Any) -> dict[str, Any]:
    """What `build --json` prints."""
    m = done.manifest
    return {
        "build": str(done.path), "totals": m["totals"], "configs": m["configs"],
        "steps": m["steps"], "seconds": done.run["seconds"], "changed": done.changed, **labels(done),
    }  # fmt: skip


def labels(done: Any) -> dict[str, Any]:
    """{abilities, confusion} of a build: rows, mean confidence and expected precision of each label, and what
    ability.summary says."""
    from instdata.report.build_facts import abilities, open_ledger
    from instdata.steps.ability.confusion import confusion

    with open_ledger(done.path, done.manifest) as db:
        return {"abilities": abilities(db), "confusion": confusion(db, done.manifest)}


def build_summary(done: Any, verbose: bool = False) -> None:
    """What `build` prints at the end; `verbose`: with every reason of every step."""
    from instdata.corpus.rows import UNKNOWN

    console, m = _console(), done.manifest
    table = _table("ability", ">rows", ">share", ">precision", ">held out")
    full, held = m["configs"]["full"], m["configs"].get("holdout", {"by_ability": {}})
    found = labels(done)
    for item in found["abilities"]:
        name, rows, sure = item["ability"], item["after"], item["precision"]
        kept_out = held["by_ability"].get(name, 0)
        if rows or kept_out:
            told = "" if sure is None else f"{sure:.2f}"
            table.add_row(escape(name), f"{rows:,}", f"{100 * rows / full['rows']:.1f} %", told, f"{kept_out:,}")
    unknown = full["by_ability"].get(UNKNOWN, 0)
    sizes = _table("config", ">rows")
    for name, config in m["configs"].items():
        sizes.add_row(escape(name), f"{config['rows']:,}")
    t = m["totals"]
    console.print()
    console.print(table)
    if any(item["precision"] is not None for item in found["abilities"]):
        console.print("\nprecision: the share of a model's labels expected to be right, by its calibration")
    share = f"\n{100 * unknown / full['rows']:.1f} % of the rows have no known ability" if unknown else ""
    console.print(f"{share}\n" if share else "")
    if found["confusion"]:
        _confusion(console, found["confusion"])
    if verbose:
        reasons = _table("step", "reason", ">dropped")
        for step in m["steps"]:
            for reason, n in sorted(step["reasons"].items(), key=lambda r: (-r[1], r[0])):
                reasons.add_row(escape(step["name"]), escape(reason), f"{n:,}")
        console.print(reasons)
        console.print()
    console.print(sizes)
    console.print()
    console.print(
        f"in {t['in']:,} + generated {t['generated']:,} = kept {t['kept']:,} + dropped {t['dropped']:,} + "
        f"quarantined {t['quarantined']:,}"
    )
    what = f"built in {done.run['seconds']:.1f} s" if done.changed else "up to date: nothing had to be done"
    console.print(f"{what}\n", soft_wrap=True)
    parts = (("dataset", "data"), ("card", "README.md"), ("report", "report.html"), ("ledger", "ledger.parquet"))
    for word, name in parts:
        if (done.path / name).exists():
            console.print(f"{word:<8} {escape(str(done.path / name))}", soft_wrap=True)


def _confusion(console: Console, found: dict[str, Any]) -> None:
    """A matrix where it fits 80 columns, else the pairs that are mixed up most often."""
    names, rows = found["abilities"], found["rows"]
    title = f"the label that came (rows) and the one of {found['step']} (columns)"
    width = max(len(f"{n:,}") for row in rows for n in row) + 2
    if max(map(len, names)) + 5 + width * len(names) <= 80:
        matrix = _table("", *(f">{k}" for k in range(1, len(names) + 1)), title=escape(title))
        for k, (name, row) in enumerate(zip(names, rows), 1):
            matrix.add_row(f"{k} {escape(name)}", *(f"{n:,}" if n else "" for n in row))
    else:
        matrix = _table("came labelled", "labelled", ">rows", title=escape(title))
        pairs = [(n, names[i], names[j]) for i, row in enumerate(rows) for j, n in enumerate(row) if n and i != j]
        for n, given, label in sorted(pairs, key=lambda p: (-p[0], p[1], p[2]))[:10]:
            matrix.add_row(escape(given), escape(label), f"{n:,}")
    console.print(matrix)
    console.print(f"{100 * found['agreement']:.1f} % of the {found['n']:,} labels that came agree\n")


def row_history(rows: list[dict[str, Any]]) -> None:
    """What `why` prints."""
    console = _console()
    for row in rows:
        grid = _Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for name, text in _facts(row):
            grid.add_row(f"  {name}", escape(text))
        console.print(f"[bold]{escape(row['rid'])}[/]", soft_wrap=True)
        console.print(grid)
        for name, text in _texts(row):
            console.print(f"  [bold]{escape(name)}[/]", soft_wrap=True)
            print(bounded(text, TEXT))  # as it is, tabs and all: code that is copied from here still runs
        console.print()


def _facts(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "verdict", _verdict(row)
    yield "id", row["id"] or "none: it could not be read"
    yield "from", f"{row['source']}, {row['source_file']}, record {row['source_row'] + 1} (the rid counts from 0)"
    yield "ability", row["ability"] or ""
    yield from evidence_lines(row)
    for name, value in row["scores"].items():
        said = f"{value:.4g}" if isinstance(value, float) else _short(str(value), 200)
        yield "score", f"{name} = {said}" + (f" ({row['bounds'][name]})" if name in row.get("bounds", {}) else "")
    if row.get("written_by"):
        made = row["written_by"]
        cost = "price unknown" if made["usd"] is None else f"USD {made['usd']:.6f}"
        yield "request", f"{made['request']} to {made['model']}, {sum(made['tokens']):,} tokens, {cost}"
        yield "shown", ", ".join(made["seeds"])
    if not row.get("raw") and not row.get("messages"):
        yield "text", "not in the cache any more: `instdata build --fresh` brings it back"


def _texts(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The texts of a row, each with who says it."""
    for turn in row.get("messages") or []:
        if turn.get("reasoning_content"):
            yield "reasoning", turn["reasoning_content"]
        calls = [f"{c['function']['name']}({c['function']['arguments']})" for c in turn.get("tool_calls") or ()]
        yield turn["role"], "\n".join(t for t in (turn["content"], *calls) if t)
    if row.get("written_by"):
        made = row["written_by"]
        yield from (("prompt", text) for text in made["prompt"])
        yield "answer", made["answer"]
    if row.get("raw"):
        yield "raw", row["raw"]


def _verdict(row: dict[str, Any]) -> str:
    """What became of a row, in words."""
    if row["verdict"] == "kept":
        return "kept, held out for evaluation (config holdout)" if row["config"] == "holdout" else "kept, for training"
    if row["step"] == "close":
        return f"{row['verdict']} at the end, after the last step: {row['reason']}"
    from instdata.corpus.find_rows import copy_of  # of a build, with its libraries; `doctor` needs none

    copied = copy_of(row)
    how = f", as {'an exact' if copied[0] == 'exact' else 'a near'} copy of {copied[1]}" if copied else ""
    return row["verdict"] + (f" by step {row['step']}: {row['reason']}{how}" if row["step"] else "")


def _short(text: str, most: int) -> str:
    return bounded(text, most)


def build_difference(found: dict[str, Any]) -> None:
    """What `diff` prints."""
    console = _console()
    console.print(
        f"{found['rows_in']:,} rows in, {found['rows_out']:,} rows out, {found['labels_changed']:,} labels changed"
    )
    if found["decisions"]:
        table = _table("before", "after", ">rows")
        for item in found["decisions"]:
            table.add_row(escape(item["before"]), escape(item["after"]), f"{item['rows']:,}")
        console.print(table)


def plan_summary(plan: dict[str, Any]) -> None:
    """What `build --dry-run` prints."""
    console = _console()
    sources = _table("source", "file", "format", ">rows")
    for item in plan["sources"]:
        sources.add_row(escape(item["source"]), escape(item["file"]), item["format"], f"{item['rows']:,}")
    seen = {"rows": "every row", "alive": "rows kept so far", "corpus": "rows kept so far", "source": "adds rows"}
    steps = _table("step", "works on", ">requests", ">tokens", ">USD", ">about")
    for item in plan["steps"]:
        cost = ["" if item.get(k) is None else f"{item[k]:,}" for k in ("requests", "tokens")]
        usd = "" if item.get("usd") is None else f"{item['usd']:.2f}"
        steps.add_row(escape(item["name"]), seen[item["scope"]], *cost, usd, _time(item["seconds"]))
    console.print(sources)
    console.print()
    if plan["steps"]:
        console.print(steps)
        console.print()
    unknown = f" and what {', '.join(plan['unpriced'])} costs (no price known)" if plan["unpriced"] else ""
    console.print(
        f"{plan['rows']:,} rows in, about {_time(plan['seconds'])}, USD {plan['usd']:.2f}{unknown}; nothing was written"
    )


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def model_table(models: list[dict[str, Any]]) -> None:
    """What `models list` prints."""
    table = _table("model", ">MB", "licence", "here", "good for")
    for m in models:
        table.add_row(m["name"], f"{m['bytes'] / 1e6:,.0f}", m["licence"], "yes" if m["here"] else "no", m["good_for"])
    _console().print(table)


def sizes_table(found: dict[str, Any]) -> None:
    """What `cache` prints."""
    table = _table("what", ">MB", "where")
    for name, item in found.items():
        table.add_row(name, f"{item['bytes'] / 1e6:,.1f}", escape(str(Path(item["path"]))))
    _console().print(table)


def examination(found: dict[str, Any]) -> None:
    """What `doctor` prints."""
    console = _console()
    table = _table("extra", "there", "for", "else")
    for item in found["extras"]:
        table.add_row(
            item["extra"],
            "yes" if item["there"] else "no",
            item["for"],
            "" if item["there"] else escape(item["install"]),
        )
    console.print(table)
    console.print()
    for name, value in found["configured"].items():
        console.print(f"{name:<10} {escape(str(value))}", soft_wrap=True)


def pushed(done: dict[str, Any]) -> None:
    """What `push-to-hub` prints."""
    console = _console()
    seen = "private" if done["private"] else "public: everybody can read it"
    if done["commit"] is None:
        table = _table("file", ">bytes")
        for name, size in done["files"].items():
            table.add_row(escape(name), f"{size:,}")
        console.print(table)
        console.print(
            f"\n{len(done['files'])} files, {sum(done['files'].values()):,} bytes would go to "
            f"{escape(done['url'])}\na new {done['kind']} would be {seen}",
            soft_wrap=True,
        )
        return
    if done["summary"]:
        console.print(escape(done["summary"]) + "\n", soft_wrap=True)
    word = "pushed" if done["changed"] else "up to date: nothing was sent"
    console.print(
        f"{word}\n{done['kind']:<8} {escape(done['url'])}\n{'commit':<8} {done['commit']}\n{'tag':<8} "
        f"{escape(done['tag'])}\n{'access':<8} {seen}",
        soft_wrap=True,
    )


def verification(found: dict[str, Any]) -> None:
    """What `verify` prints."""
    console = _console()
    table = _table("check", "found", "verdict")
    for check in found["checks"]:
        table.add_row(
            check["name"],
            escape(check["detail"]),
            "fine" if not check["problems"] else f"{len(check['problems'])} wrong",
        )
    console.print(table)
    for problem in found["problems"]:
        console.print(f"\n{escape(problem)}", soft_wrap=True)
