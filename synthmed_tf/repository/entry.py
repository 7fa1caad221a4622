"""What a repository says of its sets: `entry.json` of a version, and `repository.json`, the search index over all.

    <repository>/
      metadata/                      The Update Framework: root, targets, a role a version, snapshot, timestamp
      targets/<sha256>.repository.json    the search index that the metadata announces as `repository.json`
      targets/repository.json        a copy of it, for readers that know nothing of metadata
      targets/<name>/<version>/
        entry.json  README.md  croissant.json  card.json
        thumbnail.png  previews/00000000.image.png  previews/00000000.mask.png
        imagefolder/train-00000-of-00001.zip
        tfrecord/synthmed-train.tfrecord-00000-of-00001  tfrecord/features.json  tfrecord/dataset_info.json
        report/report.json             where it was evaluated
        generator/                     the artifact, where it is shared
      targets/<name>/<version>/tombstone.json    all that is left of a version that was withdrawn

A version is immutable. Every file below `targets/` is announced by the signed metadata. The index alone changes, so
that it lies where consistent snapshots of The Update Framework have it, under its hash: while a publisher is at work,
the old and the new one are both there. The copy follows a moment after `metadata/timestamp.json`. All else lies under
its own name.
"""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

import pydantic

from synthmed_tf.evaluation.verdict import Answer, State
from synthmed_tf.old_names import renamed

SCHEMA_VERSION: Literal["1"] = "1"
"""Rises when a field is removed or means something else; a new field leaves it."""

ENTRY = "entry.json"
TOMBSTONE = "tombstone.json"
INDEX = "repository.json"
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
VERSION = re.compile(r"(0|[1-9]\d{0,8})(\.(0|[1-9]\d{0,8})){2}")

Digest = Annotated[str, pydantic.StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, pydantic.StringConstraints(pattern=rf"^{NAME.pattern}$", max_length=64)]
Version = Annotated[str, pydantic.StringConstraints(pattern=rf"^{VERSION.pattern}$")]
Line = Annotated[str, pydantic.StringConstraints(min_length=1, max_length=300)]
Text = Annotated[str, pydantic.StringConstraints(max_length=10_000)]


class _Model(pydantic.BaseModel):
    # An older client reads what a newer publisher wrote: fields that it does not know are left alone.
    model_config = pydantic.ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    @pydantic.model_validator(mode="before")
    @classmethod
    def _by_present_names(cls, values: Any) -> Any:
        return renamed(values)


class File(_Model):
    """A file of a version.

    Attributes:
        path: below the version's folder, with `/`; see `paths.check`.
        size: in bytes.
        sha256: of its bytes.
        role: what it belongs to: a format (`imagefolder`, `tfrecord`, ...), `preview`, `report`, `generator` or
            `description`.
    """

    path: str
    size: Annotated[int, pydantic.Field(ge=0)]
    sha256: Digest
    role: str


class Preview(_Model):
    """A pair to look at: `index` in the seed's endless set, and the paths of two PNG files."""

    index: Annotated[int, pydantic.Field(ge=0)]
    image: str
    mask: str


class Evaluation(_Model):
    """The result of `synthmed evaluate`.

    Attributes:
        verdict: over all.
        quick: whether it was a quick look.
        created: when, in UTC.
        verdicts: an answer for each question that was asked.
        not_asked: questions that were not.
    """

    verdict: State
    quick: bool
    created: datetime
    verdicts: tuple[Answer, ...]
    not_asked: tuple[str, ...]


class Generator(_Model):
    """The artifact that generated the set, where it is shared.

    Attributes:
        onnx: path of `generator.onnx`, or None.
        savedmodel: path of the SavedModel's version folder, or None.
        attacked: whether the evaluation attacked its weights too, so that the verdict on membership holds for them;
            otherwise it is not known what they give away.
    """

    onnx: str | None = None
    savedmodel: str | None = None
    attacked: bool = False


