"""What the checks of a repository raise."""


class Refused(Exception):
    """Says what is wrong with a file, as the end of a sentence that begins with its name."""
