"""What kind of images a set holds: retinas by default, or others."""

from typing import Any, Literal, NamedTuple

FieldOfView = Literal["disc", "frame", "from_file"]
Structures = Literal["vessels", "any"]


class ImageKind(NamedTuple):
    """Which rules hold for a set's images and masks.

    Attributes:
        field_of_view: `disc`: read from its file, or else found as the part that is not black; `frame`: the whole
            image, of which the square in the middle is used; `from_file`: read from its file, which no image may lack.
        structures: what masks mark. `vessels`: thin and dark, at most half of the field of view; `any`: objects of any
            shape and brightness, such as cell nuclei.
    """

    field_of_view: FieldOfView = "disc"
    structures: Structures = "vessels"

    @property
    def place(self) -> str:
        """What an error calls the field of view."""
        return "frame" if self.field_of_view == "frame" else "field of view"

    @property
    def noun(self) -> str:
        """What an error calls a structure."""
        return "vessel" if self.structures == "vessels" else "object"

    @property
    def mask(self) -> str:
        """What a text calls a mask."""
        return "vessel mask" if self.structures == "vessels" else "mask"

    @property
    def most(self) -> float:
        """The share of the field of view above which a mask is taken for inverted or full."""
        return 0.5 if self.structures == "vessels" else 0.95

    def facts(self) -> dict[str, str]:
        """The attributes that differ from those of retinas."""
        return {name: value for name, value in self._asdict().items() if value != getattr(RETINA, name)}


RETINA = ImageKind()


def kind_of(data: Any) -> ImageKind:
    """The kind that a model's or a set's card tells: `facts` among the facts of any stage's data; retinas otherwise."""
    told = (facts for facts in data.values() if isinstance(facts, dict)) if isinstance(data, dict) else ()
    found = [{name: facts[name] for name in ImageKind._fields if name in facts} for facts in told]
    return RETINA._replace(**next(filter(None, found), {}))
