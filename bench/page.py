"""docs/performance.md from the results of a run: a function a section; a section without results is left out."""
import os
import statistics

import chart
import growth
import jobs
from turns import THREADS, median, ratio, values
from work import INFER_BATCHES, SEEDS

WORKERS = ("PyTorch", "PyTorch compiled", "Keras", "Engram")
OPTIMISATIONS = os.path.join(jobs.SOURCE, "bench", "optimisations.md")
PAGE = os.path.join(jobs.SOURCE, "docs", "performance.md")


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def percent(share, digits=1):
    return f"{share * 100:.{digits}f} %"


def times(value):
    return f"{value:.2f}x"


def seconds(value):
    return f"{value:.2f}"


def table(title, head, rows, text=""):
    lines = [f"## {title}", *([text] if text else []), "", "| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def summary(key, results):
    """One line a worker, for the terminal: what every turn has (a run may end before its steps could be timed)."""
    lines = [key]
    for worker, turns in results.items():
        fields = [f for f, v in turns[0].items() if isinstance(v, (int, float)) and all(f in t for t in turns)]
        shown = ", ".join(f"{f} {statistics.median(t[f] for t in turns):.6g}" for f in fields[:12])
        lines.append(f"    {worker}: {shown}{' ...' if len(fields) > 12 else ''}")
    return "\n".join(lines)


# --- beside the peers -----------------------------------------------------------------------------------------------------------------

HEAD = ("", *WORKERS, *(f"Engram / {w}" for w in WORKERS[:-1]))


def row(label, results, field, form, more_is_better=True):
    """Medians, then Engram's ratios: above 1 is better."""
    cells = [form(median(results, w, field)) if w in results else "failed" for w in WORKERS]
    for w in WORKERS[:-1]:
        pair = ("Engram", w) if more_is_better else (w, "Engram")
        cells.append(times(ratio(results, *pair, field)) if w in results else "-")
    return [label, *cells]


def train_results(measured):
    return [(job, measured["train " + name]) for name, job in jobs.TRAIN.items() if "train " + name in measured]


def training(r):
    rows = [row(job.label, m, "images_per_second", number) for job, m in train_results(r["measured"])]
    return rows and table("Training, images a second", HEAD, rows)


def inference_results(measured):
    for network in jobs.SHAPES:
        if "infer " + network in measured:
            for batch in INFER_BATCHES:
                yield network, batch, measured["infer " + network]


def inference(r):
    rows = [row(f"{network}, batch {batch}", m, f"batch {batch}", number) for network, batch, m in inference_results(r["measured"])]
    return rows and table("Inference, images a second", HEAD, rows, mlp_reads(r))


def mlp_reads(r):
    """At batch 1 every weight is read for one multiplication and one addition."""
    if "infer mlp" not in r["measured"]:
        return ""
    megabytes = 4 * r["counts"]["mlp"][0] / 1e6
    rate = median(r["measured"]["infer mlp"], "Engram", "batch 1") * megabytes / 1e3
    return f"An image alone reads all {megabytes:.1f} MB of the MLP's weights: {rate:.0f} GB/s at batch 1, from the caches."


def memory(r):
    rows = [row(job.label, m, "peak_mb", number, False) for job, m in train_results(r["measured"])]
    return rows and table("Peak memory of training, MB", HEAD, rows)


def first_step(r):
    rows = [row(job.label, m, "first_step", seconds, False) for job, m in train_results(r["measured"])]
    return rows and table("From the start of the process to the end of the first training step, seconds", HEAD, rows,
                          "Compiled PyTorch finds what it compiled in earlier runs in its cache, except in the first turn.")


STAGES = {"start_process": "process, imports", "start_load": "loading network and data", "start_measure": "measuring before training",
          "start_step": "first step"}


def stages(r):
    rows = []
    for job, m in train_results(r["measured"]):
        for worker in "PyTorch", "Engram":
            fields = m[worker][0]
            cells = [seconds(median(m, worker, stage)) if stage in fields else "-" for stage in STAGES]
            in_memory = sum(median(m, worker, stage) for stage in STAGES if stage in fields and stage != "start_load")
            rows.append([f"{job.label.split(',')[0]}: {worker}", *cells, seconds(in_memory)])
    return rows and table("What that start is made of, seconds", ("", *STAGES.values(), "with the data in memory"), rows,
                          "Engram measures the test parts before it trains, so that it can tell what was forgotten; the loop in PyTorch "
                          "does not.")


def share_of_peak(r):
    peak, rows = r["peak"]["gflops"] * 1e9, []

    def add(label, m, field, flops):
        rows.append([label, *(percent(median(m, w, field) * flops / peak) if w in m else "-" for w in WORKERS)])

    for job, m in train_results(r["measured"]):
        total, first = r["counts"][job.network]
        add(job.label, m, "images_per_second", 6 * total - 2 * first)  # the inputs of the first layer need no gradient
    for network, batch, m in inference_results(r["measured"]):
        add(f"inference: {network}, batch {batch}", m, f"batch {batch}", 2 * r["counts"][network][0])
    return rows and table("Share of the machine's peak", ("", *WORKERS), rows)


def spread(results, worker, field):
    all_values = values(results, worker, field)
    return f"{statistics.mean(all_values) * 100:.2f} ({min(all_values) * 100:.2f} to {max(all_values) * 100:.2f})"


def accuracy(r):
    rows, workers = [], ("PyTorch", "Keras", "Engram")
    for name, epochs in jobs.ACCURACY_EPOCHS.items():
        m, job = r["measured"].get("accuracy " + name), jobs.TRAIN[name]
        if not m:
            continue
        for field, data in zip(("new_accuracy", "keep_accuracy"), job.sets):
            rows.append([f"{job.label}: {data} after {epochs} epochs", *(spread(m, w, field) for w in workers)])
    return rows and table("The same accuracy, %", ("", *workers), rows,
                          f"On the test parts: mean (lowest to highest) of {SEEDS} seeds. For each seed all start from the same weights; "
                          "in (b) these were trained on\nMNIST for an epoch. Equal epochs, no schedule.")


def busy(r):
    rows = []
    for name in "mlp", "lenet":
        m = r["measured"].get("busy " + name)
        for worker in ("PyTorch", "Engram") if m else ():
            rates = [median(m, worker + how, "images_per_second") for how in ("", " beside", " alone")]
            rows.append([f"{jobs.TRAIN[name].label}: {worker}", *map(number, rates), times(rates[1] / rates[2])])
    return rows and table(f"Images a second while another process takes one of the cores, {THREADS} threads",
                          ("", "all cores free", "one taken", "one thread, all free", "one taken / one thread"), rows)


def fisher(r):
    m = r["measured"].get("fisher lenet")
    if not m:
        return ""
    rows = [[w, f"{median(m, w, 'seconds'):.3f}", times(ratio(m, w, "Engram", "seconds"))] for w in m]
    return table("Exact Fisher information of LeNet-5, 500 examples", ("", "seconds", "Engram is faster by"), rows,
                 "The sum over classes of p(c|x) (d log p(c|x))^2. The sums over each parameter agree to 1e-3, or `tools/bench` fails.")


# --- single layers --------------------------------------------------------------------------------------------------------------------

LAYER_WORKERS = (("Engram", "Engram"), ("Engram", "oneDNN"), ("Engram", "oneDNN with reorders"), ("PyTorch", "PyTorch"))


def layer_name(text):
    kind, _, numbers = text.partition(":")
    v = numbers.split(",")
    if kind == "dense":
        return f"dense {v[1]} -> {v[2]}, batch {v[0]}"
    return f"conv {v[5]}x{v[5]}, {v[1]}x{v[2]}x{v[3]} -> {v[4]}{', stride ' + v[6] if v[6] != '1' else ''}, batch {v[0]}"


def layer_row(m, text, direction, peak):
    us = [median(m, worker, f"{text} {direction} {column}") for worker, column in LAYER_WORKERS]
    rate = jobs.layer_flops(text) / us[0] / 1e3
    best = min(us[1:])
    return [f"{layer_name(text)}: {direction}", *(f"{v:,.0f}" if v >= 100 else f"{v:.1f}" for v in us), f"{rate:.0f}",
            percent(rate / peak, 0), times(best / us[0])]


def layer_times(r):
    rows = []
    for network in jobs.SHAPES:
        m = r["measured"].get("layers " + network, {})
        texts = list(dict.fromkeys(f.rsplit(" forward ", 1)[0] for f in m["PyTorch"][0] if " forward " in f)) if m else []
        for i, text in enumerate(texts):
            for direction in jobs.DIRECTIONS:
                if i > 0 or direction != "dx":  # a network's first layer needs no gradient to its input
                    rows.append(layer_row(m, text, direction, r["peak"]["gflops"]))
    head = ("", "Engram", "oneDNN", "with reorders", "PyTorch", "GFLOP/s", "of peak", "best other / Engram")
    return rows and table("Single layers, microseconds", head, rows,
                          "The layers of the three networks at their training batch sizes, with biases. oneDNN alone: its own choice "
                          "of every layout, everything\nalready in it; with reorders: from and to the layouts that Keras has. PyTorch: "
                          "the better of its two layouts. GFLOP/s and share of the peak are\nEngram's.")


# --- Engram alone ---------------------------------------------------------------------------------------------------------------------


def anchor(r):
    m = r["measured"].get("anchor mlp")
    if not m:
        return ""
    slower = ratio(m, "with", "without", "step_us") - 1
    return table("EWC's anchor in the step", ("MLP 784-512-256-20, batch 128, Adam", "microseconds a step"),
                 [[f"{w} the anchor", number(median(m, w, "step_us"))] for w in m]) + f"\nThe anchor costs {percent(slower)} of a step.\n"


def head_only(r):
    m = r["measured"].get("head lenet")
    if not m:
        return ""
    runs = zip(values(m, "10 epochs", "run_seconds"), values(m, "0 epochs", "run_seconds"), values(m, "forward", "forward_seconds"))
    whole = [(a - b, (a - b) / f) for a, b, f in runs]
    steps = ratio({"a": [{"x": v} for v in values(m, "10 epochs", "epoch_seconds")],
                   "b": [{"x": v} for v in values(m, "forward", "forward_seconds")]}, "a", "b", "x")
    rows = [["a forward pass over the training part", f"{median(m, 'forward', 'forward_seconds'):.3f}", "1.00x"],
            ["all steps of 10 epochs", f"{median(m, '10 epochs', 'epoch_seconds'):.3f}", times(steps)],
            ["what 10 epochs add to a run", f"{statistics.median(w for w, _ in whole):.3f}", times(statistics.median(w for _, w in whole))]]
    columns = ("LeNet-5, MNIST, batch 128, all but the last layer frozen", "seconds", "of the forward pass")
    return table("Training the head only", columns, rows,
                 "The last line is a run of 10 epochs less one of none: with what is prepared before the first step and measured after "
                 "each epoch.")


def extras(r):
    rows = []
    for network in "mlp", "lenet":
        m = r["measured"].get("extras " + network)
        if not m:
            continue
        bare, full = "bare", "with extras"
        whole = [(b - a) / e for a, b, e in zip(*(values(m, w, f) for w, f in (
            (bare, "run_seconds"), (full, "run_seconds"), (bare, "epoch_seconds"))))]
        rows.append([network, *(f"{median(m, w, 'epoch_seconds') / median(m, w, 'steps') * 1e6:,.1f}" for w in (bare, full)),
                     percent(ratio(m, full, bare, "epoch_seconds") - 1), percent(statistics.median(whole))])
    columns = ("3 epochs, batch 128", "bare, us a step", "with extras, us a step", "a step more", "a run more")
    return rows and table("What the extras cost", columns, rows,
                          "Bare: no folder, no progress, no lines. With extras: progress, log, metrics, curves, configuration, report and "
                          "model, as the command\nwrites them. A run more: the difference of whole runs, as a share of the time of all steps.")


# --- the page -------------------------------------------------------------------------------------------------------------------------


def notes(r):
    about = r["about"]
    invented = "Data sets made of random bytes: " + ", ".join(about["made_up"]) + ". " if about["made_up"] else ""
    return f"""## What each figure means
{invented}PyTorch runs a plain loop over tensors in memory, eager or with forward pass, loss and backward pass under `torch.compile`; Keras runs
`fit()` and `predict_on_batch()`; Engram runs the public C API (`bench/engram.c`). Rates count training steps only: no loading, no evaluation.
Arithmetic is counted from the networks' convolutions and dense layers, two operations a multiply-add; what stays below the peak is memory
traffic, small layers and overhead. The peak is the highest of several measurements of multiply-adds in registers.
"""


def turns(r):
    counts = sorted({len(t) for m in r["measured"].values() for t in m.values()})
    return f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])


def head(r):
    about, peak, s = r["about"], r["peak"], "s" if THREADS > 1 else ""
    return f"""# Performance
Written by `tools/bench`; run it on your machine to replace these figures by yours. Ratios above 1 mean that Engram is faster or smaller.

{about['processor']}, {THREADS} thread{s} for each; {peak['device']}; {about['versions']}. Peak of the machine: {peak['gflops']:.0f} GFLOP/s in f32
(multiply-adds in registers); memory {peak['gigabytes']:.0f} GB/s (triad). Each figure is the median of {turns(r)} processes, which take turns; a ratio is the median of the
ratios of the turns.
"""


def optimisations(r):
    with open(OPTIMISATIONS) as f:
        return f.read()


def ratios_chart(r):
    bars = [(job.label, [(w, ratio(m, "Engram", w, "images_per_second")) for w in WORKERS[:-1] if w in m])
            for job, m in train_results(r["measured"])]
    return bars and chart.write(bars)


SECTIONS = (head, ratios_chart, training, inference, memory, first_step, stages, share_of_peak, accuracy, anchor, fisher, head_only, extras, busy,
            layer_times, growth.section, optimisations, notes)


def write(results):
    text = "\n".join(filter(None, (section(results) for section in SECTIONS)))
    with open(PAGE, "w") as f:
        f.write(text)
    print(f"wrote {os.path.relpath(PAGE, jobs.SOURCE)}")
