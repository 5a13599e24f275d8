"""A robot that predicts: 2000 questions about 50 sensors, answered and learned at 100 Hz.

    python examples/horde.py                      ten minutes from a log, then one minute live; a picture
    python examples/horde.py --no-wait            the same as fast as it goes

The robot is made up: two joints that swing at their own pace, and fifty sensors that each answer to one pose,
with noise.  Every sensor is asked about at 40 time scales, from a fiftieth of a second to four seconds: how
much of it is to come, on average?  Features are tiles over the pose.
"""

import argparse
import time

import numpy as np

import fasttrace as ft

RATE = 100  # Hz
SENSORS, SCALES = 50, 40
BLOCK = 2000  # steps of the log that are learned at once
SHOWN = ((3, 5), (3, 25), (20, 39))  # sensor, time scale


class Robot:
    """Poses, as two phases in [0, 1), and what the sensors say."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.directions = self.rng.random((SENSORS, 2))
        self.phase = np.zeros(2)
        self.pace = np.array([1 / 3.0, 1 / 7.1]) / RATE  # turns a step

    def run(self, steps):
        """(steps, 2) poses and (steps, SENSORS) readings."""
        moved = self.pace * (1.0 + 0.3 * self.rng.standard_normal((steps, 2)))
        poses = (self.phase + np.cumsum(moved, axis=0)) % 1.0
        if steps:
            self.phase = poses[-1]
        near = np.cos(2 * np.pi * (poses[:, None] - self.directions)).sum(axis=2) - 2.0
        return poses, np.exp(2.0 * near) + 0.05 * self.rng.standard_normal((steps, SENSORS))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--log", type=int, default=60_000, help="steps of the log that is learned first")
    parser.add_argument("--steps", type=int, default=6000, help="steps at 100 Hz after it")
    parser.add_argument("--no-wait", action="store_true", help="as fast as it goes, not at 100 Hz")
    parser.add_argument("--plot", default="horde.png", help="where the picture goes")
    options = parser.parse_args()

    robot = Robot(seed=0)
    coder = ft.TileCoder([0, 0], [1, 1], tiles=12, tilings=16, wrap=(0, 1))
    horizons = np.geomspace(2, 4 * RATE, SCALES)  # in steps
    gamma = np.tile(1 - 1 / horizons, SENSORS)  # prediction j: sensor j // SCALES, scale j % SCALES
    share = 1 - gamma  # so that all predictions are averages
    horde = ft.Horde(coder.n_features, len(gamma), "TrueOnlineTD", alpha=0.2 / 16, gamma=gamma, lambda_=0.98)
    print(horde)

    # Ten minutes from a log: row t + 1 of the readings is what arriving in pose t + 1 brings.
    began = time.perf_counter()
    poses, readings = robot.run(options.log + 1)
    x = coder(poses)
    for t in range(0, options.log, BLOCK):
        arrivals = readings[t + 1 : t + BLOCK + 1]
        horde.learn(x[t : t + len(arrivals) + 1], np.repeat(arrivals, SCALES, axis=1) * share)
    seconds = time.perf_counter() - began
    print(f"log: {options.log / RATE / 60:.1f} minutes of robot in {seconds:.1f} s")

    # Live: predict, act, see what comes, learn.
    poses, readings = robot.run(options.steps + 1)
    predictions, took = np.empty((options.steps, len(gamma))), np.empty(options.steps)
    x, late, tick = coder(poses[0]), 0, time.perf_counter()
    for t in range(options.steps):
        began = time.perf_counter()
        predictions[t] = horde.predict(x)
        x_next = coder(poses[t + 1])
        horde.update(x, np.repeat(readings[t + 1], SCALES) * share, x_next)
        x = x_next
        took[t] = time.perf_counter() - began
        if not options.no_wait:
            tick += 1 / RATE
            late += time.perf_counter() > tick
            time.sleep(max(0.0, tick - time.perf_counter()))
    if options.steps:
        usual, most = 1e6 * np.median(took), 1e6 * np.quantile(took, 0.999)
        print(f"live: a step takes {usual:.0f} us, 99.9 % at most {most:.0f}; {late} of {options.steps} late")

    # What came, in hindsight; the last seconds are not known yet, and less than one says nothing.
    known = options.steps - 5 * int(horizons[-1])
    if known < RATE:
        print(f"what came is known after {RATE - known} steps more")
        return
    cumulants = np.repeat(readings[1:], SCALES, axis=1) * share
    came = ft.returns.discounted_sum(cumulants, gammas=np.broadcast_to(gamma, cumulants.shape))
    left = (predictions[:known] - came[:known]).var(axis=0) / came[:known].var(axis=0)
    print("of the variance of what came was predicted:")
    for scale in (0, 20, 39):
        print(f"  horizon {horizons[scale] / RATE:4.2f} s: {1 - left[scale::SCALES].mean():.0%}")
    plot(options.plot, predictions[:known], came[:known], horizons)
    print(f"picture: {options.plot}")


def plot(path, predictions, came, horizons):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(SHOWN), 1, sharex=True)
    seconds = np.arange(len(came)) / RATE
    shown = slice(0, 20 * RATE)
    for panel, (sensor, scale) in zip(panels, SHOWN, strict=True):
        j = sensor * SCALES + scale
        panel.plot(seconds[shown], came[shown, j], color="0.6", linewidth=2.5, label="what came")
        panel.plot(seconds[shown], predictions[shown, j], color="tab:blue", linewidth=1, label="predicted")
        panel.set_title(f"sensor {sensor}, horizon {horizons[scale] / RATE:.2f} s", fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, loc="upper right")
    panels[-1].set_xlabel("seconds")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
