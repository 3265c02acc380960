"""Ten Keras training steps of small networks with every optimizer -> tests/golden/finetune/ten_steps.json; learning-rate schedules of
Keras and PyTorch -> tests/golden/finetune/schedules.json.

    KERAS_BACKEND=tensorflow python ten_steps.py [OUT]

77 examples in batches of 8: the tenth batch has 5. The loss of a step is what Keras reports: mean cross-entropy plus regularizers, before
the update.
"""
import json
import os
import subprocess
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
import numpy as np

TORCH = sys.argv[1:] == ["--torch"]  # a process of its own: TensorFlow and PyTorch each bring an LLVM
if TORCH:
    import torch
else:
    import keras
    import tensorflow as tf

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "finetune")
N, BATCH, CLASSES = 77, 8, 4


def listed(a):
    return [float("%.9g" % v) for v in np.asarray(a, dtype=np.float64).ravel()]


def mlp():
    r = keras.regularizers
    return keras.Sequential([
        keras.Input((12,)),
        keras.layers.Dense(16, activation="relu", kernel_regularizer=r.L1L2(1e-3, 2e-3), bias_regularizer=r.L2(1e-3), name="first"),
        keras.layers.Dense(10, activation="tanh", kernel_regularizer=r.L1(5e-4), name="second"),
        keras.layers.Dense(CLASSES, activation="softmax", kernel_regularizer=r.L2(2e-3), name="head"),
    ])


def cnn():
    r = keras.regularizers
    return keras.Sequential([
        keras.Input((6, 6, 2)),
        # a bias before batch norm has gradient 0, of which Adam would make steps out of rounding errors: its regularizer is its gradient
        keras.layers.Conv2D(5, 3, padding="same", kernel_regularizer=r.L1L2(1e-4, 1e-3), bias_regularizer=r.L2(1e-2), name="conv_a"),
        keras.layers.BatchNormalization(momentum=0.9, gamma_regularizer=r.L2(1e-3), name="norm"),
        keras.layers.Activation("relu", name="relu"),
        keras.layers.MaxPooling2D(2, name="pool"),
        keras.layers.Conv2D(6, 2, activation="relu", kernel_regularizer=r.L2(1e-3), name="conv_b"),
        keras.layers.Flatten(name="flat"),
        keras.layers.Dense(CLASSES, activation="softmax", name="head"),
    ])


OPTIMIZERS = {} if TORCH else {
    "sgd": (keras.optimizers.SGD, {"learning_rate": 0.1}),
    "sgd_momentum": (keras.optimizers.SGD, {"learning_rate": 0.05, "momentum": 0.9}),
    "sgd_nesterov": (keras.optimizers.SGD, {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}),
    "adam": (keras.optimizers.Adam, {"learning_rate": 0.01}),
    "adam_clip": (keras.optimizers.Adam, {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.99, "global_clipnorm": 0.3}),
    "adamw": (keras.optimizers.AdamW, {"learning_rate": 0.01, "weight_decay": 0.05}),
    "rmsprop": (keras.optimizers.RMSprop, {"learning_rate": 0.005}),
    "rmsprop_momentum": (keras.optimizers.RMSprop, {"learning_rate": 0.002, "momentum": 0.9, "rho": 0.8}),
}


def train(model, optimizer, x, y):
    loss_of = keras.losses.SparseCategoricalCrossentropy()
    losses = []
    for at in range(0, N, BATCH):
        with tf.GradientTape() as tape:
            p = model(x[at:at + BATCH], training=True)
            loss = loss_of(y[at:at + BATCH], p) + sum(model.losses)
        losses.append(float(loss))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    return losses


def weights_of(model):
    return {layer.name + "/" + w.name: {"shape": list(w.shape), "values": listed(w)} for layer in model.layers for w in layer.weights}


def case(make, rng):
    keras.utils.set_random_seed(3)
    model = make()
    x = rng.standard_normal((N,) + model.input_shape[1:]).astype("float32")
    y = rng.integers(0, CLASSES, N).astype("int32")
    start = model.get_weights()
    start = [w + 0.1 * rng.standard_normal(w.shape).astype("float32") for w in start]  # no zeros: |w| has a slope
    start = [np.abs(w) if "variance" in v.name else w for w, v in zip(start, model.weights)]
    model.set_weights(start)
    out = {"layers": [], "x": {"shape": list(x.shape), "values": listed(x)}, "y": y.tolist(), "start": weights_of(model), "runs": {}}
    out["input"] = list(model.input_shape[1:])
    for layer in model.layers:
        out["layers"].append({"class_name": type(layer).__name__, "config": layer.get_config()})
    for name, (kind, settings) in OPTIMIZERS.items():
        model.set_weights(start)
        optimizer = kind(**settings)
        optimizer.build(model.trainable_variables)
        losses = train(model, optimizer, x, y)
        out["runs"][name] = {"settings": settings, "losses": losses,
                             "end": {k: v["values"] for k, v in weights_of(model).items()}}
    return out


def torch_schedules():
    t = torch.optim.lr_scheduler

    def rates(make):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
        schedule = make(optimizer)
        out = []
        for _ in range(60):
            out.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return out

    return {
        "cosine_torch": rates(lambda o: t.CosineAnnealingLR(o, 60, eta_min=0.04)),
        "exponential_torch": rates(lambda o: t.ExponentialLR(o, 0.93)),
        "step_torch": rates(lambda o: t.StepLR(o, 20, 0.3)),
    }


def schedules():
    s = keras.optimizers.schedules

    def keras_rates(schedule):
        return [float(schedule(i)) for i in range(60)]

    plateau_values = [1.0, 0.9, 0.89, 0.8905, 0.8899, 0.95, 0.5, 0.6, 0.6, 0.6, 0.6, 0.4999, 0.49]
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(0.4))
    plateau = keras.callbacks.ReduceLROnPlateau(monitor="v", mode="min", factor=0.5, patience=2, min_delta=1e-3, min_lr=0.4 * 0.2)
    plateau.set_model(model)
    plateau.on_train_begin()
    levels = []
    for i, v in enumerate(plateau_values):
        plateau.on_epoch_end(i, {"v": v})
        levels.append(float(model.optimizer.learning_rate))
    by_torch = subprocess.run([sys.executable, os.path.abspath(__file__), "--torch"], check=True, stdout=subprocess.PIPE)
    return json.loads(by_torch.stdout) | {
        "cosine_keras": keras_rates(s.CosineDecay(0.4, 60, alpha=0.1)),
        "cosine_warmup_keras": keras_rates(s.CosineDecay(0.0, 48, alpha=0.0, warmup_target=0.4, warmup_steps=12)),
        "exponential_keras": keras_rates(s.ExponentialDecay(0.4, 20, 0.3)),
        "step_keras": keras_rates(s.ExponentialDecay(0.4, 20, 0.3, staircase=True)),
        "plateau_values": plateau_values,
        "plateau_keras": levels,
    }


if TORCH:
    print(json.dumps(torch_schedules()))
elif __name__ == "__main__":
    os.makedirs(OUT, exist_ok=True)
    rng = np.random.default_rng(11)
    with open(os.path.join(OUT, "ten_steps.json"), "w") as f:
        json.dump({"batch": BATCH, "mlp": case(mlp, rng), "cnn": case(cnn, rng)}, f, separators=(",", ":"))
    with open(os.path.join(OUT, "schedules.json"), "w") as f:
        json.dump(schedules(), f, separators=(",", ":"))
