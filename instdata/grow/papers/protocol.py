"""What a paper did, what is done here, and why where that differs: facts, gathered before anything runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from instdata.builds import manifest, recipe_of
from instdata.score.item import Item
from instdata.train.training_recipe import RECIPES, Training

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


class Paper:
    """The elements of a paper's protocol, made one by one: what the paper says of it stands in protocols.yaml."""

    def __init__(self, name: str):
        self.name = name
        self.said: dict[str, str] = yaml.safe_load((Path(__file__).parent / "protocols.yaml").read_text("utf-8"))[name]

    def done(self, element: str, here: str, why: str = "") -> Element:
        return Element(element, self.said[element], here, DONE, why)

    def differs(self, element: str, here: str, why: str) -> Element:
        return Element(element, self.said[element], here, DIFFERS, why)

    def missing(self, element: str, why: str, here: str = "none") -> Element:
        return Element(element, self.said[element], here, MISSING, why)

    def same(self, element: str, here: str, why: str, equal: bool) -> Element:
        """One that is done where both are equal; elsewhere it differs, and why."""
        return self.done(element, here) if equal else self.differs(element, here, why)

    def runs(self, facts: Facts) -> Element:
        here = f"{facts.seeds} of each size, 95 % intervals"
        here += " over items and seeds" if self.name == "belle" else ""
        return self.same("runs", here, "one run says nothing of the next", facts.seeds == 1)

    def trained(self, facts: Facts, fields: Mapping[str, str]) -> list[Element]:
        """The settings of the paper's training recipe: its field of each element."""
        named, found = RECIPES[self.name], []
        for element, field in fields.items():
            mine = getattr(facts.training, field)
            equal = mine == getattr(named, field)
            here = self.said[element] if equal else f"{mine}"
            found.append(self.same(element, here, "changed by --set or --recipe", equal))
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
    paper = Paper("belle")
    full = max(facts.sizes.values(), default=0)
    shares = [round(100 * n / full) for n in facts.sizes.values()] if full else []
    ladder = f"{', '.join(map(str, shares))} % of {full:,} rows" if full else "set by the build"
    abilities = len({i.ability for i in facts.items})
    return [
        *(_written(paper, facts) if facts.build else [NO_BUILD]),
        paper.same("ladder", ladder, "the build or --scale is too small for four sizes", shares == [10, 30, 50, 100]),
        paper.done("nested", "every size holds the one before"),
        paper.same(
            "model",
            ", ".join(facts.models),
            "the model is yours: --model bigscience/bloomz-7b1-mt",
            facts.models == ["bigscience/bloomz-7b1-mt"],
        ),
        *paper.trained(
            facts,
            {
                "batch": "batch",
                "epochs": "epochs",
                "schedule": "schedule",
                "learning rate": "lr",
                "weight decay": "weight_decay",
            },
        ),
        paper.done("length and warm-up", f"{facts.training.length} tokens, {facts.training.warmup} steps", "ours"),
        paper.same("items", counted(facts.items), "what the build held out, or --suite", len(facts.items) == 2210),
        paper.same(
            "use cases", f"{abilities} in one table, one macro mean", "the others have no items", abilities == 12
        ),
        *_judged(paper, facts.judge),
        paper.runs(facts),
    ]


def _written(paper: Paper, facts: Facts) -> list[Element]:
    """How BELLE's rows came about."""
    generate, dedup, quality = (facts.step(kind) for kind in ("generate", "dedup", "quality"))
    how, asked = f"{facts.rows:,} rows of sources", "not generated"
    if generate:
        how = (
            f"{facts.rows:,} rows, generate {generate.get('method', 'self-instruct')} by "
            f"{generate.get('model', 'auto')}, temperature {generate.get('temperature', 0.7)}"
        )
        asked = f"{generate.get('examples') or 'auto'} shown, {generate.get('batch') or 'auto'} a request"
    rules = (quality or {}).get("rules", "none")
    own = quality is not None and "belle" in str(rules)
    return [
        paper.differs("data", how, "the model and the number of rows are yours; the paper's set is not ours to ship"),
        paper.differs(
            "prompt", asked, "smaller requests parse more often with small models; set generate.batch and examples"
        ),
        paper.same(
            "filters",
            "quality: rules belle" if own else f"quality: rules {rules}",
            "say `quality: {rules: belle}` for the paper's own",
            own,
        ),
        paper.differs(
            "near copies",
            f"dedup {dedup.get('method', 'minhash')}, all rows" if dedup else "none",
            "new rows are compared with each other too, with a true similarity",
        ),
    ]


