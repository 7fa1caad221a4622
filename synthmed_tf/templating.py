"""The Jinja2 environment of all templates: everything is escaped, and a missing name is an error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthmed_tf.extras import require_extra

if TYPE_CHECKING:
    import jinja2


def environment(folder: Path, extra: str, **options: Any) -> jinja2.Environment:
    """The environment for the templates in a folder.

    Args:
        folder: of the templates.
        extra: of setup.cfg that includes Jinja2.
        options: of `jinja2.Environment`, in addition to those that all templates share.

    Raises:
        SynthMedError: a package of the extra is not installed.
    """
    require_extra(extra)
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )
