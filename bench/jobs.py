"""The work that all sides share: networks (as Keras layers), data, arithmetic."""
import dataclasses
import gzip
import os

import numpy as np

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARED = os.environ.get("EG_SHARED", os.path.join(SOURCE, "..", "shared"))
WORK = os.path.join(SOURCE, "build", "bench")
DIRECTIONS = ("forward", "dx", "dw")


@dataclasses.dataclass
class Job:
    """A training job."""
    network: str
    classes: int
    batch: int
    sets: list  # the new data; with a second set it is the old task, of which every batch has as many
    settings: list  # Engram's
    label: str

    def offset(self, k):
        """Row of the head where the labels of set k begin: those of new classes stand behind the old ones."""
        return 10 * (len(self.sets) - 1 - k)


TRAIN = {
    "mlp": Job("mlp", 10, 128, ["mnist"], ["data.classes=keep", "remember.method=none"],
               "(a) MLP 784-512-256-10, MNIST, Adam, batch 128"),
    "lenet": Job("lenet", 20, 128, ["fashion-mnist", "mnist"],
                 ["remember.method=rehearsal", "remember.mix=0.5", "remember.budget=1", "remember.blend=false"],
                 "(b) LeNet-5, Fashion-MNIST with rehearsal, Adam, 64 new + 64 old"),
    "resnet": Job("resnet", 10, 32, ["cifar-10"], ["data.classes=keep", "remember.method=none", "finetune.batchnorm=train"],
                  "(c) ResNet-8, CIFAR-10, Adam, batch 32"),
}
ACCURACY_EPOCHS = {"mlp": 3, "lenet": 2}
BATCHES = {"mlp": 128, "lenet": 128, "resnet": 32}
SHAPES = {"mlp": (784,), "lenet": (28, 28, 1), "resnet": (32, 32, 3)}
IMAGES = {"mnist": (60000, 28, 28), "fashion-mnist": (60000, 28, 28), "cifar-10": (20000, 32, 32, 3)}

WIDTHS = (64, 128, 256, 512, 1024, 2048)  # of an MLP with two hidden layers
DEPTHS = (1, 2, 3, 4, 6, 8)  # hidden layers of 256
EXAMPLES = (3750, 7500, 15000, 30000, 60000)
OLD_TASKS = (1, 2, 4)  # pairs of Fashion-MNIST's classes


def grown_networks():
    return [f"mlp-w{w}" for w in WIDTHS] + [f"mlp-d{d}" for d in DEPTHS]


def model_path(name):
    return os.path.join(WORK, name + ".h5")


def base_path(network, seed):
    return os.path.join(WORK, f"{network}-seed{seed}.h5")


# --- networks -------------------------------------------------------------------------------------------------------------------------


def hidden_units(name):
    if name.startswith("mlp-w"):
        return [int(name[5:])] * 2
    return [256] * int(name[5:]) if name.startswith("mlp-d") else [512, 256]


def lenet_layers(x):
    from keras import layers as L

    for filters in 6, 16:
        x = L.MaxPooling2D(2)(L.Conv2D(filters, 5, padding="same", activation="relu")(x))
    x = L.Flatten()(x)
    return L.Dense(84, "relu")(L.Dense(120, "relu")(x))


def resnet_layers(x):
    """ResNet-8 of MLPerf Tiny."""
    from keras import layers as L

    x = L.Activation("relu")(L.BatchNormalization()(L.Conv2D(16, 3, padding="same")(x)))
    for filters, stride in (16, 1), (32, 2), (64, 2):
        y = L.Activation("relu")(L.BatchNormalization()(L.Conv2D(filters, 3, stride, padding="same")(x)))
        y = L.BatchNormalization()(L.Conv2D(filters, 3, padding="same")(y))
        if stride != 1:
            x = L.Conv2D(filters, 1, stride, padding="same")(x)
        x = L.Activation("relu")(L.Add()([x, y]))
    return L.Flatten()(L.AveragePooling2D(8)(x))


def keras_model(name, classes):
    import keras

    x = inputs = keras.Input(SHAPES[name.split("-")[0]])
    if name == "lenet":
        x = lenet_layers(x)
    elif name == "resnet":
        x = resnet_layers(x)
    else:
        for units in hidden_units(name):
            x = keras.layers.Dense(units, "relu")(x)
    return keras.Model(inputs, keras.layers.Dense(classes, "softmax")(x), name=name)


def weighted_layers(model):
    return [layer for layer in model.layers if layer.__class__.__name__ in ("Dense", "Conv2D")]


