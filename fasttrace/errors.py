"""The exceptions that are fasttrace's own.  Everything else is a built-in: ValueError, TypeError, ..."""


class FeatureIndexError(IndexError):
    """A feature index below -1 or not below the number of features.  Nothing has been learned from it."""


class BackendUnavailable(RuntimeError):  # noqa: N818 - the public name, fixed by the contract
    """A backend that was asked for by name is not there; the message says why."""


class CheckpointError(ValueError):
    """A checkpoint that is damaged, truncated, not ours, or of a newer version."""
