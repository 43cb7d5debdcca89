"""How well `categorize: {method: learned}` labels, how honest its confidence is, and how fast: docs/ability.md quotes it.

    python benchmarks/ability.py [FOLDER OF THE REAL DATA] [--baseline] [--folds 5] [--seeds 0]

Each labelled file by itself, stratified folds, all models on the same folds. The baseline (scikit-learn) is TF-IDF over
characters (1 to 4) and words (1 and 2), then logistic regression; it reads the prompt, which serves it better than both.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from instdata.ability.calibration import calibration_error
from instdata.ability.linear import train

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
        best[held], confidence[held] = scores.argmax(1), model.confidence(scores)
    return best, confidence


def baseline(prompts, labels, fold):
    """The predicted class of every row."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    texts, best = np.array(prompts.to_pylist(), dtype=object), np.empty(len(labels), np.int64)
    for k in range(fold.max() + 1):
        characters = TfidfVectorizer(analyzer="char", ngram_range=(1, 4), min_df=2, sublinear_tf=True)
        words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
        model = make_pipeline(make_union(characters, words), LogisticRegression(C=10, max_iter=100, tol=1e-3))
        best[fold == k] = model.fit(texts[fold != k], labels[fold != k]).predict(texts[fold == k])
    return best


def gain(right: np.ndarray, base: np.ndarray) -> str:
    """The difference in accuracy in points and its 95% interval, rows paired (bootstrap)."""
    difference = right.astype(float) - base
    random = np.random.default_rng(0)
    means = [difference[random.integers(0, len(difference), len(difference))].mean() for _ in range(2000)]
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{100 * difference.mean():+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def speed(prompts, responses, labels, classes) -> float:
    """Rows a second, prediction only, with as many threads as there are cores."""
    model = train(prompts, responses, labels, classes)
    many = pa.concat_arrays([prompts] * 20), pa.concat_arrays([responses] * 20)
    began = time.perf_counter()
    model.scores(*many)
    return len(many[0]) / (time.perf_counter() - began)


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
        line += f", {speed(prompts, responses, labels, classes):,.0f} rows/s"
        if base:
            paired = gain(np.mean(right, axis=0), np.mean(base, axis=0))
            line += f"; baseline {np.mean(base):.3f}, gain {paired} points"
        print(line, flush=True)


if __name__ == "__main__":
    main()
