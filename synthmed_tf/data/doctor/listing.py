"""The data doctor's list of work: every image file of a folder, in pairs as far as pairs can be told."""

import os
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from synthmed_tf.config.image_kind import RETINA, ImageKind
from synthmed_tf.data.layouts import (
    UNREAD_IMAGES,
    bare_name,
    folders_with_masks,
    named_like_mask,
    recognise,
    stem,
)
from synthmed_tf.data.sources import Pair, match
from synthmed_tf.errors import ERROR, NOTE, WARNING, Finding, SynthMedError
from synthmed_tf.images import EXTENSIONS, Label

UNKNOWN = "unknown"
_DISC = re.compile(r"(?<![a-z])fov(?![a-z])|^mask$", re.IGNORECASE)


@dataclass(frozen=True)
class Job:
    """Files that are read together.

    Attributes:
        patient: whose eye it is; None where that is not known.
        photograph, mask, fov: the files; at least one.
        belongs: whether training would read them.
        labels, dark_vessels: how the mask is read, as of `sources.Pair`.
        name: of the pair; empty where the files are in none.
        kind: of its source.
    """

    patient: str | None
    photograph: Path | None = None
    mask: Path | None = None
    fov: Path | None = None
    belongs: bool = True
    labels: tuple[Label, ...] = ()
    dark_vessels: bool = False
    name: str = ""
    kind: ImageKind = RETINA


@dataclass(frozen=True)
class Listing:
    """What lies in a folder.

    Attributes:
        layout: a key of `layouts.LAYOUTS`, or `unknown`.
        jobs: every image file is in one of them.
        findings: what is wrong with names and places.
    """

    layout: str
    jobs: list[Job]
    findings: list[Finding]


def list_files(
    folder: Path, patient_regex: str | None = None, labels: tuple[Label, ...] = (), kind: ImageKind = RETINA
) -> Listing:
    """Lists all image files and pairs them, also if some are wrong.

    Args:
        folder: a folder that exists.
        patient_regex: as for `sources.find_pairs`.
        labels: of the vessels, where masks are label maps.
        kind: as for `sources.find_pairs`.

    Raises:
        SynthMedError: the expression is not valid.
    """
    if patient_regex is not None:
        try:
            re.compile(patient_regex)
        except re.error as error:
            problem = f"--patient-regex {patient_regex!r} is not valid ({error})"
            raise SynthMedError(problem, "correct it") from error
    files, findings = _walk(folder)
    layout, pairs, found = _pairs(folder, files)
    if patient_regex is not None:
        pairs = [_with_patient(pair, patient_regex, found) for pair in pairs]
    jobs = [
        Job(pair.patient, pair.photograph, pair.mask, pair.fov, True, labels, pair.dark_vessels, pair.name)
        for pair in pairs
    ]
    jobs += _others(folder, layout, files, jobs, found, labels)
    jobs = [replace(job, kind=kind) for job in jobs]
    return Listing(layout, jobs, findings + found + _missing_masks(folder, layout, jobs))


def _others(
    folder: Path, layout: str, files: list[Path], jobs: list[Job], found: list[Finding], labels: tuple[Label, ...]
) -> list[Job]:
    """The files that are in no pair; adds a finding for each folder of such that belong to nothing."""
    listed = {path for job in jobs for path in (job.photograph, job.mask, job.fov)}
    named = {finding.path for finding in found if finding.severity == ERROR}
    others: list[Job] = []
    outsiders = defaultdict(list)
    for path in files:
        if path not in listed:
            belongs = layout == UNKNOWN or str(path) in named
            others.append(_alone(path, folder, belongs, labels))
            if not belongs:
                outsiders[path.parent].append(path)
    for parent, paths in outsiders.items():
        problem = f"holds {len(paths)} image(s) that are no part of the layout {layout}, such as {paths[0].name}"
        found.append(Finding(NOTE, str(parent), problem, "nothing, unless they were meant to be trained on"))
    return others


