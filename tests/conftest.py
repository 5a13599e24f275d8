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


@pytest.fixture(autouse=True, scope="module")
def _what_is_compiled_stays():
    """Collections need not walk over what modules before this have compiled: it took much of the time."""
    gc.freeze()
