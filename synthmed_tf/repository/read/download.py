"""`synthmed download`: the files of a version, each whole and as signed, or not there.

A file is written as `.<name>.part` next to its place, is resumed after an interruption, and is moved to its place once
its SHA-256 is the one that is signed. No file is opened, and TensorFlow is not needed.
"""

import contextlib
import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pydantic
from tuf.api import exceptions

from synthmed_tf import files
from synthmed_tf.errors import SynthMedError
from synthmed_tf.repository.entry import ENTRY, Entry, File
from synthmed_tf.repository.paths import plain
from synthmed_tf.repository.read import tuf_errors
from synthmed_tf.repository.read.client import MOST_ENTRY_BYTES, Repository
from synthmed_tf.repository.read.fetching import Source

JOBS = 4
PREFERRED = ("imagefolder", "tfrecord")
GENERATOR = "generator"
_ALWAYS = ("description", "preview", "report")
_LOCK = ".lock"
_IN_VAIN, _PAUSE = 3, 0.3
"""How often in a row a host may break off without sending anything new, and the seconds before the next attempt."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Choice:
    """Which files of a version are wanted, in addition to its descriptions, previews and report.

    Attributes:
        formats: of the pairs; if omitted, the image folder or what there is.
        generator: whether the artifact too.
        everything: whether all files.
    """

    formats: tuple[str, ...] = ()
    generator: bool = False
    everything: bool = False


@dataclass(frozen=True)
class Downloaded:
    """The result of a download.

    Attributes:
        entry: the version.
        files: how many of its files are in the folder.
        fetched: how many of them were fetched now.
        bytes: of these.
    """

    entry: Entry
    files: int
    fetched: int
    bytes: int


def download(
    repository: Repository,
    name_and_version: str,
    out: Path,
    choice: Choice = Choice(),
    jobs: int = JOBS,
    progress: Progress = lambda done, total: None,
) -> Downloaded:
    """Fetches a version into a folder. Files that are there and whole are kept; the same call resumes.

    Args:
        repository: that has it.
        name_and_version: `retina-chase@1.0.0`, or `retina-chase` for the newest in circulation.
        out: its folder; holds `entry.json` at the end.
        choice: which of its files.
        jobs: files that are fetched at once.
        progress: called with (done, total), in bytes.

    Raises:
        SynthMedError: there is no such version, it was withdrawn, the folder holds something else, a file is not what
            is signed, or network or disk fail. Files that are whole stay.
    """
    entry = repository.entry(name_and_version)
    wanted = select(entry, choice)
    with files.failing_clearly(out):
        _place(entry, out)
        try:
            with files.exclusive(out / _LOCK):
                fetched = _fetch(repository, entry, wanted, _Fetcher(repository.source, entry, out, progress), jobs)
                # Last: where it is, the files that were asked for are there.
                content = repository.read(f"{entry.name}/{entry.version}/{ENTRY}", MOST_ENTRY_BYTES)
                files.write_bytes(out / ENTRY, content)
        except BlockingIOError as error:
            raise SynthMedError(
                f"{out} is being downloaded by {error.strerror}; wait for it, or choose another --out."
            ) from error
    return Downloaded(entry, len(wanted) + 1, len(fetched), sum(file.size for file in fetched))


def select(entry: Entry, choice: Choice) -> list[File]:
    """The files of a choice.

    Raises:
        SynthMedError: the version has no such format, or no generator.
    """
    if choice.everything:
        return list(entry.files)
    formats = choice.formats or tuple(name for name in (*PREFERRED, *entry.formats) if name in entry.formats)[:1]
    for name in formats:
        if name not in entry.formats:
            raise SynthMedError(
                f"{entry.name}@{entry.version} cannot be had as {name}; choose --format of {', '.join(entry.formats)}."
            )
    if choice.generator and entry.generator is None:
        raise SynthMedError(f"{entry.name}@{entry.version} does not share its generator; leave --generator out.")
    roles = {*_ALWAYS, *formats} | ({GENERATOR} if choice.generator else set())
    return [file for file in entry.files if file.role in roles]


def _fetch(repository: Repository, entry: Entry, wanted: list[File], fetcher: "_Fetcher", jobs: int) -> list[File]:
    try:
        return fetcher.run(wanted, jobs)
    except (tuf_errors.Untrusted, tuf_errors.Unreachable):
        with contextlib.suppress(tuf_errors.Unreachable):
            repository.refresh()
        repository.row(entry.name, entry.version)  # says so where it was withdrawn meanwhile
        raise


def _place(entry: Entry, out: Path) -> None:
    """Makes the folder, or sees that it holds nothing else. Until the version is whole, its files must be as signed."""
    out.mkdir(parents=True, exist_ok=True)
    names = {path.name for path in out.iterdir()}
    if ENTRY in names:
        try:
            there = Entry.model_validate_json((out / ENTRY).read_bytes())
        except (pydantic.ValidationError, OSError):
            there = None
        if there is None or (there.name, there.version) != (entry.name, entry.version):
            held = f"{there.name}@{there.version}" if there else "something else"
            raise SynthMedError(f"{out} holds {held}, not {entry.name}@{entry.version}; choose another --out.")
        return
    known = {file.path.split("/")[0] for file in entry.files}
    others = {name for name in names - known if not name.startswith(".")}
    others |= {file.path for file in entry.files if (out / file.path).exists() and not _is_signed(out, file)}
    if others:
        raise SynthMedError(
            f"{out} is there and holds a {plain(min(others))} that is not of {entry.name}@{entry.version}; choose "
            "another --out."
        )


def _is_signed(out: Path, file: File) -> bool:
    path = out / file.path
    return path.is_file() and path.stat().st_size == file.size and files.sha256(path) == file.sha256


class _Fetcher:
    """Fetches the files of one call: counts bytes, and stops all threads after an error."""

    def __init__(self, source: Source, entry: Entry, out: Path, progress: Progress):
        self._source, self._out, self._progress = source, out, progress
        self._folder = f"{entry.name}/{entry.version}"
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._done = self._total = 0

    def run(self, wanted: list[File], jobs: int) -> list[File]:
        """Returns those that were fetched."""
        self._total = sum(file.size for file in wanted)
        self._count(0)
        missing = [file for file in wanted if not self._is_there(file)]
        self._check_space(missing)
        pool = ThreadPoolExecutor(max(1, jobs))
        try:
            # The largest first, so that none is left alone at the end.
            running = [pool.submit(self._fetch, file) for file in sorted(missing, key=lambda file: -file.size)]
            wait(running, return_when=FIRST_EXCEPTION)
            self._stopped.set()
            for future in running:
                if future.done() and not future.cancelled():
                    future.result()
        finally:
            self._stopped.set()
            pool.shutdown(cancel_futures=True)
        return missing

    def _is_there(self, file: File) -> bool:
        if not _is_signed(self._out, file):
            return False
        self._count(file.size)
        return True

    def _check_space(self, missing: Iterable[File]) -> None:
        needed = sum(file.size for file in missing) - sum(
            self._part(file).stat().st_size for file in missing if self._part(file).is_file()
        )
        free = shutil.disk_usage(self._out).free
        if needed > free:
            raise SynthMedError(
                f"{self._out} has {free / 1e6:.0f} MB free where {needed / 1e6:.0f} MB are needed; free space or "
                "choose another --out."
            )

    def _fetch(self, file: File) -> None:
        place, part = self._out / file.path, self._part(file)
        place.parent.mkdir(parents=True, exist_ok=True)
        with tuf_errors.as_sentences(self._source, f"targets/{self._folder}/{file.path}"), open(part, "a+b") as opened:
            partial = _PartialFile(opened, file.size)
            self._count(partial.size)
            began_at = partial.size
            is_right = self._fill(partial, file)
            if not is_right and began_at:  # what lay there may have been of something else
                self._count(-partial.empty())
                is_right = self._fill(partial, file)
            if self._stopped.is_set() and partial.size < file.size:
                return
            if not is_right:
                self._count(-partial.empty())
                raise exceptions.LengthOrHashMismatchError
        os.replace(part, place)

    def _fill(self, partial: "_PartialFile", file: File) -> bool:
        """Reads on to the end; says whether what is there then is what is signed."""
        url, in_vain = self._source.target_url(f"{self._folder}/{file.path}"), 0
        while partial.size < file.size and not self._stopped.is_set():
            before = partial.size
            try:
                self._read_on(partial, file, url)
            except (exceptions.DownloadHTTPError, exceptions.DownloadLengthMismatchError):
                raise
            except exceptions.DownloadError:
                if in_vain + 1 == _IN_VAIN:
                    raise
            in_vain = 0 if partial.size > before else in_vain + 1
            if in_vain == _IN_VAIN:
                return False  # the host has less
            self._stopped.wait(in_vain * _PAUSE)
        return partial.size == file.size and partial.sha256 == file.sha256

    def _read_on(self, partial: "_PartialFile", file: File, url: str) -> None:
        with self._source.opened(url, partial.size) as (first, parts):
            if first != partial.size:
                self._count(-partial.empty())
            for part in parts:
                if self._stopped.is_set():
                    return
                if partial.size + len(part) > file.size:
                    self._count(-partial.empty())
                    raise exceptions.DownloadLengthMismatchError
                partial.add(part)
                self._count(len(part))

    def _part(self, file: File) -> Path:
        path = self._out / file.path
        return path.with_name(f".{path.name}{files.PART}")

    def _count(self, size: int) -> None:
        with self._lock:
            self._done += size
            self._progress(self._done, self._total)


class _PartialFile:
    """A file that is being fetched, of which a part may be there from an earlier time, with its SHA-256.

    Attributes:
        size: in bytes.
    """

    def __init__(self, opened: BinaryIO, most: int):
        """Reads what there is.

        Args:
            opened: the file, opened to be read and appended to.
            most: bytes; what is longer cannot be a part, and is thrown away.
        """
        self._file, self.size, self._digest = opened, 0, hashlib.sha256()
        opened.seek(0)
        while block := opened.read(1 << 20):
            self._digest.update(block)
            self.size += len(block)
        if self.size > most:
            self.empty()

    @property
    def sha256(self) -> str:
        """As hexadecimal digits."""
        return self._digest.hexdigest()

    def add(self, part: bytes) -> None:
        """Writes the next part, and flushes it so that it survives the process."""
        self._file.write(part)
        self._file.flush()
        self._digest.update(part)
        self.size += len(part)

    def empty(self) -> int:
        """Begins again; returns how much there was."""
        there, self.size, self._digest = self.size, 0, hashlib.sha256()
        self._file.truncate(0)
        return there
