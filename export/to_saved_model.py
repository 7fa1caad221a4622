"""Exports a run as a SavedModel: the same as `synthmed export --format savedmodel`."""

import sys

from synthmed_tf.cli.main import main

if __name__ == "__main__":
    main(["export", "--format", "savedmodel", *sys.argv[1:]], prog_name="synthmed")
