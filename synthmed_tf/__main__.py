"""`python -m synthmed_tf`: the same as `synthmed`."""

from synthmed_tf.cli.main import main

if __name__ == "__main__":
    main(prog_name="synthmed")
