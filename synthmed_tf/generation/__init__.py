"""Synthetic sets: generated, written, resumed and verified."""
