"""Measures (work.py), keeps what came out in build/bench/results.json, and writes docs/performance.md from that (page.py).

    run.py PROGRAMS COMMAND [--only WORD] [--keep] [--quick] [--write]
"""
import argparse
import importlib.metadata as metadata
import json
import os
import platform
import subprocess

import jobs
import page
from turns import peer, run, take_turns
from work import Work

RESULTS = os.path.join(jobs.WORK, "results.json")


def processor():
    with open("/proc/cpuinfo") as f:
        return next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), platform.machine())


def versions(command):
    own = subprocess.run([command, "--version"], capture_output=True, text=True).stdout.split()[-1]
    return (f"Engram {own}, PyTorch {metadata.version('torch')}, Keras {metadata.version('keras')} on "
            f"TensorFlow {metadata.version('tensorflow_cpu')}")


def made_up():
    return [name for name in jobs.IMAGES if jobs.data_path(name).endswith("-made-up.npz")]


def read_results():
    if not os.path.exists(RESULTS):
        return {"measured": {}}
    with open(RESULTS) as f:
        return json.load(f)


def write_results(results):
    with open(RESULTS + ".new", "w") as f:
        json.dump(results, f, indent=1)
    os.replace(RESULTS + ".new", RESULTS)


def measure_peak(results, program):
    """A busy moment of the machine lowers the peak, nothing raises it: the highest of all measurements counts."""
    peak = run([program, "peak"])
    if peak["gflops"] > results.get("peak", {}).get("gflops", 0):
        results["peak"] = peak
        print(f"peak: {peak['gflops']} GFLOP/s, {peak['gigabytes']} GB/s; {peak['device']}", flush=True)


def describe(results, options):
    about = {"processor": processor(), "versions": versions(options.command), "made_up": made_up()}
    if options.keep and results.get("about", about)["processor"] != about["processor"]:
        raise SystemExit(f"{os.path.relpath(RESULTS, jobs.SOURCE)} is of another processor: measure everything anew")
    results["about"] = about


def measure(results, options):
    networks = run(peer("keras", "models"))
    results["counts"] = networks["counts"]
    measure_peak(results, os.path.join(options.programs, "bench_engram"))
    prepared = False
    for m in Work(options.programs, networks["layers"]).all():
        if options.only not in m.key:
            continue
        if m.key.startswith("accuracy") and not prepared:
            run(peer("keras", "bases", *range(1, m.repeats + 1)))
            prepared = True
        results["measured"][m.key] = take_turns(m, 1 if options.quick else m.repeats)
        print(page.summary(m.key, results["measured"][m.key]), flush=True)
        if options.keep:
            write_results(results)
    measure_peak(results, os.path.join(options.programs, "bench_engram"))
    if options.keep:
        write_results(results)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("programs")
    parser.add_argument("command")
    parser.add_argument("--only", default="", metavar="WORD", help="only what has this word in its key; kept only with --keep")
    parser.add_argument("--keep", action="store_true", help="with --only or --quick: replace these results and write the page")
    parser.add_argument("--quick", action="store_true", help="one turn each: shows that everything runs; kept only with --keep")
    parser.add_argument("--write", action="store_true", help="measures nothing, writes the page from the results there are")
    options = parser.parse_args()
    options.keep = options.keep or options.write or not (options.only or options.quick)
    return options


def main():
    options = arguments()
    results = read_results() if options.only or options.write else {"measured": {}}
    if not options.write:
        describe(results, options)
        measure(results, options)
    if options.keep:
        page.write(results)


if __name__ == "__main__":
    main()
