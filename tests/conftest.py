"""Settings of the whole test suite."""

from hypothesis import settings

# The first call of a Numba kernel compiles it; a deadline would be a test of time.
settings.register_profile("fasttrace", deadline=None, max_examples=40)
settings.load_profile("fasttrace")
