"""Nested, stratified ladders: one order of all rows, of which every subset is a prefix.

The order depends on the seed and on each row's ability and id alone. Rows of an ability follow a pseudo-random
priority; abilities take turns by Tijdeman's algorithm for the chairman assignment problem, so that every prefix holds
each ability's share of it within one row (R. Tijdeman, The chairman assignment problem, Discrete Mathematics 32, 1980).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from instdata.corpus.rows import UNKNOWN, bytes_of_ids
from instdata.corpus.subset_options import Subsets
from instdata.util.errors import InputError

Ids: TypeAlias = "pa.Array | pa.ChunkedArray | np.ndarray"  # 32 hex digits each, or their bytes: uint64[ids, 2]


@dataclass(frozen=True)
class Ladder:
    """`order`: the rows (positions in what was given) in published order. `cuts`: for each file, (its name, its end in
    that order). `configs`: for each config, how many of the first files it holds."""

    order: np.ndarray
    cuts: list[tuple[str, int]]
    configs: dict[str, int]
    warnings: list[str]


def ladder(
    ids: Ids,
    abilities: np.ndarray,
    names: list[str],
    subsets: Subsets | None,
    seed: int,
    wanted: Sequence[str] = (),
) -> Ladder:
    """The ladder of a pool: ids, ability codes into `names`, sizes; `wanted` are the taxonomy's abilities,
    which a per-ability ladder needs rows of.

    Raises InputError naming what is missing where a size is larger than the pool and `on_short` is not "clip".
    """
    strata = sorted({int(a) for a in np.unique(abilities)}, key=lambda a: names[a])
    # Rows of an ability in a pseudo-random order that depends on the seed and their ids; equal ids keep their order.
    first = np.argsort(priority(ids, seed), kind="stable")
    members = [first[abilities[first] == a] for a in strata]
    if subsets is not None and subsets.per_ability is not None:
        return _per_ability(members, [names[a] for a in strata], subsets, wanted)
    from instdata.corpus.interleave import chairman  # compiled: imported where it is needed

    turns = chairman(np.array([len(m) for m in members], np.int64))
    order = np.empty(len(turns), np.int64)
    for stratum, rows in enumerate(members):
        order[turns == stratum] = rows
    sizes = sorted(((s.of(len(order)), s.name) for s in subsets.parsed), key=lambda s: s[0]) if subsets else []
    short = [f"{name} needs {rows:,} rows" for rows, name in sizes if rows > len(order)]
    warnings = _short(short, f"the pool has {len(order):,}", subsets)
    return _cut(order, [(min(rows, len(order)), name) for rows, name in sizes], warnings)


def priority(ids: Ids, seed: int, purpose: str = "") -> np.ndarray:
    """A pseudo-random uint64 for each id, the same for the same seed, purpose and id."""
    halves = ids if isinstance(ids, np.ndarray) else bytes_of_ids(ids)
    salt = np.uint64(int.from_bytes(hashlib.blake2b(purpose.encode(), digest_size=8).digest(), "big")) ^ np.uint64(seed)
    return _mix(halves[:, 0] ^ _mix(halves[:, 1] + _mix(np.array([salt]))))


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def _per_ability(members: list[np.ndarray], names: list[str], subsets: Subsets, wanted: Sequence[str]) -> Ladder:
    """k rows of each ability for each size k: ordered by rank within the ability, then by ability. Rows of no known
    ability take part, but nobody asks for a number of them."""
    rank = np.concatenate([np.arange(len(m)) for m in members]) if members else np.empty(0, np.int64)
    stratum = np.concatenate([np.full(len(m), i) for i, m in enumerate(members)]) if members else rank
    rows = np.concatenate(members) if members else rank
    by = np.lexsort((stratum, rank))
    order, rank = rows[by], rank[by]
    sizes = sorted((s.rows or 0, s.name) for s in subsets.parsed)
    have = {name: 0 for name in wanted} | {n: len(m) for n, m in zip(names, members) if n != UNKNOWN}
    short = [
        f"{name}: {', '.join(f'{n} has {rows:,}' for n, rows in have.items() if rows < size)}"
        for size, name in sizes
        if any(rows < size for rows in have.values())
    ]
    warnings = _short(short, "too few rows of some abilities", subsets)
    return _cut(order, [(int(np.searchsorted(rank, size)), name) for size, name in sizes], warnings)


def _short(short: list[str], pool: str, subsets: Subsets | None) -> list[str]:
    if short and subsets is not None and subsets.on_short == "error":
        raise InputError(f"subsets: {pool}; {'; '.join(short)}. Add data, ask for less, or set subsets.on_short: clip")
    return [f"subsets: {pool}; {s}: clipped" for s in short]


def _cut(order: np.ndarray, sizes: list[tuple[int, str]], warnings: list[str]) -> Ladder:
    """Files between the sizes; a size that ends where another does shares its files."""
    cuts: list[tuple[str, int]] = []
    configs = {}
    for end, name in sizes:
        if end > (cuts[-1][1] if cuts else 0):
            cuts.append((name, end))
        configs[name] = len(cuts)
    if not cuts or cuts[-1][1] < len(order):
        cuts.append(("full", len(order)))
    configs["full"] = len(cuts)
    return Ladder(order, cuts, configs, warnings)
