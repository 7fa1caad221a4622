"""Metrics in plain NumPy, and the same as streaming Keras metrics."""
