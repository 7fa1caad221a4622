"""What `synthmed data fix` does: writes a clean plain folder out of a folder of pairs, and says what it changed."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from synthmed_tf import __version__
from synthmed_tf.config.image_kind import RETINA, ImageKind
from synthmed_tf.data import alignment
from synthmed_tf.data.doctor import masks
from synthmed_tf.data.doctor.duplicates import fingerprint, same_images
from synthmed_tf.data.doctor.listing import Job, list_files
from synthmed_tf.data.doctor.photographs import reduce_square
from synthmed_tf.data.layouts import recognise
from synthmed_tf.data.preprocessing import bright_border, derive_fov, field_of_view, square_around
from synthmed_tf.errors import ERROR, Finding, SynthMedError
from synthmed_tf.files import exclusive, write_text
from synthmed_tf.images import (
    Decoded,
    decode_bytes,
    image_of,
    mask_of,
    parse_labels,
    read_bytes,
    unpack,
    write_png,
)

RECORD = "fixes.json"
_FOLDERS = ("images", "masks", "fov")


@dataclass(frozen=True)
class FixedPair:
    """A pair that was written.

    Attributes:
        name, patient: of the pair.
        photograph, mask, fov: the files it was read from, relative to the folder; None where there is none.
        changes: what was done to them, a phrase each.
    """

    name: str
    patient: str
    photograph: str
    mask: str | None
    fov: str | None
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fixes:
    """What was written, and what was not.

    Attributes:
        folder: what was fixed, as it was given.
        layout: a key of `layouts.LAYOUTS`, or `unknown`.
        patient_regex: what names the patients in the new folder; None where each image is a patient of its own.
        pairs: written, by name.
        left_out: what was not, and why.
    """

    folder: str
    layout: str
    patient_regex: str | None
    pairs: tuple[FixedPair, ...] = ()
    left_out: tuple[Finding, ...] = ()

    @property
    def exit_code(self) -> int:
        """1 if something was left out, otherwise 0."""
        return 1 if self.left_out else 0

    def to_text(self) -> str:
        """For people; has no line break at the end."""
        lines = []
        for pair in self.pairs:
            if pair.changes:
                lines.append(f"  {pair.name}: {'; '.join(pair.changes)}")
        changed = len(lines)
        lines.insert(0, f"{len(self.pairs)} pairs were written, {changed} of them changed")
        if self.left_out:
            lines.append(f"{len(self.left_out)} were left out")
            lines += [f"  {finding}" for finding in self.left_out]
        if self.patient_regex is not None:
            lines.append(f"patients: give --patient-regex '{self.patient_regex}' with the new folder")
        return "\n".join("".join(c if c.isprintable() else repr(c)[1:-1] for c in line) for line in lines)


@dataclass
class _Read:
    """A pair on its way: what was read, and what was done so far."""

    job: Job
    photograph: np.ndarray
    mask: np.ndarray | None
    fov: np.ndarray | None
    turned: int
    changes: list[str] = field(default_factory=list)


def fix_folder(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    patient_regex: str | None = None,
    vessel_labels: str | None = None,
    kind: ImageKind = RETINA,
    progress: Callable[[int, int], None] | None = None,
) -> Fixes:
    """Writes what can be trained on into a new folder: `images/`, `masks/` and `fov/`, PNG files of equal names.

    Rotations are applied (also to a mask that was made of the unturned photograph), masks that are turned, mirrored or
    inverted are put right, masks become two-valued, label maps are united, bright borders cut, and duplicates left out
    (the first by name stays); of images that are no retinas, borders stay, and masks are neither inverted nor turned.
    `folder` is never touched. The new folder appears when it is complete; an interrupted
    call goes on when it is repeated.

    Args:
        folder: as for `sources.find_pairs`; a folder of no known layout is paired by names.
        out: the new folder, outside of `folder`; it must not exist or be empty, or be the result of the same call.
        patient_regex, vessel_labels, kind: as for `sources.find_pairs`.
        progress: called with the number of pairs done, and of all.

    Raises:
        SynthMedError: a folder or an option is not as it has to be, or nothing can be fixed.

    Example:
        >>> fix_folder("DIR", "DIR2").exit_code  # doctest: +SKIP
        0
    """
    root, target = Path(folder), Path(out)
    _refuse_folders(root, target)
    listing = list_files(root, patient_regex, () if vessel_labels is None else parse_labels(vessel_labels), kind)
    jobs = [job for job in listing.jobs if job.belongs and job.name]
    started = Fixes(str(root), listing.layout, _expression(root, listing.layout, jobs, patient_regex))
    settings = {"version": __version__, "folder": str(root.resolve()), "labels": vessel_labels, "regex": patient_regex}
    settings |= kind.facts() | {"files": _state(jobs)}
    if (target / RECORD).is_file():
        return _finished(target, settings)
    partial = target.parent / f".{target.name}.fixing"
    partial.mkdir(parents=True, exist_ok=True)
    try:
        with exclusive(partial / "lock"):
            _begin(partial, settings)
            fixes = _fix_all(root, jobs, partial, started, progress)
            fixes = replace(fixes, left_out=_relative(root, (*_told(root, listing.findings), *fixes.left_out)))
            record = {**asdict(fixes), "settings": settings}
            write_text(partial / RECORD, json.dumps(record, indent=2, ensure_ascii=False))
    except BlockingIOError as error:
        problem = f"is being written by another process ({error.strerror})"
        raise SynthMedError(problem, "wait for it, or give another folder with --out", path=target) from error
    if not fixes.pairs:
        shutil.rmtree(partial)
        reason = f" ({fixes.left_out[0].path} {fixes.left_out[0].problem})" if fixes.left_out else ""
        raise SynthMedError(f"has no pair that can be fixed{reason}", "run synthmed data check on it", path=root)
    shutil.rmtree(partial / "done")
    (partial / "settings.json").unlink()
    if target.is_dir():
        target.rmdir()
    os.rename(partial, target)
    return fixes


def _told(root: Path, findings: list[Finding]) -> list[Finding]:
    """What the listing says of single files, such as halves of pairs."""
    return [finding for finding in findings if finding.severity == ERROR and finding.path != str(root)]


def _refuse_folders(root: Path, target: Path) -> None:
    if not root.is_dir():
        problem = "is a file" if root.exists() else "does not exist"
        raise SynthMedError(problem, "give a folder of photographs and masks", path=root)
    here, there = root.resolve(), target.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise SynthMedError(f"and {root} lie in each other", "give a folder elsewhere with --out", path=target)
    if target.exists() and not target.is_dir():
        raise SynthMedError("is a file", "give a new folder with --out", path=target)
    if target.is_dir() and any(target.iterdir()) and not (target / RECORD).is_file():
        raise SynthMedError("is not empty", "give a new folder with --out", path=target)


def _finished(target: Path, settings: dict[str, Any]) -> Fixes:
    try:
        record = json.loads((target / RECORD).read_text())
        same = record.pop("settings") == settings
        pairs = tuple(FixedPair(**{**pair, "changes": tuple(pair["changes"])}) for pair in record.pop("pairs"))
        left_out = tuple(Finding(**finding) for finding in record.pop("left_out"))
        fixes = Fixes(**record, pairs=pairs, left_out=left_out)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SynthMedError("cannot be read", "give a new folder with --out", path=target / RECORD) from error
    if not same:
        problem = "is the result of other files or options"
        raise SynthMedError(problem, "give a new folder with --out", path=target)
    return fixes


def _state(jobs: list[Job]) -> str:
    """A hash of names, sizes and times of all files: whether a call is the same as before."""
    digest = hashlib.sha256()
    for job in jobs:
        for path in (job.photograph, job.mask, job.fov):
            facts = path.stat() if path is not None and path.is_file() else None
            digest.update(f"{path} {facts and (facts.st_size, facts.st_mtime_ns)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _expression(root: Path, layout: str, jobs: list[Job], patient_regex: str | None) -> str | None:
    if patient_regex is not None or all(job.patient == job.name for job in jobs):
        return patient_regex
    try:
        return recognise(root)[1].patient
    except SynthMedError:
        return None


def _begin(partial: Path, settings: dict[str, Any]) -> None:
    """Keeps what an interrupted call of the same kind has written, and removes anything else."""
    state = partial / "settings.json"
    if not state.is_file() or json.loads(state.read_text() or "null") != settings:
        for name in (*_FOLDERS, "done"):
            shutil.rmtree(partial / name, ignore_errors=True)
        (partial / "done").mkdir()
        write_text(state, json.dumps(settings))


def _fix_all(
    root: Path, jobs: list[Job], partial: Path, fixes: Fixes, progress: Callable[[int, int], None] | None
) -> Fixes:
    pairs: list[FixedPair] = []
    left_out: list[Finding] = []
    prints: list[np.ndarray] = []
    labelled = any(job.mask is not None for job in jobs)
    for number, job in enumerate(jobs):
        if labelled and job.mask is None:  # a plain folder has a mask for each photograph, or for none
            problem = "is a photograph without a mask"
            left_out.append(Finding(ERROR, str(job.photograph), problem, "add the mask or remove the photograph"))
            continue
        done = partial / "done" / f"{number}.json"
        kept = json.loads(done.read_text()) if done.is_file() else None
        if kept is None:
            kept = _fix_one(root, job, partial)
            write_text(done, json.dumps(kept))
        if "problem" in kept:
            left_out.append(Finding(**kept))
        else:
            prints.append(np.array(kept.pop("print"), np.float32))
            pairs.append(FixedPair(**{**kept, "changes": tuple(kept["changes"])}))
        if progress is not None:
            progress(number + 1, len(jobs))
    again = {second: first for first, second, _ in reversed(same_images(prints))}
    for second, first in sorted(again.items()):
        problem = f"is nearly the same photograph as {pairs[first].photograph}"
        remedy = "nothing has to be done: one copy is kept"
        left_out.append(Finding(ERROR, str(root / pairs[second].photograph), problem, remedy))
        for kind in _FOLDERS:
            (partial / kind / f"{pairs[second].name}.png").unlink(missing_ok=True)
    kept_pairs = tuple(pair for i, pair in enumerate(pairs) if i not in again)
    return replace(fixes, pairs=kept_pairs, left_out=tuple(left_out))


def _fix_one(root: Path, job: Job, partial: Path) -> dict[str, Any]:
    """Writes one pair; returns what is kept of it, or the finding where it cannot be fixed."""
    try:
        pair = _read(job)
        _match_sizes(pair)
        _cut_border(pair)
        seen = field_of_view(pair.photograph, pair.fov, job.kind, str(job.photograph))
        _put_mask_right(pair, seen)
    except SynthMedError as error:
        return asdict(error.finding(job.photograph))
    except Exception as error:  # like the doctor, it goes on after any error of a library
        problem = f"could not be fixed ({type(error).__name__}: {error})"
        return asdict(Finding(ERROR, str(job.photograph), problem, "look at it, and save it again as PNG"))
    for kind, array in zip(_FOLDERS, (pair.photograph, pair.mask, pair.fov), strict=True):
        if array is not None:
            write_png(partial / kind / f"{job.name}.png", array)
    crop = square_around(seen)
    small = reduce_square(pair.photograph, crop)[..., 1]
    sources = (None if path is None else _short(root, path) for path in (job.photograph, job.mask, job.fov))
    kept = FixedPair(job.name, job.patient or job.name, *sources, tuple(pair.changes))
    return {**asdict(kept), "print": np.round(fingerprint(small, _reduced(seen, crop)), 5).tolist()}


def _decoded(path: Path) -> Decoded:
    return decode_bytes(str(path), unpack(path, read_bytes(path)))


def _read(job: Job) -> _Read:
    shown = _decoded(job.photograph)
    pair = _Read(job, image_of(job.photograph, shown), None, None, shown.orientation)
    if shown.orientation not in (0, 1):
        pair.changes.append(f"photograph turned upright (EXIF orientation {shown.orientation})")
    if shown.pixels.dtype == np.uint16:
        pair.changes.append("photograph scaled to 8 bits")
    if job.mask is not None:
        stored = _decoded(job.mask)
        pair.mask = mask_of(job.mask, stored, job.labels, job.dark_vessels)
        told = masks.check_values(job.mask, stored, job.labels)
        pair.changes += [f"mask made two-valued ({finding.problem})" for finding in told]
        if job.dark_vessels:
            pair.changes.append("mask inverted, as its layout has dark vessels")
    if job.fov is not None:
        pair.fov = mask_of(job.fov, _decoded(job.fov), labels=None)
    return pair


def _match_sizes(pair: _Read) -> None:
    """Turns masks that were made of the photograph as it is stored, before its rotation."""
    for kind in ("mask", "fov"):
        array, size = getattr(pair, kind), pair.photograph.shape[:2]
        if array is None or array.shape == size:
            continue
        turned = Decoded(array).upright(pair.turned).pixels
        if turned.shape != size:
            problem = f"has {array.shape[1]}x{array.shape[0]} pixels but its photograph has {size[1]}x{size[0]}"
            raise SynthMedError(problem, "give two files of one size", path=getattr(pair.job, kind))
        setattr(pair, kind, turned)
        pair.changes.append(f"{'mask' if kind == 'mask' else 'field of view'} turned with its photograph")


def _cut_border(pair: _Read) -> None:
    border = bright_border(pair.photograph)
    if pair.job.kind.field_of_view == "frame" or not border.any():
        return
    seen = derive_fov(pair.photograph, str(pair.job.photograph))
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    inside = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = border.shape
    pair.photograph = np.where(border[..., None], np.uint8(0), pair.photograph)[inside]
    pair.mask = None if pair.mask is None else pair.mask[inside]
    pair.fov = (seen if pair.fov is None else pair.fov)[inside]
    now_height, now_width = pair.photograph.shape[:2]
    pair.changes.append(f"bright border cut ({width}x{height} to {now_width}x{now_height} pixels)")


def _put_mask_right(pair: _Read, seen: np.ndarray) -> None:
    if pair.mask is None:
        return
    kind = pair.job.kind
    vessels = kind.structures == "vessels"
    if vessels and pair.mask[seen].mean() > kind.most and (~pair.mask)[seen].mean() <= masks.MANY:
        pair.mask = ~pair.mask & seen
        pair.changes.append("mask inverted, so that vessels are bright")
    told = masks.check_share(pair.job.mask, pair.mask, seen, kind)
    errors = [finding for finding in told if finding.severity == ERROR]
    if errors:
        raise SynthMedError(errors[0].problem, errors[0].remedy, path=pair.job.mask)
    contrast = _contrast(pair, pair.mask, seen) if vessels else None
    if contrast is None or contrast >= alignment.FITS:
        return
    for name, turn in alignment.TURNS.items():
        turned = turn(pair.mask)
        if turned.shape == pair.mask.shape and (_contrast(pair, turned, seen) or 0) >= alignment.DOUBTFUL:
            pair.mask = turned
            pair.changes.append(f"mask was {name}, and was turned back")
            return
    problem = f"marks vessels that are not darker than their surroundings in its photograph (contrast {contrast:.2f})"
    raise SynthMedError(problem, "run synthmed data check, which names a mask that fits", path=pair.job.mask)


def _contrast(pair: _Read, mask: np.ndarray, seen: np.ndarray) -> float | None:
    crop = square_around(seen)
    field_of_view = _reduced(seen, crop)
    green = alignment.detail(reduce_square(pair.photograph, crop)[..., 1], field_of_view)
    return alignment.contrast(green, reduce_square(mask.astype(np.uint8) * np.uint8(255), crop), field_of_view)


def _reduced(seen: np.ndarray, crop) -> np.ndarray:
    return reduce_square(seen.astype(np.uint8) * np.uint8(255), crop) >= 128


def _short(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _relative(root: Path, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    inside = f"{root}{os.sep}"
    return tuple(
        replace(f, path=f.path.removeprefix(inside), problem=f.problem.replace(inside, ""))
        for f in dict.fromkeys(findings)
    )
