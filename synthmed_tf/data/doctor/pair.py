"""The data doctor's look at files that belong together; each is read here, once, and little is kept of it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from synthmed_tf.data import alignment
from synthmed_tf.data.doctor import masks, photographs
from synthmed_tf.data.doctor.duplicates import fingerprint
from synthmed_tf.data.doctor.listing import Job
from synthmed_tf.data.layouts import UNREAD_IMAGES, stem
from synthmed_tf.data.preprocessing import square_around
from synthmed_tf.errors import ERROR, WARNING, Finding, SynthMedError
from synthmed_tf.images import decode_bytes, image_of, mask_of, read_bytes, unpack

_JPEG_2000 = (".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc")
_STARTS = (
    (b"\x89PNG", "PNG", (".png",)),
    (b"\xff\xd8\xff", "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif")),
    *((start, "TIFF", (".tif", ".tiff")) for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    (b"GIF8", "GIF", (".gif",)),
    (b"BM", "BMP", (".bmp",)),
    *((b"P%d" % kind, "PPM", (".ppm", ".pgm", ".pbm", ".pnm")) for kind in range(1, 7)),
    *((start, "JPEG 2000", _JPEG_2000) for start in (b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51")),
    (b"\x1f\x8b", "gzip", (".gz",)),
    (b"%PDF", "PDF", ()),
    (b"PK\x03\x04", "ZIP", ()),
    (b"<", "HTML or XML", ()),
)
_DICOM_AT = 128


@dataclass(frozen=True)
class Looked:
    """What is kept of a job.

    Attributes:
        job: which.
        findings: what is wrong.
        size: `(width, height)` of the photograph; None where it could not be read.
        sums: SHA-256 of each file that could be read.
        photograph_print, mask_print: `duplicates.fingerprint`; None where there is none.
        misfit: what was found where the mask seems to be that of another photograph.
    """

    job: Job
    findings: tuple[Finding, ...]
    size: tuple[int, int] | None = None
    sums: dict[Path, str] | None = None
    photograph_print: np.ndarray | None = None
    mask_print: np.ndarray | None = None
    misfit: Finding | None = None


def look(job: Job) -> Looked:
    """Reads the files of a job and checks them; never raises."""
    try:
        looked = _look(job)
    # The doctor goes on after any error of a library on a damaged file.
    except Exception as error:
        path = job.photograph or job.mask or job.fov
        problem = f"could not be checked ({type(error).__name__}: {error})"
        looked = Looked(job, (Finding(ERROR, str(path), problem, "look at it, and save it again as PNG"),))
    if job.belongs:
        return looked
    softened = tuple(replace(f, severity=WARNING) if f.severity == ERROR else f for f in looked.findings)
    return replace(looked, findings=softened)


def _look(job: Job) -> Looked:
    findings: list[Finding] = []
    sums: dict[Path, str] = {}
    photograph = _read(job.photograph, image_of, findings, sums)
    vessels = partial(mask_of, labels=job.labels, dark=job.dark_vessels)
    mask = _read(job.mask, vessels, findings, sums, partial(masks.check_values, labels=job.labels))
    fov = _read(job.fov, partial(mask_of, labels=None), findings, sums)
    if photograph is None:
        if mask is not None and job.belongs:
            findings += masks.check_share(job.mask, mask, np.ones_like(mask), job.kind)
        return Looked(job, tuple(findings), sums=sums)
    size = (photograph.shape[1], photograph.shape[0])
    for path, other in ((job.mask, mask), (job.fov, fov)):
        findings += _other_size(path, other, job.photograph, size)
    mask, fov = (other if other is not None and other.shape == size[::-1] else None for other in (mask, fov))
    looked = Looked(job, tuple(findings), size, sums)
    if not job.belongs:
        return looked
    if photographs.is_two_valued_grey(photograph):
        problem, remedy = "has two values only: it is a mask, or black and white", "put a photograph in its place"
        return replace(looked, findings=(*findings, Finding(ERROR, str(job.photograph), problem, remedy)))
    return _look_closer(looked, photograph, mask, fov)


def _read(
    path: Path | None, understand: Callable, findings: list[Finding], sums: dict[Path, str], check_values=None
) -> np.ndarray | None:
    """The pixels of a file; None where there is none, or it cannot be read, which `findings` then tell."""
    if path is None:
        return None
    if path.name.lower().endswith(UNREAD_IMAGES):
        findings.append(Finding(ERROR, str(path), "is of a kind that is not read", "convert it to PNG or move it away"))
        return None
    try:
        data = read_bytes(path)
        sums[path] = hashlib.sha256(data).hexdigest()
        findings += _other_kind(path, data)
        decoded = decode_bytes(str(path), unpack(path, data))
        pixels = understand(path, decoded)
    except SynthMedError as error:
        findings.append(error.finding(path))
        return None
    if check_values is not None:
        findings += check_values(path, decoded)
    return pixels


def _other_kind(path: Path, data: bytes) -> list[Finding]:
    known = [(kind, names) for start, kind, names in _STARTS if data.startswith(start)]
    if data[_DICOM_AT : _DICOM_AT + 4] == b"DICM":
        known = [("DICOM", (".dcm", ".dicom"))]
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        known = [("WebP", (".webp",))]
    if not known or path.suffix.lower() in known[0][1]:
        return []
    kind, names = known[0]
    remedy = f"rename it to {stem(path)}{names[0]}" if names else "convert it to PNG"
    # Training goes by the content, so a wrong name alone does not stop it; a gzipped name is gone by.
    severity = WARNING if names and ".gz" not in (path.suffix.lower(), names[0]) else ERROR
    return [Finding(severity, str(path), f"is a {kind} file, other than its name says", remedy)]


def _other_size(path: Path | None, other: np.ndarray | None, photograph: Path, size: tuple[int, int]) -> list[Finding]:
    if other is None or other.shape == size[::-1]:
        return []
    sizes = f"{other.shape[1]}x{other.shape[0]} pixels but its photograph {photograph} has {size[0]}x{size[1]}"
    turned = " (one of them is turned by 90 degrees)" if other.shape == size else ""
    return [Finding(ERROR, str(path), f"has {sizes}{turned}", "give two files of one size")]


def _look_closer(looked: Looked, photograph: np.ndarray, mask: np.ndarray | None, fov: np.ndarray | None) -> Looked:
    job = looked.job
    field, findings = photographs.find_field(job.photograph, photograph, fov, job.kind)
    findings = [*looked.findings, *findings]
    if field is None:
        return replace(looked, findings=tuple(findings))
    findings += photographs.check_size(job.photograph, field, job.kind)
    crop = square_around(field)
    small = photographs.reduce_square(photograph, crop)
    small_field = photographs.reduce_square(field.astype(np.uint8) * np.uint8(255), crop) >= 128
    if not small_field.any():
        problem, remedy = "has a field of view without an inside", "give another file of it, or remove it"
        return replace(looked, findings=(*findings, Finding(ERROR, str(job.fov or job.photograph), problem, remedy)))
    closer = photographs.check_light(job.photograph, small, small_field, job.kind)
    looked = replace(looked, photograph_print=fingerprint(small[..., 1], small_field))
    misfit = None
    if mask is not None:
        closer += masks.check_share(job.mask, mask, field, job.kind)
        coverage_u8 = photographs.reduce_square(mask.astype(np.uint8) * np.uint8(255), crop)
        # A black photograph or an inverted mask has been told; that they do not fit follows.
        if all(finding.severity != ERROR for finding in closer):
            misfit = _fit(job, small[..., 1], coverage_u8, small_field, crop.side)
        looked = replace(looked, mask_print=fingerprint(coverage_u8, small_field))
    findings += closer
    return replace(looked, findings=tuple(findings), misfit=misfit)


def _fit(job: Job, green: np.ndarray, coverage_u8: np.ndarray, field: np.ndarray, side: int) -> Finding | None:
    """Whether the mask lies on vessels that are darker than their surroundings, or on objects that differ from them."""
    green = alignment.detail(green, field)
    contrast = alignment.contrast(green, coverage_u8, field)
    if job.kind.structures == "any":
        return _fit_of_objects(job, contrast)
    if contrast is None or contrast >= alignment.CERTAIN:
        return None
    if contrast <= -alignment.FITS:
        problem = f"is a negative or an angiogram: its vessels are brighter than their surroundings ({contrast:.2f})"
        return Finding(ERROR, str(job.photograph), problem, "invert it, or remove it with its mask")
    severity = ERROR if contrast < alignment.FITS else WARNING
    place = alignment.best_place(green, coverage_u8, field)
    if place.is_elsewhere:
        return Finding(
            severity, str(job.mask), f"lies {_words(place, side)} its photograph", "move it back, or remove both"
        )
    if contrast >= alignment.DOUBTFUL:
        return None
    darker = "not darker" if severity == ERROR else "hardly darker"
    problem = f"marks vessels that are {darker} than their surroundings in its photograph (contrast {contrast:.2f})"
    return Finding(
        severity, str(job.mask), problem, "check that it belongs to this photograph and is not moved or turned"
    )


def _fit_of_objects(job: Job, contrast: float | None) -> Finding | None:
    if contrast is None or abs(contrast) >= alignment.FITS:
        return None
    problem = f"marks objects that hardly differ from their surroundings in its photograph (contrast {contrast:.2f})"
    return Finding(WARNING, str(job.mask), problem, "check that it belongs to this photograph and is not moved")


def _words(place: alignment.Place, side: int) -> str:
    down, right = round(place.down * side), round(place.right * side)
    parts = [place.turn] if place.turn else []
    if down:
        parts.append(f"{abs(down)} pixels too {'low' if down > 0 else 'high'}")
    if right:
        parts.append(f"{abs(right)} pixels too far {'right' if right > 0 else 'left'}")
    return f"{' and '.join(parts)} on"
