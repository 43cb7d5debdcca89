"""A first look at what a source holds, before any work: is there an answer, and which columns feed nothing."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pyarrow as pa

from instdata.corpus.cached_tables import read_cached
from instdata.corpus.corpus import Shard
from instdata.corpus.taxonomy import Taxonomy
from instdata.read.blocks import as_json, records
from instdata.read.formats import CHOSEN_OPTION, COMMON, OPTIONS, used_keys
from instdata.read.open_sources import PEEK, Input
from instdata.read.parse_blocks import parse
from instdata.read.question_sets import nested
from instdata.read.record_fields import RATINGS, lettered
from instdata.read.shard_index import until_damage
from instdata.read.shards import answered, any_answered
from instdata.util.build_context import Context
from instdata.util.sealed import read_sealed_json, write_sealed_json

VERSION = 5  # raise it when the same records look otherwise
SHOWN = 40  # characters of an example
PLACE = re.compile(r":? (?:at )?line \d+,? column \d+(?: \(char \d+\))?")  # where in a record, which differs
NAMED = 6  # columns that a line names
LABEL = 40  # characters of a label at most
KNOWN = 0.5  # share of a column's values that name an ability, from which it holds labels
# Columns of text about a row, which nobody would take for its answer.
ABOUT = frozenset(
    [
        "id",
        "idx",
        "uid",
        "uuid",
        "index",
        "key",
        "source",
        "type",
        "kind",
        "category",
        "task",
        "topic",
        "subject",
        "domain",
        "lang",
        "language",
        "model",
        "model_name",
        "generator",
        "url",
        "link",
        "license",
        "licence",
        "date",
        "created",
        "time",
        "dataset",
        "split",
        "tag",
        "tags",
        "name",
        "title",
        "difficulty",
        "level",
        "class",
        "file",
        "path",
        "author",
        "user",
        "version",
        "hash",
        "md5",
        "origin",
        "ability",
        "labels_source",
        "data_source",
    ]
)
CATEGORY = frozenset(COMMON["category"])  # feed a column of their own, and may hold labels


@dataclass(frozen=True)
class Look:
    """A source by its first records: its formats, how many rows were seen and answered, the columns that feed nothing
    with an example each, those of text that may be the answer, whether those records are all there are, and how many of
    them cannot be read, by reason, with the first of each. `labels`: the column whose words the taxonomy knows, with an
    example, where no column feeds `ability`."""

    source: str
    formats: list[str]
    rows: int
    answered: int
    unused: dict[str, str]
    perhaps: list[str]
    whole: bool = True
    bad: dict[str, int] = field(default_factory=dict)
    first_bad: dict[str, str] = field(default_factory=dict)
    labels: tuple[str, str] | None = None

    @property
    def labelled(self) -> str | None:
        """How to take labels that came with the rows, where they did and nothing takes them."""
        if self.labels is None:
            return None
        return f"{self.labels[0]} holds labels ({self.labels[1]}); to take them: map: {{ability: {self.labels[0]}}}"

    @property
    def line(self) -> str:
        """What is said of it behind the number of its rows."""
        some = list(self.unused.items())
        shown = ", ".join(f'{k} ("{v}")' for k, v in some[:NAMED]) + (
            f", {len(some) - NAMED} more" if some[NAMED:] else ""
        )
        none = "no row has an answer" if self.whole else f"none of the first {PEEK:,} rows of a file has an answer"
        silent = f"; {none}" if self.rows and not self.answered else ""
        hint = f"; {self.labelled}" if self.labelled else ""
        return f"{' and '.join(self.formats)}{silent}" + (f"; feed nothing: {shown}" if some else "") + hint

    @property
    def glance(self) -> str:
        """The same, with what cannot be read and how far the look went: for who reads no more than that."""
        return self.line + self._unread + ("" if self.whole else f"; looked at the first {PEEK:,} records of each file")

    @property
    def _unread(self) -> str:
        n = sum(self.bad.values())
        some = sorted(self.bad.items(), key=lambda reason: -reason[1])
        told = "; ".join(f"{self.first_bad[why]}: {why}" + (f" ({k:,} such)" if k > 1 else "") for why, k in some[:3])
        more = f"; {len(some) - 3} more reasons" if some[3:] else ""
        of = f" of {self.rows + n:,} records cannot be read" if self.whole else " records cannot be read"
        return f"; {n:,}{of}: {told}{more}" if n else ""

    def too_bad(self, max_bad: float) -> str | None:
        """Why a build will stop, where it is sure from what was seen: more than max_bad cannot be read."""
        n = sum(self.bad.values())
        if not self.whole or n < 10 or n <= max_bad * (self.rows + n):
            return None
        return f"source {self.source}{self._unread.replace(';', ':', 1)}. That is more than max_bad ({max_bad:.2%})"

    @property
    def objection(self) -> str | None:
        """Why the source is of no use as it is mapped, where it is so."""
        if self.answered or not self.rows or not self.perhaps:
            return None
        return (
            f"source {self.source}: no row has an answer, and these columns of text feed nothing: "
            f"{', '.join(self.perhaps)}. If one of them is the answer, say so: map: "
            f"{{{'completion' if self.formats == ['prompt_completion'] else 'output'}: {self.perhaps[0]}}}"
        )


def look(inputs: list[Input], taxonomy: Taxonomy | None) -> Look:
    """The first PEEK records of each file of a source. Raises nothing for damage: reading does."""
    unused: dict[str, str] = {}
    perhaps: dict[str, None] = {}
    words: dict[str, Counter[str]] = {}
    rows = said = 0
    whole, labelled = True, taxonomy is None
    bad: Counter[str] = Counter()
    first_bad: dict[str, str] = {}
    for item in inputs:
        used, seen, own = used_keys(item.fields), 0, set(item.fields.get("ability", ()))
        for start, block in until_damage(item.blocks(PEEK), []):
            read = parse(block, start, item, taxonomy)
            table = read.table(item)
            rows += len(table)
            said += answered(table)
            for number, error, _ in read.bad:
                why = PLACE.sub("", error)
                bad[why] += 1
                first_bad.setdefault(why, f"{item.file} row {number}")
            for record in islice(records(iter([(start, block)])), PEEK - seen):
                seen += 1
                feeding = used | _special(record) if isinstance(record, dict) else used
                for key, value in record.items() if isinstance(record, dict) else ():
                    labelled = labelled or (key in own and bool(value))
                    if isinstance(value, str) and 0 < len(value) <= LABEL and (key not in feeding or key in CATEGORY):
                        words.setdefault(key, Counter())[value] += 1
                    if key in feeding or value in (None, "", [], {}):
                        continue
                    if key not in unused:
                        unused[key] = _example(value)
                    if key not in ABOUT and _holds_text(value):
                        perhaps.setdefault(key)
        whole = whole and seen < PEEK
    formats = list(dict.fromkeys(i.format for i in inputs))
    labels = None if labelled or taxonomy is None else _labels(words, taxonomy)
    return Look(inputs[0].source, formats, rows, said, unused, list(perhaps), whole, dict(bad), first_bad, labels)


def _labels(words: dict[str, Counter[str]], taxonomy: Taxonomy) -> tuple[str, str] | None:
    """The first column of which at least KNOWN of the values name abilities, more than one, with its most frequent
    word."""
    for key, counts in words.items():
        known = dict(zip(counts, taxonomy.match(pa.array(list(counts), pa.string())).to_pylist()))
        mine = sum(n for word, n in counts.items() if known[word])
        if mine >= KNOWN * counts.total() and len(set(known.values()) - {None}) > 1:
            return key, next(word for word, _ in counts.most_common() if known[word])
    return None


def _special(record: Mapping[str, Any]) -> set[str]:
    """The columns that feed something because of what stands beside them: of several questions, of options."""
    several = nested(record)
    letters = lettered(record)
    options = letters or not record.keys().isdisjoint(OPTIONS)
    rated = RATINGS if "generations" in record else ()
    return {*rated, *(several[0] if several else ()), *letters, *((*CHOSEN_OPTION, "text") if options else ())}


def looked(inputs: list[Input], context: Context, keep: bool) -> Look:
    """The same, as an earlier look saw it where the files are those that it saw; with `keep`, it is kept for a later
    one."""
    told = [VERSION, PEEK, *(item.key(context.taxonomy, PEEK) for item in inputs)]
    path = context.folder / "sources" / f"look-{hashlib.sha256(repr(told).encode()).hexdigest()[:32]}.json"
    found = None if context.fresh else read_sealed_json(path)
    if found is not None:
        return Look(**found | {"labels": found["labels"] and tuple(found["labels"])})
    made = look(inputs, context.taxonomy)
    if keep:
        with suppress(OSError):  # where nothing can be written, the build says so
            write_sealed_json(path, vars(made))
    return made


def objection(seen: Look, inputs: list[Input], through: bool, say: Callable[[str], None]) -> str | None:
    """Why a source is of no use as it is mapped: none of its rows has an answer, and columns of text feed nothing.
    Where the look did not see all of it, with `through` it is read on until a row has an answer, else that is said
    only."""
    found = seen.objection
    if found is None or seen.whole:
        return found
    if through:
        return None if any(map(any_answered, inputs)) else found
    say(f"{found}. (So far as the first {PEEK:,} records of each file tell; a build looks at all of them)")
    return None


def _holds_text(value: Any) -> bool:
    if isinstance(value, str):
        return bool(value.strip()) and not value.strip().isdigit()
    if isinstance(value, dict):
        return any(isinstance(v, str) and v.strip() for v in value.values())
    return isinstance(value, list) and any(isinstance(v, (str, dict)) and _holds_text(v) for v in value)


def _example(value: Any) -> str:
    text = value if isinstance(value, str) else as_json(value)
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def say_sources(looks: list[Look], shards: list[Shard], say: Callable[[str], None]) -> None:
    """One line a source that was read: how many rows, in which format, which columns feed nothing."""
    counts: Counter[str] = Counter()
    for shard in shards:
        if shard.rows:
            counts[read_cached(shard.path, ["source"])["source"][0].as_py()] += shard.rows
    for seen in looks:
        say(f"source {seen.source}: {counts[seen.source]:,} rows, {seen.line}")
