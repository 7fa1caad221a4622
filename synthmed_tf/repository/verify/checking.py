"""`synthmed repository check`: is a repository, to the last byte, what its keys have signed, and safe to show?

A host runs it on a contribution: all of it is treated as hostile, and none of it is executed.
"""

import hashlib
import json
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pydantic
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, TargetFile

from synthmed_tf import files
from synthmed_tf.errors import ERROR, Finding, SynthMedError
from synthmed_tf.repository.entry import INDEX, NAME, VERSION, Index, Row
from synthmed_tf.repository.paths import plain
from synthmed_tf.repository.read.client import Repository
from synthmed_tf.repository.read.client_cache import LIMITS, Trust
from synthmed_tf.repository.read.fetching import Source
from synthmed_tf.repository.verify import version
from synthmed_tf.repository.verify.version import REFUSE, RESTORE

REMOVE = "delete it"
REFRESH = "run synthmed repository refresh, which puts it right"
MOST_FILES = 2_000_000
_LEFT = re.compile(r"\.transaction(\.lock)?(/.*)?|(.*/)?\.[^/]*(\.part|\.[a-z0-9_]{8})(/.*)?")
_ID = re.compile(rf"{NAME.pattern}@{VERSION.pattern}")
_METADATA = re.compile(rf"(?P<version>[1-9]\d{{0,8}})\.(?P<role>root|snapshot|targets|{_ID.pattern})\.json")
_OLD_INDEX = re.compile(r"targets/(?P<sha256>[0-9a-f]{64})\.repository\.json")


@dataclass(frozen=True)
class Checked:
    """What was found.

    Attributes:
        fingerprint: of the root that the signatures were held against; empty where there is none to be trusted.
        versions: how many there are.
        files: how many are signed.
        problems: with them, and with other files that are there.
    """

    fingerprint: str
    versions: int
    files: int
    problems: tuple[Finding, ...]

    def to_json(self) -> str:
        """All of it."""
        return json.dumps(asdict(self), indent=2)


def check(
    folder: Path, fingerprint: str | None = None, progress: Callable[[int, int], None] = lambda done, total: None
) -> Checked:
    """Checks signatures, files and what they say of each other.

    Args:
        folder: the repository.
        fingerprint: of its root, where that is known; otherwise its first root is believed.
        progress: called with (done, total), in files.

    Raises:
        SynthMedError: there is no such folder.
    """
    source = Source(folder)
    there = sorted(walk(source.folder), key=lambda found: found.path)
    problems = [_problem(found.path, found.fault, REMOVE) for found in there if found.fault]
    plain_files = {found.path for found in there if not found.fault}
    with tempfile.TemporaryDirectory() as cache:
        try:
            repository = Repository(source, Trust(fingerprint=fingerprint), Path(cache))
            known = _Known(repository)
        except SynthMedError as error:
            found = _problem("metadata", f"is not to be trusted, so nothing was held against it ({error})", RESTORE)
            return Checked("", 0, 0, (*problems, found, *_left(plain_files)))
        problems += known.problems
        problems += _of_metadata(source.folder, plain_files, known)
        problems += _of_targets(source.folder, plain_files, known)
        problems += _of_versions(source.folder, known, progress)
    total = sum(map(len, known.announced.values())) + 1
    return Checked(repository.fingerprint, len(known.rows), total, tuple(problems))


class _Known:
    """What is signed.

    Attributes:
        rows: of the index, by `name@version`.
        announced: the files of each version, by their path below `targets/`.
        index: what is signed of the index.
        newest: the version of each metadata file that counts now.
        problems: with the metadata of versions.
    """

    def __init__(self, repository: Repository):
        self.rows: dict[str, Row] = {row.id: row for row in repository.index.entries}
        self.announced: dict[str, dict[str, TargetFile]] = {}
        self.problems: list[Finding] = []
        self.index = repository.target(INDEX)
        self.newest = repository.newest()
        versions = set(filter(_ID.fullmatch, repository.versions()))
        for name in sorted(set(repository.versions()) - versions):
            self.problems.append(_problem(f"metadata ({name})", "is no name and version", REFUSE))
        for name in sorted(versions):
            try:
                self.announced[name] = repository.announced(name)
            except SynthMedError as error:
                self.problems.append(_problem(f"metadata ({name})", f"is not to be trusted ({error})", RESTORE))
        if len(self.rows) != len(repository.index.entries):
            self.problems.append(_problem(f"targets/{INDEX}", "names a version twice", REFUSE))
        for name in sorted(self.rows.keys() - versions):
            self.problems.append(_problem(f"targets/{INDEX}", f"names {name}, for which no files are signed", REFUSE))
        for name in sorted(versions - self.rows.keys()):
            self.problems.append(_problem(f"targets/{INDEX}", f"does not name {name}, whose files are signed", REFUSE))


