"""The data doctor: reads a folder once, in parallel, and lists for each file what is wrong and what to do about it."""

import contextlib
import logging
import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from synthmed_tf.config.image_kind import RETINA, ImageKind
from synthmed_tf.data.doctor.duplicates import ALIKE, ALIKE_MASKS, same_images
from synthmed_tf.data.doctor.listing import Job, Listing, list_files
from synthmed_tf.data.doctor.pair import Looked, look
from synthmed_tf.data.doctor.report import SEVERITIES, Report
from synthmed_tf.errors import ERROR, WARNING, Finding, SynthMedError
from synthmed_tf.images import parse_labels

_BELONGS = 0.3
"""Least likeness of a mask with the photograph that it belongs to, as fingerprints: right pairs have 0.50 and more,
others 0.21 and less (docs/data_doctor.md)."""
_SPLIT = re.compile(r"^(train|training|test|testing|val|valid|validation|dev|holdout)$", re.IGNORECASE)


def check_folder(
    folder: str | os.PathLike,
    patient_regex: str | None = None,
    vessel_labels: str | None = None,
    kind: ImageKind = RETINA,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Checks the photographs and masks of a folder. Nothing is written.

    Args:
        folder: as for `sources.find_pairs`.
        patient_regex, vessel_labels, kind: likewise.
        workers: threads; by default one a core and eight at most.
        progress: called in the caller's thread with the number of pairs (or single files) read, and of all.

    Returns:
        The report, in any state of the files.

    Raises:
        SynthMedError: there is no such folder, or the expression is not valid.
    """
    root = Path(folder)
    if not root.exists():
        raise SynthMedError("does not exist", "give a folder of photographs", path=root)
    if not root.is_dir():
        raise SynthMedError("is a file", "give the folder that it lies in", path=root)
    listing = list_files(root, patient_regex, () if vessel_labels is None else parse_labels(vessel_labels), kind)
    looked = []
    with _quiet():
        pool = ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1))
        try:
            for done in pool.map(look, listing.jobs):
                looked.append(done)
                if progress is not None:
                    progress(len(looked), len(listing.jobs))
        finally:
            pool.shutdown(cancel_futures=True)
    findings = [*listing.findings, *(finding for one in looked for finding in one.findings)]
    findings += _misfits(looked) + _duplicates(root, looked, "photograph") + _duplicates(root, looked, "mask")
    return _report(root, listing, looked, findings)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What the decoders have to say on damaged files is in the report; the terminal shows the progress."""
    logger = logging.getLogger("PIL")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            logger.setLevel(level)


def _report(root: Path, listing: Listing, looked: list[Looked], findings: list[Finding]) -> Report:
    order = list(SEVERITIES)
    relative = {_relative(root, finding) for finding in findings}
    sizes = Counter(one.size for one in looked if one.size is not None and one.job.belongs)
    jobs = [job for job in listing.jobs if job.belongs]
    photographs = [job for job in jobs if job.photograph is not None]
    return Report(
        folder=str(root),
        layout=listing.layout,
        photographs=len(photographs),
        masks=sum(job.mask is not None for job in jobs),
        patients=len({job.patient for job in photographs}),
        sizes=tuple(f"{width}x{height}" for (width, height), _ in sizes.most_common()),
        findings=tuple(sorted(relative, key=lambda f: (order.index(f.severity), f.path, f.problem))),
    )


def _relative(root: Path, finding: Finding) -> Finding:
    if root == Path("."):
        return finding
    inside = f"{root}{os.sep}"
    path = "." if finding.path == str(root) else Path(finding.path.removeprefix(inside)).as_posix()
    return replace(
        finding, path=path, problem=finding.problem.replace(inside, ""), remedy=finding.remedy.replace(inside, "")
    )


def _misfits(looked: list[Looked]) -> list[Finding]:
    """Names the mask that fits, where one of the others does."""
    masks = [one for one in looked if one.mask_print is not None]
    findings = []
    for one in looked:
        if one.misfit is None:
            continue
        likeness = [-float(np.sum(one.photograph_print * other.mask_print)) for other in masks]
        best = masks[int(np.argmax(likeness))]
        of_mask = one.misfit.path == str(one.job.mask)
        if of_mask and best is not one and max(likeness) >= _BELONGS and one.misfit.severity == ERROR:
            remedy = f"give {one.job.photograph} the mask {best.job.mask}, which fits it; the pairs are swapped"
            findings.append(replace(one.misfit, remedy=remedy))
        else:
            findings.append(one.misfit)
    return findings


def _duplicates(root: Path, looked: list[Looked], kind: str) -> list[Finding]:
    """For each image that is there already: one like it, of another patient or split if there is such."""
    found = []
    for one in looked:
        path, fingerprint = getattr(one.job, kind), getattr(one, f"{kind}_print")
        if path is not None and one.job.belongs and path in (one.sums or {}):
            found.append((one.job, path, one.sums[path], fingerprint))
    how: dict[tuple[int, int], tuple[str, str]] = {}
    printed = [i for i, (*_, fingerprint) in enumerate(found) if fingerprint is not None]
    least = ALIKE if kind == "photograph" else ALIKE_MASKS
    for first, second, alike in same_images([found[i][3] for i in printed], least):
        how[printed[first], printed[second]] = ("nearly the same", f" (likeness {alike:.2f})")
    by_sum: dict[str, int] = {}
    for i, (_, _, sha256, _) in enumerate(found):
        if by_sum.setdefault(sha256, i) != i:
            how[by_sum[sha256], i] = ("byte for byte the same", "")
    worst: dict[int, Finding] = {}
    for first, second in sorted(how):
        finding = _same(root, kind, found[first][:2], found[second][:2], how[first, second])
        if second not in worst or worst[second].severity != ERROR == finding.severity:
            worst[second] = finding
    return list(worst.values())


def _same(root: Path, kind: str, first: tuple[Job, Path], second: tuple[Job, Path], how: tuple[str, str]) -> Finding:
    (job, path), (other, again) = first, second
    splits = [_split_of(root, one) for one in (path, again)]
    if splits[0] != splits[1]:
        severity, where = ERROR, f"across the splits {splits[0] or '.'} and {splits[1] or '.'}"
    elif job.patient != other.patient:
        severity, where = ERROR, f"under two patients, {job.patient} and {other.patient}"
    else:
        severity, where = WARNING, f"twice under the patient {job.patient}" if job.patient else "in another folder"
    remedy = "remove one with all that belongs to it"
    if severity == ERROR:
        remedy += ", or name the patient with --patient-regex if both are of one"
    return Finding(severity, str(again), f"is {how[0]} {kind} as {path}{how[1]}, {where}", remedy)


def _split_of(root: Path, path: Path) -> str:
    return next((part for part in path.relative_to(root).parts[:-1] if _SPLIT.match(part)), "").lower()
