"""The prediction API: TensorFlow Serving's interface on one machine, and a client for both."""
