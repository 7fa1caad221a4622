"""Is a synthetic set useful, and does it give a patient away."""
