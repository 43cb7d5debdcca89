"""Simulated ablations with known truth, and how the verdicts fare on them.

    python -m tests.harness.experiments [EXPERIMENTS] [SCENARIO]
    python -m tests.harness.experiments exam WORLDS

prints the tables of docs/statistics.md. Items differ by Student's t with 3 degrees of freedom (heavy tails), references
have log-normal lengths, longer ones less noise; seed noise is shared between abilities; arms share their control.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from unittest import mock

import numpy as np

from instdata.compare.effect import FEW, Contrast, decide
from instdata.compare.paired_comparison import Matched
from instdata.compare.paired_comparison import decide as paired
from instdata.compare.sequential_looks import Looks
from instdata.score.metric import MACRO, metric_of


@dataclass(frozen=True)
class World:
    """What an experiment is drawn from. SDs are those of a paired difference: relative to the control's value for bits.
    kin: correlation of seed noise between abilities. overlap: share of a fresh draw's variance that `with` has.
    uneven: SD of the logarithm of abilities' seed noise. tails: degrees of freedom of the items' Student t."""

    metric: str = "bits"
    abilities: tuple[int, int] = (2, 12)
    items: tuple[int, int] = (10, 120)
    sd_item: float = 0.02
    sd_rest: float = 0.01
    sd_seed: float = 0.003
    kin: float = 0.5
    overlap: float = 1.0
    uneven: float = 0.0
    lengths: float = 0.8
    aa: bool = True
    tails: int = 3


WORLDS = {
    "as planned": World(),
    "seeds loud": World(sd_item=0.01, sd_seed=0.01),
    "seeds silent": World(sd_seed=0.0),
    "abilities as one": World(sd_item=0.01, sd_seed=0.01, kin=1.0),
    "abilities apart": World(sd_item=0.01, sd_seed=0.01, kin=0.0),
    "two abilities": World(sd_item=0.01, sd_seed=0.01, abilities=(2, 2)),
    "seeds uneven": World(sd_item=0.01, sd_seed=0.01, uneven=0.4),
    "arms overlap": World(sd_item=0.01, sd_seed=0.01, overlap=0.2),
    "no aa arm": World(sd_item=0.01, sd_seed=0.01, aa=False),
    "judged scores": World(metric="judge", sd_item=0.2, sd_rest=0.2, sd_seed=0.02, lengths=0.0),
}


def draw(rng: np.random.Generator, world: World, seeds: int, effects: dict[int, float] | None = None):
    """(main contrasts, aa contrasts) of one experiment; effects: shift of the with-arm by ability, relative for
    bits."""
    count = int(rng.integers(world.abilities[0], world.abilities[1] + 1))
    shared = rng.standard_normal((3, seeds)) * np.sqrt(world.kin / 2)
    main, aa = [], []
    for a in range(count):
        n = int(rng.integers(world.items[0], world.items[1] + 1))
        value = rng.uniform(0.4, 1.2) if world.metric == "bits" else 0.6
        unit = value if world.metric == "bits" else 1.0
        length = rng.lognormal(0, world.lengths, n)
        runs = shared + rng.standard_normal((3, seeds)) * np.sqrt((1 - world.kin) / 2)
        runs *= world.sd_seed * unit * np.exp(world.uneven * rng.standard_normal())
        runs[1] = np.sqrt(world.overlap) * runs[1] + np.sqrt(1 - world.overlap) * runs[0]
        sd = np.sqrt((1 - 2 / world.tails) / 2)  # of one arm, for a difference of SD 1
        base = value * (1 + 0.3 * rng.standard_normal(n))

        def tails(*shape: int) -> np.ndarray:
            return rng.standard_t(world.tails, shape) * (sd * unit) * length**-0.25  # noqa: B023

        arms = [base + world.sd_item * tails(n) + world.sd_rest * tails(seeds, n) + runs[k][:, None] for k in range(3)]
        arms[1] = arms[1] + (effects or {}).get(a, 0.0) * unit
        weights = length if world.metric == "bits" else np.ones(n)
        main.append(Contrast(f"a{a}", arms[0], arms[1], weights))
        aa.append(Contrast(f"a{a}", arms[0], arms[2], weights))
    return main, aa if world.aa else []


def first(contrasts: list[Contrast], seeds: int) -> list[Contrast]:
    """The same with fewer seeds."""
    return [Contrast(c.ability, c.without[:seeds], c.with_[:seeds], c.weights) for c in contrasts]


def looked(main: list[Contrast], aa: list[Contrast], seeds: tuple[int, ...], metric: str) -> list[list[Any]]:
    """The effects at each look."""
    return [
        decide(first(main, s), first(aa, s), look=k, looks=len(seeds), metric=metric) for k, s in enumerate(seeds, 1)
    ]


def null(
    world: World, experiments: int, seeds: tuple[int, ...] = (3, 4, 5), which: str = "with", seed: int = 0
) -> dict:
    """Shares over experiments without any effect: intervals of abilities and of the mean that hold the truth at the
    first look; false verdicts ("better" or "worse" at any look) on an ability, on any ability, on the mean, on
    anything."""
    rng = np.random.default_rng(seed)
    inside, inside_macro, single = [], [], []
    any_ability = macro = anything = same = 0
    for _ in range(experiments):
        main, aa = draw(rng, world, max(seeds))
        found = looked(*((aa, []) if which == "aa" else (main, aa)), seeds, world.metric)
        wrong = {e.ability for effects in found for e in effects if e.verdict in ("better", "worse")}
        names = [c.ability for c in main]
        inside += [e.low <= 0 <= e.high for e in found[0] if e.ability != MACRO]
        inside_macro += [e.low <= 0 <= e.high for e in found[0] if e.ability == MACRO]
        single += [a in wrong for a in names]
        any_ability += bool(wrong - {MACRO})
        macro += MACRO in wrong
        anything += bool(wrong)
        same += any(e.verdict == "equivalent" for effects in found for e in effects if e.ability == MACRO)
    return {
        "coverage": float(np.mean(inside)),
        "coverage_macro": float(np.mean(inside_macro)),
        "false_ability": float(np.mean(single)),
        "false_any_ability": any_ability / experiments,
        "false_macro": macro / experiments,
        "false_anything": anything / experiments,
        "macro_equivalent": same / experiments,
    }


def power(world: World, experiments: int, planned: float, seeds: tuple[int, ...] = (3,), seed: int = 1) -> float:
    """How often an effect of the planned size in the first ability alone gets its verdict, at any look."""
    rng = np.random.default_rng(seed)
    sign = -1 if metric_of(world.metric).lower_is_better else 1
    hits = 0
    for _ in range(experiments):
        main, aa = draw(rng, world, max(seeds), {0: sign * planned})
        hits += any(effects[0].verdict == "better" for effects in looked(main, aa, seeds, world.metric))
    return hits / experiments


def few_of_worlds(worlds: int, items: int, floor: int = FEW, seed: int = 0) -> dict[str, float]:
    """Null worlds of one ability with so many items, three seeds and one look: shares with a false verdict on answers
    that are right or wrong (which are so in most seeds alike), on grades (of five), and on bits. floor: items below
    which no verdict is given."""
    rng = np.random.default_rng(seed)
    wrong = dict.fromkeys(("right or wrong", "grades", "bits"), 0.0)
    world, ones = World(abilities=(1, 1), items=(items, items), sd_seed=0.0005), np.ones(items)
    for _ in range(worlds):
        right = (rng.random((2, 1, items)) < rng.beta(1, 1, items)) ^ (rng.random((2, 3, items)) < 0.02)
        other = (rng.random((2, 3, items)) < 0.15) * rng.choice([-1, 1], (2, 3, items))
        grades = np.clip(rng.choice(5, (2, 1, items)) + other, 0, 4) / 4
        main, _ = draw(rng, world, 3)
        drawn = {"right or wrong": Contrast("qa", *right.astype(float), ones), "grades": Contrast("qa", *grades, ones)}
        for name, contrast in {**drawn, "bits": main[0]}.items():
            with mock.patch("instdata.compare.effect.FEW", floor):
                wrong[name] += _wrong(decide([contrast], metric="bits" if name == "bits" else "judge"))
    return {k: v / worlds for k, v in wrong.items()}


def clustered_world(rng: np.random.Generator, passages: int, each: int, effect: float, seeds: int = 3):
    """(without, with [seeds, items], cluster [items]) of questions about passages: what a step does to one question it
    does to the others about the same passage (half of the variance is the passage's)."""
    cluster = np.repeat(np.arange(passages), each)
    n = len(cluster)
    base = 1 + 0.2 * rng.standard_normal(n)
    moved = effect + 0.05 * (rng.standard_normal(passages)[cluster] + rng.standard_normal(n))
    a, b = (base + 0.02 * rng.standard_normal((seeds, n)) + 0.005 * rng.standard_normal((seeds, 1)) for _ in range(2))
    return a, b + moved, cluster.astype(str)


def clusters_of_worlds(worlds: int, passages: int = 10, each: int = 8) -> dict[str, float]:
    """Shares of null worlds: intervals that hold the truth with clusters and without, false verdicts with them."""
    rng = np.random.default_rng(0)
    inside, without, false = [], [], []
    for _ in range(worlds):
        a, b, cluster = clustered_world(rng, passages, each, 0.0)
        [known] = decide([Contrast("qa", a, b, np.ones(a.shape[1]), cluster)])
        [naive] = decide([Contrast("qa", a, b, np.ones(a.shape[1]))])
        inside.append(known.low <= 0 <= known.high)
        without.append(naive.low <= 0 <= naive.high)
        false.append(known.verdict in ("better", "worse"))
    return {"coverage": np.mean(inside), "coverage_without": np.mean(without), "false": np.mean(false)}


def reruns_of_worlds(worlds: int, seed: int = 0) -> dict[str, float]:
    """Null worlds that somebody comes back to: looks after 3, 4 and 5 seeds, then after 6, 7 and 8. Shares with a false
    verdict at any look: where each invocation spends all of the error anew, and where looks are remembered."""
    rng = np.random.default_rng(seed)
    looks = Looks().planned(3, 5)
    for k in looks.looks:
        looks = looks.after(k)
    looks = looks.planned(3, 8)
    forgotten = remembered = 0
    for _ in range(worlds):
        main, aa = draw(rng, World(sd_item=0.01, sd_seed=0.01, abilities=(2, 4)), 8)
        each = {s: (first(main, s), first(aa, s)) for s in range(3, 9)}
        plans = [each[s] for s in (3, 4, 5)], [each[s] for s in (6, 7, 8)]
        forgotten += any(_wrong(decide(*of, look=k, looks=3)) for plan in plans for k, of in enumerate(plan, 1))
        remembered += any(_wrong(decide(*each[k.seeds], levels=(k.level, k.same))) for k in looks.looks)
    return {"forgotten": forgotten / worlds, "remembered": remembered / worlds}


def _wrong(effects: list[Any]) -> bool:
    return any(e.verdict in ("better", "worse") for e in effects)


def missing_of_worlds(worlds: int, share: float = 0.7, seed: int = 0) -> dict[str, float]:
    """Null worlds of a judge whose verdicts on bad answers of one arm cannot be read: shares with a false verdict where
    items without a verdict are left out, and where they may be anything."""
    rng = np.random.default_rng(seed)
    left_out = bounded = 0
    for _ in range(worlds):
        base = rng.uniform(0, 1, 60)
        a, b = (np.clip(base + rng.normal(0, 0.3, 60) + rng.normal(0, 0.02, (3, 60)), 0, 1) for _ in range(2))
        whole = Contrast("essay", a, b, np.ones(60))
        b = np.where((b < 0.3) & (rng.random(b.shape) < share), np.nan, b)
        kept = np.isfinite(b).all(0)
        left_out += _wrong(decide([Contrast("essay", a[:, kept], b[:, kept], np.ones(kept.sum()))], metric="judge"))
        bounded += _wrong(decide([replace(whole, with_=b)], metric="judge"))
    return {"left_out": left_out / worlds, "bounded": bounded / worlds}


def margins_of_worlds(worlds: int, seed: int = 0) -> dict[str, float]:
    """Worlds without any effect on bits: shares that are called equivalent within 1 % of the control, as before, and
    within a quarter of a doubling of data (0.5 % at most); and worlds that are worse by just that margin, which may be
    called so in 5 of
    100."""
    rng = np.random.default_rng(seed)
    world = World(sd_item=0.012, sd_rest=0.006, sd_seed=0.0015, abilities=(3, 3), items=(60, 100))
    found = dict.fromkeys(("none, 1 %", "none, quarter", "at the margin, quarter"), 0.0)
    for name, shift in (("none", 0.0), ("at the margin", 0.005)):
        for _ in range(worlds):
            main, aa = draw(rng, world, 3, dict.fromkeys(range(3), shift))
            for margin, value in (("1 %", 0.01), ("quarter", 0.005)):
                key = f"{name}, {margin}"
                found[key] = found.get(key, 0.0) + (decide(main, aa, margin=value)[-1].verdict == "equivalent")
    return {k: v / worlds for k, v in found.items() if k != "at the margin, 1 %"}


def planted_of_worlds(worlds: int, shift: float = 0.03, seed: int = 0) -> dict[str, float]:
    """Shares of worlds with a planted fault (bits 3 % worse without the step) that are found at the first look."""
    rng = np.random.default_rng(seed)
    level = Looks().planned(3, 5).looks[0]
    world, hits = World(abilities=(4, 4), items=(20, 40)), 0
    for _ in range(worlds):
        main, aa = draw(rng, world, 3, dict.fromkeys(range(4), -shift))
        hits += decide(main, aa, levels=(level.level, level.same))[-1].verdict == "better"
    return {"found": hits / worlds}


def best_of_worlds(worlds: int, arms: int = 8, seeds: int = 3, items: int = 60, seed: int = 0) -> dict[str, float]:
    """Several arms against one control: how often any of them is called other than it although none is, and how often
    one that differs by a share of .0045 (three of its standard errors) is found. By Holm's p as `paired.decide` has it,
    and by max-T: the largest of all arms' |t| over paired sign flips of the items (999), which keep the arms'
    correlation but know no seeds. "quiet": no noise of seeds; "loud": as much as the items'."""
    rng = np.random.default_rng(seed)
    kind, found = metric_of("bits"), {}
    for name, loud in (("quiet", 0.0), ("loud", 0.0015)):
        counts = dict.fromkeys(("holm false", "max-T false", "holm found", "max-T found"), 0.0)
        for _ in range(worlds):
            own = rng.normal(0, 0.0115, (arms + 1, 1, items)) / 2**0.5
            noise = rng.normal(0, 0.0115, (arms + 1, seeds, items)) / 2**0.5 * 0.5
            scores = 1 + own + noise + rng.normal(0, loud, (arms + 1, seeds, 1)) / 2**0.5 * seeds**0.5
            for word, shift in (("false", 0.0), ("found", -0.0045)):
                shifted = scores.copy()
                shifted[1] += shift
                pairs = [Matched(shifted[0], x, np.ones(items)) for x in shifted[1:]]
                p = [v.p_holm for v in paired(pairs, [(kind, None)] * arms)]
                t = _max_t(np.stack([(x - shifted[0]).mean(0) for x in shifted[1:]]), rng)
                counts[f"holm {word}"] += (min(p) if word == "false" else p[0]) <= 0.05
                counts[f"max-T {word}"] += (min(t) if word == "false" else t[0]) <= 0.05
        found |= {f"{name}, {k}": v / worlds for k, v in counts.items()}
    return found


def _max_t(d: np.ndarray, rng: np.random.Generator, flips: int = 999) -> np.ndarray:
    """Adjusted p of each row of paired differences [arms, items] (Westfall and Young 1993, single step)."""

    def t(x: np.ndarray) -> np.ndarray:
        return np.abs(x.mean(-1)) / (x.std(-1, ddof=1) / x.shape[-1] ** 0.5)

    signs = rng.choice([-1.0, 1.0], (flips, 1, d.shape[1]))
    most = t(d * signs).max(1)
    return (1 + (most[:, None] >= t(d)).sum(0)) / (1 + flips)


EXAM = {
    **{f"{n} items": partial(few_of_worlds, items=n) for n in (2, 3, 8)}, "clusters": clusters_of_worlds, "reruns": reruns_of_worlds, "missing verdicts": missing_of_worlds,
    "margins": margins_of_worlds, "planted": planted_of_worlds, "best of many": best_of_worlds,
}  # fmt: skip


if __name__ == "__main__" and sys.argv[1:2] == ["exam"]:
    for name, worlds in EXAM.items():
        print(name, {k: round(float(v), 3) for k, v in worlds(int(sys.argv[2])).items()}, flush=True)
elif __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    chosen = {k: v for k, v in WORLDS.items() if len(sys.argv) < 3 or k == sys.argv[2]}
    columns = (
        "coverage",
        "coverage_macro",
        "false_ability",
        "false_any_ability",
        "false_macro",
        "false_anything",
        "macro_equivalent",
    )
    print("| experiments without effect |", " | ".join(c.replace("_", " ") for c in columns), "|")
    print("|---|" + "---|" * len(columns))
    for name, world in chosen.items():
        for which in ("with", "aa") if name == "arms overlap" else ("with",):
            row = null(world, number, which=which)
            print(
                f"| {name}{', aa' * (which == 'aa')} |", " | ".join(f"{row[c]:.3f}" for c in columns), "|", flush=True
            )
