"""PyTorch, eager and compiled: plain loops over tensors in memory. Called by peer.py."""
import os
import time

import jobs
import numpy as np
from clock import THREADS, Stretches, repeat, report

os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.path.join(jobs.WORK, "inductor"))
import torch  # noqa: E402
from torch import nn  # noqa: E402

torch.set_num_threads(THREADS)
compiled = False


def compiles(wanted):
    global compiled
    compiled = wanted


def maybe_compiled(function):
    return torch.compile(function) if compiled else function


# --- networks -------------------------------------------------------------------------------------------------------------------------


class Block(nn.Module):
    """The residual block of ResNet-8."""

    def __init__(self, before, filters, stride):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(before, filters, 3, stride, 1), nn.BatchNorm2d(filters), nn.ReLU(),
            nn.Conv2d(filters, filters, 3, 1, 1), nn.BatchNorm2d(filters))
        self.side = nn.Conv2d(before, filters, 1, stride) if stride != 1 else nn.Identity()

    def forward(self, x):
        return torch.relu(self.main(x) + self.side(x))


def network_of(name, classes):
    if name == "mlp":
        return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, classes))
    if name == "lenet":
        return nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(784, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes))
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(), Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2),
        nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, classes))


def load_weights(model, path):
    """Weights of a Keras file for a chain of convolutions and dense layers; rows of classes it does not have stay as they are."""
    layers = [m for m in model if isinstance(m, (nn.Linear, nn.Conv2d))]
    channels = None
    for layer, (kernel, bias) in zip(layers, jobs.read_weights(path)):
        if kernel.ndim == 4:
            channels, kernel = kernel.shape[3], kernel.transpose(3, 2, 0, 1)
        else:
            if channels:  # behind Flatten: Keras has channels last
                kernel = kernel.reshape(-1, channels, kernel.shape[1]).transpose(1, 0, 2).reshape(kernel.shape)
            channels, kernel = None, kernel.T
        with torch.no_grad():
            layer.weight[:len(kernel)] = torch.from_numpy(np.ascontiguousarray(kernel))
            layer.bias[:len(bias)] = torch.from_numpy(bias)
    return model


# --- training -------------------------------------------------------------------------------------------------------------------------


def as_bytes(network, x):
    x = torch.from_numpy(x.copy())
    return x.flatten(1) if network == "mlp" else x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2).contiguous()


def training_sets(job):
    sets = []
    for k, name in enumerate(job.sets):
        x, y = jobs.load(name)
        sets.append((as_bytes(job.network, x), torch.from_numpy(y + job.offset(k))))
    return sets


def batches(sets, batch):
    """One epoch: as many examples of each set in every batch."""
    share = batch // len(sets)
    orders = [torch.randperm(len(x)) for x, _ in sets]
    for i in range(0, len(sets[0][0]) - share + 1, share):
        picks = [order[i:i + share] for order in orders]
        yield torch.cat([s[0][p] for s, p in zip(sets, picks)]), torch.cat([s[1][p] for s, p in zip(sets, picks)])


