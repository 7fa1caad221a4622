"""What several commands use: the type of a folder, options, and lines for the user."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click

from synthmed_tf import stores
from synthmed_tf.config.image_kind import FieldOfView, ImageKind, Structures
from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting import pretrained


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


class _Model(click.ParamType):
    """The folder of an artifact, as a place, or the name of a model that the package holds."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        return pretrained.located(value)


FOLDER, PLACE, MODEL = _Folder(), _Place(), _Model()

field_of_view_option = click.option(
    "--field-of-view",
    type=click.Choice(get_args(FieldOfView)),
    help="disc (from a file, or what is not black; the default), frame (the whole image), or from_file.",
)
structures_option = click.option(
    "--structures",
    type=click.Choice(get_args(Structures)),
    help="What masks mark: vessels (thin and dark; the default), or any objects.",
)


def kind_options(command: Callable) -> Callable:
    """Adds both options to a command, which gets them as `kind`."""

    @field_of_view_option
    @structures_option
    @functools.wraps(command)
    def with_kind(*args, field_of_view: FieldOfView | None, structures: Structures | None, **options):
        kind = ImageKind(field_of_view or "disc", structures or "vessels")
        return command(*args, kind=kind, **options)

    return with_kind


def say(line: str) -> None:
    """Writes a line to stderr; stdout is for results."""
    click.echo(line, err=True)


def parts(text: str | None) -> tuple[str, ...]:
    """The parts of a list with commas."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())
