"""What a kernel answers ends in a result or in an exception, whatever it answers."""

import numpy as np
import pytest

import fasttrace as ft
from fasttrace.features import parse_rows
from fasttrace.status import refuse


@pytest.mark.parametrize(
    ("status", "error"), [(-1, ft.FeatureIndexError), (-2, IndexError), (-3, ValueError), (-4, RuntimeError)]
)
def test_every_status_but_ok_is_an_exception(status, error):
    """Also an index that is no longer wrong when it is looked up, and numbers that no kernel returns yet."""
    refuse(0)
    with pytest.raises(error):
        refuse(status)
    with pytest.raises(error):
        refuse(status, parse_rows(np.array([[0], [1]]), 3))
