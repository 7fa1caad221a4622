"""`synthmed filter`: leaves out the pairs that a report shows to be copies, implausible trees, or images without
their vessels.

    <set2>/images/ masks/ preview.png    of the pairs that are kept, under the names that they had
    <set2>/manifest.jsonl               a line for each pair; that of one left out has `dropped`: reason, score, limit
    <set2>/card.json                     the set's, with `filtered`: report, limits and counts
"""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydantic

from synthmed_tf import files
from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation import report
from synthmed_tf.evaluation.pairs import SyntheticSet
from synthmed_tf.generation import manifest as manifests
from synthmed_tf.generation import preview
from synthmed_tf.generation.formats.png import FOLDERS, file_name

Line = dict[str, Any]


class FilterLimits(pydantic.BaseModel):
    """The limits for the scores of a pair.

    Attributes:
        copy_excess: a pair whose similarity to a real one exceeds the threshold of the copy search by so much or
            more is dropped: 0 drops what the report calls a copy, -0.1 keeps further away.
        atypicality: a tree that is further from the real ones than so many times the most atypical real one is dropped.
        least_dice: a pair whose image, segmented, has a smaller Dice with its mask is dropped.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    copy_excess: float = 0.0
    atypicality: float = 1.5
    least_dice: float = 0.5


_RULES = (
    ("copy", "copy_excess", lambda score, limits: score >= limits.copy_excess, "copy_excess"),
    ("implausible tree", "atypicality", lambda score, limits: score > limits.atypicality, "atypicality"),
    ("image does not show its mask", "dice", lambda score, limits: score < limits.least_dice, "least_dice"),
)
"""Reason, its score, whether it applies, and its limit; the first that applies is recorded."""


def filter_set(
    folder: Path,
    report_folder: Path,
    out: Path,
    limits: FilterLimits,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Counter:
    """Writes the set without the pairs that a report shows to be bad.

    Args:
        folder: the set.
        report_folder: a report on it, with scores; a reason whose score the report does not have drops nothing.
        out: the new set's folder, which must not be there.
        limits: what is left out.
        progress: called with (done, total).

    Returns:
        How many pairs were dropped by reason, and how many were kept (`kept`).

    Raises:
        SynthMedError: no set, no report on this very set, no score to filter by, no pair that would be left, or a
            folder that cannot be written.
    """
    pairs = SyntheticSet(folder)
    report.read_on(report_folder, folder, pairs.fingerprint)
    if out.exists():
        raise SynthMedError(f"{out} exists already; choose another --out.")
    scores = report.read_pairs(report_folder)
    lines = list(_scored(pairs, scores, limits))
    counts = Counter(line.get("dropped", {}).get("reason", "kept") for line in lines)
    if counts["kept"] < 2:
        raise SynthMedError(f"These limits leave {counts['kept']} of {len(lines)} pairs; choose wider ones.")
    with files.failing_clearly(out, again=""), files.replaced_folder(out) as new:
        _copy(pairs, lines, new, progress)
        _describe(pairs, report_folder, limits, counts, new)
    return counts


def _scored(pairs: SyntheticSet, scores: dict[int, Line], limits: FilterLimits) -> Iterator[Line]:
    """The lines of the new manifest, with the scores of each pair."""
    for line in pairs.lines:
        found = {name: value for name, value in scores.get(line["index"], {}).items() if name != "index"}
        if not any(name in found for _, name, _, _ in _RULES):
            raise SynthMedError(
                f"The report has no score of pair {line['index']}; evaluate privacy, geometry or fidelity first."
            )
        scored = line | {"scores": found}
        for reason, name, applies, limit in _RULES:
            score = found.get(name)
            if score is not None and applies(score, limits):
                # Reports of before do not name the feature.
                feature = found.get("most_unusual") if name == "atypicality" else None
                words = f"{reason} ({feature})" if feature else reason
                scored["dropped"] = {"reason": words, "score": score, "limit": getattr(limits, limit)}
                break
        yield scored


def _copy(pairs: SyntheticSet, lines: list[Line], new: Path, progress: Callable[[int, int], None]) -> None:
    for folder in FOLDERS:
        (new / folder).mkdir()
    with open(new / manifests.FILE, "w", encoding="utf-8") as manifest:
        for done, line in enumerate(lines, start=1):
            manifest.write(json.dumps(line) + "\n")
            if "dropped" not in line:
                name = file_name(line["index"])
                for folder in FOLDERS:
                    shutil.copyfile(pairs.folder / folder / name, new / folder / name)
            progress(done, len(lines))
    preview.write(new, [line["index"] for line in lines if "dropped" not in line])


def _describe(pairs: SyntheticSet, report_folder: Path, limits: FilterLimits, counts: Counter, new: Path) -> None:
    filtered = {
        "report_sha256": files.sha256(report_folder / report.FILE),
        "limits": limits.model_dump(),
        "kept": counts["kept"],
        "dropped": {reason: count for reason, count in counts.items() if reason != "kept"},
    }
    files.write_text(new / "card.json", json.dumps(pairs.card | {"filtered": filtered}, indent=2) + "\n")
