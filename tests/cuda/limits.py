"""No kernel takes more registers, spills or shared memory than limits.tsv says, on any target of a release, and vectors are still vectors.

limits.py FOLDER: what `compile` left there: <family>.txt, ptxas' words for each target, and <family>.ptx, what they were made of.
A line of limits.tsv is for the kernels that its pattern matches and no line before it; each has to match one on every target.
ptxas makes one 128-bit instruction of each v4 of PTX, which states it outright: so they are counted there.
"""
import collections
import fnmatch
import glob
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TARGETS = ("sm_75", "sm_80", "sm_90", "sm_100", "sm_120")
COLUMNS = TARGETS + ("spill", "shared", "loads", "stores")
Used = collections.namedtuple("Used", "registers spill shared")


def ptxas(text):
    """{(kernel, target): Used} of `ptxas -v`."""
    found = {}
    for part in re.split(r"Compiling entry function ", text)[1:]:
        kernel, target = re.match(r"'(\w+)' for '(\w+)'", part).groups()
        spill = sum(map(int, re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", part).groups()))
        shared = re.search(r"(\d+) bytes smem", part)
        found[kernel, target] = Used(int(re.search(r"Used (\d+) registers", part).group(1)), spill, int(shared.group(1)) if shared else 0)
    return found


def vectors(ptx):
    """{kernel: (128-bit loads, 128-bit stores)} of global memory."""
    return {re.match(r"\w+", part).group(): tuple(len(re.findall(r"\b%s\.global(?:\.\w+)*\.v4\.f32\b" % word, part)) for word in ("ld", "st"))
            for part in ptx.split(".entry ")[1:]}


def read(folder):
    used, wide, wrong = {}, {}, []
    for name in sorted(glob.glob(os.path.join(folder, "*.txt"))):
        text = open(name).read()
        wrong += [line for line in text.splitlines() if "warning" in line]
        used.update(ptxas(text))
        wide.update(vectors(open(name[:-3] + "ptx").read()))
    return used, wide, wrong


def table(name):
    """[(pattern, {column: limit})]; '-' is no limit."""
    lines = [line.split() for line in open(name) if line.strip() and not line.startswith("#")]
    assert lines[0] == ["kernel", *COLUMNS], "%s: wanted the columns %s, found %s" % (name, " ".join(COLUMNS), " ".join(lines[0][1:]))
    return [(line[0], {c: int(x) for c, x in zip(COLUMNS, line[1:], strict=True) if x != "-"}) for line in lines[1:]]


def check(used, wide, limits):
    """What is wrong, a line each."""
    wrong, met = [], set()
    for (kernel, target), u in sorted(used.items()):
        pattern, limit = next(((p, l) for p, l in limits if fnmatch.fnmatchcase(kernel, p)), (None, {}))
        met.add((pattern, target))
        loads, stores = wide[kernel]
        for what, found, most in (("registers", u.registers, limit.get(target)), ("spill", u.spill, limit.get("spill")),
                                  ("shared", u.shared, limit.get("shared"))):
            if most is not None and found > most:
                wrong.append("%s on %s: %s wanted at most %d, found %d" % (kernel, target, what, most, found))
        for what, found in (("loads", loads), ("stores", stores)):
            if found < limit.get(what, 0):
                wrong.append("%s: 128-bit %s wanted at least %d, found %d" % (kernel, what, limit[what], found))
    wrong += ["%s on %s: no such kernel was compiled" % (p, t) for p, _ in limits for t in TARGETS if (p, t) not in met]
    return wrong


def planted(used, wide, limits):
    """The check has to see each limit of each line when it is missed by one, and a kernel that is not there."""
    for i, (pattern, limit) in enumerate(limits):
        before = [p for p, _ in limits[:i]]
        mine = [(k, t, u) for (k, t), u in used.items()
                if fnmatch.fnmatchcase(k, pattern) and not any(fnmatch.fnmatchcase(k, p) for p in before)]
        found = {t: max(u.registers for _, at, u in mine if at == t) for t in TARGETS}
        found.update(spill=max(u.spill for *_, u in mine), shared=max(u.shared for *_, u in mine),
                     loads=min(wide[k][0] for k, *_ in mine), stores=min(wide[k][1] for k, *_ in mine))
        for column in limit:
            short = dict(limit, **{column: found[column] + (1 if column in ("loads", "stores") else -1)})
            seen = check(used, wide, limits[:i] + [(pattern, short)] + limits[i + 1:])
            assert seen, "%s: %s missed by one was not seen" % (pattern, column)
    assert any("eg_not_there" in w for w in check(used, wide, limits + [("eg_not_there", {})])), "a kernel that is not there was not seen"


def main():
    used, wide, wrong = read(sys.argv[1])
    limits = table(os.path.join(HERE, "limits.tsv"))
    wrong += check(used, wide, limits)
    print("\n".join(wrong) or "%d kernels on %d targets are within %d lines of limits" % (len(wide), len(TARGETS), len(limits)))
    if not wrong:
        planted(used, wide, limits)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
