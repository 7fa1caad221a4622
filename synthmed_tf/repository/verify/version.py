"""One version: does its folder hold what its entry says, and does everything agree?"""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
from tuf.api.metadata import TargetFile

from synthmed_tf import files
from synthmed_tf.errors import ERROR, Finding, SynthMedError
from synthmed_tf.evaluation.verdict import State
from synthmed_tf.repository.entry import ENTRY, TOMBSTONE, Entry, Evaluation, Row, Tombstone
from synthmed_tf.repository.paths import check_distinct, plain, safe
from synthmed_tf.repository.publish.building import row as row_of
from synthmed_tf.repository.read.client import first_fault
from synthmed_tf.repository.verify import archives, file_content
from synthmed_tf.repository.verify.archives import Refused
from synthmed_tf.repository.verify.file_content import attempted, check_json, check_png, kind

REPORT = "report/report.json"
CROISSANT = "croissant.json"
REQUIRED = ("README.md", CROISSANT, "card.json")
MOST_CROISSANT = 2_000_000
_PRIVACY = ("copies", "membership")

RESTORE = "restore it from the publisher's copy"
REFUSE = "refuse the version, or have it published again"

Pairs = dict[int, tuple[str, str]]
"""The SHA-256 of image and mask by the pair's index."""

_METADATA = "metadata.jsonl"
_FOLDERS = ("images", "masks")
_KINDS = ("image", "mask")


def fault(place: str, problem: str, remedy: str = REFUSE) -> Finding:
    """What is wrong with a file at a place in a version."""
    return Finding(ERROR, place, problem, remedy)


def faults(
    folder: Path, row: Row, announced: Mapping[str, TargetFile], seen: Callable[[], None] = lambda: None
) -> Iterator[Finding]:
    """What is wrong with a version. Nothing of it is executed.

    Args:
        folder: of the version.
        row: in the search index.
        announced: the files that are signed, by their place in the folder.
        seen: called after each of them.
    """
    try:
        check_distinct(map(safe, announced))
    except SynthMedError as error:
        yield fault("", f"announces a name that is not allowed ({plain(str(error), 200)})")
        return
    whole = True
    for place, target in announced.items():
        found = list(_of_file(folder / place, place, target))
        whole &= not found
        yield from found
        seen()
    last = TOMBSTONE if row.withdrawn is not None else ENTRY
    if last not in announced:
        yield fault(last, "is missing")
    elif (folder / last).is_file():
        yield from (
            _of_tombstone(folder, row, announced) if last == TOMBSTONE else _of_entry(folder, row, announced, whole)
        )


def _of_file(path: Path, place: str, target: TargetFile) -> Iterator[Finding]:
    if path.is_symlink() or not path.is_file():
        yield fault(place, "is missing, or is not a regular file")
    elif path.stat().st_size != target.length or files.sha256(path) != target.hashes.get("sha256"):
        yield fault(place, "is not the file that is signed", RESTORE)
    elif kind(place) is None:
        yield fault(place, "is not of a kind that a version may hold")
    else:
        yield from (fault(place, problem) for problem in file_content.look(path, place))


def _of_tombstone(folder: Path, row: Row, announced: Mapping[str, TargetFile]) -> Iterator[Finding]:
    try:
        stone = Tombstone.model_validate_json(file_content.read_bounded(folder / TOMBSTONE))
    except (pydantic.ValidationError, Refused) as error:
        yield fault(TOMBSTONE, _unreadable(error))
        return
    if (stone.name, stone.version, stone.title, stone.withdrawal) != (row.name, row.version, row.title, row.withdrawn):
        yield fault(TOMBSTONE, "does not agree with repository.json")
    for place in announced:
        if place != TOMBSTONE:
            yield fault(place, "is still there, though the version was withdrawn")


def _of_entry(folder: Path, row: Row, announced: Mapping[str, TargetFile], whole: bool) -> Iterator[Finding]:
    try:
        entry = Entry.model_validate_json(file_content.read_bounded(folder / ENTRY))
    except (pydantic.ValidationError, Refused) as error:
        yield fault(ENTRY, _unreadable(error))
        return
    if row_of(entry) != row:
        differing = [name for name, value in row_of(entry) if value != getattr(row, name)]
        yield fault(ENTRY, f"does not agree with repository.json on {', '.join(differing)}")
    signed = {place: (target.length, target.hashes.get("sha256")) for place, target in announced.items()}
    del signed[ENTRY]
    if {file.path: (file.size, file.sha256) for file in entry.files} != signed or len(entry.files) != len(signed):
        yield fault(ENTRY, "lists other files than those that are signed")
    yield from _of_fields(entry)
    yield from _of_evaluation(folder, entry)
    if whole and entry.files:
        yield from (fault(CROISSANT, what) for what in attempted(lambda: _check_croissant(folder, entry)))
        yield from _of_pairs(folder, entry)


def _of_fields(entry: Entry) -> Iterator[Finding]:
    """Places that the entry names must be files of theirs."""
    listed = {file.path for file in entry.files}
    named = [*REQUIRED, entry.thumbnail]
    named += [place for preview in entry.previews for place in (preview.image, preview.mask)]
    named += [entry.generator.onnx] if entry.generator and entry.generator.onnx else []
    for place in named:
        if place not in listed:
            yield fault(plain(place), "is named by entry.json, and is not among its files")
    for file in entry.files:
        role = file.path.split("/")[0] if "/" in file.path else None
        role = {"previews": "preview", None: "preview" if file.path == entry.thumbnail else "description"}.get(
            role, role
        )
        if file.role != role:
            yield fault(file.path, f"has the role {plain(file.role, 60)} in entry.json, not {role}")
        if role == "generator" and entry.generator is None:
            yield fault(file.path, "is there, and entry.json says that the generator is not shared")
    for form in {"imagefolder", *entry.formats}:
        if form not in entry.formats or not any(place.startswith(f"{form}/") for place in listed):
            yield fault(ENTRY, f"is without files of the format {plain(form, 60)}")


def _of_evaluation(folder: Path, entry: Entry) -> Iterator[Finding]:
    report, evaluation = folder / REPORT, entry.evaluation
    if evaluation is None and report.exists():
        yield fault(ENTRY, "says that the set was not evaluated, and there is a report")
    if evaluation is None:
        return
    for answer in evaluation.verdicts:
        if answer.question in _PRIVACY and answer.state is State.FAIL:
            yield fault(ENTRY, f"has FAIL on {answer.question}, with which nothing is published")
    try:
        if Evaluation.model_validate_json(file_content.read_bounded(report)) != evaluation:
            yield fault(REPORT, "does not agree with the verdicts in entry.json")
    except FileNotFoundError:
        yield fault(REPORT, "is missing")
    except (pydantic.ValidationError, Refused) as error:
        yield fault(REPORT, _unreadable(error))


def _check_croissant(folder: Path, entry: Entry) -> None:
    content = file_content.check_json(file_content.read_bounded(folder / CROISSANT, MOST_CROISSANT))
    if not isinstance(content, dict) or not isinstance(content.get("@context"), dict):
        raise Refused("has no @context of its own")
    # A context that is somewhere else would be fetched from there.
    if _holds_key({key: value for key, value in content.items() if key != "@context"}, ("@context", "@import")):
        raise Refused("has more than one @context")
    if _holds_key(content["@context"], ("@context", "@import")):
        raise Refused("has a @context that refers to another")
    import mlcroissant

    logging.getLogger("absl").setLevel(logging.ERROR)
    try:
        mlcroissant.Dataset(jsonld=content)
    except mlcroissant.ValidationError as error:
        raise Refused(f"is no valid Croissant ({plain(str(error), 300)})") from error
    listed = {file.path: file.sha256 for file in entry.files}
    for part in content.get("distribution", ()):
        place = part.get("contentUrl")
        if place is not None and listed.get(place) != part.get("sha256"):
            raise Refused(
                f"refers to {plain(str(place), 120)}, which is not among the files of entry.json as it is there"
            )


def _holds_key(content: object, keys: tuple[str, ...]) -> bool:
    waiting = [content]
    while waiting:
        current = waiting.pop()
        if isinstance(current, dict):
            if any(key in current for key in keys):
                return True
            waiting.extend(current.values())
        elif isinstance(current, list):
            waiting.extend(current)
    return False


def _unreadable(error: Exception) -> str:
    return first_fault(error) if isinstance(error, pydantic.ValidationError) else str(error)