def stepper(model):
    """A training step; compiled, all of the forward and backward pass is."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    loss_of = maybe_compiled(lambda x, y: nn.functional.cross_entropy(model(x.float().div_(255)), y))

    def step(x, y):
        optimizer.zero_grad()
        loss_of(x, y).backward()
        optimizer.step()

    return step


def run_epochs(step, sets, batch, stretches):
    while True:
        for x, y in batches(sets, batch):
            step(x, y)
            if stretches.step():
                stretches.end_epoch()
                return
        stretches.end_epoch()


def train(job, seconds):
    imported = time.time()
    job = jobs.TRAIN[job]
    model = network_of(job.network, job.classes)
    sets = training_sets(job)
    loaded = time.time()
    stretches = Stretches(seconds)
    run_epochs(stepper(model), sets, job.batch, stretches)
    began = float(os.environ.get("BENCH_START", imported))
    stretches.report(job.batch, start_process=imported - began, start_load=loaded - imported,
                     start_step=stretches.first - loaded)


def infer(network, seconds, *batch_sizes):
    model = network_of(network, 10).eval()
    shape = jobs.SHAPES[network]
    rates = {}
    with torch.inference_mode():
        for batch in batch_sizes:
            answer = maybe_compiled(lambda x: torch.softmax(model(x), 1))
            x = torch.rand(batch, *(shape if len(shape) == 1 else (shape[2], *shape[:2])))
            rates[f"batch {batch}"] = repeat(lambda a=answer, x=x: a(x), batch, seconds)
    report(**rates)


def accuracy(job, epochs, seed):
    job = jobs.TRAIN[job]
    torch.manual_seed(seed)
    model = network_of(job.network, job.classes)
    nn.init.xavier_uniform_(model[-1].weight)
    nn.init.zeros_(model[-1].bias)
    load_weights(model, jobs.base_path(job.network, seed))
    sets, step = training_sets(job), stepper(model)
    for _ in range(epochs):
        for x, y in batches(sets, job.batch):
            step(x, y)
    values = []
    with torch.inference_mode():
        for k, name in enumerate(job.sets):
            x, y = jobs.load(name, "test")
            answers = model(as_bytes(job.network, x).float().div_(255)).argmax(1).numpy()
            values.append(float(np.mean(answers == y + job.offset(k))))
    report(new_accuracy=values[0], keep_accuracy=values[1] if len(values) > 1 else 0)


# --- the Fisher information -----------------------------------------------------------------------------------------------------------

CHUNK = 50  # samples that vmap takes at once; 10 gradients of all parameters each


def fisher_by_loop(model, x):
    """sum over samples and classes of p(c|x) (d log p(c|x) / d theta)^2, sample by sample."""
    parameters = list(model.parameters())
    sums = [torch.zeros_like(p) for p in parameters]
    for i in range(len(x)):
        log_p = torch.log_softmax(model(x[i:i + 1]), 1)[0]
        for c in range(len(log_p)):
            gradients = torch.autograd.grad(log_p[c], parameters, retain_graph=c + 1 < len(log_p))
            for total, g in zip(sums, gradients):
                total.addcmul_(g, g, value=log_p[c].detach().exp().item())
    return sums


def fisher_by_vmap(model, x):
    """The same by per-sample Jacobians."""
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def log_p(parameters, one):
        return torch.log_softmax(torch.func.functional_call(model, parameters, (one[None],)), 1)[0]

    def both(parameters, one):
        answer = log_p(parameters, one)
        return answer, answer

    jacobians = torch.func.vmap(torch.func.jacrev(both, has_aux=True), in_dims=(None, 0))
    sums = {name: torch.zeros_like(p) for name, p in parameters.items()}
    for i in range(0, len(x), CHUNK):
        jacobian, answer = jacobians(parameters, x[i:i + CHUNK])
        for name, j in jacobian.items():
            sums[name] += torch.einsum("nc,ncp->p", answer.exp(), j.flatten(2).square_()).view_as(sums[name])
    return list(sums.values())


def fisher(way, examples):
    model = load_weights(network_of("lenet", 10), jobs.model_path("lenet"))
    x = as_bytes("lenet", jobs.load("mnist")[0][:examples]).float().div_(255)
    estimate = fisher_by_loop if way == "loop" else fisher_by_vmap
    estimate(model, x[:CHUNK])  # warms up
    began = time.time()
    sums = estimate(model, x)
    report(seconds=time.time() - began, sums=[s.double().sum().item() / examples for s in sums])


# --- single layers --------------------------------------------------------------------------------------------------------------------

ROUNDS = 41  # as in layers.c


def median_us(call):
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return sorted(times)[ROUNDS // 2] * 1e6


def dense_calls(n, inputs, outputs):
    x, w, b, dy = torch.rand(n, inputs), torch.rand(outputs, inputs), torch.rand(outputs), torch.rand(n, outputs)
    return {"forward": lambda: nn.functional.linear(x, w, b), "dx": lambda: dy @ w, "dw": lambda: (dy.T @ x, dy.sum(0))}


def convolution_calls(layout, n, h, w, c, f, kernel, stride):
    x, k, b = torch.rand(n, c, h, w), torch.rand(f, c, kernel, kernel), torch.rand(f)
    x, k = x.contiguous(memory_format=layout), k.contiguous(memory_format=layout)
    pad = kernel // 2
    dy = torch.rand_like(nn.functional.conv2d(x, k, b, stride, pad))

    def backward(mask):
        return torch.ops.aten.convolution_backward(dy, x, k, [f], [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], 1, mask)

    return {"forward": lambda: nn.functional.conv2d(x, k, b, stride, pad), "dx": lambda: backward([True, False, False]),
            "dw": lambda: backward([False, True, True])}


def layers(*texts):
    """Of convolutions the better of PyTorch's two layouts counts."""
    values = {}
    with torch.inference_mode():
        for text in texts:
            kind, _, numbers = text.partition(":")
            numbers = [int(v) for v in numbers.split(",")]
            ways = [dense_calls(*numbers)] if kind == "dense" else [
                convolution_calls(layout, *numbers) for layout in (torch.contiguous_format, torch.channels_last)]
            for direction in jobs.DIRECTIONS:
                values[f"{text} {direction} PyTorch"] = min(median_us(way[direction]) for way in ways)
    report(**values)