def _judged(paper: Paper, judge: tuple[str, int] | None) -> list[Element]:
    """Who scores BELLE's answers, and how."""
    if judge is None:
        return [
            paper.differs(
                "scoring",
                "checked answers where a use case has a verifiable scorer, else whether the reference beats its distractors",
                "no --judge: not the paper's scale, so its table is not shown beside",
            ),
            paper.differs("judge runs", "none", "say --judge MODEL (3 runs)"),
            paper.differs("references", "used by the scorers", "no --judge"),
        ]
    model, runs = judge
    return [
        paper.differs("scoring", f"{model} gives every answer 0..1, all twelve", "another judge"),
        paper.same("judge runs", f"mean of {runs}", "changed by --judge-runs", runs == 3),
        paper.done("references", paper.said["references"]),
    ]


def doit(facts: Facts, arms: Sequence[str], epochs: Mapping[str, int], capped: bool = True) -> list[Element]:
    """DoIT (Song et al. 2023, arXiv 2310.19651). epochs: of each size. capped: the mixtures with caps can be made."""
    paper = Paper("doit")
    sizes = ", ".join(facts.sizes)
    data = NO_BUILD
    if facts.build is not None:
        here = f"{facts.rows:,} rows of {facts.build.name}"
        data = paper.differs("data", here, "your rows; `instdata review` is the double review")
    return [
        data,
        paper.same(
            "ladder",
            f"{sizes} rows an ability" if sizes else "set by the build",
            "more rows than there are, or --scale",
            sizes == "1, 4, 16, 64, 256, 1000",
        ),
        paper.differs(
            "nested", "every size holds the one before", "a difference between sizes is then one of rows, not of draws"
        ),
        paper.same(
            "arms",
            ", ".join(arms) or "set by the build",
            "the build has no rows of the others",
            list(arms) == ["human", "synthetic", "mixed"],
        ),
        paper.differs("models", ", ".join(facts.models), "the models are yours: --model may repeat"),
        *paper.trained(
            facts,
            {
                "batch": "batch",
                "schedule": "schedule",
                "learning rate": "lr",
                "AdamW betas": "betas",
                "weight decay": "weight_decay",
                "length": "length",
            },
        ),
        *_examined(paper, facts, epochs),
        paper.runs(facts),
        paper.done("matrix", "trained on one ability, examined on all, with intervals"),
        paper.differs(
            "Reconstruct, Maximum",
            "arms reconstruct and maximum, caps scaled to the ladder's largest size",
            "the pool is yours",
        )
        if capped
        else paper.missing(
            "Reconstruct, Maximum", "the build lacks one of ethics, role_play, creative_writing", "not run"
        ),
    ]


def _examined(paper: Paper, facts: Facts, epochs: Mapping[str, int]) -> list[Element]:
    """For how long DoIT's models are trained, and by what they are chosen and scored."""
    inside = [i for i in facts.items if not i.out_of_domain]
    abilities = len({i.ability for i in inside})
    early = [epochs.get(k) for k in ("1", "4", "16") if k in epochs]
    late = [n for k, n in epochs.items() if k not in ("1", "4", "16")]
    best = f"the best after epoch {facts.training.best_after} by the scorer on {facts.validation:,} validation items"
    return [
        paper.same(
            "epochs",
            ", ".join(f"{k}: {n}" for k, n in epochs.items()) or paper.said["epochs"],
            "changed by --set, or sizes that are not there",
            early == [25, 20, 18][: len(early)] and all(n == 15 for n in late),
        ),
        paper.same("checkpoint", best, "changed by --set", facts.training.best_after == 5),
        paper.done("loss", "assistant turns only, summed over the step's tokens"),
        paper.same("abilities", str(abilities), "the others have no items", abilities == 10),
        paper.differs("items", counted(inside), "what the build held out, less the half that validates; or --suite"),
        paper.differs(
            "scoring",
            "the same; strictly likelier (its code counts ties as right), distractors made by rule where an item has none",
            "the paper's text says strictly lower perplexity; its distractors are by hand",
        ),
        paper.differs("out of domain", ", ".join(facts.suites), "your suites, beside the holdout in one run")
        if facts.suites
        else paper.missing("out of domain", "give --suite FILE with out_of_domain: true"),
        paper.differs(
            "averages",
            "the mean over abilities; nothing is smoothed",
            "faults of the released scorer are not reproduced",
        ),
    ]
