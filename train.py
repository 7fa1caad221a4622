"""Trains both stages or one of them: the same as `synthmed train`."""

import sys

from synthmed_tf.cli.main import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]], prog_name="synthmed")
