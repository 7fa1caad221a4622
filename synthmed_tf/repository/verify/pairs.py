"""The pairs of a version, in all of its formats: are they what the entry says, and the same in each?"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from synthmed_tf.repository.entry import Entry
from synthmed_tf.repository.verify import archives
from synthmed_tf.repository.verify.file_content import attempted, check_json, check_png, kind
from synthmed_tf.repository.verify.refused import Refused

Pairs = dict[int, tuple[str, str]]
"""The SHA-256 of photograph and mask by the pair's index."""

Fault = tuple[str, str]
"""A file's place in the version, and what is wrong with it."""

_METADATA = "metadata.jsonl"
_FOLDERS = ("images", "masks")
_KINDS = ("image", "mask")


def faults(folder: Path, entry: Entry) -> Iterator[Fault]:
    """What is wrong with the pairs.

    Args:
        folder: of the version; the files of the entry are there.
        entry: its.
    """
    places: dict[str, list[str]] = {"zip": [], "tar": [], "tfrecord": []}
    for file in entry.files:
        places.get(kind(file.path) or "", []).append(file.path)
    plain, packed, records = {}, {}, [0]
    for place in places["zip"]:
        yield from _faults(place, lambda place=place: _add(plain, _image_folder(folder / place, entry)))
    for place in places["tar"]:
        yield from _faults(place, lambda place=place: _add(packed, _web_dataset(folder / place, entry)))
    for place in places["tfrecord"]:
        lengths = archives.record_lengths(folder / place)
        yield from _faults(place, lambda lengths=lengths: records.append(sum(1 for _ in lengths)))
    counts = {"imagefolder": len(plain), "webdataset": len(packed), "tfrecord": sum(records)}
    for form in entry.formats:
        if counts.get(form) != entry.count:
            yield form, f"holds {counts.get(form, 0)} pairs, not {entry.count} as entry.json says"
    if "webdataset" in entry.formats and plain != packed:
        yield "webdataset", "holds other pairs than imagefolder"
    for preview in entry.previews:
        for place, expected in zip((preview.photograph, preview.mask), plain.get(preview.index, ("", "")), strict=True):
            if _sha256(folder / place) != expected:
                yield place, f"is not that of pair {preview.index} in imagefolder"


def _faults(place: str, action: Callable[[], object]) -> Iterator[Fault]:
    yield from ((place, what) for what in attempted(action))


def _add(pairs: Pairs, more: Pairs) -> None:
    twice = pairs.keys() & more.keys()
    if twice:
        raise Refused(f"holds pair {min(twice)}, which another shard holds too")
    pairs |= more


def _image_folder(path: Path, entry: Entry) -> Pairs:
    images: dict[str, str] = {}
    rows = None
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