def multiply_adds(model):
    """(of a forward pass per image, of the first layer with weights): what convolutions and dense layers multiply."""
    counts = []
    for layer in weighted_layers(model):
        places = np.prod(layer.output.shape[1:-1]) if len(layer.output.shape) > 2 else 1
        counts.append(int(np.prod(layer.kernel.shape) * places))
    return sum(counts), counts[0]


def layer_texts(model, batch):
    """The layers as bench_layers reads them."""
    texts = []
    for layer in weighted_layers(model):
        shape, kernel = layer.input.shape, layer.kernel.shape
        if len(kernel) == 2:
            texts.append(f"dense:{batch},{kernel[0]},{kernel[1]}")
        else:
            texts.append(f"conv:{batch},{shape[1]},{shape[2]},{shape[3]},{kernel[3]},{kernel[0]},{layer.strides[0]}")
    return texts


def layer_flops(text):
    """Operations of one pass over a layer, two a multiply-add."""
    kind, _, numbers = text.partition(":")
    v = [int(n) for n in numbers.split(",")]
    if kind == "dense":
        return 2 * v[0] * v[1] * v[2]
    n, h, w, c, f, kernel, stride = v
    return 2 * n * -(-h // stride) * -(-w // stride) * c * f * kernel * kernel


def read_weights(path):
    """[(kernel, bias)] of a Keras file, in the order of its layers."""
    import json

    import h5py

    with h5py.File(path, "r") as f:
        order = [layer["config"]["name"] for layer in json.loads(f.attrs["model_config"])["config"]["layers"]]
        groups = [f["model_weights"][name][name] for name in order if len(f["model_weights"][name])]
        return [(g["kernel"][()], g["bias"][()]) for g in groups]


# --- data -----------------------------------------------------------------------------------------------------------------------------


def write_set(path, **parts):
    """A file that Engram reads: part=(x, y)."""
    arrays = {}
    for part, (x, y) in parts.items():
        arrays |= {"x_" + part: x, "y_" + part: y.astype(np.int32)}
    os.makedirs(os.path.dirname(path), exist_ok=True)
    np.savez(path, **arrays)


def data_path(name):
    """Of a real data set; where there is none, made-up bytes of the same sizes: speed does not depend on what they show."""
    real = os.path.join(SHARED, "data", name)
    if os.path.isdir(real):
        return real
    path = os.path.join(WORK, name + "-made-up.npz")
    if not os.path.exists(path):
        rng = np.random.default_rng(1)
        write_set(path, **{part: (rng.integers(0, 256, (n, *IMAGES[name][1:]), dtype=np.uint8), rng.integers(0, 10, n))
                           for part, n in (("train", IMAGES[name][0]), ("test", 1000))})
    return path


def read_gz(path, skip):
    with gzip.open(path) as f:
        return np.frombuffer(f.read(), np.uint8, offset=skip)


def load(name, part="train"):
    """x: (n, h, w[, c]) uint8, y: (n) int64."""
    folder = data_path(name)
    if folder.endswith(".npz"):
        with np.load(folder) as f:
            return f["x_" + part], f["y_" + part].astype(np.int64)
    if name == "cifar-10":
        prefix = "data_batch" if part == "train" else "test_batch"
        files = [os.path.join(folder, f) for f in sorted(os.listdir(folder)) if f.startswith(prefix)]
        rows = np.concatenate([read_gz(f, 0).reshape(-1, 3073) for f in files])
        return np.ascontiguousarray(rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), rows[:, 0].astype(np.int64)
    prefix = "train" if part == "train" else "t10k"
    x = read_gz(os.path.join(folder, prefix + "-images-idx3-ubyte.gz"), 16).reshape(-1, 28, 28)
    return x, read_gz(os.path.join(folder, prefix + "-labels-idx1-ubyte.gz"), 8).astype(np.int64)


def subset_path(n):
    """The first n training examples of MNIST."""
    path = os.path.join(WORK, f"mnist-{n}.npz")
    if not os.path.exists(path):
        x, y = load("mnist")
        test_x, test_y = load("mnist", "test")
        write_set(path, train=(x[:n], y[:n]), test=(test_x[:1000], test_y[:1000]))
    return path


def pair_path(k):
    """Classes 2k and 2k + 1 of Fashion-MNIST."""
    path = os.path.join(WORK, f"fashion-pair-{k}.npz")
    if not os.path.exists(path):
        parts = {}
        for part in "train", "test":
            x, y = load("fashion-mnist", part)
            parts[part] = x[y // 2 == k], y[y // 2 == k]
        write_set(path, **parts)
    return path
