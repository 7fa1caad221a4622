"""The command line, `synthmed`. TensorFlow is imported only by the commands that need it."""
