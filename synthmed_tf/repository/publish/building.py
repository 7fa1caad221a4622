"""Builds all files of a version, from a set and its publisher's description."""

import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
from PIL import Image

from synthmed_tf import __version__, files, images
from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation.report import Report
from synthmed_tf.generation import set_card
from synthmed_tf.generation.formats.base import PngPair
from synthmed_tf.repository.entry import ENTRY, Entry, File, Preview, Row
from synthmed_tf.repository.publish import croissant, evidence, generator, packing, readme, redaction
from synthmed_tf.repository.publish.plain_set import GeneratedSet

Progress = Callable[[int, int], None]

PREVIEWS = 24
PREVIEW_FOLDER = "previews"
THUMBNAIL = "thumbnail.png"

_TILE, _MARGIN, _COLOURS = 117, 2, 96
_PAIRS = 2
_SAID = ("name", "version", "title", "description", "creators", "license", "keywords", "organ", "modality")
_SAID_OF_DATA = ("name", "license", "attribution", "url")
_ROLES = {evidence.FOLDER: "report", generator.FOLDER: "generator", PREVIEW_FOLDER: "preview"}
_URL = re.compile(r"https?://[^\s<>\"{}|\\^`]+")
_SHOWN = 60
_LINE = "write 1 to 300 characters"
_RULES = {
    "name": "use lower-case letters, digits and single hyphens, 64 characters at most, such as retina-chase",
    "version": "write three numbers, such as 1.0.0",
    "description": "write 10,000 characters at most",
    "data_attribution": "write 10,000 characters at most",
}


@dataclass(frozen=True)
class Request:
    """What is published.

    Attributes:
        set: the folder of plain pairs that `synthmed generate` or `synthmed filter` wrote.
        name, version: `retina-chase` and `1.0.0`.
        title, license, creators, description, keywords, organ, modality: of the set, as in `Entry`.
        published: when, in UTC.
        data_name, data_license, data_attribution, data_url: of the training data; None is not stated.
        report: the folder of the evaluation report on this set; None where it was not evaluated.
        artifact: the folder of the artifact that generated it, if that is to be shared.
        formats: of `packing.FORMATS`.
        full_report: whether the report is published as it is, with names of patients and files of the training data.
    """

    set: Path
    name: str
    version: str
    title: str
    license: str
    creators: tuple[str, ...]
    published: datetime
    description: str = ""
    keywords: tuple[str, ...] = ()
    organ: str = "retina"
    modality: str = "fundus photography"
    data_name: str | None = None
    data_license: str | None = None
    data_attribution: str | None = None
    data_url: str | None = None
    report: Path | None = None
    artifact: Path | None = None
    formats: tuple[str, ...] = packing.DEFAULT_FORMATS
    full_report: bool = False


def build(request: Request, folder: Path, progress: Progress = lambda done, total: None) -> Entry:
    """Writes all files of a version, `entry.json` last.

    The same request gives the same bytes, except where another version of a library encodes differently.

    Args:
        request: what is published.
        folder: an empty one. After an error it holds a part of a version, which the caller removes.
        progress: called with (done, total), in pairs.

    Raises:
        SynthMedError: a field, the set, the report or the artifact does not allow it; the sentence says why.
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    if any(folder.iterdir()):
        raise SynthMedError(f"{folder} is not empty; name an empty folder to build a version in.")
    parts = _opened(request)
    entry = _filled(request, parts, folder, progress)
    entry = entry.model_copy(update={"files": _listed(folder)})
    readme.write(entry, parts.generated.card, parts.artifact_card, folder)
    croissant.write(entry, folder)
    entry = entry.model_copy(update={"files": _listed(folder, entry.files)})
    files.write_text(folder / ENTRY, entry.model_dump_json(indent=2) + "\n")
    return entry


def row(entry: Entry) -> Row:
    """The row of an entry in the search index."""
    same = {name: getattr(entry, name) for name in Row.model_fields.keys() & Entry.model_fields.keys()}
    evaluation = entry.evaluation
    found = {
        "bytes": sum(file.size for file in entry.files),
        "verdict": evaluation.verdict if evaluation else None,
        "verdicts": {answer.question: answer.state for answer in evaluation.verdicts} if evaluation else {},
        "generator": entry.generator is not None,
    }
    return Row(**same | found)


def preview_indices(indices: Sequence[int]) -> list[int]:
    """At most `PREVIEWS` indices, evenly spread, including the first."""
    count = min(PREVIEWS, len(indices))
    return [indices[len(indices) * number // count] for number in range(count)]


def write_previews(pairs: Mapping[int, PngPair], folder: Path) -> tuple[Preview, ...]:
    """Writes the previews, each the bytes that it has in the set, and the thumbnail.

    Args:
        pairs: by their indices.
        folder: of the version.
    """
    (folder / PREVIEW_FOLDER).mkdir()
    (folder / THUMBNAIL).write_bytes(thumbnail([pairs[index] for index in sorted(pairs)][:_PAIRS]))
    return tuple(_write_pair(pairs[index], folder) for index in sorted(pairs))


def thumbnail(pairs: Sequence[PngPair]) -> bytes:
    """The first pairs as one PNG of 240 pixels a side: images, and below each its mask.

    A palette keeps it to some tens of kilobytes.
    """
    tiles = [_tile(pair.image) for pair in pairs] + [_tile(pair.mask) for pair in pairs]
    image = Image.fromarray(images.grid(np.stack(tiles), len(pairs), _MARGIN))
    small = io.BytesIO()
    image.quantize(_COLOURS, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


@dataclass(frozen=True)
class _Parts:
    """What is published, opened and found to be in order: `entry` is without previews, generator and files."""

    generated: GeneratedSet
    report: Report | None
    artifact_card: dict[str, Any] | None
    entry: Entry


def _opened(request: Request) -> _Parts:
    packing.check_formats(request.formats)
    generated, report, card = GeneratedSet(request.set), None, None
    if request.report is not None:
        report = evidence.read(Path(request.report), generated.folder, generated.fingerprint, request.full_report)
    entry = _draft(request, generated, report)
    if request.artifact is not None:
        card = generator.check(Path(request.artifact), entry.model_sha256, generated.folder)
    return _Parts(generated, report, card, entry)


def _filled(request: Request, parts: _Parts, folder: Path, progress: Progress) -> Entry:
    """Writes everything but the descriptions."""
    entry, shared = parts.entry, None
    verdict = entry.evaluation.verdict.value if entry.evaluation else evidence.NOT_EVALUATED
    pairs = packing.pack(parts.generated, entry.formats, folder, preview_indices(parts.generated.indices), progress)
    shown = write_previews(pairs, folder)
    card = redaction.set_card(parts.generated.card, verdict)
    files.write_text(folder / set_card.FILE, json.dumps(card, indent=2) + "\n")
    if parts.report is not None and request.report is not None:
        evidence.write(parts.report, Path(request.report), folder, request.full_report)
    if parts.artifact_card is not None and request.artifact is not None:
        attacked = evidence.attacked_generator(parts.report)
        shared = generator.copy(Path(request.artifact), parts.artifact_card, folder, entry.name, verdict, attacked)
    return entry.model_copy(update={"previews": shown, "generator": shared})


def _draft(request: Request, generated: GeneratedSet, report: Report | None) -> Entry:
    """The entry with all that is known before anything is written.

    Raises:
        SynthMedError: a field of the request is not as it has to be.
    """
    _check(request)
    said = {name: getattr(request, name) for name in _SAID}
    said["training_data"] = {name: getattr(request, f"data_{name}") for name in _SAID_OF_DATA}
    said["training_data"]["facts"] = redaction.training_facts(generated.card["data"])
    found = {name: generated.card[name] for name in ("size", "model_sha256", "seed")} | {
        "published": request.published.astimezone(timezone.utc),
        "count": len(generated.indices),
        "precision": generated.card.get("precision", "float32"),
        "first_index": generated.indices[0],
        "last_index": generated.indices[-1],
        "formats": [name for name in packing.FORMATS if name in request.formats],
        "evaluation": evidence.evaluation(report),
        "generator": None,
        "thumbnail": THUMBNAIL,
        "previews": (),
        "made_with": f"synthmed_tf {__version__}",
        "files": (),
    }
    try:
        return Entry.model_validate(said | found)
    except pydantic.ValidationError as error:
        raise SynthMedError(_complaint(error)) from error


def _check(request: Request) -> None:
    """What the entry's own model does not see."""
    if request.published.utcoffset() is None:
        raise SynthMedError(f"Field published is {request.published}, without a time zone; give it in UTC.")
    if not request.creators:
        raise SynthMedError("Field creators is empty; name who made the set.")
    if request.data_url is not None and not _URL.fullmatch(request.data_url):
        raise SynthMedError(
            f"Field data_url is {request.data_url[:_SHOWN]!r}; write an address such as https://example.org/."
        )


def _complaint(error: pydantic.ValidationError) -> str:
    """What is wrong with the first bad field."""
    first = error.errors()[0]
    place = [part for part in first["loc"] if isinstance(part, str)]
    field = f"data_{place[1]}" if place[0] == "training_data" else place[0]
    return f"Field {field} is {str(first['input'])[:_SHOWN]!r}; {_RULES.get(field, _LINE)}."


def _listed(folder: Path, known: tuple[File, ...] = ()) -> tuple[File, ...]:
    """All files of a version by their paths; those that are known are not read again."""
    there = {file.path: file for file in known}
    for path in folder.rglob("*"):
        place = path.relative_to(folder).as_posix()
        if path.is_file() and place not in there:
            there[place] = File(path=place, size=path.stat().st_size, sha256=files.sha256(path), role=_role(place))
    return tuple(there[place] for place in sorted(there))


def _role(place: str) -> str:
    first, _, rest = place.partition("/")
    if not rest:
        return "preview" if place == THUMBNAIL else "description"
    return _ROLES.get(first, first)


def _tile(png: bytes) -> np.ndarray:
    image = Image.fromarray(images.decode_png(png).squeeze()).convert("RGB")
    return np.asarray(image.resize((_TILE, _TILE), Image.Resampling.LANCZOS))


def _write_pair(pair: PngPair, folder: Path) -> Preview:
    names = {kind: f"{PREVIEW_FOLDER}/{pair.index:08d}.{kind}.png" for kind in ("image", "mask")}
    (folder / names["image"]).write_bytes(pair.image)
    (folder / names["mask"]).write_bytes(pair.mask)
    return Preview(index=pair.index, image=names["image"], mask=names["mask"])
