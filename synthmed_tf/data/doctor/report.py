"""What the data doctor found, and how it is told."""

import json
from dataclasses import asdict, dataclass

from synthmed_tf.errors import ERROR, NOTE, WARNING, Finding

SEVERITIES = {
    ERROR: "training would stop, or the pair is wrong",
    WARNING: "trains, but look at it",
    NOTE: "good to know",
}


@dataclass(frozen=True)
class Report:
    """What a folder holds and what is wrong with it.

    Attributes:
        folder: as it was given.
        layout: a key of `layouts.LAYOUTS`, or `unknown`.
        photographs, masks: how many files of each belong to the set, good or bad.
        patients: how many.
        sizes: of the photographs that could be read, such as `999x960`; the most frequent first.
        findings: the most severe first, then by path.
    """

    folder: str
    layout: str
    photographs: int
    masks: int
    patients: int
    sizes: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """2 with an error, 1 with a warning and no error, otherwise 0."""
        severities = {finding.severity for finding in self.findings}
        return 2 if ERROR in severities else 1 if WARNING in severities else 0

    def of(self, severity: str) -> list[Finding]:
        """The findings of a severity."""
        return [finding for finding in self.findings if finding.severity == severity]

    def to_json(self) -> str:
        """Everything above as JSON, in ASCII."""
        return json.dumps({**asdict(self), "exit_code": self.exit_code}, indent=2)

    def to_text(self) -> str:
        """For people: the counts, then the findings grouped by severity. Has no line break at the end."""
        lines = [
            f"{self.folder}: layout {self.layout}, {_count(self.photographs, 'photograph')}, "
            f"{_count(self.masks, 'vessel mask')}, {_count(self.patients, 'patient')}"
        ]
        if self.sizes:
            more = f" and {len(self.sizes) - 8} more" if len(self.sizes) > 8 else ""
            lines.append(f"sizes: {', '.join(self.sizes[:8])}{more}")
        for severity, meaning in SEVERITIES.items():
            found = self.of(severity)
            if found:
                lines += ["", f"{_count(len(found), severity)} ({meaning})"]
            for finding in found:
                lines += [f"  {finding.path}", f"    {finding.problem}", f"    remedy: {finding.remedy}"]
        if not self.findings:
            lines.append("nothing is wrong")
        return "\n".join(_printable(line) for line in lines)


def _count(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def _printable(line: str) -> str:
    # A file's name may hold line breaks, terminal codes or bytes that are no UTF-8.
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
