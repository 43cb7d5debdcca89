"""The build, from the recipe to the build folder.

`prepare` finds every problem and replaces every `auto` before anything runs; `build` reads, applies the steps, checks
the sums, orders the subsets and writes.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from instdata.corpus.build_progress import Clock, told_drops, told_of
from instdata.corpus.cached_tables import read_cached
from instdata.corpus.corpus import TRAIN, Corpus, versions
from instdata.corpus.forms_and_dropped import FORMS, notes_of, write_forms
from instdata.corpus.ladder import ladder
from instdata.corpus.ledger import write_quarantine, write_unreadable
from instdata.corpus.manifest_shape import SCHEMA_VERSION
from instdata.corpus.output_folder import UNREADABLE, asked, finished, folder_of, may_replace
from instdata.corpus.row_states import State
from instdata.corpus.rows import UNKNOWN
from instdata.corpus.taxonomy import Taxonomy, load_taxonomy
from instdata.corpus.word_codes import Words, ability_codes
from instdata.corpus.write_build_folder import locked, move_into_place, write_json
from instdata.corpus.write_data_files import write_data
from instdata.llm.causal_models import AUTO
from instdata.read.first_look import Look, looked, objection, say_sources
from instdata.read.open_sources import Input, manifest_of, reopened, try_sources, with_commit
from instdata.read.shards import Changed, Unreadable, read_sources
from instdata.recipe.load import Draft, open_document, read_draft
from instdata.recipe.model import Recipe
from instdata.recipe.resolved import digested, published
from instdata.steps.compile_kernels import compiling
from instdata.steps.overrides import files_of
from instdata.steps.run import apply, close
from instdata.util.atomic import write_text
from instdata.util.build_context import Context
from instdata.util.caches import in_use
from instdata.util.checksums import SUMS, write_sums
from instdata.util.engine import READY, Engine, open_engine
from instdata.util.errors import BudgetReached, BuildError, DamagedInput, InputError, MissingExtra
from instdata.util.machine_limits import writing
from instdata.util.mirrored_cache import mirror
from instdata.util.paths import beside, cache_folder
from instdata.util.progress import Heartbeat
from instdata.util.yaml import written_yaml

__all__ = ["Build", "Plan", "build", "folder_of", "prepare", "published"]
PAUSES = (0.5, 2.0, 5.0)  # seconds before a file that was written while it was read is read again


@dataclass(frozen=True)
class Plan:
    """A build that can run: the resolved recipe, its opened inputs, what steps may know, and the hash of it all."""

    recipe: Recipe
    inputs: list[list[Input]]
    context: Context
    sha256: str
    warnings: list[str] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)  # at the first records of each source
    asked: dict[str, Any] = field(default_factory=dict)  # which recipe, with which settings beside it


@dataclass(frozen=True)
class Build:
    """A finished build: its folder, manifest and run record, and whether anything had to be done."""

    path: Path
    manifest: dict[str, Any]
    run: dict[str, Any]
    changed: bool


def prepare(
    recipe_or_path: Path | str | Mapping[str, Any] | Recipe, sets: Sequence[str] = (), limit: int | None = None,
    jobs: int = 1, fresh: bool = False,
    say: Callable[[str], None] = lambda line: None, bars: bool = False, online: bool = True,
    base: Path | None = None,
) -> Plan:  # fmt: skip
    """Read a recipe (a YAML file, a mapping, a Recipe) and resolve it. Raises InputError with every problem found,
    before any work. With `online` false the Hub and endpoints are left alone: enough to validate, not to build. `base`
    is where paths start, by default the recipe's folder."""
    document, home = open_document(recipe_or_path)
    base = home if base is None else base
    mirror()  # a cache at an address that is none
    draft = read_draft(document, base, sets, limit)
    names = {s.name for _, s in draft.steps}
    taxonomy = _taxonomy(draft, base)
    there, wrong = try_sources(draft.sources, base, names, online, say)
    opened = list(there.values())
    damage = [m for _, _, m in wrong.problems] if isinstance(wrong, DamagedInput) else []
    for where, _, message in wrong.problems if wrong else []:
        at = ("sources", int(where.partition(".")[2]))
        draft.problem((*at, "path") if (*at, "path") in draft.document.lines else (*at, "hub"), message)
    seeds = frozenset(i.source for inputs in opened for i in inputs if i.format == "seeds")
    seed, name = (draft.recipe.seed, draft.recipe.name) if draft.recipe else (0, "")
    context = Context(seed, taxonomy, base, cache_folder(), jobs, fresh, seeds, say, bars, build=name)
    steps = []
    for i, step in draft.steps:
        try:
            found = step.check(context)
            steps.append(step.resolve(context) if online and not found and not draft.problems else step)
        except (InputError, OSError) as e:  # OSError: a name that no file can have
            found = [m for _, _, m in e.problems] if isinstance(e, InputError) else [f"{e.strerror}: {e.filename}"]
        for message in found:
            draft.problem(("steps", i), f"step {step.name}: {message}")
    looks = _looks(there, draft, context, online)
    draft.fail(DamagedInput if len(damage) == len(draft.problems) else InputError)
    recipe = draft.recipe
    assert recipe is not None  # without a problem it was read
    if not online:
        return Plan(recipe, opened, context, "", looks=looks)
    sources = [with_commit(s, inputs) for s, inputs in zip(recipe.sources, opened)]
    trained = recipe.ablate.model_copy(update={"model": AUTO}) if recipe.ablate.model == "auto" else recipe.ablate
    recipe = recipe.model_copy(update={"sources": sources, "steps": steps, "ablate": trained})
    if recipe.limit is not None and recipe.subsets is not None:  # a trial run's pool is short: that is its point
        recipe = recipe.model_copy(update={"subsets": recipe.subsets.model_copy(update={"on_short": "clip"})})
    told = asked(recipe.name, draft.document.file if draft.document.lines else None, list(sets), limit)
    return Plan(recipe, opened, context, _identity(recipe, opened, context), looks=looks, asked=told)


def _looks(opened: dict[int, list[Input]], draft: Draft, context: Context, through: bool) -> list[Look]:
    """A first look at each source. One of no use as it is mapped is a problem, unless a step may write its answers;
    where no build goes on from here to find it out, so is one of which too much cannot be read."""
    looks = [looked(inputs, context, through) for inputs in opened.values()]
    limits = {i: s.max_bad for i, s in draft.sources}
    for (at, inputs), seen in zip(opened.items(), looks):
        written = any(s.scope == "source" for _, s in draft.steps)
        found = None if written else objection(seen, inputs, through, context.say)
        for line in (found, None if through else seen.too_bad(limits[at])):
            if line:
                draft.problem(("sources", at), line)
    return looks


def _taxonomy(draft: Draft, base: Path) -> Taxonomy | None:
    """The recipe's taxonomy; problems go to the draft."""
    name = draft.recipe.taxonomy if draft.recipe else draft.document.data.get("taxonomy")
    if not isinstance(name, str):
        return None
    try:
        return load_taxonomy(name, base)
    except InputError as e:
        for file, line, message in e.problems:
            if file:
                draft.problems.append((file, line, message))
            else:
                draft.problem(("taxonomy",), message)
    return None


def _identity(recipe: Recipe, inputs: list[list[Input]], context: Context) -> str:
    """sha256 of the resolved recipe, with contents' digests in place of paths."""
    plain = recipe.plain()
    for source, files in zip(plain["sources"], inputs):
        source.pop("path", None)
        source["content"] = [[i.file, i.digest, i.format] for i in files]
    if context.taxonomy is not None:
        plain["taxonomy"] = context.taxonomy.digest()
    plain["steps"] = digested(plain["steps"], recipe, context.base)
    plain["scoring"] = [s.scoring(context) for s in recipe.steps]
    text = json.dumps(plain, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def build(plan: Plan, out: Path, engine: str | Engine = "local") -> Build:
    """Build a plan into a folder; run again to resume, or to do nothing where it is up to date.

    Raises InputError (exit 2) where the pool cannot fill the sizes, BudgetReached (4), BuildError (1).
    """
    started, clock = time.time(), time.monotonic()
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: a file is there; --out names a folder")
    with locked(out), in_use(plan.context.folder), Heartbeat(plan.context.say, live=plan.context.bars) as beat:
        may_replace(out, plan.sha256, plan.asked)
        if not plan.context.fresh and (there := finished(out, plan.sha256, plan.context.say)):
            return Build(out, *there, changed=False)
        staged = out / ".staged"
        shutil.rmtree(staged, ignore_errors=True)
        with open_engine(engine, plan.context.jobs, READY) if isinstance(engine, str) else engine as running:
            try:
                with writing(plan.context.folder):
                    plan, corpus, seconds = _run_again(plan, running, PAUSES)
            except Unreadable as e:
                write_unreadable(e.shards, out / UNREADABLE)
                raise BudgetReached(f"{e}. All of them are in {out / UNREADABLE}") from e
            beat.doing = "writing"
            with writing(out):
                manifest = _write(plan, corpus, staged, running)
        run = {
            "started": datetime.fromtimestamp(started, timezone.utc).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - clock, 3),
            "asked": plan.asked,
            "steps": seconds,
            "usage": plan.context.usage,
            "host": {
                "python": platform.python_version(),
                "machine": platform.machine(),
                "system": platform.system(),
                "jobs": plan.context.jobs,
            },
            "overrides": files_of(plan.recipe.steps, plan.context.base, out),
            "shards": [str(s.path.relative_to(plan.context.folder)) for s in corpus.shards],
            "sizes": {
                str(p.relative_to(staged)): p.stat().st_size
                for p in sorted(staged.rglob("*"))
                if p.is_file() and p.name != "report.html"  # `instdata report` may write it again
            },
        }
        write_json(staged / "run.json", run, hide=True)
        write_sums(staged)
        beat.doing = "the report"
        _write_report(staged, plan.context.say)  # reads run.json: what was spent, where the text of dropped rows lies
        move_into_place(staged, out)
        if (out / "curves").is_dir() or beside(out, "ablations").is_dir():
            _write_report(out, plan.context.say)  # with what was trained on an earlier build here, said to be so
        (out / UNREADABLE).unlink(missing_ok=True)
    return Build(out, manifest, run, changed=True)


def _run_again(plan: Plan, engine: Engine, pauses: Sequence[float]) -> tuple[Plan, Corpus, dict[str, float]]:
    """Run a plan; where a file is written meanwhile, the plan of what is there after a pause. Raises InputError where
    it does not come to rest."""
    try:
        return plan, *_run(plan, engine)
    except Changed as e:
        if not pauses:
            raise InputError(f"{e}, again and again: run again when it is whole") from e
        plan.context.say(f"{e}: it is read again")
    time.sleep(pauses[0])
    inputs = [reopened(*both, plan.context) for both in zip(plan.recipe.sources, plan.inputs)]
    looks = [looked(files, plan.context, True) for files in inputs]
    plan = replace(plan, inputs=inputs, looks=looks, sha256=_identity(plan.recipe, inputs, plan.context))
    return _run_again(plan, engine, pauses[1:])


def _run(plan: Plan, engine: Engine) -> tuple[Corpus, dict[str, float]]:
    """Read the sources and apply every step; seconds for each."""
    recipe = plan.recipe
    with Heartbeat(plan.context.say, live=plan.context.bars) as beat, ExitStack() as held:
        context = replace(plan.context, say=beat.say)
        clock = Clock(beat)
        beat.doing = "compiling"
        compiled = held.enter_context(compiling([step.kind for step in recipe.steps], context.jobs, context.say))
        compiled("read")
        beat.doing = "reading"
        shards = read_sources(plan.inputs, [s.max_bad for s in recipe.sources], engine, context, recipe.limit)
        say_sources(plan.looks, shards, context.say)
        corpus = as_read(shards, context)
        clock.lap("read", f"{corpus.n:,} rows", quarantined=sum(s.bad for s in shards))
        for number, step in enumerate(recipe.steps):
            beat.doing = step.name
            compiled(step.kind)
            corpus = apply(step, number, corpus, engine, context.folder)
            clock.lap(step.name, *told_of(corpus.done[-1]))
        corpus = close(corpus)
        if len(corpus.done) > len(recipe.steps):
            clock.lap("close", *told_of(corpus.done[-1]))
    return corpus, clock.laps


def as_read(shards: list, context: Context) -> Corpus:
    """The corpus as it was read, with the labels that rows came with."""
    corpus = Corpus(shards, State.fresh(np.empty(0, np.int32)), context)
    words = Words()
    codes = [ability_codes(read_cached(s.path, ["ability"])["ability"], words) for s in shards]
    state = State.fresh(np.concatenate(codes) if codes else np.empty(0, np.int32))
    state.confidence[state.ability != words.code(UNKNOWN)] = 1  # somebody labelled the row
    return replace(corpus, state=state, abilities=words)


def _write(plan: Plan, corpus: Corpus, folder: Path, engine: Engine) -> dict[str, Any]:
    """Write everything but run.json and report.html into a fresh folder; returns the manifest."""
    from instdata.publish.card import write_cards
    from instdata.publish.proof_files import write_proofs

    recipe = plan.recipe
    pool = np.flatnonzero((corpus.state.step < 0) & (corpus.state.config == TRAIN))
    if not len(pool):
        raise InputError(
            "no row is left to publish: "
            + ("; ".join(f"{t.name}: {told_drops(t)}" for t in corpus.done if t.dropped) or _none_read(corpus))
        )
    wanted = plan.context.taxonomy.names if plan.context.taxonomy else []
    subsets = ladder(
        corpus.view(pool).id_bytes,
        corpus.state.ability[pool],
        corpus.abilities.words,
        recipe.subsets,
        recipe.seed,
        wanted,
    )
    for line in subsets.warnings:
        plan.context.say(line)
    folder.mkdir(parents=True)
    configs, entered = write_data(corpus, pool, subsets, folder, engine)
    fields = write_forms(corpus, folder / FORMS)
    write_quarantine(corpus, folder / "quarantine.jsonl")
    notes = notes_of(corpus.shards, plan.context.say)
    totals = _totals(corpus)
    if (
        totals["in"] + totals["generated"] != totals["kept"] + totals["dropped"] + totals["quarantined"]
        or entered != totals["in"] + totals["generated"]
    ):
        raise BuildError(
            f"the build lost rows: {totals}, {entered} in the ledger. This is a bug in instdata; nothing was written"
        )
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "name": recipe.name,
        "recipe_sha256": plan.sha256,
        "seed": recipe.seed,
        "versions": versions(),
        "checksums": SUMS,
        "sources": [manifest_of(inputs, notes, plan.context) for inputs in plan.inputs if inputs],
        "steps": [t.manifest() for t in corpus.done],
        "configs": configs,
        "totals": totals,
        "fields": fields,
    }
    write_text(folder / "recipe.yaml", written_yaml(published(recipe)))
    write_cards(folder, manifest)
    write_proofs(folder, manifest)
    write_json(folder / "manifest.json", manifest, hide=True)
    return manifest


def _none_read(corpus: Corpus) -> str:
    """Why no row came in."""
    bad = next((s for s in corpus.shards if s.bad), None)
    if bad is None:
        return f"{len(corpus.errors):,} rows made a step raise" if corpus.errors else "the sources hold none"
    first = read_cached(bad.bad_path).slice(0, 1).to_pylist()[0]
    count = sum(s.bad for s in corpus.shards)
    return (
        f"none of {count:,} records can be read; the first, {first['source_file']} row {first['source_row']}: "
        f"{first['error']}"
    )


def _write_report(folder: Path, say: Callable[[str], None]) -> None:
    from instdata.report.page import write_report

    try:
        write_report(folder)
    except MissingExtra as e:
        say(f"no report.html: {e}")
    except Exception as e:  # the rows are safe and whole: a page about them is not worth the build
        say(f"no report.html: {type(e).__name__}: {e}. `instdata report` tries again")


def _totals(corpus: Corpus) -> dict[str, int]:
    state = corpus.state
    generated = sum(t.added for t in corpus.done)
    bad = sum(s.bad for s in corpus.shards)
    return {
        "in": corpus.n + bad - generated,
        "generated": generated,
        "kept": int((state.step < 0).sum()),
        "dropped": sum(t.dropped for t in corpus.done),
        "quarantined": int(state.quarantined.sum()) + bad,
    }


class _Callable(ModuleType):
    """`instdata.build(recipe, out=…)`: the module and the public function have one name, so the module can be
    called."""

    def __call__(self, recipe: Any, out: Any = None, **options: Any) -> Any:
        return import_module("instdata.api").build(recipe, out, **options)


sys.modules[__name__].__class__ = _Callable
