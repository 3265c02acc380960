"""A peer's side of the benchmark: one job a process, one JSON object on stdout.

    peer.py torch|keras train JOB EPOCHS        the rate is that of the last epoch, steps only
    peer.py torch|keras infer NETWORK BATCH SECONDS
    peer.py keras models                        writes the networks of the jobs for Engram to load, prints their multiply-adds

Bytes stay bytes in memory and are divided by 255 a batch (Keras: float32 in memory, as its fit() wants them): the loops a careful user
writes, eager PyTorch and Keras' fit(). BENCH_START and BENCH_THREADS as in engram.c.
"""
import json
import os
import resource
import sys
import time

import jobs
import numpy as np

THREADS = int(os.environ.get("BENCH_THREADS", "2"))
WARM_CALLS = 20


def report(**values):
    values["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    print(json.dumps(values))


def since_start(moment):
    return moment - float(os.environ.get("BENCH_START", moment))


def repeat(call, batch, seconds):
    """Images a second of call()."""
    for _ in range(WARM_CALLS):
        call()
    began, calls = time.time(), 0
    while time.time() - began < seconds:
        call()
        calls += 1
    return calls * batch / (time.time() - began)


# --- PyTorch ------------------------------------------------------------------------------------------------------------------------


def torch_model(name, classes):
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, before, filters, stride):
            super().__init__()
            self.main = nn.Sequential(
                nn.Conv2d(before, filters, 3, stride, 1), nn.BatchNorm2d(filters), nn.ReLU(),
                nn.Conv2d(filters, filters, 3, 1, 1), nn.BatchNorm2d(filters))
            self.side = nn.Conv2d(before, filters, 1, stride) if stride != 1 else nn.Identity()

        def forward(self, x):
            return torch.relu(self.main(x) + self.side(x))

    if name == "mlp":
        return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, classes))
    if name == "lenet":
        return nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(784, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes))
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(), Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2),
        nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, classes))


def torch_train(job, epochs):
    import torch

    torch.set_num_threads(THREADS)
    network, classes, batch, names, _, _ = jobs.TRAIN[job]
    model = torch_model(network, classes)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    loss_of = torch.nn.CrossEntropyLoss()
    sets = []
    for k, name in enumerate(names):  # labels of a second set stand behind those of the first in one head
        x, y = jobs.load(name)
        x = torch.from_numpy(x.copy())
        x = x.flatten(1) if network == "mlp" else x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2).contiguous()
        sets.append((x, torch.from_numpy(y + 10 * k)))
    share = batch // len(sets)
    n = len(sets[0][0])
    first = None
    for _ in range(epochs):
        orders = [torch.randperm(len(x)) for x, _ in sets]
        began, steps = time.time(), 0
        for i in range(0, n - share + 1, share):
            picks = [order[i:i + share] for order in orders]
            x = torch.cat([s[0][p] for s, p in zip(sets, picks)]).float().div_(255)
            y = torch.cat([s[1][p] for s, p in zip(sets, picks)])
            optimizer.zero_grad()
            loss = loss_of(model(x), y)
            loss.backward()
            optimizer.step()
            steps += 1
            first = first or time.time()
        seconds = time.time() - began
    report(images_per_second=steps * batch / seconds, first_step=since_start(first))


def torch_infer(network, batch, seconds):
    import torch

    torch.set_num_threads(THREADS)
    model = torch_model(network, 10).eval()
    shape = jobs.SHAPES[network]
    x = torch.rand(batch, *(shape if len(shape) == 1 else (shape[2], *shape[:2])))
    with torch.inference_mode():
        report(images_per_second=repeat(lambda: torch.softmax(model(x), 1), batch, seconds))


# --- Keras --------------------------------------------------------------------------------------------------------------------------


def keras_setup():
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow", CUDA_VISIBLE_DEVICES="")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    import keras

    return keras


def keras_train(job, epochs):
    keras = keras_setup()
    network, classes, batch, names, _, _ = jobs.TRAIN[job]
    model = jobs.keras_model(network, classes)
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    parts = [jobs.load(name) for name in names]
    if len(parts) == 2:  # interleaved, so that every batch has as many new as old ones
        n = len(parts[0][0])
        x = np.stack([p[0][:n] for p in parts], 1).reshape(2 * n, *parts[0][0].shape[1:])
        y = np.stack([p[1][:n] + 10 * k for k, p in enumerate(parts)], 1).reshape(-1)
    else:
        x, y = parts[0]
    x = x.reshape(-1, *jobs.SHAPES[network]).astype(np.float32) / np.float32(255)
    moments = []

    class Clock(keras.callbacks.Callback):
        first = None

        def on_epoch_begin(self, epoch, logs=None):
            moments.append(time.time())

        def on_train_batch_end(self, batch, logs=None):
            Clock.first = Clock.first or time.time()

    model.fit(x, y, batch_size=batch, epochs=epochs, shuffle=len(parts) == 1, verbose=0, callbacks=[Clock()])
    report(images_per_second=len(x) / (time.time() - moments[-1]), first_step=since_start(Clock.first))


def keras_infer(network, batch, seconds):
    keras_setup()
    model = jobs.keras_model(network, 10)
    x = np.random.default_rng(1).random((batch, *jobs.SHAPES[network]), np.float32)
    report(images_per_second=repeat(lambda: model.predict_on_batch(x), batch, seconds))


def keras_models():
    keras = keras_setup()
    keras.utils.set_random_seed(1)
    os.makedirs(jobs.WORK, exist_ok=True)
    counts = {}
    for name in jobs.SHAPES:
        model = jobs.keras_model(name, 10)
        model.save(os.path.join(jobs.WORK, name + ".h5"), include_optimizer=False)
        counts[name] = jobs.multiply_adds(model)
    print(json.dumps(counts))


def main(peer, what, *arguments):
    if what == "models":
        keras_models()
    elif what == "train":
        (torch_train if peer == "torch" else keras_train)(arguments[0], int(arguments[1]))
    else:
        (torch_infer if peer == "torch" else keras_infer)(arguments[0], int(arguments[1]), float(arguments[2]))


if __name__ == "__main__":
    main(*sys.argv[1:])
