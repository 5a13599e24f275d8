"""Saves that are killed: `python tests/kills.py [kills]`, by default 1000.  Each time the file is whole.

A child process saves learners, one after the other, to the same file; it is killed after a time at random,
and what is there must load, and be one of those that were saved, not older than the last one it told of.
"""

import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import fasttrace as ft

N = 20_000


def save_on(path, number, pipe):
    """Save learners, number and up, and tell of each that is saved; for ever."""
    learner = ft.TD(N, alpha=0.1)
    while True:
        learner.weights = np.full(N, float(number))
        learner.save(path)
        os.write(pipe, b"%d\n" % number)
        number += 1


def killed(path, number, seconds):
    """What a child told of that was killed so many seconds after its first save."""
    told, tells = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        save_on(path, number, tells)
    os.close(tells)
    with open(told, "rb") as file:
        first = file.readline()
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return [int(each) for each in (first + file.read()).split()]


def main(kills):
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "learner.npz")
        ft.TD(N, alpha=0.1).save(path)
        last = amid = 0
        for _ in range(kills):
            told = killed(path, last + 1, rng.uniform(0.0, 0.03))
            amid += len(os.listdir(folder)) > 1  # the beginning of a file was left behind
            weights = ft.load(path).weights
            last = int(weights[0])
            assert np.all(weights == last), "made of two"
            assert last >= told[-1], f"an old one, {last}; told of {told[-1]}"
        ft.load(path).save(path)
        assert os.listdir(folder) == [path.name], "left behind"
    print(f"{kills} kills, {amid} of them in the midst of writing, {last} saves, none lost")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
