"""Is a set what its manifest says? Everything is counted and hashed again from the files."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from instdata.builds import find_build, recipe_of
from instdata.corpus.corpus import versions
from instdata.corpus.manifest_shape import misfit
from instdata.corpus.optional_columns import is_published
from instdata.corpus.rows import message_id, split_messages
from instdata.publish import signature
from instdata.util.atomic import digest
from instdata.util.checksums import AGAIN, SIGNATURE, SUMS, inside, regular, running_sha256, sum_of, sums_of, unlisted
from instdata.util.database import as_pattern
from instdata.util.errors import BuildError, InputError
from instdata.util.machine_limits import trouble

HOLDOUT = "holdout"
OPENED = ("manifest.json", "recipe.yaml", "ledger.parquet", "README.md")  # what the checks read beside the data
NAME = re.compile(r"(?:\w[\w.%-]*/)?\w[\w.%-]*")  # a file of the set, in at most one folder


def verify(target: str | Path, revision: str | None = None, signers: Path | None = None) -> dict[str, Any]:
    """Check a build folder, or a dataset of the Hub (`owner/name`), which is downloaded first; and that it is signed by
    one of `signers` (publish/signature.py).

    Returns {ok, problems, checks: [{name, detail, problems}], target}. Raises InputError where there is nothing to
    check.
    """
    keys = None if signers is None else signature.signers_of(signers)
    folder = locate(target, revision)
    try:  # a manifest that was changed since is looked at all the same: the checks say what it no longer fits
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        if wrong := misfit(manifest):
            raise ValueError(wrong)
        names = [f for c in manifest["configs"].values() for f in c["files"]] + list(
            manifest.get("published", {}).get("files", {})
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise InputError(
            f"{target}: not a set that instdata published: its manifest.json cannot be read ({type(e).__name__}: {e})"
        ) from e
    outside = [n for n in names if not NAME.fullmatch(n) or ".." in n]
    if outside:
        raise InputError(f"{target}: its manifest names files outside of it: {outside[0]!r}")
    odd = any(regular(folder / n) != (folder / n).exists() or not inside(folder, n) for n in [*names, *OPENED])
    wanted = {"files": _files} if odd else CHECKS  # nothing is opened that is no file, or elsewhere
    name = signature.signed(folder, "published" in manifest) + SIGNATURE
    if signers is not None or (folder / name).exists():
        wanted = {**wanted, "signature": partial(signature.check, signers=keys)}
    checks = [_check(name, check, folder, manifest) for name, check in wanted.items()]
    problems = [f"{c['name']}: {p}" for c in checks for p in c["problems"]]
    return {"ok": not problems, "problems": problems, "checks": checks, "target": str(target)}


def locate(target: str | Path, revision: str | None = None) -> Path:
    """The folder to check: a build, or the snapshot of a Hub dataset."""
    try:
        found = find_build(Path(target))
    except InputError:
        here = Path(target).is_dir() or str(target).startswith((".", "/", "builds/"))
        if here or str(target).count("/") != 1:
            raise
        from instdata.publish.hub_client import snapshot

        return snapshot(str(target), revision)
    if revision is not None:
        raise InputError(f"--revision {revision}: of a dataset on the Hub; {found} is a build on this machine")
    return found


def _check(
    name: str, check: Callable[[Path, dict[str, Any]], Iterator[str]], folder: Path, manifest: dict[str, Any]
) -> dict[str, Any]:
    """Run a check; whatever it trips over is a problem of the set. (A check yields problems, and "= …" as its
    detail.)"""
    said: list[str] = []
    try:
        said += check(folder, manifest)
    except InputError as e:
        said.append(f"cannot be checked: {e.problems[0][2].partition(f': {AGAIN}')[0]} ({e.problems[0][0] or folder})")
    except Exception as e:  # the files are not ours: nothing that they hold may end the other checks
        if line := trouble(e):  # of this machine, not of the set
            raise BuildError(line) from e
        said.append(f"cannot be checked: {type(e).__name__}: {str(e).splitlines()[0] if str(e) else e!r}")
    detail = next((s[2:] for s in said if s.startswith("= ")), "")
    return {"name": name, "detail": detail, "problems": [s for s in said if not s.startswith("= ")]}


def _files(folder: Path, manifest: dict[str, Any]) -> Iterator[str]:
    """Every file is there, with the bytes that were published, or that the build wrote; what lies beside them is
    said."""
    published = manifest.get("published", {}).get("files")
    sums = published or sums_of(folder)
    named = {f for c in manifest["configs"].values() for f in c["files"]}
    for name in sorted({*named, *OPENED} | set(sums or ())):
        found = folder / name
        if not found.exists() and not found.is_symlink():
            if name in named or name in (sums or ()):
                yield f"{name} is missing"
        elif not regular(found) or not inside(folder, name):
            yield f"{name} is no file of this set: a link that leads out of it, a pipe, a device or a folder"
        elif (
            sums and sums.get(name, "") != (digest if published else sum_of)(found) and (name in sums or not published)
        ):
            yield f"{name} has other bytes than {'were published' if published else 'the build wrote'}"
    beside = [] if published or sums is None else list(unlisted(folder, sums))
    yield from (f"{name}: the build did not write it" for name in beside if name.startswith("data/"))
    beside = [name for name in beside if not name.startswith("data/")]
    old = "" if sums else f"; built before there was a {SUMS}: only data and ledger can be checked"
    yield f"= {len(sums or named)} files{old}{'; beside them: ' + ', '.join(beside) if beside else ''}"


def _version(folder: Path, manifest: dict[str, Any]) -> Iterator[str]:
    """Which instdata built it, and whether that is the one here: another one may call the same rows otherwise."""
    then, here = manifest["versions"].get("instdata"), versions()["instdata"]
    yield f"= instdata {then}" + ("" if then == here else f": built by another version, here is {here}")


def _recipe(folder: Path, manifest: dict[str, Any]) -> Iterator[str]:
    """The recipe that is kept is the one that ran, so far as the manifest tells."""
    recipe = recipe_of(folder)
    for key in ("name", "seed"):
        if recipe.get(key) != manifest[key]:
            yield f"recipe.yaml has {key} {recipe.get(key)!r}, the manifest {manifest[key]!r}"
    kinds = [next(k for k in step if k != "name") for step in recipe.get("steps") or []]
    ran = [s["kind"] for s in manifest["steps"] if s["kind"] != "close"]
    if kinds != ran:
        yield f"recipe.yaml has the steps {', '.join(kinds) or 'none'}, the manifest {', '.join(ran) or 'none'}"
    yield f"= {len(kinds)} steps"


def _hashes(folder: Path, manifest: dict[str, Any]) -> Iterator[str]:
    """Each config's files have the config's sha256."""
    for name, config in manifest["configs"].items():
        found = running_sha256([folder / f for f in config["files"]])[-1]
        if found != config["sha256"]:
            yield f"config {name}: sha256 {found[:16]}…, the manifest says {config['sha256'][:16]}…"
    yield f"= {len(manifest['configs'])} configs"


def _counts(folder: Path, manifest: dict[str, Any]) -> Iterator[str]:
    """Each config has its rows, in all and of each ability."""
    for name, config in manifest["configs"].items():
        found = _abilities(folder, config["files"])
        if sum(found.values()) != config["rows"]:
            yield f"config {name}: {sum(found.values()):,} rows, the manifest says {config['rows']:,}"
        for ability in sorted(set(found) | set(config["by_ability"])):
            if found.get(ability, 0) != config["by_ability"].get(ability, 0):
                yield f"config {name}: {found.get(ability, 0):,} rows of {ability}, the manifest says {config['by_ability'].get(ability, 0):,}"  # noqa: E501
    yield f"= {manifest['configs']['full']['rows']:,} rows in full"


def _abilities(folder: Path, files: list[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in files:
        with pq.ParquetFile(folder / name) as file:
            for batch in file.iter_batches(columns=["ability"], batch_size=1 << 16):
                for item in pc.value_counts(batch["ability"]).to_pylist():
                    counts[item["values"]] = counts.get(item["values"], 0) + item["counts"]
    return counts


def _nesting(folder: Path, manifest: dict[str, Any]) -> Iterator[str]:
    """Sizes are the first files of full, no row stands twice, and the card's configs are the manifest's."""
    configs = manifest["configs"]
    full = configs["full"]["files"]
    for name, config in configs.items():
        if name != HOLDOUT and config["files"] != full[: len(config["files"])]:
            yield f"config {name} is not a prefix of full"
    twice = _query(
        folder,
        manifest,
        "select count(*) from (select source, source_file, source_row from rows group by all having count(*) > 1)",
    )
    if twice:
        yield f"{twice:,} rows stand in full more than once"
    card = _front_matter(folder)
    shown = {c["config_name"]: c["data_files"][0]["path"] for c in card.get("configs", [])}
    if shown != {name: c["files"] for name, c in configs.items()}:
        yield "the configs of README.md are not those of the manifest"
    yield f"= {len(configs) - (HOLDOUT in configs)} sizes"


def _front_matter(folder: Path) -> dict[str, Any]:
    parts = (folder / "README.md").read_text("utf-8").split("---\n", 2)
    return yaml.safe_load(parts[1]) if len(parts) == 3 else {}


def _shares(folder: Path, manifest: dict[str, Any]) -> Iterator[str]:
    """Every size has each ability's share of full within one row; per-ability sizes have their number of each."""
    full = manifest["configs"]["full"]
    each = (recipe_of(folder).get("subsets") or {}).get("per_ability")
    worst = 0.0
    for name, config in manifest["configs"].items():
        if name in ("full", HOLDOUT):
            continue
        found = _abilities(folder, config["files"])
        for ability, rows in full["by_ability"].items():
            if each is not None:
                expected: float = min(int(name.partition("-")[0]), rows)
                off = math.inf if found.get(ability, 0) != expected else 0.0
            else:
                expected = rows * config["rows"] / full["rows"]
                off = abs(found.get(ability, 0) - expected)
            worst = max(worst, off)
            if off > 1 + 1e-9:
                yield f"config {name}: {found.get(ability, 0):,} rows of {ability}, its share is {expected:,.1f}"
    yield f"= at most {worst:.2f} rows off"


