"""The jobs of the benchmark: networks (as Keras layers), data, arithmetic. What both peers and Engram work on."""
import gzip
import os

import numpy as np

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARED = os.environ.get("EG_SHARED", os.path.join(SOURCE, "..", "shared"))
WORK = os.path.join(SOURCE, "build", "bench")

# name: (network, classes, batch, data sets, Engram's settings, what the report calls it)
TRAIN = {
    "mlp": ("mlp", 10, 128, ["mnist"], ["data.classes=keep", "remember.method=none"],
            "(a) MLP 784-512-256-10, MNIST, Adam, batch 128"),
    "lenet": ("lenet", 20, 128, ["fashion-mnist", "mnist"], ["remember.method=rehearsal", "remember.mix=0.5"],
              "(b) LeNet-5, Fashion-MNIST with rehearsal, Adam, 64 new + 64 old"),
    "resnet": ("resnet", 10, 32, ["cifar-10"], ["data.classes=keep", "remember.method=none", "finetune.batchnorm=train"],
               "(c) ResNet-8, CIFAR-10, Adam, batch 32"),
}
SHAPES = {"mlp": (784,), "lenet": (28, 28, 1), "resnet": (32, 32, 3)}
IMAGES = {"mnist": (60000, 28, 28), "fashion-mnist": (60000, 28, 28), "cifar-10": (20000, 32, 32, 3)}


def keras_model(name, classes):
    import keras
    from keras import layers as L

    x = inputs = keras.Input(SHAPES[name])
    if name == "mlp":
        x = L.Dense(512, "relu")(x)
        x = L.Dense(256, "relu")(x)
    elif name == "lenet":
        for filters in 6, 16:
            x = L.MaxPooling2D(2)(L.Conv2D(filters, 5, padding="same", activation="relu")(x))
        x = L.Flatten()(x)
        x = L.Dense(84, "relu")(L.Dense(120, "relu")(x))
    else:  # ResNet-8 of MLPerf Tiny
        x = L.Activation("relu")(L.BatchNormalization()(L.Conv2D(16, 3, padding="same")(x)))
        for filters, stride in (16, 1), (32, 2), (64, 2):
            y = L.Activation("relu")(L.BatchNormalization()(L.Conv2D(filters, 3, stride, padding="same")(x)))
            y = L.BatchNormalization()(L.Conv2D(filters, 3, padding="same")(y))
            if stride != 1:
                x = L.Conv2D(filters, 1, stride, padding="same")(x)
            x = L.Activation("relu")(L.Add()([x, y]))
        x = L.Flatten()(L.AveragePooling2D(8)(x))
    return keras.Model(inputs, L.Dense(classes, "softmax")(x), name=name)


def multiply_adds(model):
    """(of a forward pass per image, of the first layer with weights): what convolutions and dense layers multiply."""
    counts = []
    for layer in model.layers:
        if layer.__class__.__name__ in ("Dense", "Conv2D"):
            places = np.prod(layer.output.shape[1:-1]) if len(layer.output.shape) > 2 else 1
            counts.append(int(np.prod(layer.kernel.shape) * places))
    return sum(counts), counts[0]


def data_path(name):
    """Folder of a real data set; where there is none, made-up bytes of the same sizes: speed does not depend on what they show."""
    real = os.path.join(SHARED, "data", name)
    if os.path.isdir(real):
        return real
    folder = os.path.join(WORK, name + "-made-up")
    if not os.path.isdir(folder):
        os.makedirs(folder)
        rng = np.random.default_rng(1)
        for part, n in ("train", IMAGES[name][0]), ("test", 1000):
            np.savez(os.path.join(folder, f"{part}.npz"), x=rng.integers(0, 256, (n, *IMAGES[name][1:]), dtype=np.uint8),
                     y=rng.integers(0, 10, n).astype(np.int32))
    return folder


def load(name):
    """x: (n, h, w[, c]) uint8, y: (n) int64: the training part."""
    folder = data_path(name)
    if os.path.exists(os.path.join(folder, "train.npz")):
        with np.load(os.path.join(folder, "train.npz")) as f:
            return f["x"], f["y"].astype(np.int64)
    if name == "cifar-10":
        rows = []
        for file in sorted(f for f in os.listdir(folder) if f.startswith("data_batch")):
            with gzip.open(os.path.join(folder, file)) as f:
                rows.append(np.frombuffer(f.read(), np.uint8).reshape(-1, 3073))
        rows = np.concatenate(rows)
        return np.ascontiguousarray(rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), rows[:, 0].astype(np.int64)
    with gzip.open(os.path.join(folder, "train-images-idx3-ubyte.gz")) as f:
        x = np.frombuffer(f.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(os.path.join(folder, "train-labels-idx1-ubyte.gz")) as f:
        y = np.frombuffer(f.read(), np.uint8, offset=8).astype(np.int64)
    return x, y
