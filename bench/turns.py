"""Runs workers in turn, so that a slow minute of the machine hits all, and keeps what each turn gave."""
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time

import jobs

THREADS = int(os.environ.get("BENCH_THREADS") or 2)


@dataclasses.dataclass
class Measurement:
    """What is measured under one key: commands({turn}) -> {worker: command}."""
    key: str
    commands: object
    repeats: int
    optional: tuple = ()  # workers that may fail: they are then left out, visibly
    check: object = None  # called with {worker: fields} of each turn


class FailedError(Exception):
    pass


def run(command):
    """Fields of the JSON object that a worker prints."""
    env = dict(os.environ, BENCH_START=repr(time.time()), BENCH_THREADS=str(THREADS), OMP_NUM_THREADS=str(THREADS))
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=jobs.SOURCE)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise FailedError(f"{' '.join(command)[:500]} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return json.loads(lines[-1])


def peer(name, *arguments):
    return [sys.executable, os.path.join("bench", "peer.py"), name, *map(str, arguments)]


def take_turns(measurement, repeats):
    """{worker: [fields of turn 1, ...]}"""
    results, failed = {}, set()
    for turn in range(repeats):
        fields = {}
        for worker, command in measurement.commands(turn).items():
            if worker in failed:
                continue
            try:
                fields[worker] = run(command)
            except FailedError as error:
                if worker not in measurement.optional:
                    raise SystemExit(str(error))
                print(f"NOTE: {measurement.key}: {worker} is left out: {error}", flush=True)
                failed.add(worker)
                results.pop(worker, None)
        if measurement.check:
            measurement.check(fields)
        for worker, values in fields.items():
            results.setdefault(worker, []).append(values)
    return results


def values(results, worker, field):
    return [turn[field] for turn in results[worker]]


def median(results, worker, field):
    return statistics.median(values(results, worker, field))


def ratio(results, a, b, field):
    """Median of the turns' own ratios a / b: what slows a turn slows both."""
    return statistics.median(x / y for x, y in zip(values(results, a, field), values(results, b, field)))