def _of_metadata(folder: Path, there: set[str], known: _Known) -> Iterator[Finding]:
    """Other metadata files: older states may stay, but files that were never announced may not."""
    for path in sorted(there):
        place, _, name = path.partition("/")
        if place != "metadata" or name == "timestamp.json" or _LEFT.fullmatch(path):
            continue
        found = _METADATA.fullmatch(name)
        newest = known.newest.get(found["role"], 0) if found else 0
        if found is None or not newest:
            yield _problem(path, "does not belong to the repository", REMOVE)
        elif int(found["version"]) > newest:
            yield _problem(path, "was never announced: a publisher was interrupted", REFRESH)
        elif int(found["version"]) < newest and not _is_metadata(folder / path):
            yield _problem(path, "is no metadata", REMOVE)


def _of_targets(folder: Path, there: set[str], known: _Known) -> Iterator[Finding]:
    """Files that nobody signed, and the index."""
    signed = {f"targets/{path}" for announced in known.announced.values() for path in announced}
    under_hash = f"targets/{known.index.get_prefixed_paths()[0]}"
    copy = f"targets/{INDEX}"
    if copy not in there or files.sha256(folder / copy) != known.index.hashes.get("sha256"):
        yield _problem(copy, "is not the index that is signed: a publisher was interrupted", REFRESH)
    yield from _left(there)
    for path in sorted(there - signed - {copy, under_hash}):
        place = path.partition("/")[0]
        if place == "metadata" or _LEFT.fullmatch(path):
            continue
        old = _OLD_INDEX.fullmatch(path)
        if old and _is_index(folder / path, old["sha256"]):
            continue
        yield _problem(path, "is not announced by the signed metadata", REMOVE)


def _of_versions(folder: Path, known: _Known, progress: Callable[[int, int], None]) -> Iterator[Finding]:
    total, done = sum(map(len, known.announced.values())), 0

    def seen() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    for name in sorted(known.announced.keys() & known.rows.keys()):
        inside = f"{name.replace('@', '/')}/"
        announced = {path.removeprefix(inside): target for path, target in known.announced[name].items()}
        for found in version.faults(folder / "targets" / inside, known.rows[name], announced, seen):
            yield _problem(f"targets/{inside}{found.path}", found.problem, found.remedy)


def _left(there: set[str]) -> Iterator[Finding]:
    for path in sorted(there):
        if _LEFT.fullmatch(path):
            yield _problem(path, "is left of a publisher that was interrupted, or is still at work", REFRESH)


def _is_metadata(path: Path) -> bool:
    try:
        if path.stat().st_size > LIMITS.targets_max_length:
            return False
        Metadata.from_bytes(path.read_bytes())
    except (OSError, RepositoryError):
        return False
    return True


def _is_index(path: Path, sha256: str) -> bool:
    """Whether it is one, under its own hash: an older state that readers may still be at."""
    try:
        content = path.read_bytes()
        Index.model_validate_json(content)
    except (OSError, pydantic.ValidationError):
        return False
    return hashlib.sha256(content).hexdigest() == sha256


def _problem(path: str, what: str, remedy: str) -> Finding:
    return Finding(ERROR, plain(path), plain(what.rstrip("."), 600), remedy)


@dataclass(frozen=True)
class Item:
    """A file, or something else in its place.

    Attributes:
        path: below the repository, with `/`; bytes that are no UTF-8 as surrogates.
        fault: what is wrong with its kind; None of a plain file.
    """

    path: str
    fault: str | None


def walk(folder: Path) -> Iterator[Item]:
    """Everything that is not a folder, and folders that are empty or cannot be read; nothing is followed or opened."""
    waiting, count = [""], 0
    while waiting:
        place = waiting.pop()
        try:
            with os.scandir(folder / place) as listed:
                inside = list(listed)
        except OSError as error:
            yield Item(place, f"cannot be read ({error.strerror})")
            continue
        if not inside and place:
            yield Item(place, "is an empty folder")
        for item in inside:
            path = f"{place}/{item.name}" if place else item.name
            if item.is_dir(follow_symlinks=False):
                waiting.append(path)
                continue
            count += 1
            yield Item(path, _fault(item))
            if count == MOST_FILES:
                yield Item(path, f"is one of more than {MOST_FILES} files")
                return


def _fault(item: os.DirEntry[str]) -> str | None:
    try:
        mode = item.stat(follow_symlinks=False).st_mode
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if stat.S_ISLNK(mode):
        return "is a link"
    if not stat.S_ISREG(mode):
        return "is no regular file"
    return "is marked executable" if mode & 0o111 else None
