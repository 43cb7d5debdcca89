"""A judge that is part of a run: it grades what models wrote, or compares it with the control's, once cells are
trained.

Cells hold the answers only. So an endpoint that fails costs no training, another judge neither, and what was asked once
comes from the cache of requests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from instdata.corpus.taxonomy import Taxonomy
from instdata.score.item import Item
from instdata.score.score_table import groups
from instdata.util.errors import InputError
from instdata.util.paths import file_text

if TYPE_CHECKING:
    from instdata.llm.structured_asks import Options
    from instdata.util.build_context import Context

Asked = tuple[str, int, "float | None"]  # --judge, --judge-runs, --max-usd


@dataclass(frozen=True)
class Judging:
    """A judge with everything but items and answers given. `runs`: calls for each answer, whose mean is its grade;
    `pairs`: answers are not graded one by one but compared with the control's."""

    options: Options
    taxonomy: Taxonomy
    runs: int
    say: Callable[[str], None]
    pairs: bool = False

    def asked(self, items: Sequence[Item]) -> list[Item]:
        """The items that it judges."""
        return [i for i in items if i.scorer == "judge"]

    def context(self) -> Context:
        from instdata.util.build_context import Context

        return Context(taxonomy=self.taxonomy, say=self.say)

    def price(self, items: Sequence[Item], times: int) -> dict[str, Any]:
        """{judge_calls, usd, judge_minutes} of judging so many answers to each item, or comparisons; usd is None where
        the model's price is unknown. What is cached costs nothing, so it may be less."""
        from instdata.judge.judge import estimate

        found = estimate(self.asked(items) * times, self.taxonomy, self.options, runs=self.runs, pairs=self.pairs)
        return {"judge_calls": found["requests"], "usd": found["usd"], "judge_minutes": found["minutes"]}


def judging(
    asked: Asked | None, taxonomy: Taxonomy, items: Sequence[Item], say: Callable[[str], None], pairs: bool = False
) -> Judging | None:
    """The judge that is asked for; None without one. Raises InputError where no ability asks for a judge, where the
    model cannot be reached for want of a key, and where a limit in USD has no price to count with: before anything is
    trained."""
    if asked is None:
        return None
    from instdata.llm.budget import PRICES, price_of
    from instdata.llm.endpoint import endpoint

    model, runs, max_usd = asked
    if not any(i.scorer == "judge" for i in items):
        raise InputError("--judge: no item's ability has `scorer: judge` in the taxonomy, so there is nothing to judge")
    if pairs and runs > 1:
        raise InputError("--judge-runs: comparisons are judged once in each order; leave it out")
    options = replace(_options(model), max_usd=max_usd).resolved()
    endpoint(options.model, options.base_url, say=say)
    if max_usd is not None and price_of(options.model, options.price) is None:
        raise InputError(
            f"--max-usd: the price of {options.model} is not known, only of local models and {', '.join(PRICES)}"
        )
    return Judging(options, taxonomy, runs, say, pairs)


def _options(model: str) -> Options:
    """A judge by its name, or from a YAML file with model, base_url, price, params, timeout, concurrency, max_wait.
    Raises InputError."""
    from instdata.llm.structured_asks import Options

    if not model.endswith((".yaml", ".yml")):
        return Options(model=model)
    import yaml
    from pydantic import TypeAdapter, ValidationError

    try:
        told = yaml.safe_load(file_text(Path(model)))
        if not isinstance(told, dict) or (unknown := set(told) - {x.name for x in fields(Options)}):
            raise InputError(f"--judge: {model} needs keys of {', '.join(x.name for x in fields(Options))}" + (f", not {', '.join(map(str, unknown))}" if isinstance(told, dict) else ""))  # fmt: skip  # noqa: E501
        return TypeAdapter(Options).validate_python(told)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as e:
        raise InputError(f"--judge: {model} cannot be used: {' '.join(str(e).split())[:300]}") from None


def graded(judge: Judging, items: Sequence[Item], scores: pa.Table) -> pa.Table:
    """The scores with every answer of metric "judge" graded, cell by cell."""
    from instdata.judge.judge import judge_items

    rest, waiting = _waiting(scores)
    by_id, found = {i.id: i for i in items}, [rest]
    for group, mine in groups(waiting, ["cell"]):
        asked = [by_id[i] for i in mine["item"].to_pylist()]
        said = judge_items(
            asked, mine["answer"].to_pylist(), judge.taxonomy, judge.options, runs=judge.runs, context=judge.context()
        )
        found.append(_with(mine, value=[s.value for s in said], reason=[s.reason for s in said]))
        judge.say(f"{group['cell']}: {len(mine)} answers judged")
    return pa.concat_tables(found)


def compared(judge: Judging, items: Sequence[Item], scores: pa.Table, control: str) -> tuple[pa.Table, dict[str, Any]]:
    """(the scores with every arm's answers compared, size by size and seed by seed, with those of the arm `control`;
    what judging in both orders showed, see judge.swaps).

    Metric "pairs": 1 where the arm's answer is better, 0 where the control's is, between them a tie or doubt; the
    control itself has 0.5."""
    from instdata.judge.judge import judge_pairs, swaps

    rest, waiting = _waiting(scores)
    by_id, found, audited = {i.id: i for i in items}, [rest], []
    for group, mine in groups(waiting.filter(pc.greater(waiting["rows"], 0)), ["config", "seed"]):
        arms = {g["arm"]: t.sort_by("item") for g, t in groups(mine, ["arm"])}
        controls = arms[control]["answer"].to_pylist()
        for arm, table in arms.items():
            value: list[float | None] = [0.5] * len(table)
            reason = ["the control"] * len(table)
            if arm != control:
                asked, answers = [by_id[i] for i in table["item"].to_pylist()], table["answer"].to_pylist()
                said = judge_pairs(asked, answers, controls, judge.taxonomy, judge.options, context=judge.context())
                value, reason = [s.value for s in said], [s.reason for s in said]
                audited += [(s.verdict, s.swapped) for s in said if s.audited]
                judge.say(
                    f"{arm} against {control}, size {group['config']}, seed {group['seed']}: {len(said)} answers "
                    f"compared"
                )
            columns: dict[str, list[Any]] = {"metric": ["pairs"] * len(table), "chance": [0.5] * len(table)}
            found.append(_with(table, value=value, reason=reason, **columns))
    return pa.concat_tables(found), swaps(audited)


def _waiting(scores: pa.Table) -> tuple[pa.Table, pa.Table]:
    """(all other scores, those that wait for a judge)."""
    waits = pc.equal(scores["metric"], "judge")
    return scores.filter(pc.invert(waits)), scores.filter(waits)


def _with(table: pa.Table, **columns: list[Any]) -> pa.Table:
    """The table with these columns in place of its own."""
    for name, values in columns.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))
    return table
