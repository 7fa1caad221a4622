"""What several commands use: the type of a folder, and lines for the user."""

from pathlib import Path

import click

FOLDER = click.Path(path_type=Path)


def say(line: str) -> None:
    """Writes a line to stderr; stdout is for results."""
    click.echo(line, err=True)


def parts(text: str | None) -> tuple[str, ...]:
    """The parts of a list with commas."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())
