"""Learners with linear features: of state values, of action values, with two weight vectors, and the rest."""
