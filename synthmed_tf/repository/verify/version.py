"""One version: does its folder hold what its entry says, and does everything agree?"""

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pydantic
from tuf.api.metadata import TargetFile

from synthmed_tf import files
from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation.verdict import State
from synthmed_tf.repository.entry import ENTRY, TOMBSTONE, Entry, Evaluation, Row, Tombstone
from synthmed_tf.repository.paths import check_distinct, plain, safe
from synthmed_tf.repository.publish.building import row as row_of
from synthmed_tf.repository.read.client import first_fault
from synthmed_tf.repository.verify import file_content, pairs
from synthmed_tf.repository.verify.refused import Refused

REPORT = "report/report.json"
CROISSANT = "croissant.json"
REQUIRED = ("README.md", CROISSANT, "card.json")
MOST_CROISSANT = 2_000_000
_PRIVACY = ("copies", "membership")

Fault = tuple[str, str]
"""A file's place in the version, and what is wrong with it."""


def faults(
    folder: Path, row: Row, announced: Mapping[str, TargetFile], seen: Callable[[], None] = lambda: None
) -> Iterator[Fault]:
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
        yield "", f"announces a name that is not allowed ({plain(str(error), 200)})"
        return
    whole = True
    for place, target in announced.items():
        found = list(_of_file(folder / place, place, target))
        whole &= not found
        yield from ((place, what) for what in found)
        seen()
    last = TOMBSTONE if row.withdrawn is not None else ENTRY
    if last not in announced:
        yield last, "is missing"
    elif (folder / last).is_file():
        yield from (
            _of_tombstone(folder, row, announced) if last == TOMBSTONE else _of_entry(folder, row, announced, whole)
        )


def _of_file(path: Path, place: str, target: TargetFile) -> Iterator[str]:
    if path.is_symlink() or not path.is_file():
        yield "is missing, or is no regular file"
    elif path.stat().st_size != target.length or files.sha256(path) != target.hashes.get("sha256"):
        yield "is not the file that is signed"
    elif file_content.kind(place) is None:
        yield "is of no kind that a version holds"
    else:
        yield from file_content.look(path, place)


def _of_tombstone(folder: Path, row: Row, announced: Mapping[str, TargetFile]) -> Iterator[Fault]:
    try:
        stone = Tombstone.model_validate_json(file_content.read_bounded(folder / TOMBSTONE))
    except (pydantic.ValidationError, Refused) as error:
        yield TOMBSTONE, _unreadable(error)
        return
    if (stone.name, stone.version, stone.title, stone.withdrawal) != (row.name, row.version, row.title, row.withdrawn):
        yield TOMBSTONE, "does not agree with repository.json"
    for place in announced:
        if place != TOMBSTONE:
            yield place, "is still there, though the version was withdrawn"


def _of_entry(folder: Path, row: Row, announced: Mapping[str, TargetFile], whole: bool) -> Iterator[Fault]:
    try:
        entry = Entry.model_validate_json(file_content.read_bounded(folder / ENTRY))
    except (pydantic.ValidationError, Refused) as error:
        yield ENTRY, _unreadable(error)
        return
    if row_of(entry) != row:
        differing = [name for name, value in row_of(entry) if value != getattr(row, name)]
        yield ENTRY, f"does not agree with repository.json on {', '.join(differing)}"
    signed = {place: (target.length, target.hashes.get("sha256")) for place, target in announced.items()}
    del signed[ENTRY]
    if {file.path: (file.size, file.sha256) for file in entry.files} != signed or len(entry.files) != len(signed):
        yield ENTRY, "lists other files than those that are signed"
    yield from _of_fields(entry)
    yield from _of_evaluation(folder, entry)
    if whole and entry.files:
        yield from ((CROISSANT, what) for what in file_content.attempted(lambda: _check_croissant(folder, entry)))
        yield from pairs.faults(folder, entry)


def _of_fields(entry: Entry) -> Iterator[Fault]:
    """Places that the entry names must be files of theirs."""
    listed = {file.path for file in entry.files}
    named = [*REQUIRED, entry.thumbnail]
    named += [place for preview in entry.previews for place in (preview.photograph, preview.mask)]
    named += [entry.generator.onnx] if entry.generator and entry.generator.onnx else []
    for place in named:
        if place not in listed:
            yield plain(place), "is named by entry.json, and is not among its files"
    for file in entry.files:
        role = file.path.split("/")[0] if "/" in file.path else None
        role = {"previews": "preview", None: "preview" if file.path == entry.thumbnail else "description"}.get(
            role, role
        )
        if file.role != role:
            yield file.path, f"has the role {plain(file.role, 60)} in entry.json, not {role}"
        if role == "generator" and entry.generator is None:
            yield file.path, "is there, and entry.json says that the generator is not shared"
    for form in {"imagefolder", *entry.formats}:
        if form not in entry.formats or not any(place.startswith(f"{form}/") for place in listed):
            yield ENTRY, f"is without files of the format {plain(form, 60)}"


def _of_evaluation(folder: Path, entry: Entry) -> Iterator[Fault]:
    report, judged = folder / REPORT, entry.evaluation
    if judged is None and report.exists():
        yield ENTRY, "says that the set was not evaluated, and there is a report"
    if judged is None:
        return
    for answer in judged.verdicts:
        if answer.question in _PRIVACY and answer.state is State.FAIL:
            yield ENTRY, f"has FAIL on {answer.question}, with which nothing is published"
    try:
        if Evaluation.model_validate_json(file_content.read_bounded(report)) != judged:
            yield REPORT, "does not agree with the verdicts in entry.json"
    except FileNotFoundError:
        yield REPORT, "is missing"
    except (pydantic.ValidationError, Refused) as error:
        yield REPORT, _unreadable(error)


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
