"""One person's review of a build: what is asked, what is saved, what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from instdata.builds import kept_messages, messages_of
from instdata.report.review.estimate import estimate
from instdata.report.review.queue import UpNext, disputed, upcoming
from instdata.report.review.sampling import Picked, Sampling, draw
from instdata.steps.reviews_file import DEFER, REASONS, REVIEWS, VERDICTS, append, read_reviews
from instdata.util.errors import InputError
from instdata.util.redaction import no_secret

AHEAD = 20  # rows whose text is read at once


class Reviewing:
    """The answers that a reviewer's page asks for. What it knows is in the file of reviews alone, so two servers on one
    build see each other's lines at once, and one that dies forgets nothing that it confirmed."""

    def __init__(self, build: Path, who: str, by: str, width: float, queue: str = "sample"):
        if not who.strip():
            raise InputError("--as: your name, so that two people's reviews are told apart")
        no_secret(who, "--as")
        self.build, self.who, self.width, self.queue = build, who.strip(), width, queue
        self.file = build / REVIEWS
        self.plan: Sampling = draw(build, by)
        self.number = {item.rid: n for n, item in enumerate(self.plan.items)}
        self.texts: dict[str, list[dict[str, Any]] | None] = {}
        read_reviews(self.file)  # said now where it cannot be read

    def answers(self) -> dict[str, Any]:
        return {"next": self.next, "save": self.save, "undo": self.undo}

    def estimate(self) -> dict[str, Any]:
        return estimate(self.plan, read_reviews(self.file), self.width)

    def next(self, asked: dict[str, Any]) -> dict[str, Any]:
        """{item: what to look at, null where nothing is left; left: rows still to be asked, at most; done: rows looked
        at}."""
        skip = {self.plan.items[n].rid for n in asked.get("skip", []) if self._is_number(n)}
        said = read_reviews(self.file)
        if self.queue == "disagreements":
            found, left = disputed(self.plan, said, skip)
        else:
            found, left = upcoming(self.plan, said, self.who, self.width, skip)
        done = len({o.rid for o in said if o.who == self.who and o.by == self.plan.by and o.verdict != DEFER})
        return {"item": self._shown(found) if found else None, "left": left, "done": done}

    def _shown(self, found: Sequence[UpNext]) -> dict[str, Any]:
        """The first row as the page shows it: no stratum, no source, no step's or person's verdict, unless it is
        disputed."""
        item = found[0].item
        if item.rid not in self.texts:
            self._read([a.item for a in found[:AHEAD]])
        other = item.other and item.other[0]
        return {
            "n": self.number[item.rid],
            "messages": self.texts.get(item.rid),
            "other": self.texts.get(other) if other else None,
            "label": None if self.plan.by == "rule" else item.label,  # a dropped row may have none: it would show
            "said": [{"verdict": o.verdict, "reasons": o.reasons, "label": o.label, "value": o.value, "note": o.note}
                     for o in found[0].settles],
        }  # fmt: skip

    def _read(self, items: Sequence[Picked]) -> None:
        """The texts of rows, and of those that decided on them."""
        places = {i.rid: i.id for i in items} | dict(i.other for i in items if i.other)
        kept = kept_messages(self.build, set(places.values()), tools=True)
        rest = {rid for rid, id in places.items() if id not in kept}
        gone = messages_of(self.build, rest, tools=True) if rest else {}
        self.texts |= {rid: kept.get(id) or gone.get(rid) for rid, id in places.items()}

    def save(self, said: dict[str, Any]) -> dict[str, Any]:
        """Append a verdict; returned when the disk has it. Sent twice under one uid, it counts once. Raises
        ValueError."""
        n = said.get("n")
        if not self._is_number(n):
            raise ValueError("n: no such row in the sample")
        item = self.plan.items[int(n)]  # type: ignore[arg-type]
        if said.get("label") is not None and said["label"] not in self.plan.abilities:
            raise ValueError(f"label: none of {', '.join(self.plan.abilities)}")
        before = [
            o for o in read_reviews(self.file) if o.who == self.who and o.rid == item.rid and o.by == self.plan.by
        ]
        known = any(o.verdict in VERDICTS and not o.settles for o in before)
        settles = self.queue == "disagreements"
        given = {k: said.get(k) for k in ("uid", "verdict", "reasons", "label", "value", "note")}
        record = given | {
            "by": self.plan.by, "rid": item.rid, "id": item.id, "was": item.was, "stratum": item.stratum,
            "who": self.who,
            "repeat": known and not settles and not said.get("amend", False), "settles": settles, "when": _now(),
        }  # fmt: skip
        if not any(o.uid == record["uid"] for o in before):
            append(self.file, [{k: v for k, v in record.items() if v not in (None, False, [], "")}])
        return {"saved": record["uid"]}

    def undo(self, said: dict[str, Any]) -> dict[str, Any]:
        """Append that the reviewer takes one of his verdicts back."""
        record = {"uid": said.get("uid"), "undo": said.get("undo"), "who": self.who, "when": _now()}
        append(self.file, [record])
        return {"undone": record["undo"]}

    def _is_number(self, n: Any) -> bool:
        return isinstance(n, int) and not isinstance(n, bool) and 0 <= n < len(self.plan.items)


def shown(session: Reviewing) -> dict[str, Any]:
    """What the page's template needs."""
    return {
        "title": session.build.name,
        "who": session.who,
        "by": session.plan.by,
        "queue": session.queue,
        "reasons": REASONS,
        "abilities": session.plan.abilities,
    }


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
