"""Reviews out to Label Studio and Argilla, and back in: the JSON that both import and export.

Label Studio: a list of tasks, https://labelstud.io/guide/tasks (`annotations` holds what people said). Argilla 2: a
list of records as `dataset.records.to_json` writes them, {id, fields, metadata, responses: {question: [{value,
user_id}]}}.

Both know people by accounts of their own: Label Studio refuses a task whose `completed_by` has an e-mail that no member
has, Argilla a `user_id` that is no UUID. So a name that is no e-mail stands in the results' `meta`, and in Argilla's
metadata beside an id made of it.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from instdata.report.review.estimate import counted
from instdata.report.review.sampling import Picked
from instdata.report.review.session import Reviewing
from instdata.steps.reviews_file import REASONS, VERDICTS, Opinion, append, checked, latest, read_reviews
from instdata.util.errors import InputError
from instdata.util.output_files import claimed
from instdata.util.paths import file_text

FORMATS = ("label-studio", "argilla")
EACH = 100  # rows of a stratum that are given to another tool, in the sample's order
MULTIPLE = "reasons"  # the question that takes several answers
QUESTIONS = ("verdict", MULTIPLE, "label", "answer")


def export_reviews(session: Reviewing, format: str, out: Path) -> dict[str, Any]:
    """Write the start of the sample, with what each person said last of each row. Returns {out, rows, reviews}."""
    items = [i for i in session.plan.items if i.rank < EACH]
    session._read(items)
    said = {rid: list(each.values()) for rid, each in latest(counted(session.plan, read_reviews(session.file))).items()}
    write = _task if format == "label-studio" else _record
    made = [write(i, session, said.get(i.rid, [])) for i in items]
    with claimed(out) as file:
        file.write(json.dumps(made, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass") + b"\n")
    return {"out": str(out), "rows": len(made), "reviews": sum(len(said.get(i.rid, [])) for i in items)}


def _facts(item: Picked, session: Reviewing) -> dict[str, Any]:
    """What tells an imported answer whose it is."""
    return {k: v for k, v in {"rid": item.rid, "row": item.id, "was": item.was, "by": session.plan.by}.items() if v}


def _texts(item: Picked, session: Reviewing) -> dict[str, str]:
    """The row as two texts: all before the last answer, with who says it, and that answer."""
    turns = session.texts.get(item.rid) or []
    last = turns[-1:] if turns and turns[-1]["role"] == "assistant" else []
    before = turns[: len(turns) - len(last)]
    prompt = "\n\n".join(f"{t['role']}: {t['content']}" if len(before) > 1 else t["content"] for t in before)
    return {"prompt": prompt, "response": last[0]["content"] if last else "", "label": item.label}


def _values(o: Opinion) -> dict[str, Any]:
    found = {"verdict": o.verdict, MULTIPLE: list(o.reasons), "label": o.label, "answer": o.value}
    return {k: v for k, v in found.items() if v}


def _task(item: Picked, session: Reviewing, said: list[Opinion]) -> dict[str, Any]:
    def result(name: str, value: Any) -> dict[str, Any]:
        kind, key = ("textarea", "text") if name == "answer" else ("choices", "choices")
        return {
            "from_name": name,
            "to_name": "response",
            "type": kind,
            "value": {key: value if isinstance(value, list) else [value]},
        }

    def note(o: Opinion) -> dict[str, Any]:
        results = [result(*v) for v in _values(o).items()]
        if "@" in o.who:
            return {"completed_by": {"email": o.who}, "result": results}
        return {"result": [r | {"meta": {"who": o.who}} for r in results]}

    notes = [note(o) for o in said]
    return {"data": {**_facts(item, session), **_texts(item, session)}, "annotations": notes}


def _record(item: Picked, session: Reviewing, said: list[Opinion]) -> dict[str, Any]:
    ids = {o.who: _user_id(o.who) for o in said}
    # without a status Argilla reads them as drafts, which count for nothing there
    responses = {
        q: [{"value": v[q], "user_id": ids[o.who], "status": "submitted"} for o in said if q in (v := _values(o))]
        for q in QUESTIONS
    }
    people = [f"{id} {who}" for who, id in ids.items() if id != who]
    return {
        "id": hashlib.sha256(f"{item.rid}:{item.id}".encode()).hexdigest()[:32],
        "fields": _texts(item, session),
        "metadata": _facts(item, session) | ({"people": people} if people else {}),
        "responses": {q: r for q, r in responses.items() if r},
        "suggestions": {},
    }


def _user_id(who: str) -> str:
    """A name as Argilla wants one: itself where it is a UUID, else one that is made of it."""
    try:
        return str(uuid.UUID(who))
    except ValueError:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"instdata:{who}"))


def import_reviews(session: Reviewing, file: Path) -> dict[str, Any]:
    """Append what people said in another tool; the same file again adds nothing. Returns {file, reviews, added}. Raises
    InputError with every record that is not a row's, or whose answers are none of ours."""
    try:
        records = json.loads(file_text(file))
    except FileNotFoundError:
        raise InputError(f"{file}: no such file: name what --export wrote, once people have answered in it") from None
    except (OSError, ValueError) as e:
        raise InputError(f"{file}: cannot be read as JSON: {e}") from e
    if not isinstance(records, list):
        raise InputError(f"{file}: a list of Label Studio's tasks or Argilla's records is needed")
    found: list[dict[str, Any]] = []
    problems: list[tuple[str, int | None, str]] = []
    ids = {i.rid: i.id for i in session.plan.items}
    for number, record in enumerate(records, 1):
        try:
            for line in _said(record):
                if ids.get(line["rid"]) != line["id"]:
                    raise ValueError(f"{line['rid']}: no such row, or another text, in the sample by {session.plan.by}")
                found.append(checked(line))
        except (ValueError, LookupError, TypeError, AttributeError) as e:
            why = (
                str(e)
                if isinstance(e, ValueError)
                else "neither Label Studio's task nor Argilla's record, with what --export put in it"
            )
            problems.append((str(file), None, f"record {number}: {why}"))
    if problems:
        raise InputError(problems)
    before = read_reviews(session.file)
    here = {o.uid for o in before}
    known = {_uid(o.by, o.rid, o.id, o.who, _values(o)) for o in before}
    new = [r for r in found if r["uid"] not in here | known]
    append(session.file, new)
    return {"file": str(file), "reviews": len(found), "added": len(new)}


