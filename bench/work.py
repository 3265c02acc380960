"""What tools/bench measures: a list of measurements, each under a key. A new one is an entry here and a section in page.py."""
import math
import os
import sys

import jobs
from turns import Measurement, peer

PEERS = {"PyTorch": "torch", "PyTorch compiled": "compiled", "Keras": "keras"}
TRAIN_SECONDS, GROWTH_SECONDS, INFER_SECONDS, BUSY_SECONDS = 4.0, 1.0, 1.0, 2.0
INFER_BATCHES = (1, 256)
FISHER_EXAMPLES = 500
SEEDS = 3
BATCH_SIZES = {"mlp": (8, 32, 128, 512, 2048, 8192), "lenet": (8, 32, 128, 512, 2048)}
COMMON = ["finetune.optimizer=adam", "finetune.lr=0.001", "finetune.freeze=none", "data.validation=0", "data.preprocess=unit"]
UNPROTECTED = ["data.classes=keep", "remember.method=none"]


class Work:
    """The measurements, given the folder of Engram's programs and the layers of the networks."""

    def __init__(self, programs, layers):
        self.programs = programs
        self.layers = layers

    def engram(self, *arguments):
        return [os.path.join(self.programs, "bench_engram"), *map(str, arguments)]

    def fine_tune(self, model, new, keep, *settings, batch=128, epochs=1000):
        return self.engram("train", model, new, keep or "-", *COMMON, f"finetune.batch={batch}", f"finetune.epochs={epochs}", *settings)

    def all(self):
        for part in (self.training, self.inference, self.anchor, self.fisher, self.head_only, self.extras, self.busy, self.accuracy,
                     self.layer_times, self.growth):
            yield from part()

    # --- beside the peers -------------------------------------------------------------------------------------------------------------

    def job_command(self, job, model, *settings, epochs=1000):
        paths = [jobs.data_path(name) for name in job.sets] + [None]
        return self.fine_tune(model, paths[0], paths[1], *job.settings, *settings, batch=job.batch, epochs=epochs)

    def training(self):
        for name, job in jobs.TRAIN.items():
            commands = {worker: peer(side, "train", name, TRAIN_SECONDS) for worker, side in PEERS.items()}
            commands["Engram"] = self.job_command(job, jobs.model_path(job.network), f"bench.seconds={TRAIN_SECONDS}")
            yield Measurement("train " + name, lambda turn, c=commands: c, 5, optional=("PyTorch compiled",))

    def inference(self):
        for network in jobs.SHAPES:
            commands = {worker: peer(side, "infer", network, INFER_SECONDS, *INFER_BATCHES) for worker, side in PEERS.items()}
            commands["Engram"] = self.engram("infer", jobs.model_path(network), INFER_SECONDS, *INFER_BATCHES)
            yield Measurement("infer " + network, lambda turn, c=commands: c, 5, optional=("PyTorch compiled",))

    def accuracy(self):
        """Turns are seeds: all start from the same weights, written by Keras."""
        for name, epochs in jobs.ACCURACY_EPOCHS.items():
            def commands(turn, name=name, epochs=epochs):
                job, seed = jobs.TRAIN[name], turn + 1
                own = self.job_command(job, jobs.base_path(job.network, seed), f"run.seed={seed}", epochs=epochs)
                return {"PyTorch": peer("torch", "accuracy", name, epochs, seed),
                        "Keras": peer("keras", "accuracy", name, epochs, seed), "Engram": own}
            yield Measurement("accuracy " + name, commands, SEEDS)

    def fisher(self):
        program = os.path.join(self.programs, "bench_fisher")
        commands = {f"PyTorch {way}": peer("torch", "fisher", way, FISHER_EXAMPLES) for way in ("loop", "vmap")}
        commands["Engram"] = [program, jobs.model_path("lenet"), jobs.data_path("mnist"), str(FISHER_EXAMPLES)]
        yield Measurement("fisher lenet", lambda turn: commands, 5, check=same_sums)

    def busy(self):
        """The same steps while another process takes one core, and with one thread."""
        beside, alone = [sys.executable, os.path.join("bench", "beside.py")], ["env", "BENCH_THREADS=1", "OMP_NUM_THREADS=1"]
        for name in "mlp", "lenet":
            job = jobs.TRAIN[name]
            own = {"PyTorch": peer("torch", "train", name, BUSY_SECONDS),
                   "Engram": self.job_command(job, jobs.model_path(job.network), f"bench.seconds={BUSY_SECONDS}")}
            commands = {}
            for worker, command in own.items():
                commands |= {worker: command, worker + " beside": beside + command, worker + " alone": alone + command}
            yield Measurement("busy " + name, lambda turn, c=commands: c, 5)

    def layer_times(self):
        program = os.path.join(self.programs, "bench_layers")
        for network, texts in self.layers.items():
            texts = list(dict.fromkeys(texts))
            commands = {"Engram": [program, *texts], "PyTorch": peer("torch", "layers", *texts)}
            yield Measurement("layers " + network, lambda turn, c=commands: c, 5)

    # --- Engram alone -----------------------------------------------------------------------------------------------------------------

    def anchor(self):
        settings = ["remember.fisher_samples=100", "remember.strength=0.01", "remember.budget=1", "bench.seconds=3"]
        commands = {word: self.fine_tune(jobs.model_path("mlp"), jobs.data_path("fashion-mnist"), jobs.data_path("mnist"), *settings,
                                         "remember.method=" + method) for word, method in (("without", "none"), ("with", "ewc"))}
        yield Measurement("anchor mlp", lambda turn: commands, 5)

    def head_only(self):
        model, data = jobs.model_path("lenet"), jobs.data_path("mnist")
        settings = [*UNPROTECTED, "finetune.freeze=4", "bench.bare=1"]
        commands = {"forward": self.engram("forward", model, data, 128)}
        commands |= {f"{n} epochs": self.fine_tune(model, data, None, *settings, epochs=n) for n in (0, 10)}
        yield Measurement("head lenet", lambda turn: commands, 5)

    def extras(self):
        out = os.path.join(jobs.WORK, "run")
        own = {"bare": ["bench.bare=1"], "with extras": ["bench.out=" + out]}
        for network in "mlp", "lenet":
            commands = {worker: self.fine_tune(jobs.model_path(network), jobs.data_path("mnist"), None, *UNPROTECTED, *words, epochs=3)
                        for worker, words in own.items()}
            yield Measurement("extras " + network, lambda turn, c=commands: c, 5)

    # --- how cost grows ---------------------------------------------------------------------------------------------------------------

    def grow(self, key, command):
        return Measurement("growth " + key, lambda turn: {"Engram": command}, 3)

    def timed(self, model, *settings, batch=128):
        return self.fine_tune(model, jobs.data_path("mnist"), None, *UNPROTECTED, f"bench.seconds={GROWTH_SECONDS}", *settings, batch=batch)

    def growth(self):
        for network, sizes in BATCH_SIZES.items():
            for batch in sizes:
                yield self.grow(f"batch {network} {batch}", self.timed(jobs.model_path(network), batch=batch))
        for name in jobs.grown_networks():
            yield self.grow(name.replace("mlp-w", "width ").replace("mlp-d", "depth "), self.timed(jobs.model_path(name)))
        for n in jobs.EXAMPLES:
            yield self.grow(f"examples {n}", self.fine_tune(jobs.model_path("mlp"), jobs.subset_path(n), None, *UNPROTECTED, epochs=3))
        for tasks in jobs.OLD_TASKS:
            yield self.grow(f"tasks {tasks}", self.with_old_tasks(tasks))

    def with_old_tasks(self, tasks):
        keep = ",".join(jobs.pair_path(k) for k in range(tasks))
        return self.fine_tune(jobs.model_path("lenet"), jobs.pair_path(4), keep, "data.classes=keep", "remember.method=rehearsal",
                              "remember.mix=0.5", "remember.budget=1", f"bench.seconds={GROWTH_SECONDS}")


def same_sums(fields):
    """The sides must estimate the same: the sum over each parameter agrees."""
    for worker, f in fields.items():
        for own, other in zip(fields["Engram"]["sums"], f["sums"], strict=True):
            if not math.isclose(own, other, rel_tol=1e-3):
                raise SystemExit(f"fisher: {worker} and Engram disagree: {other} and {own}")
