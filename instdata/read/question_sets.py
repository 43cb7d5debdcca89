"""Records that hold several questions, as question sets publish them, into one flat record for each question.

SQuAD and CMRC (paragraphs and their qas), DROP (qa_pairs), RACE (lists beside each other), CoQA (a dialogue about a
story), C3 and DREAM ([dialogue, questions, id]), and a document of records by their ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from instdata.read.column_names import Record, normalise_keys
from instdata.read.preference_pairs import VERDICTS, preferred
from instdata.read.roles import is_turn
from instdata.read.threads import TREE, rank, thread

Flat = dict[str, Any]
# What a record in a document of records by their ids has one of.
RECORDS = frozenset(
    (
        "instruction",
        "prompt",
        "question",
        "query",
        "problem",
        "messages",
        "conversations",
        "qas",
        "qa_pairs",
        "问题",
        "指令",
    )
)
ASKED = ("instruction", "prompt", "question", "query", "problem", "问题", "指令")
PASSAGES = ("context", "context_text", "passage", "article", "story", "text")


class Listed(dict):
    """A record that came in as a list; `original` is that list."""

    original: list[Any]


def listed(value: Any) -> Listed | None:
    """The record that a list is: turns; C3's and DREAM's [dialogue, questions, id]. None where it is something else."""
    if isinstance(value, list) and value and all(isinstance(t, dict) and is_turn(t) for t in value):
        talk = Listed({"messages": value})
        talk.original = value
        return talk
    if not (isinstance(value, list) and 2 <= len(value) <= 3 and isinstance(value[0], list)):
        return None
    asked = value[1]
    if not (isinstance(asked, list) and asked and all(isinstance(q, dict) and "question" in q for q in asked)):
        return None
    if not all(isinstance(line, str) for line in value[0]):
        return None
    out = Listed(dict(zip(("context", "qas", "id"), value)))
    out.original = value
    return out


def nested(record: Mapping[str, Any]) -> tuple[frozenset[str], list[Record]] | None:
    """(the columns that hold the questions, a flat record for each of them) of a record with normalised keys; None
    where it is one record."""
    pair = preferred(record) if may_nest(tuple(record)) else None
    if pair:
        return pair[0], [normalise_keys(pair[1])]
    for columns, read in NESTS if may_nest(tuple(record)) else ():
        if columns <= record.keys():
            found = read(record)
            if found:
                return frozenset(k for k in record if k in columns or k in PASSAGES), [normalise_keys(f) for f in found]
    if of_columns := _of_columns(record):
        return of_columns
    values = list(record.values())
    if values and all(isinstance(v, dict) for v in values):  # {"id 1": {…}, "id 2": {…}}
        records = [normalise_keys(v) for v in values]
        if all(not RECORDS.isdisjoint(r) for r in records):
            return frozenset(record), records
    return None


def _of_columns(record: Mapping[str, Any]) -> tuple[frozenset[str], list[Record]] | None:
    """The rows of a document of columns, as pandas writes it: {instruction: {"0": …}, …}, {instruction: […], …}."""
    asked = next((record[k] for k in ASKED if k in record), None)
    if not isinstance(asked, (list, dict)) or len(record) < 2:
        return None
    if isinstance(asked, dict) and not all(str(k).isdigit() for k in asked):
        return None
    if not all(type(v) is type(asked) and len(v) == len(asked) for v in record.values()):
        return None
    columns = {k: list(v.values()) if isinstance(v, dict) else v for k, v in record.items()}
    said = [v for k, v in columns.items() if record[k] is not asked]
    if not asked or not all(isinstance(t, str) for t in (*columns[next(k for k in ASKED if k in record)], *said[0])):
        return None
    return frozenset(record), [normalise_keys(dict(zip(columns, row))) for row in zip(*columns.values())]


@lru_cache(maxsize=1024)
def may_nest(keys: tuple[str, ...]) -> bool:
    """Whether a record with these columns may hold several questions, or two answers and a verdict."""
    return any(columns.issubset(keys) for columns, _ in NESTS) or any(set(v[:3]).issubset(keys) for v in VERDICTS)


def _articles(record: Mapping[str, Any]) -> list[Flat]:
    paragraphs = record["paragraphs"]
    if not isinstance(paragraphs, list) or not all(isinstance(p, dict) and "qas" in p for p in paragraphs):
        return []
    return [flat for p in paragraphs for flat in _asked_of(p, p["qas"])]


def _paragraph(record: Mapping[str, Any]) -> list[Flat]:
    return _asked_of(record, record["qas"])


def _pairs(record: Mapping[str, Any]) -> list[Flat]:
    return _asked_of(record, record["qa_pairs"])


def _asked_of(holder: Mapping[str, Any], questions: Any) -> list[Flat]:
    """The questions about one passage."""
    if not isinstance(questions, list) or not all(isinstance(q, dict) for q in questions):
        return []
    passage = next((holder[k] for k in PASSAGES if holder.get(k)), "")
    return [{"context": passage, **{NAMES.get(k, k): v for k, v in q.items()}} for q in questions]


NAMES = {"query_text": "question", "query_id": "id", "input_text": "question"}


def _beside(record: Mapping[str, Any]) -> list[Flat]:
    """RACE: questions, options and answers in lists of one length."""
    lists = [record[k] for k in ("questions", "options", "answers")]
    if not all(isinstance(v, list) for v in lists) or len({len(v) for v in lists}) > 1:
        return []
    passage = next((record[k] for k in PASSAGES if record.get(k)), "")
    return [{"context": passage, "question": q, "options": o, "answer": a} for q, o, a in zip(*lists)]


def _story(record: Mapping[str, Any]) -> list[Flat]:
    """CoQA: one conversation, the story before its first question."""
    asked, said = (_texts(record[k]) for k in ("questions", "answers"))
    if not asked or len(asked) != len(said):
        return []
    if len(asked) == 1:
        return [{"context": record["story"], "question": asked[0], "answer": said[0]}]
    history = [[q, a] for q, a in zip(asked, said)][:-1]
    history[0][0] = f"{record['story']}\n\n{asked[0]}"
    return [{"history": history, "question": asked[-1], "answer": said[-1]}]


def _texts(value: Any) -> list[str]:
    """Texts of a list of texts or of {input_text}, or of a struct of lists of them."""
    held = value.get("input_text") if isinstance(value, dict) else value
    found = [v.get("input_text") if isinstance(v, dict) else v for v in held] if isinstance(held, list) else []
    return [v for v in found if isinstance(v, str)] if all(isinstance(v, str) for v in found) else []


def _zipped(record: Mapping[str, Any]) -> list[Flat]:
    """Huatuo-26M: questions, each perhaps in several wordings, and their answers."""
    asked, said = record["questions"], record["answers"]
    if isinstance(asked, str) and isinstance(said, str):
        asked, said = [asked], [said]
    if not (isinstance(asked, list) and isinstance(said, list) and len(asked) == len(said)):
        return []
    first = [q[0] if isinstance(q, list) and q else q for q in asked]
    both = (*first, *said)
    return [{"question": q, "answer": a} for q, a in zip(first, said)] if all(isinstance(t, str) for t in both) else []


def _tree(record: Mapping[str, Any]) -> list[Flat]:
    """A tree of OpenAssistant: the thread of each turn's best reply."""
    turns, node = [], record["prompt"]
    if not (isinstance(node, dict) and isinstance(node.get("replies"), list)):
        return []
    while isinstance(node, dict):
        turns.append({k: node[k] for k in ("role", "text") if k in node})
        replies = node.get("replies")
        replies = [r for r in replies if isinstance(r, dict)] if isinstance(replies, list) else []
        node = min(replies, key=rank, default=None)
    return [{"messages": turns}]


