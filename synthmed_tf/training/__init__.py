"""Training: everything before the artifact."""
