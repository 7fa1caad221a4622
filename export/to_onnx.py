"""Exports a run as an ONNX file: the same as `synthmed export --format onnx`."""

import sys

from synthmed_tf.cli.main import main

if __name__ == "__main__":
    main(["export", "--format", "onnx", *sys.argv[1:]], prog_name="synthmed")