def _of_pairs(folder: Path, entry: Entry) -> Iterator[Finding]:
    """The pairs in all formats: are they what the entry says, and the same in each?"""
    places: dict[str, list[str]] = {"zip": [], "tar": [], "tfrecord": []}
    for file in entry.files:
        places.get(kind(file.path) or "", []).append(file.path)
    plain: Pairs = {}
    packed: Pairs = {}
    records = [0]
    for place in places["zip"]:
        yield from _attempted(place, _add_file, plain, _image_folder, folder / place, entry)
    for place in places["tar"]:
        yield from _attempted(place, _add_file, packed, _web_dataset, folder / place, entry)
    for place in places["tfrecord"]:
        yield from _attempted(place, _count_records, records, folder / place)
    counts = {"imagefolder": len(plain), "webdataset": len(packed), "tfrecord": sum(records)}
    for form in entry.formats:
        if counts.get(form) != entry.count:
            yield fault(form, f"holds {counts.get(form, 0)} pairs, not {entry.count} as entry.json says")
    if "webdataset" in entry.formats and plain != packed:
        yield fault("webdataset", "holds other pairs than imagefolder")
    for preview in entry.previews:
        for place, expected in zip((preview.image, preview.mask), plain.get(preview.index, ("", "")), strict=True):
            if _sha256(folder / place) != expected:
                yield fault(place, f"is not that of pair {preview.index} in imagefolder")


def _attempted(place: str, action: Callable[..., object], *given: object) -> Iterator[Finding]:
    yield from (fault(place, what) for what in attempted(lambda: action(*given)))


def _add_file(pairs: Pairs, read: Callable[[Path, Entry], Pairs], path: Path, entry: Entry) -> None:
    _add(pairs, read(path, entry))


def _count_records(counts: list[int], path: Path) -> None:
    counts.append(sum(1 for _ in archives.record_lengths(path)))


def _add(pairs: Pairs, more: Pairs) -> None:
    twice = pairs.keys() & more.keys()
    if twice:
        raise Refused(f"holds pair {min(twice)}, which another shard holds too")
    pairs |= more


def _image_folder(path: Path, entry: Entry) -> Pairs:
    images: dict[str, str] = {}
    rows: list[Any] | None = None
    for name, content in archives.zip_members(path):
        if name == _METADATA:
            rows = [check_json(line) for line in content.splitlines()]
        else:
            images[name] = _image(name, content, entry, name.split("/")[0] == _FOLDERS[1])
    if rows is None:
        raise Refused(f"holds no {_METADATA}")
    pairs: Pairs = {}
    for row in rows:
        index = _index(row, entry)
        named = tuple(f"{folder}/{index:08d}.png" for folder in _FOLDERS)
        if (row.get("file_name"), row.get("mask_file_name")) != named or not set(named) <= images.keys():
            raise Refused(f"names other files than {' and '.join(named)} for pair {index} in {_METADATA}")
        _add(pairs, {index: (images.pop(named[0]), images.pop(named[1]))})
    if images:
        raise Refused(f"holds {min(images)}, which {_METADATA} does not name")
    return pairs


def _web_dataset(path: Path, entry: Entry) -> Pairs:
    images: dict[str, str] = {}
    indices = []
    for name, content in archives.tar_members(path):
        stem, _, end = name.partition(".")
        if end == "json":
            indices.append(_index(check_json(content), entry))
            if stem != f"{indices[-1]:08d}":
                raise Refused(f"holds {name} of pair {indices[-1]}")
        else:
            images[name] = _image(name, content, entry, end == "mask.png")
    pairs: Pairs = {}
    for index in indices:
        named = [f"{index:08d}.{end}.png" for end in _KINDS]
        if not set(named) <= images.keys():
            raise Refused(f"lacks {' or '.join(named)}")
        _add(pairs, {index: (images.pop(named[0]), images.pop(named[1]))})
    if images:
        raise Refused(f"holds {min(images)}, which belongs to no pair")
    return pairs


def _index(row: object, entry: Entry) -> int:
    facts = row if isinstance(row, dict) else {}
    index = facts.get("index")
    if type(index) is not int or not entry.first_index <= index <= entry.last_index:
        raise Refused(f"holds a pair outside of {entry.first_index} to {entry.last_index}")
    if (facts.get("seed"), facts.get("model_sha256")) != (entry.seed, entry.model_sha256):
        raise Refused(f"says of pair {index} that another seed or model generated it")
    return index


def _image(name: str, content: bytes, entry: Entry, is_mask: bool) -> str:
    """Sees that an image is what its place says, and gives its SHA-256."""
    try:
        pixels = check_png(content)
    except Refused as refused:
        raise Refused(f"holds {name}, which {refused}") from refused
    wanted = (entry.size, entry.size, 1 if is_mask else 3)
    if pixels.shape != wanted:
        raise Refused(f"holds {name} of {pixels.shape}, not {wanted}")
    if is_mask and not np.isin(pixels, (0, 255)).all():
        raise Refused(f"holds {name} with other values than 0 and 255")
    return hashlib.sha256(content).hexdigest()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
