"""Many at once: predictions on one stream of features."""
