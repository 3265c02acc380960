"""What kernels ask of memory is what their comments say: whole sectors, each once, and banks without conflicts.

traffic.py KERNELS LIBRARIES: the program bench_kernels and the folder of the stand-in for CUDA's runtime. A section of traffic.tsv is one run of
one operation on the simulator, on a GPU of so many multiprocessors; its lines are for kernels that this launches:
    sectors    32-byte sectors a request of a warp touches, at most: 4 is a float a lane in a row, 16 a float4 a lane
    conflicts  passes through the banks of shared memory that an access takes beyond what its width needs, at most
    bytes      what the kernel's comment says that it reads and writes, for this shape
    factor     32 x sectors, over `bytes`, at most
Caches are not simulated: what a kernel reads again from a cache counts again, and `bytes` says so too.
"""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def sections(name):
    """[(processors, job, [(kernel, {column: limit})])]"""
    found = []
    for line in open(name):
        fields = line.rstrip("\n").split("\t")
        if line.startswith("#") or not line.strip():
            continue
        if len(fields) == 2:
            found.append((fields[0], fields[1], []))
        else:
            kernel, sectors, conflicts, amount, factor = fields
            product = eval(amount, {"__builtins__": {}})  # arithmetic, kept as such so that it can be read
            found[-1][2].append((kernel, dict(sectors=float(sectors), conflicts=float(conflicts), bytes=product, factor=float(factor))))
    return found


def counters(program, libraries, processors, job):
    """{kernel: {column: number}} of one run."""
    with tempfile.NamedTemporaryFile("r") as out:
        env = dict(os.environ, LD_LIBRARY_PATH=libraries, CUDASIM_CHECK="0", CUDASIM_COUNT=out.name, CUDASIM_PROCESSORS=processors)
        ran = subprocess.run([program, "--device", "cuda", "--own", "yes", "--once", "yes", "--only", job], env=env, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.splitlines()[2].split("\t")[0] == job and len(ran.stdout.splitlines()) == 3, "one job wanted:\n" + ran.stdout
        names, *lines = [line.split("\t") for line in out.read().splitlines()]
    return {line[0]: dict(zip(names[1:], map(float, line[1:]))) for line in lines}


def measured(c, limit):
    return dict(sectors=c["global_sectors"] / c["global_requests"], conflicts=c["shared_conflicts"] / max(c["shared_requests"], 1),
                factor=32 * c["global_sectors"] / limit["bytes"])


def check(found, limits):
    """What is wrong with a section, a line each."""
    wrong = []
    for kernel, limit in limits:
        if kernel not in found:
            wrong.append("%s was not launched, but %s" % (kernel, ", ".join(found)))
            continue
        values = measured(found[kernel], limit)
        wrong += ["%s: %s wanted at most %g, found %.3f" % (kernel, what, limit[what], x) for what, x in values.items() if x > limit[what]]
        if values["factor"] < 0.98:
            wrong.append("%s: the model says %g bytes, found %g: one of them is wrong" % (kernel, limit["bytes"], limit["bytes"] * values["factor"]))
    return wrong


def planted(found, limits):
    """Each limit that is missed by a little is seen."""
    for i, (kernel, limit) in enumerate(limits):
        for what, value in measured(found[kernel], limit).items():
            short = limits[:i] + [(kernel, dict(limit, **{what: value - 0.001}))] + limits[i + 1:]
            assert check(found, short), "%s: %s missed was not seen" % (kernel, what)
    assert check(found, [("eg_not_there", limits[0][1])]), "a kernel that is not there was not seen"


def main():
    wrong, kernels = [], 0
    for processors, job, limits in sections(os.path.join(HERE, "traffic.tsv")):
        found = counters(sys.argv[1], sys.argv[2], processors, job)
        bad = check(found, limits)
        wrong += ["%s, %s multiprocessors: %s" % (job, processors, w) for w in bad]
        kernels += len(limits)
        if not bad:
            planted(found, limits)
    print("\n".join(wrong) or "%d kernels ask for what they should" % kernels)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
