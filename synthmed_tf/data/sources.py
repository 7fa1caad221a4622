"""Finds photographs and their vessel masks in a folder by its layout, and splits them by patient."""

import difflib
import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from synthmed_tf.config.image_kind import RETINA, ImageKind
from synthmed_tf.data.layouts import UNREAD_IMAGES, LayoutFiles, bare_name, recognise, stem
from synthmed_tf.errors import ERROR, Finding, SynthMedError
from synthmed_tf.images import Label, parse_labels


@dataclass(frozen=True)
class Pair:
    """A photograph and what belongs to it.

    Attributes:
        name: the photograph's file name without its extension; unique in its source.
        patient: whose eye it is.
        photograph, mask, fov: the files; mask and fov are None where there is no such file.
        labels: the values and colours of the vessels in a label map; empty for masks of two values.
        dark_vessels: whether vessels are the dark value of the mask.
        kind: of its source.
    """

    name: str
    patient: str
    photograph: Path
    mask: Path | None
    fov: Path | None
    labels: tuple[Label, ...] = ()
    dark_vessels: bool = False
    kind: ImageKind = RETINA


@dataclass(frozen=True)
class Source:
    """What a folder holds.

    Attributes:
        layout: a key of `layouts.LAYOUTS`.
        root: the folder.
        pairs: sorted by name, at least one.
    """

    layout: str
    root: Path
    pairs: tuple[Pair, ...]

    @property
    def patients(self) -> tuple[str, ...]:
        """Each patient once, in natural order (2 before 10)."""
        return _natural(pair.patient for pair in self.pairs)


def find_pairs(
    root: str | os.PathLike,
    patient_regex: str | None = None,
    vessel_labels: str | None = None,
    kind: ImageKind = RETINA,
) -> Source:
    """Recognises the layout of a folder and lists its pairs.

    Hidden files and files that are no images are passed over. Names are compared in composed form (NFC), extensions
    without regard to case. Patients: DRIVE, RITE and STARE by number, CHASE_DB1 by number without L and R, otherwise a
    patient a photograph.

    Args:
        root: the folder.
        patient_regex: where given, names the patient in every layout: it is searched in the pair's name, and its
            first group (or, without one, the whole match) is the patient.
        vessel_labels: for masks that are label maps: the values or colours of the vessels, such as `1,2` or `red,blue`.
        kind: which rules hold for images and masks.

    Returns:
        The source. All masks are None if the folder has photographs alone; in some layouts (HRF) single ones may be.

    Raises:
        SynthMedError: no such folder, no or more than one known layout, no image, a photograph or a mask without
            the other, two files of one name, a file named against its layout, or an expression that does not fit.
    """
    root = Path(root)
    if not root.exists():
        raise SynthMedError("does not exist", "give a folder of photographs", path=root)
    if not root.is_dir():
        raise SynthMedError("is a file", "give the folder that it lies in", path=root)
    try:
        layout, files = recognise(root)
        pairs, findings = match(root, layout, files)
    except OSError as error:
        problem = f"could not be listed ({error.strerror})"
        raise SynthMedError(problem, "check its rights", path=error.filename) from error
    _refuse_first(findings)
    labels = () if vessel_labels is None else parse_labels(vessel_labels)
    pairs = [replace(pair, labels=labels, kind=kind) for pair in pairs]
    if patient_regex is not None:
        pairs = [_with_patient(pair, patient_regex) for pair in pairs]
    return Source(layout, root, tuple(sorted(pairs, key=lambda pair: pair.name)))


def split_by_patient(
    pairs: Iterable[Pair], holdout: Sequence[str] | float, seed: int = 0
) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """Splits pairs so that all images of a patient fall on one side.

    Args:
        pairs: of one or more sources.
        holdout: names of patients, or a share in (0, 1) of the patients (at least one, and all but one at most).
        seed: chooses the patients where a share is given; the same on every machine.

    Returns:
        The pairs to train on and the pairs held out, in the order given; neither is empty.

    Raises:
        SynthMedError: an unknown patient, a share outside (0, 1), or a side that would be empty.
    """
    pairs = tuple(pairs)
    patients = _natural(pair.patient for pair in pairs)
    if len(patients) < 2:
        raise SynthMedError(f"A split needs at least two patients, but there is {len(patients)}; add pairs of another.")
    if isinstance(holdout, (int, float)):
        if not 0 < holdout < 1:
            raise SynthMedError(f"The share to hold out is {holdout}; give a number between 0 and 1, such as 0.25.")
        count = min(max(round(holdout * len(patients)), 1), len(patients) - 1)
        chosen = set(sorted(patients, key=lambda name: hashlib.sha256(os.fsencode(f"{seed}:{name}")).digest())[:count])
    else:
        chosen = {_known(name, patients) for name in ([holdout] if isinstance(holdout, str) else holdout)}
    if not chosen or len(chosen) == len(patients):
        side = "No patient is" if not chosen else f"All {len(patients)} patients are"
        raise SynthMedError(f"{side} held out; name at least one patient and leave at least one to train on.")
    held = tuple(pair for pair in pairs if pair.patient in chosen)
    return tuple(pair for pair in pairs if pair.patient not in chosen), held


def parse_patients(text: str, patients: Iterable[str]) -> tuple[str, ...]:
    """Reads a list of patients such as "01-10,12".

    Args:
        text: names and ranges, parted by commas; a range runs by position in the patients' natural order.
        patients: the known ones, such as `Source.patients`.

    Returns:
        The patients meant, each once, in natural order.

    Raises:
        SynthMedError: an empty list, an unknown name (the nearest known ones are named), a range that runs backwards
            or can be read in two ways.
    """
    order = _natural(patients)
    chosen: set[str] = set()
    for item in filter(None, (part.strip() for part in text.split(","))):
        ends = [(item[:i].strip(), item[i + 1 :].strip()) for i, letter in enumerate(item) if letter == "-"]
        ranges = [(low, high) for low, high in ends if low in order and high in order]
        if item in order:
            chosen.add(item)
        elif len(ranges) > 1:
            raise SynthMedError(f"The range {item!r} can be read in two ways; list its patients one by one.")
        elif ranges or (len(ends) == 1 and all(ends[0])):
            low, high = (order.index(_known(end, order)) for end in (ranges or ends)[0])
            if low > high:
                raise SynthMedError(f"The range {item!r} runs backwards; write {order[high]}-{order[low]}.")
            chosen.update(order[low : high + 1])
        else:
            _known(item, order)
    if not chosen:
        raise SynthMedError(f"The list of patients {text!r} is empty; name one or more of the source.")
    return tuple(name for name in order if name in chosen)


def match(root: Path, layout: str, files: LayoutFiles) -> tuple[list[Pair], list[Finding]]:
    """Pairs the files of a layout, going on after each problem.

    Args:
        root: the folder.
        layout, files: as `layouts.recognise` gives them.

    Returns:
        A pair for each photograph, and what is wrong with names: files of a kind that is not read, names that the
        layout does not know, two files of one name, and halves of pairs.
    """
    findings: list[Finding] = []
    groups = (files.photographs, files.masks, files.fovs)
    photographs, masks, fovs = (
        _by_key(layout, files, paths, pattern, findings) for paths, pattern in zip(groups, files.patterns, strict=True)
    )
    if files.loose:
        masks, fovs = (_with_bare_names(found, photographs, findings) for found in (masks, fovs))
    if not photographs and not masks and not findings:
        problem = f"looks like the layout {layout} but holds no images"
        return [], [Finding(ERROR, str(root), problem, "copy them into its folders")]
    for kind, found in (("mask", masks), ("field of view", fovs)):
        findings += [_half(found[key], kind, "photograph") for key in found if key not in photographs]
    if files.masks and not files.masks_may_lack:
        findings += [_half(path, "photograph", "mask") for key, path in photographs.items() if key not in masks]
    pairs = []
    for key, path in photographs.items():
        prefix = files.prefixes.get(path.parent, "")
        patient = re.match(files.patient, stem(path), re.DOTALL)
        name = patient[1] if patient else stem(path)
        pairs.append(
            Pair(prefix + stem(path), prefix + name, path, masks.get(key), fovs.get(key), (), files.dark_vessels)
        )
    return pairs, findings


def _by_key(
    layout: str, files: LayoutFiles, paths: list[Path], pattern: str, findings: list[Finding]
) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        matched = re.fullmatch(pattern, stem(path), re.DOTALL)
        if path.name.lower().endswith(UNREAD_IMAGES):
            problem, remedy = "is of a kind that is not read", "convert it to PNG or move it away"
            findings.append(Finding(ERROR, str(path), problem, remedy))
            continue
        if matched is None:
            problem = f"is not named as the layout {layout} has it ({pattern})"
            findings.append(Finding(ERROR, str(path), problem, "rename or remove it"))
            continue
        key = files.prefixes.get(path.parent, "") + matched[1]
        key = key.replace(" ", "") if layout == "aria" else key
        if key in found:
            findings.append(_same_name(path, found[key]))
        else:
            found[key] = path
    return found


def _with_bare_names(found: dict[str, Path], photographs: dict[str, Path], findings: list[Finding]) -> dict[str, Path]:
    """Gives masks the keys of their photographs: `a` for `a_mask`, where there is no photograph `a_mask`."""
    bare: dict[str, list[str]] = {}
    for key in photographs:
        bare.setdefault(bare_name(key), []).append(key)
    paired: dict[str, Path] = {}
    for key, path in found.items():
        names = [key] if key in photographs else bare.get(bare_name(key), [])
        name = names[0] if len(names) == 1 else key
        if name in paired:
            findings.append(_same_name(path, paired[name]))
        else:
            paired[name] = path
    return paired


def _same_name(path: Path, other: Path) -> Finding:
    return Finding(ERROR, str(path), f"has the same name as {other}", "remove one of the two, or rename it")


def _half(path: Path, kind: str, other: str) -> Finding:
    return Finding(ERROR, str(path), f"is a {kind} without a {other}", f"add the {other} or remove the {kind}")


def _refuse_first(findings: list[Finding]) -> None:
    if findings:
        first, *others = findings
        alike = sum(other.problem == first.problem for other in others)
        more = f" (and {alike} more like it)" if alike else ""
        raise SynthMedError(f"{first.problem}{more}", first.remedy, path=first.path)


def _with_patient(pair: Pair, expression: str) -> Pair:
    try:
        match = re.search(expression, pair.name)
    except re.error as error:
        raise SynthMedError(f"The patient expression {expression!r} is not valid ({error}); correct it.") from error
    patient = match and match[1 if match.re.groups else 0]
    if not patient:
        raise SynthMedError(f"The patient expression {expression!r} finds no patient in {pair.name!r}; correct it.")
    return replace(pair, patient=patient)


def _known(name: str, patients: Sequence[str]) -> str:
    if name not in patients:
        nearest = sorted(patients, key=lambda known: -difflib.SequenceMatcher(None, name, known).ratio())
        near = ", ".join(nearest[:3])
        raise SynthMedError(f"The patient {name!r} is not in the source; the nearest are {near or 'none'}.")
    return name


def _natural(names: Iterable[str]) -> tuple[str, ...]:
    def key(name: str) -> list:
        return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]

    return tuple(sorted(set(names), key=lambda name: (key(name), name)))
