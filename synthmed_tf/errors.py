"""What goes wrong: the finding, one thing that is wrong with one file, and the error that a user is meant to see."""

import os
from dataclasses import dataclass

ERROR, WARNING, NOTE = "error", "warning", "note"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one file.

    Attributes:
        severity: `error`, `warning` or `note`.
        path: the file or folder, as text; relative to the folder that was checked where a report says so.
        problem: what was found; reads on from the path.
        remedy: what to do.
    """

    severity: str
    path: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path} {self.problem}; {self.remedy}."


class SynthMedError(Exception):
    """Something that the user can put right.

    The message is one sentence that names the file or field, what was found and what to do. The command line prints
    it without a traceback and exits with code 2.

    Attributes:
        path: the file or folder, as text; empty where the error is about no file.
        problem: what was found; the whole sentence where no remedy was given apart.
        remedy: what to do; empty likewise.

    Example:
        >>> str(SynthMedError("is empty (0 bytes)", "copy it again from its source", path="a.png"))
        'a.png is empty (0 bytes); copy it again from its source.'
    """

    def __init__(self, problem: str, remedy: str = "", path: str | os.PathLike[str] = "") -> None:
        sentence = f"{os.fspath(path)} {problem}" if path else problem
        super().__init__(f"{sentence}; {remedy}." if remedy else sentence)
        self.path, self.problem, self.remedy = os.fspath(path), problem, remedy

    def finding(self, path: str | os.PathLike[str], severity: str = ERROR) -> Finding:
        """The error as a finding.

        Args:
            path: the file or folder it is about where the error names none.
            severity: of the finding.
        """
        return Finding(severity, self.path or os.fspath(path), self.problem, self.remedy)
