"""Keras on TensorFlow: fit() and predict_on_batch(). Called by peer.py."""
import json
import os

import jobs
import numpy as np
from clock import THREADS, Stretches, repeat, report

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow", CUDA_VISIBLE_DEVICES="")
import tensorflow as tf  # noqa: E402

tf.config.threading.set_intra_op_parallelism_threads(THREADS)
tf.config.threading.set_inter_op_parallelism_threads(THREADS)
import keras  # noqa: E402


class EnoughError(Exception):
    pass


class Clock(keras.callbacks.Callback):
    """Measures stretches of steps and leaves fit() when there were enough."""

    def __init__(self, seconds):
        super().__init__()
        self.stretches = Stretches(seconds)

    def on_train_batch_end(self, batch, logs=None):
        if self.stretches.step():
            raise EnoughError

    def on_epoch_end(self, epoch, logs=None):
        self.stretches.end_epoch()


def compiled_model(network, classes):
    model = jobs.keras_model(network, classes)
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    return model


def as_input(network, x):
    return x.reshape(-1, *jobs.SHAPES[network]).astype(np.float32) / np.float32(255)


def training_set(job):
    """Two sets are interleaved, so that every batch has as many new as old ones."""
    parts = [jobs.load(name) for name in job.sets]
    if len(parts) == 1:
        return as_input(job.network, parts[0][0]), parts[0][1]
    n = min(len(x) for x, _ in parts)
    x = np.stack([p[0][:n] for p in parts], 1).reshape(2 * n, *parts[0][0].shape[1:])
    y = np.stack([p[1][:n] + job.offset(k) for k, p in enumerate(parts)], 1).reshape(-1)
    return as_input(job.network, x), y


def train(job, seconds):
    job = jobs.TRAIN[job]
    model = compiled_model(job.network, job.classes)
    x, y = training_set(job)
    clock = Clock(seconds)
    try:
        model.fit(x, y, batch_size=job.batch, epochs=1000, shuffle=len(job.sets) == 1, verbose=0, callbacks=[clock])
    except EnoughError:
        clock.stretches.end_epoch()
    clock.stretches.report(job.batch)


def infer(network, seconds, *batches):
    model = jobs.keras_model(network, 10)
    rates = {}
    for batch in batches:
        x = np.random.default_rng(1).random((batch, *jobs.SHAPES[network]), np.float32)
        rates[f"batch {batch}"] = repeat(lambda x=x: model.predict_on_batch(x), batch, seconds)
    report(**rates)


def extend(base, job, seed):
    """The job's network with the weights of `base`; rows of new classes are as initialised."""
    keras.utils.set_random_seed(1000 + seed)
    model = compiled_model(job.network, job.classes)
    for mine, given in zip(model.weights, base.weights):
        value = mine.numpy()
        value[..., :given.shape[-1]] = given.numpy()
        mine.assign(value)
    return model


def accuracy(job, epochs, seed):
    job = jobs.TRAIN[job]
    model = extend(keras.models.load_model(jobs.base_path(job.network, seed), compile=False), job, seed)
    x, y = training_set(job)
    for epoch in range(epochs):  # fit() would shuffle examples one by one; new and old ones must stay neighbours
        order = np.random.default_rng(100 * seed + epoch).permutation(len(x) // len(job.sets))
        rows = (order[:, None] * len(job.sets) + np.arange(len(job.sets))).reshape(-1)
        model.fit(x[rows], y[rows], batch_size=job.batch, epochs=1, shuffle=False, verbose=0)
    values = []
    for k, name in enumerate(job.sets):
        test_x, test_y = jobs.load(name, "test")
        answers = model.predict(as_input(job.network, test_x), batch_size=500, verbose=0).argmax(1)
        values.append(float(np.mean(answers == test_y + job.offset(k))))
    report(new_accuracy=values[0], keep_accuracy=values[1] if len(values) > 1 else 0)


def models():
    keras.utils.set_random_seed(1)
    os.makedirs(jobs.WORK, exist_ok=True)
    counts, layers = {}, {}
    for name in [*jobs.SHAPES, *jobs.grown_networks()]:
        model = jobs.keras_model(name, 10)
        model.save(jobs.model_path(name), include_optimizer=False)
        counts[name] = jobs.multiply_adds(model)
        layers[name] = jobs.layer_texts(model, jobs.BATCHES.get(name, 128))
    print(json.dumps({"counts": counts, "layers": {name: layers[name] for name in jobs.SHAPES}}))


def bases(*seeds):
    """Untrained, but where there is an old task: trained on it for an epoch."""
    for seed in seeds:
        for name in jobs.ACCURACY_EPOCHS:
            job = jobs.TRAIN[name]
            keras.utils.set_random_seed(seed)
            model = compiled_model(job.network, 10)
            if len(job.sets) > 1:
                x, y = jobs.load(job.sets[1])
                model.fit(as_input(job.network, x), y, batch_size=job.batch, epochs=1, verbose=0)
            model.save(jobs.base_path(job.network, seed), include_optimizer=False)
    report(seeds=len(seeds))
