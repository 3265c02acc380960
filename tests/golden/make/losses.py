#!/usr/bin/env python3
"""Keras 3's losses and their gradients in float64 -> tests/golden/data/losses.json, for tests/ops/loss_test.cc.

Each case: kind, attributes, inputs, the loss (Keras divides by the number of rows, not by the sum of weights) and its gradient with
respect to what the network puts out. Run: python losses.py (Keras 3 on TensorFlow, numpy)."""
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import numpy as np
import tensorflow as tf

keras.config.set_floatx("float64")
RNG = np.random.default_rng(5)
N, K = 7, 4
LOGITS = RNG.normal(size=(N, K)) * 3
PROBABILITIES = RNG.uniform(0.02, 0.98, size=(N, K))
LABELS = RNG.integers(0, K, N)
ONE_HOT = np.eye(K)[RNG.integers(0, K, N)]
SOFT = RNG.dirichlet(np.ones(K), N)
BITS = (RNG.uniform(size=(N, K)) > 0.5).astype(float)
REAL = RNG.normal(size=(N, K))
WEIGHTS = np.array([1, 0.5, 2, 0, 1.25, 1, 0.75])
L = keras.losses


def case(kind, loss, y, target, weighted, smoothing=0.0):
    y_ = tf.constant(y)
    with tf.GradientTape() as tape:
        tape.watch(y_)
        value = loss(target, y_, sample_weight=WEIGHTS if weighted else None)
    return {
        "kind": kind, "smoothing": smoothing, "y": y.ravel().tolist(),
        "labels" if np.asarray(target).dtype.kind == "i" else "targets": np.asarray(target).ravel().tolist(),
        "weights": WEIGHTS.tolist() if weighted else None,
        "loss": float(value), "gradient": tape.gradient(value, y_).numpy().ravel().tolist(),
    }


S = 0.125  # label smoothing; a float32
CASES = {
    "sparse": case("xent", L.SparseCategoricalCrossentropy(from_logits=True), LOGITS, LABELS, False),
    "sparse_weighted": case("xent", L.SparseCategoricalCrossentropy(from_logits=True), LOGITS, LABELS, True),
    "one_hot": case("xent", L.CategoricalCrossentropy(from_logits=True), LOGITS, ONE_HOT, True),
    "soft": case("xent", L.CategoricalCrossentropy(from_logits=True), LOGITS, SOFT, False),
    "smooth": case("xent", L.CategoricalCrossentropy(from_logits=True, label_smoothing=S), LOGITS, ONE_HOT, True, S),
    "bce_logits": case("bce_logits", L.BinaryCrossentropy(from_logits=True), LOGITS, BITS, True),
    "bce_logits_smooth": case("bce_logits", L.BinaryCrossentropy(from_logits=True, label_smoothing=S), LOGITS, BITS, False, S),
    "bce": case("bce", L.BinaryCrossentropy(), PROBABILITIES, BITS, True),
    "bce_smooth": case("bce", L.BinaryCrossentropy(label_smoothing=S), PROBABILITIES, BITS, False, S),
    "mse": case("mse", L.MeanSquaredError(), REAL, LOGITS, True),
    "mae": case("mae", L.MeanAbsoluteError(), REAL, LOGITS, True),
}
path = pathlib.Path(__file__).resolve().parents[1] / "data" / "losses.json"
with open(path, "w") as f:
    json.dump({"keras": keras.__version__, "rows": N, "columns": K, "cases": CASES}, f, separators=(",", ":"))
    f.write("\n")
