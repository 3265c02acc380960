"""What the peers' sides share: time, memory, the one JSON object on stdout."""
import json
import os
import resource
import time

THREADS = int(os.environ.get("BENCH_THREADS", "2"))
WARM_SECONDS = 0.3  # from the first step on: not counted; as in engram.c
WARM_CALLS = 20


def report(**values):
    values["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    print(json.dumps(values))


def since_start(moment):
    """Seconds since the process was asked for."""
    return moment - float(os.environ.get("BENCH_START", moment))


def repeat(call, batch, seconds):
    """Images a second of call()."""
    for _ in range(WARM_CALLS):
        call()
    began, calls = time.time(), 0
    while time.time() - began < seconds:
        call()
        calls += 1
    return calls * batch / (time.time() - began)


class Stretches:
    """Times steps within epochs, as engram.c does: what is between epochs is not counted."""

    def __init__(self, seconds):
        self.wanted = seconds
        self.first = self.began = None
        self.seconds = self.steps = self.steps_here = 0

    def step(self):
        """Call after each step; true when enough was measured."""
        now = time.time()
        self.first = self.first or now
        if now - self.first < WARM_SECONDS:
            return False
        if self.began is None:
            self.began, self.steps_here = now, 0
        else:
            self.steps_here += 1
        self.last = now
        return self.seconds + now - self.began >= self.wanted

    def end_epoch(self):
        if self.began is not None:
            self.seconds += self.last - self.began
            self.steps += self.steps_here
        self.began = None

    def report(self, batch, **more):
        report(images_per_second=self.steps * batch / self.seconds, step_us=self.seconds / self.steps * 1e6,
               first_step=since_start(self.first), **more)