def _leaks(folder: Path, manifest: dict[str, Any]) -> Iterator[str]:
    """No held-out row stands in full, by its id or by the rule with which the build looked for copies of it."""
    if HOLDOUT not in manifest["configs"]:
        yield "= nothing is held out"
        return
    from instdata.steps.dedup.leaks import NGRAM
    from instdata.steps.holdout import leaking

    held = pa.concat_tables(pq.read_table(folder / f) for f in manifest["configs"][HOLDOUT]["files"])
    rows = same = 0

    def messages() -> Iterator[pa.Array]:
        nonlocal rows, same
        for name in manifest["configs"]["full"]["files"]:
            with pq.ParquetFile(folder / name) as file:
                for batch in file.iter_batches(columns=["id", "messages"], batch_size=1 << 16):
                    rows += len(batch)
                    same += pc.sum(pc.is_in(batch["id"], held["id"])).as_py()
                    yield batch["messages"]

    found = Counter(leaking(messages(), held, _holdout_threshold(folder)).rule)
    if same:
        yield f"{same:,} rows of full are held out"
    if copies := found.pop("near_prompt", 0):
        yield f"{copies:,} rows of full are near copies of held-out ones"
    if holding := sum(found.values()):
        yield f"{holding:,} rows of full hold a held-out item, or {NGRAM} words or characters of one"
    yield f"= {len(held):,} held-out rows against {rows:,}"


