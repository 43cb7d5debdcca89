"""How far to trust a judge: agreement with people, what the order of two answers and their length do to its verdicts,
and whether it does better than saying "the longer one" every time. Recorded verdicts need no model."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from instdata.judge.label_files import Columns, Pair, columns, read, with_verdicts
from instdata.llm.structured_asks import Options
from instdata.util.build_context import Context
from instdata.util.errors import InputError
from instdata.util.stats import crossed

RECORDED = "recorded"
FLIPS = 0.2  # above this share of flipped verdicts a warning is due
FEW = 10  # prompts below which no interval of a difference is given
PARSED = 0.95  # below this share of readable verdicts too


def judge_card(
    judge: str,
    on: Sequence[Path],
    *,
    options: Options | None = None,
    limit: int | None = None,
    strong: str | None = None,
    share: float = 0.2,
    mapping: Sequence[str] = (),
    context: Context = Context(),  # noqa: B008 (frozen)
) -> dict[str, Any]:
    """What `judge-card --json` prints, of pairs in files (label_files.py).

    `judge`: `recorded`, a file of verdicts, or a model, which is asked in both orders about the pairs (`limit` of them,
    chosen by hash) with what `options` allow. `strong`: a better judge, named the same way, that sees only a `share` of
    the pairs; `together` then says what the two find and how many of its verdicts that saved. `mapping`:
    FIELD=COLUMN[,COLUMN…], see labels.COLUMNS. Raises InputError, BudgetReached, BuildError."""
    where = columns(mapping)
    pairs = read([Path(p) for p in on], where)
    options = options or Options()
    pairs, cost = _verdicts(judge, pairs, options, limit, context, "judge-card", where)
    card = {"judge": judge, "files": [str(p) for p in on], **measure(pairs), **cost}
    for part, name in (("by_file", lambda p: p.file), ("by_judge", _judge_of)):
        names = sorted({name(p) for p in pairs})
        if len(names) > 1:
            card[part] = {n: measure([p for p in pairs if name(p) == n]) for n in names}
    if strong is not None:
        card["together"] = _together(pairs, strong, share, options, context, where)
    return {**card, "may_decide": not barred(card), "barred": barred(card), "warnings": warnings(card)}


def barred(card: dict[str, Any]) -> list[str]:
    """Why this judge may not decide: its winners change with the order, or it was not shown to beat "the longer
    one"."""
    flips = card["flip_rate"]
    found = [f"{percent(flips)} of the winners change with the order"] if flips is not None and flips > FLIPS else []
    longest = card["baselines"]["longest"]
    return found + ([] if longest["cleared"] else ['not shown to beat "longest"'])


def measure(pairs: list[Pair]) -> dict[str, Any]:
    """The card's figures of judged pairs. Pairs on which people have no majority count in none of the agreements."""
    labelled = [p for p in pairs if p.majority is not None]
    parsed = [p for p in labelled if p.verdict is not None]
    right = [float(p.verdict == p.majority) for p in parsed]
    asked = sum(1 + p.twice for p in pairs)
    read_ = sum((p.verdict is not None) + (p.swapped is not None) for p in pairs)
    low, high = _share_interval(right, parsed)
    from instdata.judge.judge import swaps

    return {
        "agreement": _mean(right),
        "agreement_counting_unparsed": sum(right) / len(labelled) if labelled else None,
        "low": low,
        "high": high,
        "n": len(labelled) or len(pairs),
        "unparsed": asked - read_,
        "parse_rate": read_ / asked if asked else None,
        **swaps([(p.verdict, p.swapped) for p in pairs if p.twice]),
        "longer_preferred": longer_preferred(pairs, lambda p: (p.verdict, p.swapped)),
        "humans_prefer_longer": longer_preferred(pairs, lambda p: (p.majority,)),
        "humans_agree": _mean([a == b for p in pairs for i, a in enumerate(p.humans) for b in p.humans[:i]]),
        "baselines": {
            "longest": _baseline(labelled, parsed, right, lambda p: _longer(p) or 0),
            "first": _baseline(labelled, parsed, right, lambda p: 1),
        },
    }


