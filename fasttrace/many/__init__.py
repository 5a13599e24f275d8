"""Many at once: predictions on one stream of features, agents in worlds of their own."""