def _holdout_threshold(folder: Path) -> float:
    steps = recipe_of(folder).get("steps", [])
    return next((s["holdout"].get("threshold", 0.7) for s in steps if "holdout" in s), 0.7)


def _ledger(folder: Path, manifest: dict[str, Any]) -> Iterator[str]:
    """in + generated = kept + dropped + quarantined, by the manifest, by step, and by the ledger, whose kept rows are
    the rows published."""
    totals = manifest["totals"]
    if totals["in"] + totals["generated"] != totals["kept"] + totals["dropped"] + totals["quarantined"]:
        yield f"the totals do not add up: {totals}"
    for step in manifest["steps"]:
        if step["in"] + step["added"] != step["kept"] + step["dropped"] + step["quarantined"] or step["dropped"] != sum(
            step["reasons"].values()
        ):
            yield f"step {step['name']} does not add up"
    with _database(folder, manifest) as db:
        found = dict(db.execute("select verdict, count(*) from ledger group by verdict").fetchall())
        for verdict in ("kept", "dropped", "quarantined"):
            if found.get(verdict, 0) != totals[verdict]:
                yield f"{found.get(verdict, 0):,} rows {verdict} in the ledger, the manifest says {totals[verdict]:,}"
        reasons: dict[str, dict[str, int]] = {}
        for step, reason, n in db.execute(
            "select step, reason, count(*) from ledger where verdict = 'dropped' group by all"
        ).fetchall():
            reasons.setdefault(step, {})[reason] = n
        for step in manifest["steps"]:
            if reasons.get(step["name"], {}) != step["reasons"]:
                yield f"step {step['name']}: the ledger's reasons are not the manifest's"
        key = "source, source_file, source_row, id"
        for config, view in (("train", "rows"), (HOLDOUT, "held")):
            kept = f"select {key} from ledger where verdict = 'kept' and config = '{config}'"
            apart = (
                f"select count(*) from (({kept} except all select {key} from {view}) union all (select {key} "
                f"from {view} except all {kept}))"
            )
            n = db.execute(apart).fetchall()[0][0]
            if n:
                yield f"{n:,} rows are kept for {config} by the ledger or by the data, not by both"
    yield f"= {sum(found.values()):,} records"