def longer_preferred(pairs: list[Pair], verdicts: Callable[[Pair], tuple[int | None, ...]]) -> float | None:
    """The share of verdicts for an answer that name the longer one, where one is longer; None without any."""
    return _mean([v == _longer(p) for p in pairs if _longer(p) for v in verdicts(p) if v])


def warnings(card: dict[str, Any]) -> list[str]:
    """What a reader of the card should know before using this judge."""
    found = []
    for name, baseline in card["baselines"].items():
        if card["agreement"] is not None and not baseline["cleared"]:
            found.append(
                f'not shown to beat "{name}": {percent(baseline["agreement"])} agreement against '
                f"{percent(card['agreement'])}"
                f" (difference {points(baseline['difference'])}, interval {points(baseline['low'])} to "
                f"{points(baseline['high'])})"
            )
    if card["agreement"] is None:
        why = "no verdict could be read" if card["parse_rate"] == 0 else "no human labels in these files"
        found.append(f"{why}: agreement is unknown")
    if card["flip_rate"] is not None and card["flip_rate"] > FLIPS:
        found.append(f"{percent(card['flip_rate'])} of the winners change with the order: use both orders")
    if card["parse_rate"] is not None and card["parse_rate"] < PARSED:
        found.append(f"{card['unparsed']:,} verdicts could not be read")
    if card.get("not_judged"):
        found.append(f"{card['not_judged']:,} pairs have no verdict and are left out")
    return found


def _verdicts(
    judge: str, pairs: list[Pair], options: Options, limit: int | None, context: Context, name: str, where: Columns
) -> tuple[list[Pair], dict[str, Any]]:
    """(the pairs with this judge's verdicts, those without left out; cost and counts for the card)."""
    cost: dict[str, Any] = {"usd_per_1000": None, "seconds_per_1000": None}
    loose = [p for p in pairs if p.only_verdict]
    pairs = [p for p in pairs if not p.only_verdict]
    if judge == RECORDED:
        found = with_verdicts(pairs, loose) if loose and pairs else pairs
    elif Path(judge).exists():
        given = read([Path(judge)], where)
        if not pairs or not any(p.judged for p in given):  # the two files were named the other way round
            pairs, given = given, loose or pairs
        found = with_verdicts(pairs, given)
    else:
        if judge.endswith((".json", ".jsonl")):
            raise InputError(f"{judge}: no such file of verdicts")
        found = sample(pairs, limit)
        found, cost = _live(judge, found, options, context, name)
    judged = [p for p in found if p.judged]
    if not judged:
        raise InputError("none of these files holds verdicts: give --judge a model or a file of verdicts")
    return judged, {**cost, "not_judged": len(found) - len(judged)}


def sample(pairs: list[Pair], limit: int | None) -> list[Pair]:
    """`limit` of the pairs, in their order, chosen by a hash of their text."""
    if limit is None or limit >= len(pairs):
        return pairs
    by_hash = sorted(range(len(pairs)), key=lambda i: (hashlib.blake2b(pairs[i].key.encode()).digest(), i))
    return [pairs[i] for i in sorted(by_hash[:limit])]


def _live(
    model: str, pairs: list[Pair], options: Options, context: Context, name: str
) -> tuple[list[Pair], dict[str, Any]]:
    from instdata.corpus.rows import UNKNOWN
    from instdata.judge.judge import judge_pairs
    from instdata.score.item import Item

    if not all(p.prompt for p in pairs) or not any(p.first or p.second for p in pairs):
        raise InputError("a model can only judge pairs with a prompt and two answers")
    messages = [[{"role": "user", "content": p.prompt}] for p in pairs]
    items = [Item(p.key, UNKNOWN, m, None, None, "judge", None, "judge-card") for p, m in zip(pairs, messages)]
    mine, started = replace(context, usage={}), time.monotonic()
    said = judge_pairs(
        items,
        [p.first for p in pairs],
        [p.second for p in pairs],
        None,
        replace(options, model=model),
        audit=1.0,
        context=mine,
        name=name,
    )
    seconds, used = time.monotonic() - started, mine.usage[name]
    context.usage[name] = used
    asked = used["requests"]
    cost = {
        "seconds_per_1000": 1000 * seconds / asked if asked else None,  # all from the cache: nothing was measured
        "usd_per_1000": 1000 * used["usd"] / asked if asked and used["usd"] is not None else None,
        "usage": used,
    }
    found = [
        replace(p, verdict=s.verdict, swapped=s.swapped, judged=True, twice=s.audited) for p, s in zip(pairs, said)
    ]
    return found, cost


