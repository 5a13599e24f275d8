"""The steps of Numba and of C inside a user's own compiled loop, on the stream of the targets."""

import pytest

from .cases import BACKENDS, KERNELS, Spec, there
from .workloads import smooth_8


@pytest.mark.skipif("numba" not in there(), reason="the loop is compiled by Numba")
@pytest.mark.parametrize("backend", sorted(set(there()) - {"numpy"}))
@pytest.mark.parametrize("kernel", KERNELS)
def test_embedded(time_case, kernel, backend):
    from .embedded import embedded_case

    spec = Spec(BACKENDS[backend], kernel, 0.99)
    time_case(embedded_case(spec, smooth_8()), "inside a compiled loop, L8")
