"""A clock for loops in pieces that tests may set."""

import signal

from fasttrace import pieces


class Clock:
    """Every piece takes the time that it should: sizes stay.  SIGINT comes at one of the looks at it."""

    def __init__(self, interrupt=0):
        self.looks, self.interrupt = 0, interrupt

    def perf_counter(self):
        self.looks += 1
        if self.looks == self.interrupt:
            signal.raise_signal(signal.SIGINT)
        return self.looks * pieces._AIM