def _together(
    pairs: list[Pair], strong: str, share: float, options: Options, context: Context, where: Columns
) -> dict[str, Any]:
    from instdata.judge.cheap_and_strong import powered

    few = sample(pairs, max(2, round(share * len(pairs))))
    better, _ = _verdicts(strong, few, options, None, context, "judge-card strong", where)
    by_key = {p.key: p for p in better}
    labels = [_worth(by_key[p.key]) if p.key in by_key else None for p in pairs]
    return {"judge": strong, **powered(labels, [_worth(p) for p in pairs])}


def _worth(pair: Pair) -> float | None:
    """1 where the first answer is better, 0.5 for a tie, 0; the mean of both orders where there are two."""
    worth = [{0: 0.5, 1: 1.0, 2: 0.0}[v] for v in (pair.verdict, pair.swapped) if v is not None]
    return sum(worth) / len(worth) if worth else None


def _longer(pair: Pair) -> int | None:
    """Which answer has more characters; None where neither has."""
    a, b = len(pair.first), len(pair.second)
    return None if a == b else 1 if a > b else 2


def _baseline(
    labelled: list[Pair], parsed: list[Pair], right: list[float], rule: Callable[[Pair], int]
) -> dict[str, Any]:
    """A rule's agreement with people, and by how much the judge is better on the pairs where it has a verdict."""
    differences = [r - (rule(p) == p.majority) for r, p in zip(right, parsed)]
    low, high = _interval(differences, parsed)
    return {
        "agreement": _mean([rule(p) == p.majority for p in labelled]),
        "difference": _mean(differences),
        "low": low,
        "high": high,
        "cleared": low is not None and low > 0,
    }


def _by_prompt(values: list[float], pairs: list[Pair]) -> tuple[np.ndarray, np.ndarray]:
    """(mean, number) of the values of each prompt's pairs: a judge that errs on one tends to err on the others, so a
    prompt is what was sampled."""
    at = {prompt: n for n, prompt in enumerate(dict.fromkeys(p.prompt for p in pairs))}
    of = [at[p.prompt] for p in pairs]
    size = np.bincount(of, minlength=len(at)).astype(float)
    return np.bincount(of, weights=values, minlength=len(at)) / size, size


def _share_interval(values: list[float], pairs: list[Pair]) -> tuple[float | None, float | None]:
    """95 % interval of a share (values 0 and 1): Wilson's, with the number of independent pairs that would have its
    variance by prompt (Dean and Pagano 2015, doi 10.1093/jssam/smv024), so it is no point where all agree."""
    means, size = _by_prompt(values, pairs)
    if len(means) < 2:
        return None, None
    share, variance = float(np.mean(values)), crossed(means, size).item_var
    n = min(share * (1 - share) / variance, len(values)) if 0 < share < 1 and variance > 0 else len(means)
    z = 1.959964
    middle, half = share + z**2 / (2 * n), z * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)


def _interval(values: list[float], pairs: list[Pair]) -> tuple[float | None, float | None]:
    """95 % interval of a mean difference by bootstrap over prompts; None where there are too few to draw from."""
    means, size = _by_prompt(values, pairs)
    if len(means) < FEW:
        return None, None
    if np.ptp(means) == 0:
        return float(means[0]), float(means[0])
    from scipy.stats import bootstrap

    drawn = bootstrap(
        (means, np.asarray(size, float)), lambda m, n, axis=-1: (m * n).sum(axis) / n.sum(axis), paired=True,
        vectorized=True, n_resamples=2000, method="percentile", random_state=0,
    )  # fmt: skip
    return float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)


def _judge_of(pair: Pair) -> str:
    """Whose verdict a recorded one is, by the last word of its file's name: reviews_gpt4.json is gpt4's."""
    return Path(pair.file).stem.rpartition("_")[2]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def named(judge: str) -> str:
    """A judge as the table calls it: a file without its folder."""
    return Path(judge).name if Path(judge).exists() else judge


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def points(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:+.1f}"
