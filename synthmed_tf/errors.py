"""The one error that a user is meant to see."""


class SynthMedError(Exception):
    """Something that the user can put right.

    The message is one sentence that names the file or field, what was found and what to do. The command line prints
    it without a traceback and exits with code 2.
    """
