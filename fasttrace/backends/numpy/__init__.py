"""The reference: dense, eager, literally the book.  NumPy alone."""


def probe() -> None:
    """The reference is Python: it runs where it is imported."""
