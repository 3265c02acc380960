#!/usr/bin/env python3
"""Ten steps of Keras 3's optimizers in float64 -> tests/golden/data/optimizers.json, for tests/ops/update_test.cc.

Each case: hyperparameters, the start weights, ten gradients, and what Keras made of them after every step. Regularizers are Keras'
own, their value is the penalty before the update. Where Keras averages the weights (use_ema), the averages after every step too. Run: python optimizers.py (Keras 3, numpy)."""
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import numpy as np

keras.config.set_floatx("float64")
N, STEPS = 9, 10
RNG = np.random.default_rng(7)
START, PULLS = RNG.normal(size=N), RNG.normal(size=(STEPS, N))


def run(make, data, l1=0.0, l2=0.0):
    import tensorflow as tf

    w = keras.Variable(START, dtype="float64", name="w")
    optimizer, regularizer = make(), keras.regularizers.L1L2(l1, l2)
    optimizer.build([w])
    weights, penalties, averages = [], [], []
    for pull in PULLS:
        with tf.GradientTape() as tape:
            penalty = regularizer(w.value) if l1 or l2 else tf.constant(0.0, "float64")
            loss = tf.reduce_sum(w.value * pull) + penalty
        optimizer.apply([tape.gradient(loss, w.value)], [w])
        weights.append(w.numpy().tolist())
        penalties.append(float(penalty))
        if optimizer.use_ema:
            averages.append(optimizer._model_variables_moving_average[0].numpy().tolist())
    return {**data, "l1": l1, "l2": l2, "weights": weights, "penalties": penalties, **({"averages": averages} if averages else {})}


O = keras.optimizers
# Keras rounds some hyperparameters to float32 whatever the dtype: "exact" cases have such that are float32, the others its defaults.
ADAM = {"op": "adam", "lr": 2**-6, "beta1": 0.875, "beta2": 1 - 2**-7, "epsilon": 2**-20}
DEFAULT_ADAM = {"op": "adam", "lr": 0.001, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-7}
RMSPROP = {"op": "rmsprop", "lr": 2**-6, "rho": 0.875, "epsilon": 2**-20}
MOMENTUM = {"op": "sgd", "lr": 2**-4, "momentum": 0.875}


def adam(d):
    return [d[k] for k in ("lr", "beta1", "beta2", "epsilon")]


CASES = {
    "sgd": (lambda: O.SGD(2**-4), {"op": "sgd", "lr": 2**-4}),
    "momentum": (lambda: O.SGD(2**-4, momentum=0.875), MOMENTUM),
    "nesterov": (lambda: O.SGD(2**-4, momentum=0.875, nesterov=True), {**MOMENTUM, "nesterov": True}),
    "adam": (lambda: O.Adam(*adam(ADAM)), ADAM),
    "adamw": (lambda: O.AdamW(2**-6, 0.125, *adam(ADAM)[1:]), {**ADAM, "weight_decay": 0.125}),
    "rmsprop": (lambda: O.RMSprop(2**-6, rho=0.875, epsilon=2**-20), RMSPROP),
    "rmsprop_momentum": (lambda: O.RMSprop(2**-6, 0.875, 0.75, 2**-20), {**RMSPROP, "momentum": 0.75}),
    "clipped": (lambda: O.SGD(2**-4, momentum=0.875, global_clipnorm=1.5), {**MOMENTUM, "clip_norm": 1.5}),
}
out = {name: {"exact": True, **run(make, data)} for name, (make, data) in CASES.items()}
for name in ("momentum", "adam", "rmsprop", "clipped"):
    out[name + "_l1_l2"] = {"exact": True, **run(*CASES[name], l1=2**-5, l2=2**-6)}
out["default_adam"] = run(lambda: O.Adam(), DEFAULT_ADAM)
out["default_adamw"] = run(lambda: O.AdamW(), {**DEFAULT_ADAM, "weight_decay": 0.004})
out["default_rmsprop"] = run(lambda: O.RMSprop(), {"op": "rmsprop", "lr": 0.001, "rho": 0.9, "epsilon": 1e-7})
out["default_sgd"] = run(lambda: O.SGD(), {"op": "sgd", "lr": 0.01})
EMA = {"use_ema": True, "ema_momentum": 0.75}
out["sgd_ema"] = {"exact": True, **run(lambda: O.SGD(2**-4, **EMA), {"op": "sgd", "lr": 2**-4, "ema_momentum": 0.75})}
out["adam_ema"] = {"exact": True, **run(lambda: O.Adam(*adam(ADAM), **EMA), {**ADAM, "ema_momentum": 0.75}, l1=2**-5, l2=2**-6)}
out["rmsprop_ema"] = {"exact": True, **run(lambda: O.RMSprop(2**-6, 0.875, 0.75, 2**-20, **EMA), {**RMSPROP, "momentum": 0.75, "ema_momentum": 0.75})}
path = pathlib.Path(__file__).resolve().parents[1] / "data" / "optimizers.json"
with open(path, "w") as f:
    json.dump({"keras": keras.__version__, "start": START.tolist(), "gradients": PULLS.tolist(), "cases": out}, f, indent=None, separators=(",", ":"))
    f.write("\n")
