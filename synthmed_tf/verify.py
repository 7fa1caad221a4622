"""Is every file of a set what its manifest says? Needs neither TensorFlow nor the artifact."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from synthmed_tf import files, formats, manifest, setcard, shards, stream
from synthmed_tf.errors import SynthMedError
from synthmed_tf.formats.base import Line
from synthmed_tf.plan import Plan

_BESIDE = {setcard.FILE, manifest.FILE, shards.PREVIEW, ".lock"}


class Fault(NamedTuple):
    """What is wrong with a file.

    Attributes:
        place: in the set.
        what: is wrong with it.
    """

    place: str
    what: str


@dataclass
class Found:
    """What was found.

    Attributes:
        pairs: that the manifest tells of.
        files: that it announces.
        faults: in the order of the manifest; then, where all shards could be read, what they do not announce.
        cure: what to do about them.
    """

    pairs: int = 0
    files: int = 0
    faults: list[Fault] = field(default_factory=list)
    cure: str = "run its synthmed generate command again with --repair, and remove what is not of the set"


def verify_set(folder: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> Found:
    """Reads every file of a set once, in threads. Memory grows with the names of the files.

    Args:
        folder: of `synthmed generate`, in any format and not necessarily finished, or of `synthmed filter`.
        progress: called with (done, total), in files.

    Raises:
        SynthMedError: the folder holds no set.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SynthMedError(f"{folder} is not a folder; name a set that synthmed generate drew.")
    card, found = setcard.read(folder), Found()
    if "filtered" in card:
        found.cure = "a filtered set is not drawn: run synthmed filter again, into another --out"
    if "plan" in card:
        plan = Plan.from_facts(card["plan"])
        found.pairs = plan.count
        announced = list(_of_shards(folder, plan, found.faults))
    else:
        announced = list(_of_pairs(folder, card, found))
    unread = bool(found.faults)
    found.files = len(announced)
    looked = stream.parallel(lambda line: (line, manifest.fault(folder, line, read=True)), announced)
    for done, (line, what) in enumerate(looked, start=1):
        progress(done, len(announced))
        if what:
            found.faults.append(Fault(line["file"], what))
    if "plan" in card:
        if unread:
            return found  # what these shards hold is not known
        found.faults += _beside(folder, plan)
    found.faults += _strangers(folder, {line["file"] for line in announced}, card)
    return found


def _of_pairs(folder: Path, card: Line, found: Found) -> Iterator[Line]:
    """The files of a set whose manifest has a line a pair."""
    path = folder / manifest.FILE
    try:
        texts = path.read_bytes().splitlines()
    except OSError as error:
        found.faults.append(Fault(manifest.FILE, f"cannot be read ({error.strerror})"))
        return
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(text)
            if (line["seed"], line["model_sha256"]) != (card["seed"], card["model_sha256"]):
                raise ValueError
            listed = manifest.files_of(line)
        except (ValueError, KeyError, TypeError):
            found.faults.append(Fault(manifest.FILE, f"line {number} is damaged or of another set"))
            continue
        found.pairs += bool(listed)
        yield from listed


def _of_shards(folder: Path, plan: Plan, faults: list[Fault]) -> Iterator[Line]:
    """The files of all shards, with those that hold their manifests."""
    for shard in range(plan.shards):
        try:
            lines = list(shards.read_record(plan, shard, folder))  # all: that they are true is known at the end
        except FileNotFoundError:
            faults.append(Fault(f"shard {shard}", "is missing"))
        except (SynthMedError, OSError):
            faults.append(Fault(_place(folder, plan, shard), "is damaged or of another set"))
        else:
            for line in lines:
                yield from manifest.files_of(line)


def _beside(folder: Path, plan: Plan) -> Iterator[Fault]:
    """What stands beside the shards follows from them."""
    if shards.missing(plan, folder):
        return
    try:
        for name, parts in shards.beside(plan, folder):
            digest = hashlib.sha256()
            for part in parts:
                digest.update(part)
            if not (folder / name).is_file():
                yield Fault(name, "is missing")
            elif files.sha256(folder / name) != digest.hexdigest():
                yield Fault(name, "has changed")
    except SynthMedError:
        return  # a shard's own manifest is damaged, and was named


def _strangers(folder: Path, announced: set[str], card: Line) -> Iterator[Fault]:
    """Files that are not of the set."""
    known = announced | _BESIDE
    if "plan" in card:
        plan = Plan.from_facts(card["plan"])
        known |= {_place(folder, plan, shard) for shard in range(plan.shards)}
        known |= set(formats.writer(plan.format).beside)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or name in known:
            continue
        half = name.startswith(f"{shards.DRAWING}/") or name.endswith(files.PART)
        yield Fault(name, "is half-written" if half else "is not of the set")


def _place(folder: Path, plan: Plan, shard: int) -> str:
    return shards.record_path(folder, plan, shard).relative_to(folder).as_posix()
