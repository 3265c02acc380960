"""Runs peers and Engram in turn on the same work, prints medians and ratios, writes docs/performance.md.

    run.py ENGRAM-PROGRAM ENGRAM-COMMAND [--repeats N] [--only WORD] [--no-write]
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

import jobs

THREADS = 2
WORKERS = ("PyTorch", "Keras", "Engram")
INFER_SECONDS = 2.0
EPOCHS = {"mlp": 2, "lenet": 1, "resnet": 1}  # the last one is measured


def run(command):
    env = dict(os.environ, BENCH_START=repr(time.time()), BENCH_THREADS=str(THREADS), OMP_NUM_THREADS=str(THREADS))
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=jobs.SOURCE)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return json.loads(lines[-1])


def peer(name, *arguments):
    return [sys.executable, os.path.join("bench", "peer.py"), "torch" if name == "PyTorch" else "keras", *map(str, arguments)]


def train_commands(program, job):
    network, _, batch, names, settings, _ = jobs.TRAIN[job]
    paths = [jobs.data_path(name) for name in names]
    epochs = EPOCHS[job]
    engram = [program, "train", os.path.join(jobs.WORK, network + ".h5"), paths[0], paths[1] if len(paths) > 1 else "-",
              *settings, f"finetune.batch={batch}", f"finetune.epochs={epochs}", "finetune.optimizer=adam", "finetune.lr=0.001",
              "finetune.freeze=none", "finetune.lr_decay_per_layer=1", "data.validation=0", "data.preprocess=unit"]
    return {"PyTorch": peer("PyTorch", "train", job, epochs), "Keras": peer("Keras", "train", job, epochs), "Engram": engram}


def infer_commands(program, network, batch):
    arguments = ("infer", network, batch, INFER_SECONDS)
    engram = [program, "infer", os.path.join(jobs.WORK, network + ".h5"), str(batch), str(INFER_SECONDS)]
    return {"PyTorch": peer("PyTorch", *arguments), "Keras": peer("Keras", *arguments), "Engram": engram}


def measure(commands, repeats):
    """{worker: {field: median}}; the workers take turns, so that a slow minute of the machine hits all."""
    results = {worker: [] for worker in commands}
    for _ in range(repeats):
        for worker, command in commands.items():
            results[worker].append(run(command))
    return {w: {k: statistics.median(r[k] for r in rs) for k in rs[0]} for w, rs in results.items()}


def start_up(command, repeats=20):
    times = []
    for _ in range(repeats):
        began = time.time()
        subprocess.run([command, "--version"], check=True, capture_output=True)
        times.append(time.time() - began)
    return statistics.median(times)


def highest_peak(program, before=None):
    """The higher of `before` and a new measurement: a busy moment of the machine lowers it, nothing raises it."""
    peak = run([program, "peak"])
    if before and before["gflops"] >= peak["gflops"]:
        return before
    print(f"peak: {peak['gflops']} GFLOP/s on {peak['device']}", flush=True)
    return peak


def rate(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def row(label, results, field, form, better_is_more=True):
    cells = [form(results[w][field]) for w in WORKERS]
    ratios = []
    for w in WORKERS[:2]:
        a, b = results["Engram"][field], results[w][field]
        ratios.append(f"{(a / b if better_is_more else b / a):.2f}x")
    return [label, *cells, *ratios]


def table(title, rows, head=("", *WORKERS, "Engram / PyTorch", "Engram / Keras")):
    lines = [f"### {title}", "", "| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(r) + " |" for r in rows]) + "\n"


def processor():
    with open("/proc/cpuinfo") as f:
        name = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), platform.machine())
    return name


def versions(command):
    import importlib.metadata as metadata

    return ", ".join([f"Engram {subprocess.run([command, '--version'], capture_output=True, text=True).stdout.split()[-1]}",
                      f"PyTorch {metadata.version('torch')} (eager)",
                      f"Keras {metadata.version('keras')} on TensorFlow {metadata.version('tensorflow_cpu')}"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("command")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="measure jobs whose name has this word, write nothing")
    parser.add_argument("--no-write", action="store_true")
    options = parser.parse_args()

    counts = run([sys.executable, os.path.join("bench", "peer.py"), "keras", "models"])
    peak = highest_peak(options.program)

    speed, memory, share, start = [], [], [], []
    for job, (network, *_, label) in jobs.TRAIN.items():
        if options.only not in "train " + job:
            continue
        r = measure(train_commands(options.program, job), options.repeats if job == "mlp" else min(3, options.repeats))
        peak = highest_peak(options.program, peak)
        total, first = counts[network]
        flops = 6 * total - 2 * first  # forward, and backward for weights and inputs, less the inputs of the first layer
        speed.append(row(label, r, "images_per_second", rate))
        memory.append(row(label, r, "peak_mb", rate, better_is_more=False))
        start.append(row(label, r, "first_step", lambda s: f"{s:.2f}", better_is_more=False))
        share.append((label, [r[w]["images_per_second"] * flops for w in WORKERS]))
        print(speed[-1], memory[-1], start[-1], sep="\n", flush=True)

    infer = []
    for network in jobs.SHAPES:
        for batch in 1, 256:
            if options.only not in f"infer {network} {batch}":
                continue
            r = measure(infer_commands(options.program, network, batch), min(3, options.repeats))
            label = f"{network}, batch {batch}"
            infer.append(row(label, r, "images_per_second", rate))
            share.append(("inference: " + label, [r[w]["images_per_second"] * 2 * counts[network][0] for w in WORKERS]))
            print(infer[-1], flush=True)
    if options.only or options.no_write:
        return
    peak = highest_peak(options.program, peak)
    shares = [[label, *(f"{flops / peak['gflops'] / 1e7:.1f} %" for flops in done)] for label, done in share]
    version_time = start_up(options.command)
    made_up = [name for name in jobs.IMAGES if jobs.data_path(name).endswith("made-up")]
    text = f"""# Performance

Written by `tools/bench`; run it on your machine to replace these figures by yours. Ratios above 1 mean that Engram is faster or smaller.

{processor()}, {THREADS} threads for each; {versions(options.command)}. Each figure is the median of {options.repeats} processes (3 where one
takes long); the three take turns. Rates count training steps only: no loading, no evaluation. Peak of the machine, the highest measured during the run:
{peak['gflops']:.0f} GFLOP/s in f32 (multiply-adds in registers). {'Data sets made of random bytes: ' + ', '.join(made_up) + '.' if made_up else ''}

{table('Training, images a second', speed)}
{table('Inference, images a second', infer)}
{table('Peak memory of training, MB', memory)}
{table('From the start of the process to the end of the first training step, seconds', start)}
{table("Share of the machine's peak", shares, ('', *WORKERS))}
`engram --version` takes {version_time * 1000:.1f} ms.

What each figure means: PyTorch runs a plain eager loop over tensors in memory; Keras runs `fit()` and `predict_on_batch()`; Engram runs the
public C API (`bench/engram.c`). Arithmetic is counted from the networks' convolutions and dense layers, two operations a multiply-add;
what stays below the peak is memory traffic, small layers and overhead.
"""
    path = os.path.join(jobs.SOURCE, "docs", "performance.md")
    with open(path, "w") as f:
        f.write(text)
    print(f"wrote {os.path.relpath(path, jobs.SOURCE)}")


if __name__ == "__main__":
    main()
