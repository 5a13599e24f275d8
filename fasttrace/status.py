"""What a kernel in C or Numba answers, and the exception that each answer but OK is.

Whoever calls a kernel that returns a status hands it to `refuse` before it looks at a result:

    refuse(lib.ft_values(...), rows)         from . import refuse, in a backend, C or Numba

So what was not computed never comes back, whatever the status.
"""

from __future__ import annotations

from .errors import FeatureIndexError
from .features import Rows, raise_bad_index
from .layout import BAD_ACTION, BAD_INDEX, BAD_VALUE, OK


def refuse(status: int, rows: Rows | None = None, value: str = "a number is not in its range") -> None:
    """Raise unless the status is OK.

    rows   the features given: the index that is wrong is looked up there, to be told with its place
    value  what a BAD_VALUE means here

    Raises FeatureIndexError, IndexError for an action, ValueError; RuntimeError for any other number.
    """
    if status == OK:
        return
    if status == BAD_INDEX:
        if rows is not None:
            raise_bad_index(rows.indices, rows.n, shape=rows.shape)
        raise FeatureIndexError(
            "a feature index is out of range; none is now, so the array was written to meanwhile"
            if rows is not None
            else "a feature index is out of range"
        )
    if status == BAD_ACTION:
        raise IndexError("an action is out of range")
    if status == BAD_VALUE:
        raise ValueError(value)
    raise RuntimeError(f"a kernel returned {status}, which is no status that this version knows")
