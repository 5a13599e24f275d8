"""The exceptions that are fasttrace's own.  Everything else is a built-in: ValueError, TypeError, ..."""


class FeatureIndexError(IndexError):
    """A feature index below -1 or not below the number of features.  Nothing has been learned from it."""


class BackendUnavailable(RuntimeError):  # noqa: N818 - the public name, fixed by the contract
    """A backend that was asked for by name is not there; the message says why."""


class CheckpointError(ValueError):
    """A checkpoint that is damaged, truncated, not ours, or of a newer version."""


# What an environment may do wrong; every backend says it alike.
NOT_FINITE = "the environment gave a state or reward that is not finite, or a gamma outside [0, 1]"


def no_feature(state: float, n: int) -> str:
    return f"state {state} is not one of the one-hot features 0 to {n - 1}; give a coder for other states"
