"""Changes to a repository: all of them or none, even if the process is killed, and one publisher at a time.

A version's files are written into `<repository>/.transaction/<name>@<version>/files`, moved to their place below
`targets/`, and are there for clients when `metadata/timestamp.json` is replaced. The empty `<name>@<version>` stays
until the end: it tells the next publisher what one that was killed may have left, or not yet removed.
"""

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Container, Iterator
from pathlib import Path

from tuf.api.metadata import TargetFile

from synthmed_tf import files
from synthmed_tf.errors import SynthMedError
from synthmed_tf.repository import keys as keyring
from synthmed_tf.repository import paths
from synthmed_tf.repository.entry import NAME, VERSION, Index, Row, number
from synthmed_tf.repository.signed_metadata import METADATA, TARGETS, Chain

WAIT = 600.0
"""Seconds that a publisher waits for another."""

_LOCK = ".transaction.lock"
_WORK = ".transaction"
_FILES = "files"
_ID = re.compile(f"{NAME.pattern}@{VERSION.pattern}")


class Transaction:
    """What is to be changed.

    Attributes:
        index: the search index as it was found.
        rows: of the new index, by `name@version`; to be changed.
    """

    def __init__(self, chain: Chain):
        self.index = chain.index()
        self.rows: dict[str, Row] = {row.id: row for row in self.index.entries}
        self._chain = chain
        self._staged: dict[str, Path] = {}

    def stage(self, name: str, version: str) -> Path:
        """An empty folder: what is in it at the end is all that the version holds from then on.

        Of a version that is there already, no file may be written again under its old path.

        Raises:
            SynthMedError: there can be no version of this name.
        """
        if not _ID.fullmatch(f"{name}@{version}"):
            raise SynthMedError(f"{name}@{version} is no name and version; write it as retina-chase@1.0.0.")
        folder = self._chain.repository / _WORK / f"{name}@{version}" / _FILES
        folder.mkdir(parents=True)
        self._staged[f"{name}@{version}"] = folder
        return folder

    def discard(self, name: str, version: str) -> None:
        """Forgets what was staged."""
        shutil.rmtree(self._staged.pop(f"{name}@{version}").parent)

    def differing(self, name: str, version: str) -> list[str]:
        """Files in which what was staged is not what the version, which is there, holds."""
        role = f"{name}@{version}"
        there, staged = self._chain.announced(role), _announced(self._staged[role], role)
        either = sorted(there.keys() | staged.keys())
        return [path.split("/", 2)[2] for path in either if there.get(path) != staged.get(path)]

    def file(self, name: str, version: str, path: str) -> bytes:
        """A small file of a version that is there, such as its `entry.json`.

        Raises:
            SynthMedError: it is not as it was announced.
        """
        return self._chain.target(f"{name}@{version}", f"{name}/{version}/{path}")

    def commit(self, signers: keyring.Signers) -> None:
        """Moves what was staged, signs it, and lets clients see it.

        Raises:
            SynthMedError: clients would refuse the path of a staged file.
            OSError: something cannot be written. Clients see nothing of what was to be, in both cases.
        """
        index = Index(title=self.index.title, entries=tuple(sorted(self.rows.values(), key=_place)))
        if not self._staged and index == self.index:
            return
        changed = {}
        for name, folder in self._staged.items():
            targets, version = self._chain.repository / TARGETS, Path(*name.split("@"))
            _reduce(targets, version, self._chain.announced(name))
            changed[name] = self._chain.delegate(name, _announced(folder, name), signers)
            _move(folder, targets / version)
        self._chain.announce_index(index)
        self._chain.commit(signers, changed | {"targets": self._chain.targets})


@contextlib.contextmanager
def opened(
    repository: Path, keys: Path, wait: float = WAIT, say: Callable[[str], None] = lambda line: None
) -> Iterator[Transaction]:
    """A transaction, which is committed at the end if all goes well; after an error nothing has changed.

    Args:
        repository: its folder.
        keys: the folder with the keys of targets, snapshot and timestamp.
        wait: seconds to wait for another publisher.
        say: called with a line while it waits.

    Raises:
        SynthMedError: there is no repository, it is damaged, a key is missing, another publisher does not end, or
            something cannot be written.
    """
    with locked(Path(repository), wait, say) as chain:
        signers = keyring.read(Path(keys), keyring.ONLINE, chain.root.signed)
        transaction = Transaction(chain)
        yield transaction
        transaction.commit(signers)


