"""What a paper did, what is done here, and why where that differs: facts, gathered before anything runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from instdata.builds import manifest, recipe_of
from instdata.score.item import Item
from instdata.train.recipe import RECIPES, Training

DONE, DIFFERS, MISSING = "done", "differs", "missing"


@dataclass(frozen=True)
class Element:
    """One element of a protocol. status: done, differs, or missing (not done here at all)."""

    element: str
    paper: str
    here: str
    status: str
    why: str = ""


@dataclass(frozen=True)
class Facts:
    """What a protocol is compared with. judge: (model, calls an answer), None without one. sizes: rows of each run."""

    build: Path | None
    models: Sequence[str]
    training: Training
    sizes: Mapping[str, int]
    seeds: int
    items: Sequence[Item]
    judge: tuple[str, int] | None = None
    suites: Sequence[str] = ()
    validation: int = 0

    @property
    def steps(self) -> list[tuple[str, dict[str, Any]]]:
        """The recipe's steps as (kind, options)."""
        if self.build is None:
            return []
        found = []
        for step in recipe_of(self.build).get("steps") or []:
            kind = next((k for k in step if k != "name"), "") if isinstance(step, dict) else str(step)
            options = step.get(kind) if isinstance(step, dict) else None
            found.append((kind, options if isinstance(options, dict) else {}))
        return found

    def step(self, kind: str) -> dict[str, Any] | None:
        """The options of the first step of a kind; None where the recipe has none."""
        return next((o for k, o in self.steps if k == kind), None)

    @property
    def rows(self) -> int:
        return int(manifest(self.build)["configs"]["full"]["rows"]) if self.build else 0


def same(element: str, paper: str, here: str, why: str, equal: bool | None = None) -> Element:
    """An element that is done where both agree, else differs."""
    alike = paper == here if equal is None else equal
    return Element(element, paper, here, DONE if alike else DIFFERS, "" if alike else why)


def trained(facts: Facts, paper: str, words: Sequence[tuple[str, str, str]]) -> list[Element]:
    """The settings of the paper's training recipe: (field, what the paper calls it, how it puts it)."""
    named = RECIPES[paper]
    found = []
    for name, element, said in words:
        mine, theirs = getattr(facts.training, name), getattr(named, name)
        found.append(
            same(element, said, said if mine == theirs else f"{mine}", "changed by --set or --recipe", mine == theirs)
        )
    return found


def counted(items: Sequence[Item]) -> str:
    """The number of items of each ability, in words."""
    counts = Counter(i.ability for i in items)
    return (
        f"{sum(counts.values()):,}: " + ", ".join(f"{a} {n}" for a, n in sorted(counts.items())) if counts else "none"
    )


def plain(elements: Sequence[Element]) -> list[dict[str, str]]:
    """As JSON."""
    return [asdict(e) for e in elements]


NO_BUILD = Element("data", "the paper's training set", "no build yet", MISSING, "build one, or name a build")


def belle(facts: Facts) -> list[Element]:
    """BELLE (Ji et al. 2023, arXiv 2303.14742)."""
    generate = facts.step("generate")
    dedup, quality = facts.step("dedup"), facts.step("quality")
    data = [NO_BUILD]
    if facts.build is not None:
        how = (
            f"{facts.rows:,} rows, generate {generate.get('method', 'self-instruct')} by "
            f"{generate.get('model', 'auto')}, "
            f"temperature {generate.get('temperature', 0.7)}" if generate else f"{facts.rows:,} rows of sources"
        )  # fmt: skip
        data = [
            Element("data", ("2M Chinese rows that ChatGPT wrote from 175 seed tasks, "
                            "temperature 1"), how, DIFFERS, ("the model and the number of rows are yours; the paper's "
                                                            "set is not ours to ship")),
            Element("prompt", "3 seed examples shown, 10 tasks a request",
            f"{(generate or {}).get('examples') or 'auto'} shown, {(generate or {}).get('batch') or 'auto'} a request" if generate else "not generated", DIFFERS, "smaller requests parse more often with small models; set generate.batch and examples"),
            same("filters", ("no image, file, link or GPT words; over 3 characters; cut last item "
                            "dropped"),
                            "quality: rules belle" if quality and "belle" in str(quality.get("rules")) else f"quality: rules {(quality or {}).get('rules', 'none')}", "say `quality: {rules: belle}` for the paper's own", bool(quality) and "belle" in str((quality or {}).get("rules"))),
            Element("near copies", "BM25 over 18, against the seeds only", f"dedup {dedup.get('method', 'minhash')}, "
                                                                           f"all rows" if dedup else "none", DIFFERS,
                                                                           "new rows are compared with each other too, with a true similarity"),
        ]  # fmt: skip
    full = max(facts.sizes.values(), default=0)
    shares = [round(100 * n / full) for n in facts.sizes.values()] if full else []
    judge = facts.judge
    return [
        *data,
        same("ladder", "10, 30, 50, 100 % (0.2M, 0.6M, 1M, 2M)", f"{', '.join(map(str, shares))} % of {full:,} "
                                                                 f"rows" if full else "set by the build",
                                                                 "the build or --scale is too small for four sizes",
                                                                 shares == [10, 30, 50, 100]),
        Element("nested", "not stated", "every size holds the one before", DONE),
        Element("model", "Bloomz-7B1-mt", ", ".join(facts.models),
        *_or(facts.models == ["bigscience/bloomz-7b1-mt"], "the model is yours: --model bigscience/bloomz-7b1-mt")),
        *trained(facts, "belle",
        [("batch", "batch", "64"), ("epochs", "epochs", "2"), ("schedule", "schedule", "constant"),
        ("lr", "learning rate", "3e-6"), ("weight_decay", "weight decay", "0.001")]),
        Element("length and warm-up", "not stated", (f"{facts.training.length} tokens, {facts.training.warmup} "
                                                    f"steps"), DONE, "ours"),
        same("items", "2,210: 142 to 200 for each of 12 use cases", counted(facts.items), ("what the build held out, "
                                                                                          "or --suite"),
                                                                                          len(facts.items) == 2210),
        same("use cases", "12 in one table, one macro mean", (f"{len({i.ability for i in facts.items})} in one table, "
                                                             f"one macro mean"), "the others have no items",
                                                             len({i.ability for i in facts.items}) == 12),
        Element("scoring", "ChatGPT gives every answer 0..1, all twelve", f"{judge[0]} gives every answer 0..1, all "
                                                                          f"twelve" if judge else "checked answers where a use case has a verifiable scorer, else whether the reference beats its distractors", DIFFERS, "another judge" if judge else "no --judge: not the paper's scale, so its table is not shown beside"),
        same("judge runs", "mean of 3", f"mean of {judge[1]}" if judge else "none",
        "say --judge MODEL (3 runs)" if not judge else "changed by --judge-runs"),
        same("references", ("shown to the judge but for generation, brainstorming, rewrite; math, code, cot "
                           "strict 0/1"), "shown to the judge but for generation, brainstorming, rewrite; math, "
                                          "code, cot strict 0/1" if judge else "used by the scorers", "no --judge",
                                          bool(judge)),
        Element("runs", "1 of each size", (f"{facts.seeds} of each size, 95 % intervals over items and "
                                          f"seeds"), DONE if facts.seeds == 1 else DIFFERS,
                                          "" if facts.seeds == 1 else "one run says nothing of the next"),
    ]  # fmt: skip


