"""The models that the package holds: artifacts that have names instead of folders."""

import os
from pathlib import Path

from synthmed_tf import stores

FOLDER = Path(__file__).resolve().parents[1] / "pretrained"
"""Where they are, in folders of their names."""


def names() -> list[str]:
    """The names of the models, in order."""
    return sorted(card.parent.name for card in FOLDER.glob("*/card.json"))


def located(model: str | os.PathLike[str]) -> Path:
    """The folder of a model of the package, or the place as `stores.place` has it.

    A folder of the same name in the current one comes first.
    """
    place = stores.place(model)
    return FOLDER / place.name if str(place) in names() and not place.exists() else place
