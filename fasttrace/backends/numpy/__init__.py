"""The reference: dense, eager, literally the book.  NumPy alone."""
