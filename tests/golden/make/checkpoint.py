"""Makes tests/golden/checkpoint/*.h5: small Keras files of every form that the reader must understand, and refs.h5 with inputs and
the outputs that Keras computed from the models in memory. Run: python checkpoint.py (needs keras 3, tf_keras, h5py).
"""
import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
import h5py
import keras as keras3
import numpy as np
import tf_keras as keras2

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "checkpoint")
REFS = {}


def fill(model, seed):
    rng = np.random.RandomState(seed)
    model.set_weights([rng.uniform(0.2, 1.2, w.shape) if "variance" in n else rng.normal(0, 0.5, w.shape)
                       for w, n in zip(model.get_weights(), [v.name + getattr(v, "path", "") for v in model.weights])])


def record(name, model, seed):
    rng = np.random.RandomState(seed + 1000)
    xs = [rng.normal(0, 1, (3,) + tuple(i.shape[1:])).astype("float32") for i in model.inputs]
    ys = model.predict(xs if len(xs) > 1 else xs[0], verbose=0)
    REFS[name] = (xs, ys if isinstance(ys, list) else [ys])


def save(name, model, seed):
    model.save(os.path.join(OUT, name + ".h5"))
    record(name, model, seed)


def functional(k):
    """Two inputs, a shared layer, a nested Sequential called twice, a nested Functional with two outputs, training=False."""
    L = k.layers
    i, j = k.Input((6, 6, 1)), k.Input((6, 6, 1))
    shared = L.Conv2D(2, 3, name="shared", activation="relu")
    inner = k.Sequential([L.Conv2D(3, 3, name="c1"), L.Conv2D(3, 1, name="c2", activation="tanh")], name="inner")
    t = k.Input((2, 2, 2))
    two = k.Model(t, [L.Activation("sigmoid", name="oa")(t), L.Flatten(name="of")(t)], name="two")
    s = L.Add()([inner(shared(i)), inner(shared(j))])
    s = L.BatchNormalization(name="bn")(s, training=False)
    a, b = two(L.Conv2D(2, 1, name="p")(s))
    return k.Model([i, j], [L.Dense(2, name="d1")(L.Flatten()(a)), b])


def frozen(k):
    """Keras lists the weights of a part-frozen nested model as c2, then c1, though c1 comes first."""
    L = k.layers
    inner = k.Sequential([k.Input((4, 4, 2)), L.Conv2D(2, 1, name="c1"), L.Conv2D(2, 1, name="c2")], name="inner")
    inner.layers[-2].trainable = False
    x = k.Input((4, 4, 2))
    return k.Model(x, L.Dense(3, name="head")(L.Flatten()(inner(x))))


def deep(k):
    """A model in a model in a model, called twice on the middle level."""
    L = k.layers
    x = k.Input((5,))
    low = k.Model(x, L.Dense(5, name="d", activation="tanh")(x), name="low")
    x = k.Input((5,))
    middle = k.Model(x, L.Add(name="a")([low(low(x)), L.Dense(5, name="e")(x)]), name="middle")
    x = k.Input((5,))
    return k.Model(x, middle(middle(x)))


def sequential(k):
    L = k.layers
    return k.Sequential([k.Input((4,)), L.Dense(3, activation="relu", kernel_regularizer="l2"), L.BatchNormalization(),
                         L.Dense(2, activation="softmax")])


def rewrite(source, name, change):
    """Copies a weights-only view of `source` through change(names, tensors) into a new full file."""
    with h5py.File(os.path.join(OUT, source + ".h5")) as f, h5py.File(os.path.join(OUT, name + ".h5"), "w") as g:
        change(f, g)
    REFS[name] = REFS[source]


def root(f, g, skip=()):
    for k, v in f.attrs.items():
        if k not in skip:
            g.attrs[k] = v


def tensors(f):
    w = f["model_weights"]
    for layer in w.attrs["layer_names"]:
        names = [n for n in w[layer].attrs["weight_names"]]
        yield layer, [(n, w[layer][n][()]) for n in names]


def keras1(f, g):
    """Keras 1: a list as config, names like dense_1_W, fixed-size strings."""
    def layer(name, units, activation, first):
        c = {"class_name": "Dense", "config": {
            "name": name, "trainable": True, "output_dim": units, "init": "glorot_uniform", "activation": activation,
            "W_regularizer": None, "b_regularizer": None, "activity_regularizer": None, "W_constraint": None, "b_constraint": None,
            "bias": True, "input_dim": first}}
        if first == 4:
            c["config"]["batch_input_shape"] = [None, 4]
        return c
    bn = {"class_name": "BatchNormalization", "config": {
        "name": "bn", "trainable": True, "mode": 0, "axis": -1, "momentum": 0.99, "epsilon": 0.001, "gamma_regularizer": None,
        "beta_regularizer": None}}
    g.attrs["keras_version"] = b"1.2.2"
    g.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": [
        layer("dense_1", 3, "relu", 4), bn, layer("dense_2", 2, "softmax", 3)]}).encode()
    w = g.create_group("model_weights")
    new = ["dense_1", "bn", "dense_2"]
    w.attrs["layer_names"] = np.array(new, "S")
    names = {"kernel": "W", "bias": "b", "gamma": "gamma", "beta": "beta", "moving_mean": "running_mean",
             "moving_variance": "running_std"}
    for name, (_, ts) in zip(new, tensors(f)):
        group = w.create_group(name)
        own = [name + "_" + names[n.split("/")[-1].split(":")[0]] + ":0" for n, _ in ts]
        group.attrs["weight_names"] = np.array(own, "S")
        for n, (_, t) in zip(own, ts):
            group.create_dataset(n, data=t)


