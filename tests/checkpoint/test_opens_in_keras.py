"""What Engram writes opens in Keras 3 and in tf_keras and computes the same outputs: unchanged files, resized heads, second heads.

Run by ctest where EG_TEST_PYTHON names a Python with keras, tf_keras and h5py. Exit code 77: those are not there.
"""
import os
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
try:
    import keras as keras3
    import numpy as np
    import tf_keras as keras2
except ImportError as e:
    print("skipped:", e)
    sys.exit(77)

SOURCE, BINARY = os.environ["EG_SOURCE_DIR"], os.environ["EG_BINARY_DIR"]
SHARED = os.path.join(os.environ.get("EG_SHARED", os.path.join(SOURCE, "..", "shared")), "checkpoints")
TOOL = os.path.join(BINARY, "tests", "checkpoint", "checkpoint_tool")
GENERATIONS = {"keras 3": keras3, "tf_keras": keras2}
failures = 0


def check(good, what):
    global failures
    print("ok  " if good else "FAIL", what, flush=True)
    failures += not good


def tool(*args):
    done = subprocess.run([TOOL, *map(str, args)], capture_output=True, text=True)
    if done.returncode:
        check(False, "checkpoint_tool %s: %s" % (args[0], done.stderr.strip()))
    return done.returncode == 0


def open_model(k, path, arch=None):
    if arch is None:
        return k.models.load_model(path, compile=False)
    with open(arch) as f:
        model = k.models.model_from_json(f.read())
    model.load_weights(path)
    return model


def inputs(model, n=5):
    rng = np.random.RandomState(1)
    return [rng.normal(0, 1, (n,) + tuple(i.shape[1:])).astype("float32") for i in model.inputs]


def outputs(model, xs):
    ys = model.predict(xs if len(xs) > 1 else xs[0], verbose=0)
    return [np.asarray(y) for y in (ys if isinstance(ys, (list, tuple)) else [ys])]


def try_open(k, path, arch=None):
    try:
        return open_model(k, path, arch)
    except Exception:  # noqa: BLE001: a generation that cannot open the original need not open the result
        return None


def originals(path, arch):
    """(label, Keras, model) of each generation that opens the original; at least one must."""
    opened = 0
    for label, k in GENERATIONS.items():
        model = try_open(k, path, arch)
        if model is not None:
            opened += 1
            yield label, k, model
    check(opened > 0, "%s: some Keras opens the original" % os.path.basename(path))


def same_bits(a, b):
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b))


def unchanged(path, folder, arch=None):
    """Whoever opens the original opens what Engram wrote, with the same outputs to the bit."""
    name, out = os.path.basename(path), os.path.join(folder, "out.h5")
    new_arch = os.path.join(folder, "arch.json") if arch else None
    if not tool(path, out, *(("--arch", arch, "--json", new_arch) if arch else ())):
        return
    for label, k, before in originals(path, arch):
        after, xs = try_open(k, out, new_arch), inputs(before)
        same = after is not None and same_bits(outputs(before, xs), outputs(after, xs))
        check(same, "%s: unchanged, %s" % (name, label))


def changed(path, folder, change, wanted, arch=None):
    """Both generations that open the original compute what Engram computes from the changed model."""
    name, out = os.path.basename(path), os.path.join(folder, "out.h5")
    x_file, y_file = os.path.join(folder, "x.f32"), os.path.join(folder, "y.f32")
    new_arch = os.path.join(folder, "arch.json") if arch else None
    for label, k, before in originals(path, arch):
        xs = inputs(before)
        np.concatenate([x.ravel() for x in xs]).tofile(x_file)
        extra = ("--arch", arch) if arch else ()
        extra_json = ("--json", new_arch) if arch else ()
        if not tool(path, out, *extra, *change, *extra_json, "--predict", len(xs[0]), x_file, y_file):
            return
        try:
            after = open_model(k, out, new_arch)
        except Exception as e:  # noqa: BLE001
            check(False, "%s: %s, %s: %s" % (name, " ".join(change), label, str(e).splitlines()[0]))
            continue
        ys, ours = outputs(after, xs), np.fromfile(y_file, "float32")
        at, good = 0, [y.shape[-1] for y in ys] == wanted
        for y in ys if good else []:
            good &= np.allclose(ours[at:at + y.size].reshape(y.shape), y, atol=1e-5, rtol=1e-4)
            at += y.size
        check(good, "%s: %s, %s: outputs %s" % (name, " ".join(change), label, [y.shape for y in ys]))


def main():
    golden = os.path.join(SOURCE, "tests", "golden", "checkpoint")
    lenet = os.path.join(SHARED, "deepxplore-mnist-lenets")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("k2_functional", "k3_functional", "k2_frozen", "k3_frozen", "k2_deep", "k3_deep", "k2_sequential",
                     "k3_sequential", "split"):
            unchanged(os.path.join(golden, name + ".h5"), folder)
        unchanged(os.path.join(golden, "weights_only.h5"), folder, os.path.join(golden, "weights_only.json"))
        for name in ("k2_sequential", "k3_sequential"):
            path = os.path.join(golden, name + ".h5")
            changed(path, folder, ("--units", "dense_1", "6"), [6])
            changed(path, folder, ("--head", "dense_1", "new", "5"), [2, 5])
        for name in ("k2_functional", "k3_functional"):
            path = os.path.join(golden, name + ".h5")
            changed(path, folder, ("--units", "d1", "6"), [6, 8])
            changed(path, folder, ("--head", "d1", "new", "5"), [2, 8, 5])
        for path, arch in ((os.path.join(SHARED, "mlperf-tiny-resnet8-cifar10", "pretrainedResnet.h5"), None),
                           (os.path.join(lenet, "Model1.h5"), os.path.join(lenet, "Model1.arch.json"))):
            if not os.path.exists(path):
                print("skipped:", path, "is not there")
                continue
            unchanged(path, folder, arch)
            head = "dense" if arch is None else "before_softmax"
            changed(path, folder, ("--units", head, "20"), [20], arch)
            changed(path, folder, ("--head", head, "new", "20"), [10, 20], arch)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