def doit(facts: Facts, arms: Sequence[str], epochs: Mapping[str, int], capped: bool = True) -> list[Element]:
    """DoIT (Song et al. 2023, arXiv 2310.19651). epochs: of each size.
    capped: the mixtures with caps can be made."""
    abilities = {i.ability for i in facts.items if not i.out_of_domain}
    sizes = ", ".join(facts.sizes)
    data = [NO_BUILD] if facts.build is None else [
        Element("data", ("ten abilities, human rows, revised and passed by two reviewers "
                        "each"), f"{facts.rows:,} rows of {facts.build.name}", DIFFERS, ("your rows; `instdata "
                                                                                        "review` is the double "
                                                                                        "review")),
    ]  # fmt: skip
    early = [epochs.get(k) for k in ("1", "4", "16") if k in epochs]
    return [
        *data,
        same("ladder", "1, 4, 16, 64, 256, 1000 rows an ability",
        f"{sizes} rows an ability" if sizes else "set by the build", "more rows than there are, or --scale",
        sizes == "1, 4, 16, 64, 256, 1000"),
        Element("nested", "every size drawn anew", "every size holds the one before", DIFFERS, ("a difference between "
                                                                                               "sizes is then one of "
                                                                                               "rows, not of draws")),
        same("arms", "human, synthetic, mixed", ", ".join(arms) or "set by the build", ("the build has no rows of the "
                                                                                       "others"),
                                                                                       list(arms) == ["human",
                                                                                       "synthetic", "mixed"]),
        same("models", "7B, 13B, 33B of one family", ", ".join(facts.models), ("the models are yours: --model may "
                                                                              "repeat"), False),
        *trained(facts, "doit",
        [("batch", "batch", "64"), ("schedule", "schedule", "linear, 1e-5 to 1e-6"), ("lr", "learning rate", "1e-5"),
        ("betas", "AdamW betas", "0.9, 0.95"), ("weight_decay", "weight decay", "0.1"), ("length", "length", "2048")]),
        same("epochs", "15; 25, 20, 18 at the three smallest sizes",
        ", ".join(f"{k}: {n}" for k, n in epochs.items()) or "15; 25, 20, 18 at the three smallest sizes",
        "changed by --set, or sizes that are not there",
        early == [25, 20, 18][: len(early)] and all(n == 15 for k, n in epochs.items() if k not in ("1", "4", "16"))),
        same("checkpoint", "the best epoch after the fifth by the scorer on validation", (f"the best after epoch "
                                                                                         f"{facts.training.best_after} by the scorer on {facts.validation:,} validation items"), "changed by --set", facts.training.best_after == 5),
        Element("loss", "assistant turns only", "assistant turns only, summed over the step's tokens", DONE),
        same("abilities", "10", str(len(abilities)), "the others have no items", len(abilities) == 10),
        same("items", ("100 an ability in the first round (43,490 in "
                      "all)"), counted([i for i in facts.items if not i.out_of_domain]), ("what the build held out, "
                                                                                         "less the half that validates; or --suite"), False),
        Element("scoring", ("exact match, or a true answer likelier than every "
                           "distractor"), ("the same; strictly likelier (its code counts ties as right), distractors "
                                          "made by rule where an item has none"), DIFFERS, ("the paper's text says "
                                                                                           "strictly lower perplexity; its distractors are by hand")),
        Element("out of domain", ("three professional exams, 40 questions each, "
                                 "5-shot"), ", ".join(facts.suites) or "none", DIFFERS if facts.suites else MISSING,
                                 "your suites, beside the holdout in one run" if facts.suites else "give --suite FILE with out_of_domain: true"),
        Element("averages", ("its scorer divides by twice the number of files; plots "
                            "smoothed"), "the mean over abilities; nothing is smoothed", DIFFERS,
                            "faults of the released scorer are not reproduced"),
        Element("runs", "1 of each size", f"{facts.seeds} of each size, 95 % intervals",
        DONE if facts.seeds == 1 else DIFFERS, "" if facts.seeds == 1 else "one run says nothing of the next"),
        Element("matrix", "not in the paper", "trained on one ability, examined on all, with intervals", DONE),
        Element("Reconstruct, Maximum", ("10k and 40k rows with caps on ethics, role-play, creative "
                                        "writing"), *((("arms reconstruct and maximum, caps scaled to the ladder's "
                                                       "largest size"), DIFFERS,
                                                       "the pool is yours") if capped else ("not run", MISSING,
                                                       "the build has no ethics, role_play and creative_writing rows"))),
    ]  # fmt: skip


def _or(equal: bool, why: str) -> tuple[str, str]:
    return (DONE, "") if equal else (DIFFERS, why)
