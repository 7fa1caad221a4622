"""The prediction API: a server with TensorFlow Serving's interface, and a client for both servers."""
