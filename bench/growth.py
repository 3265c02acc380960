"""The section on how cost grows: points and fitted exponents."""
import numpy as np

import jobs
from turns import median

KINDS = {  # kind: (what grows, its field, what that is, unit)
    "batch mlp": ("batch size, MLP 784-512-256-10", "step_us", "microseconds a step"),
    "batch lenet": ("batch size, LeNet-5", "step_us", "microseconds a step"),
    "width": ("width of two hidden layers, batch 128", "step_us", "microseconds a step"),
    "depth": ("hidden layers of 256, batch 128", "step_us", "microseconds a step"),
    "examples": ("examples, MLP 784-512-256-10", "epoch_seconds", "seconds for 3 epochs"),
    "tasks": ("old tasks, LeNet-5 with rehearsal, batch 128", "step_us", "microseconds a step"),
}


def points_of(measured, kind, field):
    prefix = f"growth {kind} "
    keys = [key for key in measured if key.startswith(prefix)]
    return sorted((int(key[len(prefix):]), median(measured[key], "Engram", field)) for key in keys)


def exponent(points):
    """Of a power law, by least squares over the logarithms."""
    x, y = np.log(np.array(points, float)).T
    return np.polyfit(x, y, 1)[0]


def shown(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def line(label, what, points):
    fit = f"{exponent(points):.2f} from {points[0][0]} to {points[-1][0]}" if len(points) > 1 else "-"
    return f"| {label} | {what} | " + "; ".join(f"{x}: {shown(y)}" for x, y in points) + f" | {fit} |"


def section(r):
    rows = []
    for kind, (label, field, what) in KINDS.items():
        points = points_of(r["measured"], kind, field)
        if points:
            rows.append(line(label, what, points))
    memory = points_of(r["measured"], "tasks", "peak_mb")
    if memory:
        rows.append(line(KINDS["tasks"][0], "peak memory, MB", memory))
    if not rows:
        return ""
    sizes = ", ".join(map(str, jobs.OLD_TASKS))
    lines = ["## How cost grows", "Engram alone. The exponent is that of a power law fitted to all points; "
             f"{sizes} old tasks are pairs of Fashion-MNIST's\nclasses.", "",
             "| what grows | what is measured | points | exponent |", "| --- | --- | --- | --- |"]
    return "\n".join(lines + rows) + "\n"
