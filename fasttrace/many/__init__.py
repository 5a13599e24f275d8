"""Many learners at once."""
