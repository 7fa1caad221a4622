"""Names that files of earlier versions have for a field."""

from typing import Any

_NEW = {
    "licence": "license",
    "picture_every": "image_every",
    "real_pictures": "real_images",
    "strangers": "impostors",
    "highest_stranger": "highest_impostor",
    "disguised": "augmented",
    "photograph": "image",
    "photographs": "images",
    "synthetic_photographs": "synthetic_images",
}


def renamed(values: Any) -> Any:
    """A file's fields by their present names; the present name wins where both are there.

    Args:
        values: what was read; anything but a dict is returned as it is.

    Example:
        >>> renamed({"licence": "CC0-1.0", "size": 64})
        {'license': 'CC0-1.0', 'size': 64}
    """
    if not isinstance(values, dict):
        return values
    old = {_NEW[name]: value for name, value in values.items() if name in _NEW}
    return old | {name: value for name, value in values.items() if name not in _NEW}
