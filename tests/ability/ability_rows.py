import pyarrow as pa

from instdata.corpus.rows import CORPUS, MESSAGES, Rows


def rows_of(tasks, context=None) -> Rows:
    """Rows of the corpus from (instruction, response or None, ability or None)."""
    turns = [[("user", t)] + ([("assistant", r)] if r else []) for t, r, _ in tasks]
    columns = {name: pa.nulls(len(tasks), CORPUS.field(name).type) for name in CORPUS.names}
    columns["messages"] = pa.array([[{"role": a, "content": b} for a, b in t] for t in turns], MESSAGES)
    columns["ability"] = pa.array([a for _, _, a in tasks], pa.string())
    return Rows(pa.table(columns, schema=CORPUS), context)
