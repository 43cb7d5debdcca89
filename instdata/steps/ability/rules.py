"""The rules method: the words of the taxonomy itself (names, labels, aliases), widened by the lexicon's synonyms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from instdata.corpus.taxonomy import Taxonomy
from instdata.steps.ability.calibration import calibrate
from instdata.steps.ability.features import CONCEPT, GROUP_BITS, WORDS, features
from instdata.steps.ability.linear import Linear, space
from instdata.steps.ability.training_examples import Examples

BOTH = np.array([1.0, 0, 0, 0, 1.0, 0, 0])  # words and concepts


def from_words(taxonomy: Taxonomy, examples: Examples) -> Linear:
    """A linear model with weights set, not learned: a word or concept that stands in an ability's names speaks for it,
    the less the more abilities share it. Examples only calibrate the confidence."""
    owner = [k for k, a in enumerate(taxonomy.abilities) for _ in (a.name, *a.label.values(), *a.aliases)]
    names = [w for a in taxonomy.abilities for w in (a.name, *a.label.values(), *a.aliases)]
    texts = pa.array([name.replace("_", " ") for name in names])
    known, nothing = space(texts, BOTH, 1), space(pa.array([], pa.string()), BOTH, 1)
    hashes, starts = features(texts)
    weights = np.zeros((len(known.idf), len(taxonomy.abilities)))
    column = {h: i for i, h in enumerate(known.hashes.tolist())}
    for k, lo, hi in zip(owner, starts, starts[1:]):
        for h in hashes[lo:hi][np.isin(hashes[lo:hi] >> np.uint64(64 - GROUP_BITS), [WORDS, CONCEPT])].tolist():
            weights[column[h], k] = 1.0
    weights /= np.maximum(weights.sum(1, keepdims=True), 1.0) ** 2
    zero = np.zeros(len(taxonomy.abilities))
    owners = np.array([taxonomy.names.index(c) for c in examples.classes])[examples.labels]
    unfit = calibrate(np.zeros((1, len(zero))), np.zeros(1, np.int64))
    model = Linear(
        taxonomy.names, known, nothing, weights, np.zeros((0, len(zero))), zero, zero, unfit, np.empty((0, 0))
    )
    found = model.scores(examples.prompts, examples.responses)
    return replace(model, calibration=calibrate(found, owners), held_out=found)
