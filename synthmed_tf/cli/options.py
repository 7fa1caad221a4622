"""What several commands use: the type of a folder, and lines for the user."""

from pathlib import Path
from typing import Any

import click

from synthmed_tf import stores
from synthmed_tf.errors import SynthMedError


class _Folder(click.ParamType):
    """A path on this disk."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        if isinstance(value, str) and "://" in value:
            raise SynthMedError(f"Option {param.opts[0] if param else value} needs a folder on this disk.")
        return Path(value)


class _Place(click.ParamType):
    """A path on this disk or in an object store."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        return stores.place(value)


FOLDER, PLACE = _Folder(), _Place()


def say(line: str) -> None:
    """Writes a line to stderr; stdout is for results."""
    click.echo(line, err=True)


def parts(text: str | None) -> tuple[str, ...]:
    """The parts of a list with commas."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())
