"""Rows of a build by filters, a page at a time: DuckDB over the ledger and the rows' own Parquet files."""

from __future__ import annotations

from glob import escape
from pathlib import Path
from typing import Any

from instdata.builds import history, kept_messages, manifest, messages_of
from instdata.corpus.forms_and_dropped import DROPPED
from instdata.report.browse.thresholds import Thresholds
from instdata.report.build_facts import row_history
from instdata.report.review.sampling import quoted
from instdata.util.checksums import part
from instdata.util.errors import InputError

PAGE = 20  # rows of a page
EXCERPT = 220  # characters of a row in the list
TEXT = "array_to_string([coalesce(m.content, '') for m in messages], chr(10))"
# A filter in the page -> the column it is about: of the ledger, or of the rows themselves.
LEDGER = ("verdict", "step", "reason", "ability", "source")
OWN = ("origin", "lang")


class Browsing:
    """The answers that the page of a build asks for. Reads only; every request is answered from the files."""

    def __init__(self, build: Path):
        import duckdb

        self.build = build
        self.manifest = manifest(build)
        self.db = duckdb.connect()
        self.db.read_parquet(escape(str(part(build, "ledger.parquet")))).create_view("ledger")
        names = [
            f
            for c in ("full", "holdout")
            if c in self.manifest["configs"]
            for f in self.manifest["configs"][c]["files"]
        ]
        self.db.execute(f"create view texts as {' union all '.join(map(self._texts, self._files(names)))}")
        self.scores = {
            name: kind
            for name, kind, *_ in self.db.execute("describe ledger").fetchall()
            if name.startswith("score_") and kind != "VARCHAR"
        }
        self.thresholds = Thresholds(self.scores, self.manifest["steps"])

    def _files(self, names: list[str]) -> list[Path]:
        gone = part(self.build, DROPPED)
        return [*(part(self.build, n) for n in names), *([gone] if gone.is_file() else [])]

    def _texts(self, path: Path) -> str:
        """The rows of a file: where they came from, what filters may ask, and their text."""
        name = str(path.relative_to(self.build)).replace("'", "''")
        file = escape(str(path)).replace("'", "''")
        return (
            f"select source, source_file, source_row, origin, lang, {TEXT} as text, '{name}' as file from "
            f"read_parquet('{file}')"
        )

    def answers(self) -> dict[str, Any]:
        return {"options": self.options, "rows": self.rows, "row": self.row, "what_if": self.what_if}

    def options(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What there is to filter by: values with their rows, the sizes, the scores with their range."""
        db = self.db.cursor()
        found: dict[str, Any] = {}
        for name in LEDGER:
            sql = (
                f"select {name}, count(*) from ledger where {name} is not null group by 1 order by 2 desc, 1 limit 500"
            )
            found[name] = db.execute(sql).fetchall()
        for name in OWN:
            found[name] = db.execute(
                f"select {name}, count(*) from texts where {name} is not null group by 1 order by 2 desc, 1 limit 200"
            ).fetchall()
        found["size"] = [(n, c["rows"]) for n, c in self.manifest["configs"].items()]
        return found | {"scores": self.thresholds.ranges(db)}

    def what_if(self, asked: dict[str, Any]) -> dict[str, Any]:
        return self.thresholds.what_if(self.db.cursor(), asked)

    def rows(self, asked: dict[str, Any]) -> dict[str, Any]:
        """A page of rows that fit: {total, page, pages, rows: [{rid, id, verdict, config, step, reason, ability,
        similarity, copy ("exact", "near" or null), asked, answer}]}. Raises ValueError for a filter that is none."""
        db = self.db.cursor()
        where, given = self._where(asked)
        total = db.execute(f"select count(*) from ledger l where {where}", given).fetchone()[0]
        pages = max(1, -(-total // PAGE))
        page = min(max(1, _whole(asked.get("page", 1))), pages)
        sql = f"""select rid, id, verdict, config, step, reason, ability,
            try_cast(json_extract_string(evidence, '$.similarity') as double), case when verdict = 'dropped' and json_extract_string(evidence, '$.rid') is not null
            and json_extract_string(evidence, '$.similarity') is not null then if(json_extract_string(evidence, '$.id') = id, 'exact', 'near') end
            from ledger l where {where} order by source, source_file, source_row, rid limit {PAGE} offset {(page - 1) * PAGE}"""
        names = ("rid", "id", "verdict", "config", "step", "reason", "ability", "similarity", "copy")
        found = [dict(zip(names, r)) for r in db.execute(sql, given).fetchall()]
        texts = self._messages({r["rid"]: r["id"] for r in found if r["id"]})
        for row in found:
            turns = texts.get(row["rid"]) or []
            asks = [t["content"] for t in turns if t["role"] == "user"]
            last = turns[-1]["content"] if turns and turns[-1]["role"] == "assistant" else ""
            row |= {"asked": (asks[-1] if asks else "")[:EXCERPT], "answer": (last or "")[:EXCERPT]}
        return {"total": total, "page": page, "pages": pages, "rows": found}

    def _where(self, asked: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The condition on ledger rows that filters come to, and its values."""
        parts: list[str] = ["true"]
        own: list[str] = []
        given: dict[str, Any] = {}
        for name in (*LEDGER, *OWN):
            if asked.get(name):
                (own if name in OWN else parts).append(f"{name if name in OWN else 'l.' + name} = ${name}")
                given[name] = str(asked[name])
        if size := asked.get("size"):
            if size not in self.manifest["configs"]:
                raise ValueError(f"size: no config {size}")
            own.append("list_contains($files, file)")
            given["files"] = list(self.manifest["configs"][size]["files"])
        for i, word in enumerate(str(asked.get("search") or "").split()):
            own.append(f"contains(lower(text), lower($word{i}))")
            given[f"word{i}"] = word
        if score := asked.get("score"):
            if score not in self.scores:
                raise ValueError(f"score: no score {score}")
            for side, sign in (("low", ">="), ("high", "<=")):
                if asked.get(side) not in (None, ""):
                    parts.append(f"l.{quoted(score)} {sign} ${side}")
                    given[side] = float(asked[side])
        if asked.get("name"):
            parts.append("(l.rid = $name or l.id = $name)")
            given["name"] = str(asked["name"]).strip()
        if own:
            parts.append(
                f"exists (select 1 from texts t where t.source = l.source and t.source_file = l.source_file and "
                f"t.source_row = l.source_row and {' and '.join(own)})"
            )
        return " and ".join(parts), given

    def _messages(self, ids: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
        """rid -> conversation, of rows given as rid -> id."""
        kept = kept_messages(self.build, set(ids.values()), tools=True)
        rest = {rid for rid, id in ids.items() if id not in kept}
        gone = messages_of(self.build, rest, tools=True) if rest else {}
        return {rid: kept.get(id) or gone.get(rid) or [] for rid, id in ids.items()}

    def row(self, asked: dict[str, Any]) -> dict[str, Any]:
        """One row whole: {row: what `why` tells, history: a line a step, other: the row that its evidence points
        at}. Raises InputError for a rid that no row has."""
        rid = str(asked.get("rid"))
        found = next((r for r in history(self.build, rid) if r["rid"] == rid), None)
        if found is None:  # the id of a row is none: several rows may have one text
            raise InputError(f"{rid}: no row of this build has this rid")
        if found["id"]:
            found["messages"] = self._messages({rid: found["id"]})[rid]
        evidence = found["evidence"] if isinstance(found["evidence"], dict) else {}
        points, id = evidence.get("rid"), evidence.get("id")
        other = None
        if isinstance(points, str) and isinstance(id, str):
            other = {"rid": points, "id": id, "messages": self._messages({points: id})[points]}
        scores = found["scores"]
        return {
            "row": found,
            "history": row_history(found, scores, [s["name"] for s in self.manifest["steps"]]),
            "other": other,
        }


def _whole(value: Any) -> int:
    return int(value) if isinstance(value, (int, str)) and str(value).isdigit() else 1
