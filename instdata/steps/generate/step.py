"""The generate step: its options, and which method runs with what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instdata.corpus.rows import UNKNOWN, Rows
from instdata.steps.base import Produced
from instdata.steps.generate.options import GenerateOptions
from instdata.steps.generate.rounds import calling
from instdata.util.errors import InputError


class Generate(GenerateOptions):
    """Adds rows that a language model writes: new tasks, variants, answers or translations."""

    def produce(self, rows: Rows) -> Produced:
        """The new rows. Raises BudgetReached, BuildError, InputError; what was answered is cached and not asked
        again."""
        from instdata.steps.generate.session import open_session
        from instdata.steps.generate.written_records import Records

        context = rows.context
        with open_session(self, context) as ask:
            made, shown = self._method()(self, rows, context, ask)
            records = made if isinstance(made, Records) else Records(self.method, context.cache).extend(made)
            ask.account(records.counts["accepted"], records.given_up)
        counts = sorted(records.counts.items(), key=lambda c: (-c[1], c[0]))
        context.say(f"{self.name or self.kind}: {', '.join(f'{n} {word}' for word, n in counts) or 'nothing to do'}")
        return Produced(records.table(), np.array(sorted(shown), np.int64))

    def estimate(self, rows: Rows) -> dict[str, Any]:
        """{rows, requests, tokens, usd (None where no price is known), minutes} that produce would take, from prompts
        over these rows; every_row: it grows with them. Asks nothing."""
        from instdata.steps.generate import session

        context = rows.context
        names = context.taxonomy.names if context.taxonomy is not None else [None]
        wanted = None if self.target is None and self.per_ability is None else sum(targets(self, names))
        return {**session.estimate(self, rows, context, self._method(), wanted), "every_row": wanted is None}

    def _method(self) -> Callable:
        from importlib import import_module

        return import_module(f"instdata.steps.generate.{self.method.replace('-', '_')}").produce


def labelled(rows: Rows, seed_sources: frozenset[str]) -> np.ndarray:
    """Positions of the rows that may serve as examples: answered, without tools, of a known ability where any is, from
    seeds where there are any."""
    answered = np.asarray(pc.is_valid(rows.response), bool) & ~calling(rows)
    known = np.asarray(pc.fill_null(pc.not_equal(rows.ability, UNKNOWN), False), bool) & answered
    known = known if known.any() else answered
    seeds = np.asarray(pc.is_in(rows.source, pa.array(sorted(seed_sources), pa.string())), bool)
    return np.flatnonzero(known & seeds if (known & seeds).any() else known)


def targets(step: GenerateOptions, names: Sequence[str | None]) -> list[int]:
    """Rows for each ability: weights of `target` (largest remainders, ties in order), or counts as given."""
    wish = step.per_ability
    if step.target is None:
        return [int(wish.get(n or "", 0)) if isinstance(wish, dict) else int(wish or 0) for n in names]
    weights = [float(wish.get(n or "", 0)) if isinstance(wish, dict) else 1.0 for n in names]
    total = sum(weights)
    if total <= 0:
        raise InputError("per_ability gives no ability a weight above 0")
    shares = [step.target * w / total for w in weights]
    found = [int(s) for s in shares]
    for n in sorted(range(len(names)), key=lambda n: (found[n] - shares[n], n))[: step.target - sum(found)]:
        found[n] += 1
    return found
