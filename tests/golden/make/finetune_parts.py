"""Golden numbers for tests/finetune_parts: scipy, scikit-learn and Keras 3 say what the figures are.

    KERAS_BACKEND=tensorflow python finetune_parts.py ../data/finetune_parts.json
"""
import json
import sys

import keras
import numpy as np
from scipy import stats
from sklearn import metrics

rng = np.random.default_rng(5)


def limits():
    out = {"quantile": [], "wilson": []}
    for p in [1e-12, 1e-6, 0.001, 0.02, 0.025, 0.1, 0.5, 0.9, 0.95, 0.975, 0.99, 1 - 1e-9]:
        out["quantile"].append([p, stats.norm.ppf(p)])
    for k, n in [(0, 10), (1, 10), (5, 10), (10, 10), (81, 263), (9881, 10000)]:
        for level in (0.9, 0.95):
            ci = stats.binomtest(k, n).proportion_ci(level, method="wilson")
            out["wilson"].append([k, n, stats.norm.ppf((1 + level) / 2), ci.low, ci.high])
    return out


def confusion():
    truth, predicted = rng.integers(0, 4, 60), rng.integers(0, 5, 60)  # class 4 never occurs
    return {
        "truth": truth.tolist(),
        "predicted": predicted.tolist(),
        "matrix": metrics.confusion_matrix(truth, predicted, labels=range(5)).tolist(),
        "recall": metrics.recall_score(truth, predicted, labels=range(4), average=None).tolist(),
    }


def network(units, activation):
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6, activation="tanh", name="hidden"),
                              keras.layers.Dense(units, activation=activation, name="head")])
    for w in inner.weights:
        w.assign(rng.normal(0, 1.5, w.shape).astype("float32"))
    return inner


def case(name, units, activation, targets, loss, metric, labels=None):
    model = network(units, activation)
    x = rng.normal(size=(len(targets), 4)).astype("float32")
    y = model.predict(x, verbose=0)
    model.compile(loss=loss, metrics=[metric] if metric else [])
    scores = model.evaluate(x, targets, batch_size=len(targets), verbose=0)
    scores = scores if isinstance(scores, list) else [scores]
    # In double from Keras' own outputs where the loss has no state of its own would repeat the test: Keras' figure is taken.
    return {
        "name": name, "architecture": model.to_json(), "x": x.tolist(), "y": y.tolist(),
        "weights": {w.path.split("sequential")[-1].lstrip("_0123456789/"): np.asarray(w).ravel().tolist() for w in model.weights},
        "targets": np.asarray(targets, "float32").tolist(), "labels": None if labels is None else np.asarray(labels).tolist(),
        "loss": float(scores[0]), "accuracy": float(scores[1]) if metric else None,
    }


def cases():
    n = 23
    labels3 = rng.integers(0, 3, n)
    hot3 = np.eye(3, dtype="float32")[labels3]
    soft3 = rng.dirichlet([1, 1, 1], n).astype("float32")
    yes = rng.integers(0, 2, n)
    many = rng.integers(0, 2, (n, 4)).astype("float32")
    real = rng.normal(size=(n, 2)).astype("float32")
    loss = keras.losses
    return [
        case("softmax", 3, "softmax", hot3, loss.CategoricalCrossentropy(), "accuracy", labels3),
        case("softmax_smoothed", 3, "softmax", hot3, loss.CategoricalCrossentropy(label_smoothing=0.1), "accuracy", labels3),
        case("softmax_soft_targets", 3, "softmax", soft3, loss.CategoricalCrossentropy(), "categorical_accuracy"),
        case("softmax_mse", 3, "softmax", hot3, "mse", "accuracy", labels3),
        case("logits", 3, "linear", hot3, loss.CategoricalCrossentropy(from_logits=True), "categorical_accuracy", labels3),
        case("one_sigmoid", 1, "sigmoid", yes[:, None].astype("float32"), "binary_crossentropy", "binary_accuracy", yes),
        case("one_sigmoid_smoothed", 1, "sigmoid", yes[:, None].astype("float32"), loss.BinaryCrossentropy(label_smoothing=0.2),
             "binary_accuracy", yes),
        case("many_sigmoids", 4, "sigmoid", many, "binary_crossentropy", "binary_accuracy"),
        case("regression", 2, "linear", real, "mse", None),
        case("regression_mae", 2, "linear", real, "mae", None),
    ]


with open(sys.argv[1], "w") as f:
    json.dump({"limits": limits(), "confusion": confusion(), "cases": cases()}, f, separators=(",", ":"))
    f.write("\n")