def _flat_tree(record: Mapping[str, Any]) -> list[Flat]:
    """The same as a table of messages."""
    return [{"messages": thread(record[TREE])}] if isinstance(record[TREE], list) else []


def _asked(record: Mapping[str, Any]) -> list[Flat]:
    """A request of a batch: its body."""
    return [dict(record["body"])] if isinstance(record["body"], dict) else []


def _logged(record: Mapping[str, Any]) -> list[Flat]:
    """A request to a chat interface and its answer, as gateways log them: {messages, choices}, {request, response}."""
    asked, said = (record["request"], record["response"]) if "request" in record else (record, record)
    choices = said.get("choices") if isinstance(said, dict) else None
    first = (
        choices[0].get("message") if choices and isinstance(choices, list) and isinstance(choices[0], dict) else None
    )
    if not (isinstance(asked, dict) and isinstance(asked.get("messages"), list) and isinstance(first, dict)):
        return []
    return [{k: v for k, v in asked.items() if k != "choices"} | {"messages": [*asked["messages"], first]}]


def _outputs(record: Mapping[str, Any]) -> list[Flat]:
    """OpenAI's preference format: {input: {messages, tools}, preferred_output, non_preferred_output}."""
    pair = {"chosen": record["preferred_output"], "rejected": record["non_preferred_output"]}
    return [{**record["input"], **pair}] if isinstance(record["input"], dict) else []


def _steps(record: Mapping[str, Any]) -> list[Flat]:
    """PRM800K: a problem and its solution, a step from each of several completions that people rated."""
    question, label = record["question"], record["label"]
    if not (isinstance(question, dict) and isinstance(label, dict) and isinstance(label.get("steps"), list)):
        return []
    said = []
    for step in (s for s in label["steps"] if isinstance(s, dict)):
        at, own, given = (step.get(k) for k in ("chosen_completion", "human_completion", "completions"))
        taken = given[at] if isinstance(at, int) and isinstance(given, list) and 0 <= at < len(given) else own
        said += [taken["text"]] if isinstance(taken, dict) and isinstance(taken.get("text"), str) else []
    right = question.get("ground_truth_answer")
    return [{"problem": question.get("problem"), "solution": "\n".join(said), "reference": right}]


def _task(record: Mapping[str, Any]) -> list[Flat]:
    """A task of Super-NaturalInstructions: its definition, and instances whose outputs are several."""
    told, instances = record["definition"], record["instances"]
    if not (isinstance(instances, list) and all(isinstance(i, dict) for i in instances)):
        return []
    told = told[0] if isinstance(told, list) and told else told
    first = [{k: v[0] if isinstance(v, list) and v else v for k, v in i.items()} for i in instances]
    return [{"instruction": told, **one} for one in first]


NESTS: tuple[tuple[frozenset[str], Callable[[Mapping[str, Any]], list[Flat]]], ...] = (
    (frozenset(["paragraphs"]), _articles),
    (frozenset(["qas"]), _paragraph),
    (frozenset(["qa_pairs"]), _pairs),
    (frozenset(["questions", "options", "answers"]), _beside),
    (frozenset(["story", "questions", "answers"]), _story),
    (frozenset(["questions", "answers"]), _zipped),
    (frozenset(["prompt", "message_tree_id"]), _tree),
    (frozenset([TREE]), _flat_tree),
    (frozenset(["question", "label"]), _steps),
    (frozenset(["custom_id", "body"]), _asked),
    (frozenset(["messages", "choices"]), _logged),
    (frozenset(["request", "response"]), _logged),
    (frozenset(["input", "preferred_output", "non_preferred_output"]), _outputs),
    (frozenset(["definition", "instances"]), _task),
)
