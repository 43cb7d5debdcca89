"""How well `categorize: {method: learned}` labels, how honest its confidence is, and how fast: docs/ability.md quotes
it.

    python benchmarks/ability.py [FOLDER OF THE REAL DATA] [--baseline] [--folds 5] [--seeds 0]

Each labelled file by itself, stratified folds, all models on the same folds. The baseline (scikit-learn) is TF-IDF over
characters (1 to 4) and words (1 and 2), then logistic regression; it reads the prompt, which serves it better than
both.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from instdata.corpus.rows import CORPUS, Rows
from instdata.corpus.taxonomy import load_taxonomy
from instdata.steps.ability.calibration import calibration_error
from instdata.steps.ability.linear import train
from instdata.steps.ability.training_examples import labelled
from instdata.util.build_context import Context
from instdata.util.resources import resource

FILES = {
    "belle": ("belle/eval_v1_labelled.jsonl", ("question",), "std_answer", "class"),
    "dolly": ("dolly/dolly_dev.jsonl", ("instruction", "input"), "output", "category"),
    "autoj": ("scenarios/autoj_train.jsonl", ("instruction", "input"), None, "category"),
}


def read(folder: Path, name: str) -> tuple[pa.Array, pa.Array, np.ndarray, list[str]]:
    """(prompts, responses, class numbers, classes) of a labelled file, prompts as instdata builds them."""
    file, prompt, response, label = FILES[name]
    rows = [json.loads(line) for line in (folder / file).open(encoding="utf-8")]
    prompts = ["\n\n".join(r[k] for k in prompt if r[k].strip()) for r in rows]
    responses = [str(r[response]) if response and str(r[response]).strip() else None for r in rows]
    classes, labels = np.unique([r[label] for r in rows], return_inverse=True)
    return pa.array(prompts), pa.array(responses, pa.string()), labels, classes.tolist()


def folds(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The fold of each row: every class spread evenly, in random order."""
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    fold = np.empty(len(labels), np.int64)
    fold[order] = np.arange(len(labels)) % count
    return fold


def ours(prompts, responses, labels, classes, fold):
    """(predicted class, confidence) of every row, each by a model that saw the other folds only."""
    best, confidence = np.empty(len(labels), np.int64), np.empty(len(labels))
    for k in range(fold.max() + 1):
        seen, held = (pa.array(np.flatnonzero(m)) for m in (fold != k, fold == k))
        model = train(prompts.take(seen), responses.take(seen), labels[seen], classes)
        scores = model.scores(prompts.take(held), responses.take(held))
        best[held], confidence[held] = model.calibration.best(scores)
    return best, confidence


def fit_baseline(texts, labels):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    characters = TfidfVectorizer(analyzer="char", ngram_range=(1, 4), min_df=2, sublinear_tf=True)
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    model = make_pipeline(make_union(characters, words), LogisticRegression(C=10, max_iter=100, tol=1e-3))
    return model.fit(texts, labels)


def baseline(prompts, labels, fold):
    """The predicted class of every row."""
    texts, best = np.array(prompts.to_pylist(), dtype=object), np.empty(len(labels), np.int64)
    for k in range(fold.max() + 1):
        best[fold == k] = fit_baseline(texts[fold != k], labels[fold != k]).predict(texts[fold == k])
    return best


def gain(right: np.ndarray, base: np.ndarray) -> str:
    """The difference in accuracy in points and its 95% interval, rows paired (bootstrap)."""
    difference = right.astype(float) - base
    random = np.random.default_rng(0)
    means = [difference[random.integers(0, len(difference), len(difference))].mean() for _ in range(2000)]
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{100 * difference.mean():+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def speed(prompts, responses, labels, classes) -> tuple[float, float]:
    """Rows a second of prediction, and rows a second of processor time: what one core does, however busy the
    machine."""
    model = train(prompts, responses, labels, classes)
    many = pa.concat_arrays([prompts] * 10), pa.concat_arrays([responses] * 10)
    rates = []
    for _ in range(3):
        began = time.perf_counter(), time.process_time()
        model.scores(*many)
        rates.append([len(many[0]) / s for s in (time.perf_counter() - began[0], time.process_time() - began[1])])
    return tuple(np.max(rates, axis=0))


def elsewhere(folder: Path) -> str:
    """Accuracy on tasks by other authors: learned on the belle file alone, tested on instdata's own seed tasks."""
    prompts, responses, labels, classes = read(folder, "belle")
    model = train(prompts, responses, labels, classes)
    said = []
    for lang in ("zh", "en"):
        lines = resource(f"recipes/seeds/belle_{lang}.jsonl").read_text("utf-8").splitlines()
        seeds = [s for s in map(json.loads, lines) if s["ability"] in classes]
        texts = [(s["instruction"], s["instances"][0].get("input", ""), s["instances"][0]["output"]) for s in seeds]
        tasks = pa.array(["\n\n".join(t for t in text[:2] if t) for text in texts])
        wanted = np.array([classes.index(s["ability"]) for s in seeds])
        best = model.scores(tasks, pa.array([t[2] for t in texts])).argmax(1)
        base = fit_baseline(prompts.to_pylist(), labels).predict(tasks.to_pylist())
        right = [f"{np.mean(b == wanted):.3f}" for b in (best, base)]
        said.append(f"{lang}: {len(wanted)} rows, accuracy {right[0]}, baseline {right[1]}")
    return "belle -> seeds, " + "; ".join(said)


def unlabelled(folder: Path) -> str:
    """Accuracy on the belle file where no label is given at all: `auto` then learns from what ships with the
    taxonomy."""
    prompts, responses, labels, classes = read(folder, "belle")
    shipped = labelled(Rows(CORPUS.empty_table(), Context(taxonomy=load_taxonomy("belle"))), None)
    model = train(shipped.prompts, shipped.responses, shipped.labels, shipped.classes)
    scores = model.scores(prompts, responses)
    best, confidence = model.calibration.at_hand(scores).best(scores)
    right = np.array(model.classes)[best] == np.array(classes)[labels]
    error, low, high = calibration_error(confidence, right)
    said = f"accuracy {right.mean():.3f}, calibration error {error:.3f} ({low:.3f} to {high:.3f})"
    return f"{len(shipped.labels)} shipped examples -> belle: {said}"


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(os.environ.get("INSTDATA_REALDATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    parse.add_argument("folder", nargs="?", type=Path, default=here)
    parse.add_argument("--files", nargs="+", default=list(FILES), choices=list(FILES))
    parse.add_argument("--baseline", action="store_true", help="run the baseline too: minutes")
    parse.add_argument("--folds", type=int, default=5)
    parse.add_argument("--seeds", type=int, nargs="+", default=[0], help="one division into folds each")
    args = parse.parse_args()
    for name in args.files:
        prompts, responses, labels, classes = read(args.folder, name)
        right, base, confidence = [], [], []
        for seed in args.seeds:
            fold = folds(labels, args.folds, seed)
            best, sure = ours(prompts, responses, labels, classes, fold)
            right.append(best == labels)
            confidence.append(sure)
            if args.baseline:
                base.append(baseline(prompts, labels, fold) == labels)
        error, low, high = calibration_error(confidence[0], right[0])
        line = f"{name}: {len(labels)} rows, {len(classes)} classes; accuracy {np.mean(right):.3f}"
        line += f", calibration error {error:.3f} ({low:.3f} to {high:.3f})"
        both, one = speed(prompts, responses, labels, classes)
        line += f", {both:,.0f} rows/s ({one:,.0f} a core)"
        if base:
            paired = gain(np.mean(right, axis=0), np.mean(base, axis=0))
            line += f"; baseline {np.mean(base):.3f}, gain {paired} points"
        print(line, flush=True)
    print(unlabelled(args.folder))
    if args.baseline:
        print(elsewhere(args.folder))


if __name__ == "__main__":
    main()
