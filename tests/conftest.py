"""Settings of the whole test suite."""

import gc
import signal

import pytest
from hypothesis import settings

# The first call of a Numba kernel compiles it; a deadline would be a test of time.
settings.register_profile("fasttrace", deadline=None, max_examples=20, derandomize=True, database=None)
settings.load_profile("fasttrace")

# A suite that a shell runs in the background is born deaf to SIGINT, which some tests raise.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Long modules come first, and not side by side those that compile the same kernels: each would compile them.
# Beside test_state stand those with kernels of their own; test_checks comes then, and finds what all of them
# have compiled; beside it is what shares none with it.
FIRST = [
    "test_state",
    "test_neural_remedies",
    "test_neural_stream",
    "test_plasticity",
    "test_neural_memory",
    "test_returns_ways",
    "test_checks",
    "test_embed",
    "test_simulate",
    "test_examples",
    "test_linear",
    "test_bad_input",
    "test_adaptive",
    "test_horde",
    "test_wide",
    "test_control",
    "test_gradient",
    "test_long_runs",
    "test_book",
    "test_population",
    "test_theory",
    "test_plasticity_learns",
    "test_neural_experiments",
    "test_sweep",
    "test_backends",
]


# What Numba compiles is millions of objects that stay, and what it drops is soon dropped: walks over all of
# them took a tenth of the time.
gc.set_threshold(50_000, 20, 1000)


def pytest_configure(config):
    """Workers of pytest-xdist take modules in the order that they are collected in."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: FIRST.index(name) if (name := item.path.stem) in FIRST else len(FIRST))


@pytest.fixture(autouse=True, scope="module")
def _what_is_compiled_stays():
    """Collections need not walk over what modules before this have compiled: it took much of the time."""
    gc.freeze()
