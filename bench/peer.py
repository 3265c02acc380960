"""A peer's side of the benchmark: one job a process, one JSON object on stdout.

    peer.py torch|compiled|keras train JOB SECONDS     rate of the steps, time to the first one, memory
    peer.py torch|compiled|keras infer NETWORK SECONDS BATCH ...
    peer.py torch|keras accuracy JOB EPOCHS SEED       on the test parts, from build/bench/NETWORK-SEED.h5
    peer.py torch fisher loop|vmap EXAMPLES            the exact Fisher information of LeNet-5
    peer.py torch layers LAYER ...                     as bench_layers
    peer.py keras models                               writes the networks for Engram to load, prints their arithmetic
    peer.py keras bases SEED ...                       writes the networks that `accuracy` starts from

Bytes stay bytes in memory and are divided by 255 a batch (Keras: float32 in memory, as its fit() wants them): the loops a careful user
writes, eager and compiled PyTorch and Keras' fit(). BENCH_START and BENCH_THREADS as in engram.c.
"""
import sys


def main(peer, what, *arguments):
    if peer == "keras":
        import keras_peer as side
    else:
        import torch_peer as side
    numbers = [float(a) if "." in a else int(a) if a.isdigit() else a for a in arguments]
    if peer == "compiled":
        side.compiles(True)
    getattr(side, what)(*numbers)


if __name__ == "__main__":
    main(*sys.argv[1:])