def _walk(folder: Path) -> tuple[list[Path], list[Finding]]:
    files: list[Path] = []
    findings: list[Finding] = []
    seen: set[str] = set()

    def refuse(error: OSError) -> None:
        problem = f"could not be listed ({error.strerror})"
        findings.append(Finding(ERROR, str(error.filename), problem, "check its rights"))

    # Links are followed as training follows them; one that leads back into the tree must not be walked for ever.
    for parent, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        if os.path.realpath(parent) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(parent))
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        names = [name for name in names if name.lower().endswith(EXTENSIONS + UNREAD_IMAGES)]
        files += [Path(parent) / name for name in sorted(names) if not name.startswith(".")]
    return files, findings


def _pairs(folder: Path, files: list[Path]) -> tuple[str, list[Pair], list[Finding]]:
    try:
        layout, listed = recognise(folder)
        pairs, findings = match(folder, layout, listed)
        return layout, sorted(pairs, key=lambda pair: pair.name), findings
    except SynthMedError as error:
        refused = error.finding(folder)
    except (OSError, RuntimeError) as error:  # a folder without rights, or links that lead back
        path = getattr(error, "filename", None) or folder
        problem = f"could not be listed ({getattr(error, 'strerror', None) or error})"
        refused = Finding(ERROR, str(path), problem, "check its rights and links")
    return UNKNOWN, _guess(folder, files), [refused]


def _guess(folder: Path, files: list[Path]) -> list[Pair]:
    """Pairs by name in a folder of no known layout: `a` with `a_mask`, or `images/a` with `labels/a`."""
    photographs, masks = defaultdict(list), defaultdict(list)
    for path in files:
        if not named_like_mask(path, folder):
            photographs[stem(path)].append(path)
        elif not _is_disc(path):
            masks[bare_name(stem(path))].append(path)
    keys = [key for key, paths in photographs.items() if len(paths) == 1 and len(masks[key]) == 1]
    return [Pair(key, key, photographs[key][0], masks[key][0], None) for key in keys]


def _alone(path: Path, folder: Path, belongs: bool, labels: tuple[Label, ...]) -> Job:
    if not named_like_mask(path, folder):
        return Job(stem(path), photograph=path, belongs=belongs)
    if _is_disc(path):
        return Job(None, fov=path, belongs=belongs)
    return Job(None, mask=path, belongs=belongs, labels=labels)


def _is_disc(path: Path) -> bool:
    return bool(_DISC.search(stem(path)) or _DISC.search(path.parent.name))


def _with_patient(pair: Pair, expression: str, findings: list[Finding]) -> Pair:
    matched = re.search(expression, pair.name)
    patient = matched and matched[1 if matched.re.groups else 0]
    if not patient:
        problem = f"has no patient that the expression {expression!r} finds"
        findings.append(Finding(ERROR, str(pair.photograph), problem, "correct --patient-regex or rename the file"))
    return replace(pair, patient=patient or pair.patient)


def _missing_masks(folder: Path, layout: str, jobs: list[Job]) -> list[Finding]:
    photographs = [job for job in jobs if job.belongs and job.photograph is not None]
    lacking = [job for job in photographs if job.mask is None]
    if layout == UNKNOWN or not lacking:
        return []
    if len(lacking) == len(photographs) and not any(job.mask for job in jobs if job.belongs):
        problem = f"was taken for photographs alone (layout {layout}): no vessel masks were found"
        better = folders_with_masks(folder)
        remedy = "put masks into masks/ and photographs into images/, or generate masks with synthmed segment"
        remedy = f"give {better[0]}, which has masks" if better else remedy
        return [Finding(WARNING, str(folder), problem, f"{remedy}; training needs masks")]
    # A layout that demands a mask for each photograph has said so already.
    if layout not in ("hrf", "avrdb", "aria"):
        return []
    remedy = "add one, or leave it: training passes the photograph over"
    return [Finding(NOTE, str(job.photograph), "has no vessel mask", remedy) for job in lacking]