class TrainingData(_Model):
    """What the generator was trained on, as far as it is known; None is not known.

    Attributes:
        name, license, attribution, url: of the data, as the publisher states them.
        facts: what the artifact's card says of the data (layout, images, patients, fingerprint).
    """

    name: Line | None = None
    license: Line | None = None
    attribution: Text | None = None
    url: Line | None = None
    facts: dict[str, Any] = {}


class Entry(_Model):
    """One version of a set.

    Attributes:
        name, version: `retina-chase` and `1.0.0`.
        title, description, creators, license, keywords: of the set, as the publisher states them.
        published: when, in UTC.
        organ, modality: what the images show, such as `retina` and `fundus photography`.
        size: of the images, pixels a side.
        count: pairs.
        model_sha256, precision, seed: with a pair's index, what it can be generated again from.
        first_index, last_index: the range that the pairs' indices lie in; both are in the set.
        formats: that it can be had in; each is a folder.
        training_data: of the generator.
        evaluation: None where it was not evaluated.
        generator: None where it is not shared.
        thumbnail: path of a PNG file.
        previews: pairs to look at.
        made_with: version of the program.
        files: all but `entry.json` itself.
    """

    kind: Literal["synthmed entry"] = "synthmed entry"
    schema_version: Literal["1"] = SCHEMA_VERSION
    name: Name
    version: Version
    title: Line
    description: Text
    creators: tuple[Line, ...]
    license: Line
    keywords: tuple[Line, ...] = ()
    published: datetime
    organ: Line
    modality: Line
    size: Annotated[int, pydantic.Field(ge=1)]
    count: Annotated[int, pydantic.Field(ge=1)]
    model_sha256: Digest
    precision: str
    seed: int
    first_index: int
    last_index: int
    formats: tuple[str, ...]
    training_data: TrainingData
    evaluation: Evaluation | None
    generator: Generator | None
    thumbnail: str
    previews: tuple[Preview, ...]
    made_with: str
    files: tuple[File, ...]


class Withdrawal(_Model):
    """When a version was taken out of circulation, and why."""

    date: datetime
    reason: Text


class Tombstone(_Model):
    """All that is left of a version that was withdrawn."""

    kind: Literal["synthmed tombstone"] = "synthmed tombstone"
    schema_version: Literal["1"] = SCHEMA_VERSION
    name: Name
    version: Version
    title: Line
    withdrawal: Withdrawal


class Row(_Model):
    """A version in the search index: what a search needs, and no more.

    Attributes:
        verdict: over all; None where it was not evaluated.
        verdicts: the state by question.
        bytes: of all files.
        generator: whether it is shared.
        thumbnail: path below the version's folder; None where it was withdrawn.
        withdrawn: None while it is in circulation.
        others: as in `Entry`.
    """

    name: Name
    version: Version
    title: Line
    organ: Line
    modality: Line
    size: int
    count: int
    bytes: int
    formats: tuple[str, ...]
    license: Line
    published: datetime
    verdict: State | None
    verdicts: dict[str, State] = {}
    generator: bool = False
    keywords: tuple[Line, ...] = ()
    thumbnail: str | None = None
    withdrawn: Withdrawal | None = None

    @property
    def id(self) -> str:
        """`retina-chase@1.0.0`."""
        return f"{self.name}@{self.version}"


class Index(_Model):
    """The search index: `title` of the repository, and a row a version, the newest version of a name first."""

    kind: Literal["synthmed repository"] = "synthmed repository"
    schema_version: Literal["1"] = SCHEMA_VERSION
    title: Line
    entries: tuple[Row, ...] = ()


def number(version: str) -> tuple[int, ...]:
    """By which versions are ordered: `1.10.0` comes after `1.9.0`."""
    return tuple(map(int, version.split(".")))


def split(name_and_version: str) -> tuple[str, str | None]:
    """`retina-chase@1.0.0` as name and version; the version is None where it is left out."""
    name, _, version = name_and_version.partition("@")
    return name, version or None
