"""Ten steps of `engram finetune` are those of Keras: full HDF5 file in, metrics.jsonl and HDF5 file out, for every optimizer, on an MLP and
on a CNN with batch norm that trains. Losses within 1e-5 relative, weights within 1e-4.

Run by ctest where EG_TEST_PYTHON names a Python with keras and tensorflow. Exit code 77: those are not there.
"""
import json
import os
import subprocess
import sys
import tempfile

os.environ["KERAS_BACKEND"] = "tensorflow"
try:
    import keras
    import numpy as np
    import tensorflow as tf
except ImportError as e:
    print("skipped:", e)
    sys.exit(77)

ENGRAM = os.environ["ENGRAM"]
N, BATCH = 77, 8
REPEATABLE = ["data.shuffle=false", "data.validation=0", "data.classes=keep", "remember.method=none", "finetune.batchnorm=train",
              "finetune.freeze=none", "finetune.epochs=1", "finetune.batch=%d" % BATCH, "run.log_steps=1"]
O, L = keras.optimizers, keras.layers
R = keras.regularizers


def mlp():
    return keras.Sequential([keras.Input((8, 8, 3)), L.Flatten(),
                             L.Dense(20, activation="relu", kernel_regularizer=R.L1L2(1e-4, 1e-3), bias_regularizer=R.L2(1e-3)),
                             L.Dense(5, activation="softmax")])


def cnn():
    return keras.Sequential([keras.Input((8, 8, 3)),
                             L.Conv2D(6, 3, padding="same", use_bias=False, kernel_regularizer=R.L1L2(1e-4, 1e-3)),
                             L.BatchNormalization(momentum=0.9), L.Activation("relu"), L.MaxPooling2D(),
                             L.Conv2D(8, 3, activation="relu"), L.Flatten(),
                             L.Dense(5, activation="softmax", kernel_regularizer=R.L2(1e-3))])


CASES = [
    ("sgd", lambda: O.SGD(0.05), ["lr=0.05"]),
    ("sgd", lambda: O.SGD(0.05, momentum=0.9), ["lr=0.05", "momentum=0.9"]),
    ("sgd", lambda: O.SGD(0.05, momentum=0.9, nesterov=True), ["lr=0.05", "momentum=0.9", "nesterov=true"]),
    ("adam", lambda: O.Adam(0.003, beta_1=0.8), ["lr=0.003", "beta1=0.8"]),
    ("adamw", lambda: O.AdamW(0.003), ["lr=0.003"]),
    ("adamw", lambda: O.AdamW(0.003, weight_decay=0.02, global_clipnorm=0.5), ["lr=0.003", "weight_decay=0.02", "clip_norm=0.5"]),
    ("rmsprop", lambda: O.RMSprop(0.002, rho=0.8), ["lr=0.002", "rho=0.8"]),
    ("sgd", lambda: O.SGD(0.05), ["lr=0.05", "l1=1e-4", "l2=1e-3"]),  # on kernels, beside the file's own
]


def by_keras(model, optimizer, x, y, l1, l2):
    loss_of, losses = keras.losses.SparseCategoricalCrossentropy(), []
    kernels = [v for v in model.trainable_variables if len(v.shape) > 1]
    for at in range(0, N, BATCH):
        with tf.GradientTape() as tape:
            loss = loss_of(y[at:at + BATCH], model(x[at:at + BATCH], training=True)) + sum(model.losses)
            loss += sum(l1 * tf.reduce_sum(tf.abs(k.value)) + l2 * tf.reduce_sum(k.value ** 2) for k in kernels)
        losses.append(float(loss))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    return losses


def main():
    rng, failures = np.random.default_rng(1), 0
    x, y = rng.standard_normal((N, 8, 8, 3)).astype("float32"), rng.integers(0, 5, N)
    with tempfile.TemporaryDirectory() as d:
        np.savez(os.path.join(d, "data.npz"), x=x, y=y)
        for make in (mlp, cnn):
            for name, optimizer, settings in CASES:
                keras.utils.set_random_seed(5)
                model, out = make(), os.path.join(d, "run")
                model.save(os.path.join(d, "m.h5"))
                own = dict(s.split("=") for s in settings)
                losses = by_keras(model, optimizer(), x, y, float(own.get("l1", 0)), float(own.get("l2", 0)))
                subprocess.run([ENGRAM, "finetune", os.path.join(d, "m.h5"), "--data", os.path.join(d, "data.npz"), "-o", out,
                                "finetune.optimizer=" + name] + REPEATABLE + ["finetune." + s for s in settings],
                               check=True, stdout=subprocess.DEVNULL)
                with open(os.path.join(out, "metrics.jsonl")) as f:
                    lines = [json.loads(line) for line in f]
                found = keras.models.load_model(os.path.join(out, "model.h5"), compile=False)
                loss = max(abs(a - b["loss"]) / b["loss"] for a, b in zip(losses, lines))
                weight = max(np.abs(a - b).max() for a, b in zip(model.get_weights(), found.get_weights()))
                good = len(lines) == 10 and loss < 1e-5 and weight < 1e-4
                print("ok  " if good else "FAIL", make.__name__, name, *settings, "loss %.1e weights %.1e" % (loss, weight), flush=True)
                failures += not good
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