@contextlib.contextmanager
def locked(repository: Path, wait: float = WAIT, say: Callable[[str], None] = lambda line: None) -> Iterator[Chain]:
    """Gives the metadata, with no other publisher at work and nothing left of one that was killed.

    Raises:
        SynthMedError: as `opened`.
    """
    Chain.check(repository)
    with _failing_clearly(repository), _alone(repository / _LOCK, wait, say):
        chain = _settle(repository)
        try:
            yield chain
        finally:
            _settle(repository)


@contextlib.contextmanager
def _alone(lock: Path, wait: float, say: Callable[[str], None]) -> Iterator[None]:
    deadline, said = time.monotonic() + wait, False
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(files.exclusive(lock))
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise SynthMedError(
                        f"{lock.parent} is being changed by {error.strerror}, and has been for {wait:.0f} s; wait for "
                        "it to end and run the same command again."
                    ) from None
                if not said:
                    say(f"waiting for {error.strerror}, which is changing {lock.parent}")
                    said = True
                time.sleep(0.1)
        yield


@contextlib.contextmanager
def _failing_clearly(repository: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SynthMedError(
            f"{error.filename or repository}: {error.strerror or error}; put this right and run the same command "
            "again: a version is changed whole or not at all."
        ) from error


def _settle(repository: Path) -> Chain:
    """Makes the files agree with the metadata, whether a transaction ended well, ended with an error or was killed."""
    chain = Chain.read(repository)
    work = repository / _WORK
    for name in filter(_ID.fullmatch, os.listdir(work) if work.is_dir() else ()):
        _reduce(repository / TARGETS, Path(*name.split("@")), chain.announced(name))
    for folder in (repository / METADATA, repository / TARGETS):
        files.clear_remains(folder)
    chain.copy_index()
    chain.prune()
    shutil.rmtree(work, ignore_errors=True)
    return chain


def _reduce(targets: Path, version: Path, announced: Container[str]) -> None:
    """Leaves of a version's folder what is announced, and no empty folder."""
    if (targets / version).resolve() != targets.resolve() / version:
        raise SynthMedError(f"{targets / version} is a link, behind which nothing is removed; remove the link.")
    for folder, _, names in os.walk(targets / version, topdown=False):
        for name in names:
            path = Path(folder, name)
            if path.relative_to(targets).as_posix() not in announced:
                path.unlink()
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
    with contextlib.suppress(OSError):
        (targets / version.parent).rmdir()


def _announced(folder: Path, name: str) -> dict[str, TargetFile]:
    """The staged files by their path below `targets/`; they are on the disk then.

    Raises:
        SynthMedError: clients would refuse a path.
    """
    announced = {}
    for path in sorted(folder.rglob("*")):
        files.sync(path)
        if path.is_file():
            target = f"{name.replace('@', '/')}/{paths.safe(path.relative_to(folder).as_posix())}"
            announced[target] = TargetFile.from_file(target, str(path), ["sha256"])
    files.sync(folder)
    paths.check_distinct(announced)
    return announced


def _move(folder: Path, place: Path) -> None:
    """Moves a version's folder to its place; into one that is there, the files one by one."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        os.rename(folder, place)
    for path in sorted(folder.rglob("*")):
        there = place / path.relative_to(folder)
        if path.is_dir():
            there.mkdir(exist_ok=True)
        elif there.exists():
            raise ValueError(f"{there} is there, and a version's files do not change.")
        else:
            os.rename(path, there)
    for changed in (place, place.parent, place.parent.parent):
        files.sync(changed)


def _place(row: Row) -> tuple[str, tuple[int, ...]]:
    """Orders the index: by name, the newest version first."""
    return row.name, tuple(-part for part in number(row.version))
