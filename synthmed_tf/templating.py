"""The Jinja2 environment of all templates: everything is escaped, and a missing name is an error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthmed_tf.errors import SynthMedError

if TYPE_CHECKING:
    import jinja2


def environment(folder: Path, extra: str, **options: Any) -> jinja2.Environment:
    """The environment for the templates in a folder.

    Args:
        folder: of the templates.
        extra: of setup.cfg that includes Jinja2.
        options: of `jinja2.Environment`, in addition to those that all templates share.

    Raises:
        SynthMedError: Jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise SynthMedError(
            f'This needs the package Jinja2, which is not installed; run pip install "synthmed-tf[{extra}]".'
        ) from error
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )
