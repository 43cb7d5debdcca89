"""The files by which a set proves itself: croissant.json, training-content.md, openlineage.jsonl, CITATION.cff; all of
one set of facts, all the same bytes whenever and wherever they are written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from instdata.corpus.write_build_folder import write_json
from instdata.publish.card import environment, model_terms
from instdata.publish.citation import citation
from instdata.publish.croissant import croissant
from instdata.publish.openlineage import lineage
from instdata.publish.set_facts import facts_of
from instdata.util.atomic import write_text
from instdata.util.redaction import redact, shown
from instdata.util.safe_text import escaped
from instdata.util.yaml import written_yaml

FILES = ("croissant.json", "training-content.md", "openlineage.jsonl", "CITATION.cff")


def write_proofs(folder: Path, manifest: dict[str, Any], repo: str | None = None) -> None:
    """Write FILES into a folder that holds recipe.yaml, data/ and ledger.parquet."""
    facts = facts_of(folder, manifest, repo)
    write_json(folder / "croissant.json", croissant(facts), hide=True)
    text = environment().get_template("training-content.md").render(f=facts, terms=model_terms(facts["writers"]))
    write_text(folder / "training-content.md", shown(text))
    lines = [json.dumps(event, ensure_ascii=False) for event in lineage(facts)]
    write_text(folder / "openlineage.jsonl", escaped(redact("\n".join(lines))) + "\n")
    cited = written_yaml(citation(facts))
    write_text(folder / "CITATION.cff", redact(cited))