def _scores(folder: Path, manifest: dict[str, Any]) -> Iterator[str]:
    """The scores in the data are those in the ledger, by which rows were decided: their hashes are made anew from
    both."""
    with _database(folder, manifest) as db:
        have = {
            view: [n for (n, *_) in db.execute(f"describe {view}").fetchall() if n.startswith("score_")]
            for view in ("rows", "ledger")
        }
        if "published" in manifest:
            yield "= the published ledger has none"
            return
        if lost := sorted(set(have["rows"]) - set(have["ledger"])):
            yield f"the ledger has no {', '.join(lost)}"
        both = sorted(set(have["rows"]) & set(have["ledger"]))
        names = ", ".join('"' + n.replace('"', '""') + '"' for n in both)
        one = f"select source, source_file, source_row, id, hash({names}) as scores from"
        train = f"{one} ledger where verdict = 'kept' and config = 'train'"
        apart = db.execute(f"select count(*) from ({one} rows except all {train})").fetchall()[0][0] if both else 0
    if apart:
        yield f"{apart:,} rows have other scores in the data than in the ledger"
    yield f"= {len(both)} scores of each row"


def _schema(folder: Path, manifest: dict[str, Any]) -> Iterator[str]:
    """Files have the published columns, every row a conversation that ends with an answer, and ids are the texts'
    hashes."""
    rows = wrong = unanswered = 0
    for name in dict.fromkeys(f for c in manifest["configs"].values() for f in c["files"]):
        with pq.ParquetFile(folder / name) as file:
            schema = file.schema_arrow
            yield from (f"{name}: {problem}" for problem in is_published(schema))
            columns = [n for n in schema.names if n in ("id", "messages", "tools")]
            for batch in file.iter_batches(columns=columns, batch_size=1 << 13):
                rows += len(batch)
                unanswered += split_messages(batch["messages"])[1].null_count
                wrong += sum(message_id(r["messages"], r.get("tools")) != r["id"] for r in batch.to_pylist())
    if wrong:
        yield f"{wrong:,} ids are not the hashes of their messages"
    if unanswered:
        yield f"{unanswered:,} rows do not end with the assistant's turn"
    yield f"= {rows:,} ids recomputed"


def _database(folder: Path, manifest: dict[str, Any]) -> Any:
    """A DuckDB connection with the views ledger, rows and held."""
    from instdata.report.build_facts import open_ledger

    db = open_ledger(folder, manifest)
    files = manifest["configs"].get(HOLDOUT, {}).get("files", [])
    if files:
        paths = ", ".join(f"'{as_pattern(folder / f)}'" for f in files)
        db.execute(f"create temp view held as select * from read_parquet([{paths}])")
    else:
        db.execute("create temp view held as from rows where false")
    return db


def _query(folder: Path, manifest: dict[str, Any], sql: str) -> int:
    with _database(folder, manifest) as db:
        return db.execute(sql).fetchall()[0][0]


CHECKS = {
    "files": _files,
    "version": _version,
    "recipe": _recipe,
    "hashes": _hashes,
    "counts": _counts,
    "nesting": _nesting,
    "shares": _shares,
    "leaks": _leaks,
    "ledger": _ledger,
    "scores": _scores,
    "schema": _schema,
}