def split(f, g):
    """Lists of names in parts, and an empty float array for layers without weights; unknown attributes."""
    root(f, g)
    g.attrs["note"] = "kept"
    g.attrs["numbers"] = np.arange(3, dtype=">i4")
    w = g.create_group("model_weights")
    all_ = list(tensors(f))
    w.attrs["layer_names0"] = np.array([all_[0][0]], "S")
    w.attrs["layer_names1"] = np.array([n for n, _ in all_[1:]] + ["flatten"], "S")
    w.create_group("flatten").attrs["weight_names"] = np.array([])
    for layer, ts in all_:
        group = w.create_group(layer)
        for i, (n, t) in enumerate(ts):
            group.attrs["weight_names%d" % i] = np.array([n], "S")
            group.create_dataset(n, data=t).attrs["origin"] = "golden"


def stored(f, g):
    """Doubles, halves, big-endian numbers, chunks with every known filter; scopes that TensorFlow made unique."""
    root(f, g)
    w = g.create_group("model_weights")
    w.attrs["layer_names"] = np.array([n for n, _ in tensors(f)], "S")
    kinds = [dict(dtype="<f8"), dict(dtype=">f4"), dict(dtype="<f2"), dict(dtype=">f8"),
             dict(chunks=True, compression="gzip", shuffle=True, fletcher32=True), dict(chunks=True, fletcher32=True),
             dict(chunks=True, shuffle=True, compression="gzip", dtype="<f8"), dict(dtype=">f2")]
    i = 0
    for layer, ts in tensors(f):
        group = w.create_group(layer)
        names = [layer + "_4/" + n.split("/")[-1] for n, _ in ts]
        group.attrs["weight_names"] = np.array(names, "S")
        for n, (_, t) in zip(names, ts):
            kind = dict(kinds[i % len(kinds)])
            if kind.get("chunks"):
                kind["chunks"] = tuple(max(1, (d + 1) // 2) for d in t.shape)
            dtype = np.dtype(kind.pop("dtype", "<f4"))
            value = t.astype("f8") + 1e-12 if dtype.itemsize == 8 else t
            group.create_dataset(n, data=value.astype(dtype), **kind)
            i += 1


def unnamed(f, g):
    """No name says anything: position decides."""
    root(f, g)
    w = g.create_group("model_weights")
    w.attrs["layer_names"] = np.array(["layer%d" % i for i, _ in enumerate(tensors(f))], "S")
    for i, (_, ts) in enumerate(tensors(f)):
        group = w.create_group("layer%d" % i)
        names = ["t%d" % k for k, _ in enumerate(ts)]
        group.attrs["weight_names"] = np.array(names, "S")
        for n, (_, t) in zip(names, ts):
            group.create_dataset(n, data=t)


def weights_only(f, g):
    """The layout of keras.applications: layer_names at the root, no architecture."""
    root(f, g, ("model_config", "training_config"))
    g.attrs["layer_names"] = np.array([n for n, _ in tensors(f)], "S")
    for layer, ts in tensors(f):
        group = g.create_group(layer)
        group.attrs["weight_names"] = np.array([n for n, _ in ts], "S")
        for n, t in ts:
            group.create_dataset(n, data=t)
    with open(os.path.join(OUT, "weights_only.json"), "w") as j:
        j.write(f.attrs["model_config"])


def main():
    os.makedirs(OUT, exist_ok=True)
    seed = 0
    for k, tag in ((keras2, "k2"), (keras3, "k3")):
        for make in (functional, frozen, deep, sequential):
            seed += 1
            k.backend.clear_session() if tag == "k2" else k.utils.clear_session()
            model = make(k)
            fill(model, seed)
            if make is sequential:
                model.compile("adam", "categorical_crossentropy")
            save(tag + "_" + make.__name__, model, seed)
    rewrite("k2_sequential", "keras1", keras1)
    rewrite("k2_sequential", "split", split)
    rewrite("k2_sequential", "stored", stored)
    rewrite("k2_sequential", "unnamed", unnamed)
    rewrite("k2_sequential", "weights_only", weights_only)
    with h5py.File(os.path.join(OUT, "refs.h5"), "w") as r:
        for name, (xs, ys) in sorted(REFS.items()):
            for i, x in enumerate(xs):
                r["%s/x%d" % (name, i)] = x
            for i, y in enumerate(ys):
                r["%s/y%d" % (name, i)] = np.asarray(y, "float32")


if __name__ == "__main__":
    sys.exit(main())
