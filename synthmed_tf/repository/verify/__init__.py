"""What `synthmed repository check` verifies."""
