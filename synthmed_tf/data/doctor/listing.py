"""The data doctor's list of work: every image file of a folder, in pairs as far as pairs can be told."""

import os
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from synthmed_tf.data.doctor.report import from_error
from synthmed_tf.data.layouts import (
    UNREAD_IMAGES,
    LayoutFiles,
    named_like_mask,
    recognise,
    stem,
    without_mask_suffix,
)
from synthmed_tf.data.sources import Pair, find_pairs
from synthmed_tf.errors import ERROR, NOTE, WARNING, Finding, SynthMedError
from synthmed_tf.images import EXTENSIONS

UNKNOWN = "unknown"
_DISC = re.compile(r"(?<![a-z])fov(?![a-z])|^mask$", re.IGNORECASE)


@dataclass(frozen=True)
class Job:
    """Files that are read together.

    Attributes:
        patient: whose eye it is; None where that is not known.
        photograph, mask, fov: the files; at least one.
        belongs: whether training would read them.
    """

    patient: str | None
    photograph: Path | None = None
    mask: Path | None = None
    fov: Path | None = None
    belongs: bool = True


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


def list_files(folder: Path, patient_regex: str | None = None) -> Listing:
    """Lists all image files and pairs them, whatever is wrong with some.

    Args:
        folder: a folder that exists.
        patient_regex: as for `sources.find_pairs`.

    Raises:
        SynthMedError: the expression is not valid.
    """
    if patient_regex is not None:
        try:
            re.compile(patient_regex)
        except re.error as error:
            raise SynthMedError(f"--patient-regex {patient_regex!r} is not valid ({error}); correct it.") from error
    files, findings = _walk(folder)
    layout, pairs, found = _pairs(folder, files, patient_regex)
    jobs = [Job(pair.patient, pair.photograph, pair.mask, pair.fov) for pair in pairs]
    listed = {path for job in jobs for path in (job.photograph, job.mask, job.fov)}
    named = {finding.path for finding in found if finding.severity == ERROR}
    strangers = defaultdict(list)
    for path in files:
        if path not in listed:
            belongs = layout == UNKNOWN or str(path) in named
            jobs.append(_alone(path, folder, belongs))
            if not belongs:
                strangers[path.parent].append(path)
    for parent, paths in strangers.items():
        found.append(
            Finding(
                NOTE,
                str(parent),
                f"holds {len(paths)} image(s) that are no part of the layout {layout}, such as {paths[0].name}",
                "nothing, unless they were meant to be trained on",
            )
        )
    return Listing(layout, jobs, findings + found + _missing_masks(folder, layout, jobs))


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


def _pairs(folder: Path, files: list[Path], patient_regex: str | None) -> tuple[str, list[Pair], list[Finding]]:
    try:
        source = find_pairs(folder, patient_regex)
        return source.layout, list(source.pairs), []
    except (SynthMedError, RuntimeError) as error:
        refused = from_error(folder, SynthMedError(str(error)))
    try:
        layout, listed = recognise(folder)
        pairs, findings = _match(listed)
    except (SynthMedError, OSError, RuntimeError):
        layout, pairs, findings = UNKNOWN, _guess(folder, files), []
    if patient_regex is not None:
        pairs = [_with_patient(pair, patient_regex, findings) for pair in pairs]
    # The sentence that stops training is told unless the single files have told it.
    return layout, pairs, findings or [replace(refused, path=_named_file(refused, files) or refused.path)]


def _match(listed: LayoutFiles) -> tuple[list[Pair], list[Finding]]:
    """As `sources.find_pairs` does, but going on after each problem."""
    findings: list[Finding] = []
    groups = (listed.photographs, listed.masks, listed.fovs)
    photographs, masks, fovs = (
        _by_key(paths, pattern, findings) for paths, pattern in zip(groups, listed.patterns, strict=True)
    )
    for kind, found in (("mask", masks), ("field of view", fovs)):
        for key in found.keys() - photographs.keys():
            findings.append(_half(found[key], kind, "photograph"))
    if listed.masks and not listed.masks_may_lack:
        for key in photographs.keys() - masks.keys():
            findings.append(_half(photographs[key], "photograph", "mask"))
    pairs = []
    for key, path in photographs.items():
        patient = re.match(listed.patient, stem(path), re.DOTALL)
        pairs.append(Pair(stem(path), patient[1] if patient else stem(path), path, masks.get(key), fovs.get(key)))
    return pairs, findings


def _by_key(paths: list[Path], pattern: str, findings: list[Finding]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        match = re.fullmatch(pattern, stem(path), re.DOTALL)
        if path.suffix.lower() in UNREAD_IMAGES:
            findings.append(
                Finding(ERROR, str(path), "is of a kind that is not read", "convert it to PNG or move it away")
            )
        elif match is None:
            findings.append(
                Finding(ERROR, str(path), f"is not named as the layout has it ({pattern})", "rename or remove it")
            )
        elif match[1] in found:
            problem = f"has the same name as {found[match[1]]}"
            findings.append(Finding(ERROR, str(path), problem, "remove one of the two, or rename it"))
        else:
            found[match[1]] = path
    return found


def _half(path: Path, kind: str, other: str) -> Finding:
    return Finding(ERROR, str(path), f"is a {kind} without a {other}", f"add the {other} or remove the {kind}")


def _guess(folder: Path, files: list[Path]) -> list[Pair]:
    """Pairs by name in a folder of no known layout: `a` with `a_mask`, or `images/a` with `labels/a`."""
    photographs, masks = defaultdict(list), defaultdict(list)
    for path in files:
        if not named_like_mask(path, folder):
            photographs[stem(path)].append(path)
        elif not _is_disc(path):
            masks[without_mask_suffix(path)].append(path)
    keys = [key for key, paths in photographs.items() if len(paths) == 1 and len(masks[key]) == 1]
    return [Pair(key, key, photographs[key][0], masks[key][0], None) for key in keys]


def _alone(path: Path, folder: Path, belongs: bool) -> Job:
    if not named_like_mask(path, folder):
        return Job(stem(path), photograph=path, belongs=belongs)
    if _is_disc(path):
        return Job(None, fov=path, belongs=belongs)
    return Job(None, mask=path, belongs=belongs)


def _is_disc(path: Path) -> bool:
    return bool(_DISC.search(stem(path)) or _DISC.search(path.parent.name))


def _with_patient(pair: Pair, expression: str, findings: list[Finding]) -> Pair:
    match = re.search(expression, pair.name)
    patient = match and match[1 if match.re.groups else 0]
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
        remedy = "put masks into masks/ beside images/, or generate them with synthmed segment; training needs them"
        return [Finding(WARNING, str(folder), problem, remedy)]
    # Whichever layout demands a mask for each photograph has said so already.
    if layout != "hrf":
        return []
    remedy = "add one, or leave it: training passes the photograph over"
    return [Finding(NOTE, str(job.photograph), "has no vessel mask", remedy) for job in lacking]


def _named_file(finding: Finding, files: list[Path]) -> str | None:
    named = [str(path) for path in files if str(path) in finding.problem]
    return max(named, key=len) if named else None