def _said(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The reviews in a task or record."""
    facts = record["data"] if "data" in record else record["metadata"]
    people = _of_task(record["annotations"]) if "data" in record else _of_record(record["responses"], facts)
    for who, values in people:
        if "verdict" not in values:
            continue
        before = facts if "data" in record else record["fields"]
        if values.get("answer") == before.get("response"):  # shown to be edited, and left as it was
            values = {k: v for k, v in values.items() if k != "answer"}
        line = {
            "uid": _uid(facts["by"], facts["rid"], facts["row"], who, values), "by": facts["by"], "rid": facts["rid"],
            "id": facts["row"], "was": facts.get("was"), "who": who, "verdict": values["verdict"],
            "reasons": values.get(MULTIPLE), "label": values.get("label"), "value": values.get("answer"),
        }  # fmt: skip
        yield {k: v for k, v in line.items() if v not in (None, [])}


def _of_task(notes: Iterable[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for note in notes:
        if note.get("was_cancelled"):
            continue
        by = note.get("completed_by")
        named = [r["meta"]["who"] for r in note["result"] if "who" in (r.get("meta") or {})]
        values = {}
        for r in note["result"]:
            given = r["value"].get("choices") or r["value"].get("text") or []
            given = [given] if isinstance(given, str) else given
            if given and r["from_name"] in QUESTIONS:
                values[r["from_name"]] = given if r["from_name"] == MULTIPLE else given[0]
        who = str(by.get("email") or by["id"]) if isinstance(by, dict) else f"user {by}"
        yield (named[0] if named else who), values


def _of_record(
    responses: dict[str, list[dict[str, Any]]], facts: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    names = dict(line.split(" ", 1) for line in facts.get("people") or ())
    people: dict[str, dict[str, Any]] = {}
    for question, answers in responses.items():
        for answer in answers if question in QUESTIONS else []:
            people.setdefault(names.get(str(answer["user_id"]), str(answer["user_id"])), {})[question] = answer["value"]
    yield from people.items()


def _uid(by: str | None, rid: str, id: str, who: str, values: dict[str, Any]) -> str:
    """What a review from elsewhere is known by: the sample, the row, its text, who said what."""
    return hashlib.sha256(json.dumps([by, rid, id, who, values], sort_keys=True).encode()).hexdigest()[:32]


LABEL_STUDIO = """<View>
  <Text name="prompt" value="$prompt"/>
  <Text name="response" value="$response"/>
  <Choices name="verdict" toName="response" required="true">{verdicts}</Choices>
  <Choices name="reasons" toName="response" choice="multiple">{reasons}</Choices>
  <Choices name="label" toName="response">{labels}</Choices>
  <TextArea name="answer" toName="response" value="$response" maxSubmissions="1" editable="true"/>
</View>
"""


def label_config(abilities: list[str]) -> str:
    """Label Studio's labelling interface for what `export_reviews` writes."""
    from xml.sax.saxutils import quoteattr

    def choices(names: Iterable[str]) -> str:
        return "".join(f"<Choice value={quoteattr(n)}/>" for n in names)

    return LABEL_STUDIO.format(verdicts=choices(VERDICTS), reasons=choices(REASONS.values()), labels=choices(abilities))
