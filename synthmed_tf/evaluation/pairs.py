"""Labelled pairs for the evaluation: real ones in memory, and a synthetic set that is read as it is needed."""

import abc
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthmed_tf import images
from synthmed_tf.config.image_kind import RETINA, ImageKind, kind_of
from synthmed_tf.data.preprocessing import VESSEL_THRESHOLD, derive_fov, load_samples, vessel_coverage_u8
from synthmed_tf.data.sources import Pair
from synthmed_tf.data.vessel_maps import reduce_maps
from synthmed_tf.errors import SynthMedError
from synthmed_tf.generation import manifest, set_card

_SHOWN_FOR_FIELD = 64
_BLOCK = 64


@dataclass(frozen=True)
class Block:
    """Some pairs.

    Attributes:
        images: `(n, size, size, 3)`, uint8, RGB; 0 outside the field of view.
        masks: `(n, size, size)`, bool: vessels, False outside the field of view.
        fields: `(n, size, size)`, bool: fields of view.
    """

    images: np.ndarray
    masks: np.ndarray
    fields: np.ndarray


class Pairs(abc.ABC):
    """Pairs of one size.

    Attributes:
        names: one for each pair, unique.
        patients: of each pair; a synthetic pair belongs to no patient, and has its own name here.
        size: pixels a side.
        fingerprint: SHA-256 of the pairs.
        full: the same pairs at their full size; themselves, unless they were averaged down.
        kind: of the images; retinas unless the card of a synthetic set says something else.
    """

    kind: ImageKind = RETINA
    names: tuple[str, ...]
    patients: tuple[str, ...]
    size: int
    fingerprint: str

    def __len__(self) -> int:
        return len(self.names)

    @property
    def full(self) -> "Pairs":
        return self

    @abc.abstractmethod
    def read(self, rows: Sequence[int]) -> Block:
        """Some pairs, by their places."""

    def blocks(self, count: int = _BLOCK) -> Iterator[tuple[list[int], Block]]:
        """All pairs in order, `count` at a time, with their places."""
        for start in range(0, len(self), count):
            rows = list(range(start, min(start + count, len(self))))
            yield rows, self.read(rows)

    def all(self) -> Block:
        """All pairs at once."""
        return self.read(range(len(self)))


class ArrayPairs(Pairs):
    """Pairs in memory."""

    def __init__(self, block: Block, names: Sequence[str], patients: Sequence[str] | None = None):
        """Takes arrays as `Block` has them.

        Raises:
            ValueError: arrays of other shapes or dtypes, or other numbers of names or patients.
        """
        _check(block, names, names if patients is None else patients)
        masks = block.masks & block.fields
        self._block = Block(block.images * block.fields[..., None], masks, block.fields)
        self.names = tuple(names)
        self.patients = self.names if patients is None else tuple(patients)
        self.size = block.masks.shape[1]
        digest = hashlib.sha256(json.dumps([self.names, self.patients]).encode())
        for array in (self._block.images, masks, block.fields):
            digest.update(np.ascontiguousarray(array))
        self.fingerprint = digest.hexdigest()

    def read(self, rows):
        rows = np.asarray(rows, int)
        block = self._block
        return Block(block.images[rows], block.masks[rows], block.fields[rows])


class ReducedPairs(Pairs):
    """Pairs averaged down as they are read; masks as training reduces them, so that thin vessels stay whole."""

    def __init__(self, full: Pairs, size: int):
        """Takes pairs whose size is a multiple of `size`."""
        self._full, self.size, self.kind = full, size, full.kind
        self.names, self.patients = full.names, full.patients
        self.fingerprint = hashlib.sha256(f"{full.fingerprint} {size}".encode()).hexdigest()

    @property
    def full(self) -> Pairs:
        return self._full

    def read(self, rows):
        block = self._full.read(rows)
        factor = block.images.shape[1] // self.size
        fields = reduce_maps(block.fields[..., None] * np.uint8(255), factor)[..., 0] >= 128
        masks = np.stack([vessel_coverage_u8(mask, self.size) >= VESSEL_THRESHOLD for mask in block.masks])
        return Block(reduce_maps(block.images, factor) * fields[..., None], masks & fields, fields)


class SyntheticSet(Pairs):
    """A set that `synthmed generate` wrote, on the disk. All of its pairs have one field of view.

    Attributes:
        lines: of its manifest.
        card: what its `card.json` holds.
        field: `(size, size)`, bool: the field of view.
    """

    def __init__(self, folder: Path):
        """Reads manifest and card, and finds the field of view.

        Raises:
            SynthMedError: no set, one without a manifest or without pairs, or an image that cannot be read.
        """
        self.folder = Path(folder)
        self.card = _set_card(self.folder)
        self.kind = kind_of(self.card.get("data"))
        self.lines = _manifest(self.folder)
        self.names = self.patients = tuple(f"{line['index']:08d}" for line in self.lines)
        self.size = len(self._image(0))
        self.fingerprint = fingerprint(self.lines)
        self.field = self._field()

    def read(self, rows):
        pixels = np.stack([self._image(row) for row in rows])
        masks = np.stack([self._mask(row) for row in rows])
        fields = np.broadcast_to(self.field, masks.shape)
        return Block(pixels * fields[..., None], masks & fields, fields)

    def _field(self) -> np.ndarray:
        if self.kind.field_of_view == "frame":
            return np.ones((self.size, self.size), bool)
        shown = range(min(len(self), _SHOWN_FOR_FIELD))
        return _common_field(np.stack([self._image(row) for row in shown]))

    def _image(self, row: int) -> np.ndarray:
        return self._read("images", row)

    def _mask(self, row: int) -> np.ndarray:
        return self._read("masks", row)[..., 0] >= VESSEL_THRESHOLD

    def _read(self, folder: str, row: int) -> np.ndarray:
        file = self.folder / folder / f"{self.names[row]}.png"
        image = images.read_image(file)
        size = getattr(self, "size", len(image))
        if image.shape[:2] != (size, size):
            found = f"{image.shape[1]}x{image.shape[0]}"
            raise SynthMedError(f"{file} has {found} pixels, not {size}x{size} as the set; generate the set again.")
        return image


def load_real(pairs: Sequence[Pair], size: int, progress: Callable[[int, int], None] | None = None) -> ArrayPairs:
    """Reads real pairs and resizes them, as training does.

    Raises:
        SynthMedError: a file cannot be read, or the pair is implausible.
    """
    samples = load_samples(pairs, size, progress=progress)
    block = Block(
        np.stack([sample.image for sample in samples]),
        np.stack([sample.mask[..., 0] >= VESSEL_THRESHOLD for sample in samples]),
        np.stack([sample.fov[..., 0] >= 128 for sample in samples]),
    )
    return ArrayPairs(block, [sample.name for sample in samples], [sample.patient for sample in samples])


def _check(block: Block, names: Sequence[str], patients: Sequence[str]) -> None:
    shape, count = block.masks.shape, len(names)
    fits = len(shape) == 3 and block.fields.shape == shape and block.images.shape == (*shape, 3)
    typed = block.images.dtype == np.uint8 and block.masks.dtype == block.fields.dtype == np.bool_
    if not (fits and typed and count == len(patients) == shape[0] >= 1 and shape[1] == shape[2]):
        received = ", ".join(f"{a.dtype} {a.shape}" for a in (block.images, block.masks, block.fields))
        raise ValueError(
            "Expected images (n, size, size, 3) of uint8, masks and fields (n, size, size) of bool, n names and n "
            f"patients. Received: {received}, {count} and {len(patients)}"
        )


def _set_card(folder: Path) -> dict[str, Any]:
    card = set_card.read(folder, "name the folder that synthmed generate wrote")
    form = card.get("plan", {}).get("format", "png")
    if form != "png":
        raise SynthMedError(
            f"{folder} is a set of {form}, but the evaluation reads plain pairs; generate it with --format png."
        )
    return card


def _manifest(folder: Path) -> tuple[dict[str, Any], ...]:
    try:
        lines = tuple(manifest.read_pairs(folder))
    except OSError as error:
        raise SynthMedError(
            f"{folder / manifest.FILE} cannot be read ({error.strerror}); run synthmed generate again."
        ) from error
    if len(lines) < 2:
        raise SynthMedError(f"{folder} holds {len(lines)} pair(s); an evaluation needs two or more.")
    return lines


def fingerprint(lines: Iterable[dict[str, Any]]) -> str:
    """SHA-256 of the pairs of a set, from the lines of its manifest."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(json.dumps([line.get("index"), line.get("images_sha256"), line.get("masks_sha256")]).encode())
    return digest.hexdigest()


def _common_field(shown: np.ndarray) -> np.ndarray:
    """What is black in all images lies outside; where nothing is, the field is found as in a real photograph."""
    brightest = shown.max(axis=0)
    inside = brightest.max(axis=-1) > 0
    return inside if not inside.all() else derive_fov(brightest)
