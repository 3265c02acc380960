"""Runs a command while another process keeps one core busy: beside.py COMMAND ...

The other process stays on one core, as a program does that has its own work there; the command may use all.
"""
import os
import subprocess
import sys


def main(command):
    core = max(os.sched_getaffinity(0))
    other = subprocess.Popen([sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: pass"])
    try:
        return subprocess.run(command).returncode
    finally:
        other.kill()
        other.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
