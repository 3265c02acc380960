"""Makes what lies in this folder: the data in old/ and new/, and digits04.h5, a network that knows the digits 0 to 4.

    pip install keras tensorflow-cpu scikit-learn h5py && python train.py

Engram never runs this; it is here so that everything the demo uses can be made again.
"""
import gzip
import os
import struct

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
from sklearn.datasets import load_digits

HERE = os.path.dirname(os.path.abspath(__file__))
SEED = 4
TEST_SHARE = 0.25


def write_idx(path, array):
    """IDX (LeCun): magic 0, 0, type 8 (unsigned byte), rank; big-endian sizes; bytes. gzip without a time, so that bytes repeat."""
    head = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    with open(path, "wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as f:
        f.write(head + array.astype(np.uint8).tobytes())


def split(labels):
    """Index lists (train, test), drawn per class."""
    rng = np.random.default_rng(SEED)
    train, test = [], []
    for digit in np.unique(labels):
        index = rng.permutation(np.flatnonzero(labels == digit))
        cut = round(len(index) * TEST_SHARE)
        test.append(index[:cut])
        train.append(index[cut:])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(test))


def main():
    digits = load_digits()
    x = np.rint(digits.images * (255 / 16)).astype(np.uint8)  # 0..16 as counted by UCI, spread over a byte
    y = digits.target.astype(np.uint8)
    train, test = split(y)
    for folder, wanted in ("zero-to-four", y < 5), ("five-to-nine", y >= 5):
        os.makedirs(os.path.join(HERE, folder), exist_ok=True)
        for part, index in ("train", train), ("t10k", test):
            index = index[wanted[index]]
            write_idx(os.path.join(HERE, folder, f"{part}-images-idx3-ubyte.gz"), x[index])
            write_idx(os.path.join(HERE, folder, f"{part}-labels-idx1-ubyte.gz"), y[index])
            print(f"{folder}/{part}: {len(index)} images")

    keras.utils.set_random_seed(SEED)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu", name="edges"),
            keras.layers.MaxPooling2D(name="pool"),
            keras.layers.Conv2D(32, 3, padding="same", activation="relu", name="strokes"),
            keras.layers.Flatten(name="flatten"),
            keras.layers.Dense(64, activation="relu", name="features"),
            keras.layers.Dense(5, activation="softmax", name="digit"),
        ],
        name="digits04",
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    feed = lambda index: (x[index, :, :, None] / np.float32(255), y[index])
    model.fit(*feed(train[y[train] < 5]), batch_size=32, epochs=30, verbose=0)
    print("accuracy on old test images:", model.evaluate(*feed(test[y[test] < 5]), verbose=0)[1])
    model.save(os.path.join(HERE, "digits04.h5"), include_optimizer=False)


if __name__ == "__main__":
    main()
