"""Keras' outputs for every case of every layer -> tests/golden/layers.h5.

    python layers.py PATH/test_layer [OUT.h5]

`test_layer --print-cases` gives configs, inputs and weights; Keras 3 computes with the TensorFlow and with the PyTorch backend (where
they differ, TensorFlow's if tf_keras agrees), Keras 2 with tf_keras. Stored: `values`, all outputs as float32 one after another, and `index`, a JSON list
of {id, what, keras, offset, count}; what: y; for batch norm also train_y, moving_mean, moving_variance after one training pass.
Keras 2's are stored only where they differ from Keras 3's or where Keras 3 has none.
"""

import json
import os
import subprocess
import sys
import tempfile

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
KERAS2_KEYS = {"LeakyReLU": {"negative_slope": "alpha"}}


def arrays(items):
    return [np.array(i["values"], "float32").reshape(i["shape"]) for i in items]


def plain(name):
    """'dense/kernel:0' -> 'kernel'"""
    return name.split("/")[-1].split(":")[0]


def compute(keras, case, keras2):
    """{what: array} of one case."""
    x = arrays(case["inputs"])
    if case["class"] == "InputLayer":
        return {"y": x[0]}
    config = dict(case["config"])
    if keras2:
        for new, old in KERAS2_KEYS.get(case["class"], {}).items():
            if new in config:
                config[old] = config.pop(new)
    elif isinstance(config.get("axis"), list):  # Keras 2 wrote [3] for 3
        config["axis"] = config["axis"][0]
    layer = getattr(keras.layers, case["class"]).from_config({"name": "case", **config})
    to_numpy = lambda t: np.array(t if keras2 else keras.ops.convert_to_numpy(t))
    tensors = [keras.backend.constant(v) if keras2 else keras.ops.convert_to_tensor(v) for v in x]
    arg = tensors if len(tensors) > 1 else tensors[0]
    layer(arg)
    wanted = dict(zip([w["name"] for w in case["weights"]], arrays(case["weights"])))
    assert {plain(w.name) for w in layer.weights} == set(wanted), (case["id"], [w.name for w in layer.weights])
    for w in layer.weights:
        w.assign(wanted[plain(w.name)])
    training = case["class"] in ("BatchNormalization", "Dropout")
    out = {"y": to_numpy(layer(arg, training=False) if training else layer(arg))}
    if case["class"] == "BatchNormalization":
        out["train_y"] = to_numpy(layer(arg, training=True))
        for w in layer.weights:
            if plain(w.name).startswith("moving"):
                out[plain(w.name)] = to_numpy(w)
    return out


def worker(which, cases_path, out_path):
    keras2 = which == "tf_keras"
    if keras2:
        import tf_keras as keras
        import tensorflow as backend
    else:
        os.environ["KERAS_BACKEND"] = which
        import keras
        backend = __import__({"tensorflow": "tensorflow", "torch": "torch"}[which])
    results = {"version": f"{'tf_keras' if keras2 else 'keras'} {keras.__version__} ({which} {backend.__version__})"}
    for case in json.load(open(cases_path)):
        try:
            for what, value in compute(keras, case, keras2).items():
                results[f"{case['id']}|{what}"] = np.asarray(value, "float32")
        except Exception as e:  # what one of the three cannot do, another must: main() counts
            print(f"{which}: {case['id']} {case['config']}: {type(e).__name__}: {str(e).splitlines()[0][:120]}")
    np.savez(out_path, **results)


def apart(a, b):
    return a.shape != b.shape or np.abs(a - b).max() > 3e-6 * max(np.abs(a).max(), 1e-30)


def main(binary, out_path):
    import h5py

    cases = json.loads(subprocess.run([binary, "--print-cases"], check=True, capture_output=True).stdout)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "cases.json")
        json.dump(cases, open(path, "w"))
        for which in ("tensorflow", "torch", "tf_keras"):
            out = os.path.join(folder, which + ".npz")
            env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "2"}
            subprocess.run([sys.executable, __file__, "--worker", which, path, out], check=True, env=env, stderr=subprocess.DEVNULL)
            results[which] = dict(np.load(out))
    versions = [str(r.pop("version")) for r in results.values()]
    index, values, offset = [], [], 0
    for case in cases:
        for what in ("y", "train_y", "moving_mean", "moving_variance"):
            key = f"{case['id']}|{what}"
            tf, torch, old = (results[w].get(key) for w in ("tensorflow", "torch", "tf_keras"))
            new = tf if tf is not None else torch
            if new is None:
                assert what != "y", key + ": Keras gave nothing"
                continue
            if tf is not None and torch is not None and apart(tf, torch):
                print(f"{key}: the backends differ by {np.abs(tf - torch).max():.3g}: TensorFlow's, as tf_keras has it")
                assert old is not None and not apart(tf, old), key
            for keras, value in ((3, new), (2, old if old is not None and apart(new, old) else None)):
                if value is not None:
                    index.append({"id": case["id"], "what": what, "keras": keras, "offset": offset, "count": value.size})
                    values.append(value.ravel())
                    offset += value.size
    with h5py.File(out_path, "w") as f:
        f.create_dataset("values", data=np.concatenate(values), compression="gzip", shuffle=True)
        f.create_dataset("index", data=np.frombuffer(json.dumps(index).encode(), "uint8"), compression="gzip")
        f.attrs["made_by"] = "; ".join(versions)
    print(f"{len(index)} outputs, {offset} numbers, {os.path.getsize(out_path)} bytes; by {'; '.join(versions)}")
    print("Keras 2 differs in: " + ", ".join(f"{i['id']} {i['what']}" for i in index if i["keras"] == 2))


if __name__ == "__main__":
    if sys.argv[1] == "--worker":
        worker(*sys.argv[2:5])
    else:
        main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else os.path.join(HERE, "..", "layers.h5"))
