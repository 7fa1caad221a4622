"""The sets that were compared, and typical and worst pairs."""

import numpy as np

from synthmed_tf.evaluation.context import SectionResult
from synthmed_tf.evaluation.results import Compared
from synthmed_tf.evaluation.views import parts
from synthmed_tf.evaluation.views.parts import Image, Images, Note, Page, Part, Table, number

_SETS = {
    "set": "synthetic set",
    "train": "real, trained on",
    "holdout": "real, unseen patients (holdout)",
    "other": "real, another camera",
}


_SHOWN = 4
_SCORES = (
    ("dice", "low", "Dice of the vessels found in the image with the mask"),
    ("atypicality", "high", "atypicality of the tree (1: as unusual as the most atypical real one)"),
    ("copy_excess", "high", "similarity to a real pair beyond the threshold (0 or more: a copy)"),
)
"""Score, which end of it is the worst, and what it is."""


def compared(page: Page, section: SectionResult[Compared]) -> list[Part]:
    """Sets, sizes and patients; then the generator."""
    metrics = section.metrics
    sets = {words: getattr(metrics, name) for name, words in _SETS.items()}
    given = {words: one for words, one in sets.items() if one is not None}
    rows = [
        (
            words,
            f"{one.pairs:,}",
            f"{one.patients:,}" if one.patients else "none",
            f"{one.size} x {one.size}",
            one.sha256[:16],
        )
        for words, one in given.items()
    ]
    missing = [words for words in sets if words not in given]
    shown: list[Part] = [Table("Sets", ("set", "pairs", "patients", "pixels", "SHA-256 begins"), rows)]
    if missing:
        shown.append(Note(f"Not given: {'; '.join(missing)}. What needs it is CANNOT TELL or left out."))
    patients = [(words, ", ".join(one.names)) for words, one in given.items() if one.names]
    return [*shown, Table("Patients", ("set", "names in the files"), patients), _generator(metrics)]


def pairs(page: Page) -> list[Part]:
    """Synthetic pairs alone: some near the median of each score, and those with the worst."""
    shown: list[Part] = []
    scores = page.sections.scores
    for name, worst_is, words in _SCORES:
        if name in scores:
            typical, worst = parts.typical_and_worst(scores[name], worst_is, _SHOWN)
            groups = [("typical", typical), ("worst first", worst)]
            images = [(title, _pairs(page, rows, scores[name])) for title, rows in groups if len(rows)]
            shown.append(Images(f"By {words}", images, even=True))
    if not page.real_images and shown:
        shown.insert(0, Note("Pairs that copy a real one, or were not searched for copies, are left out."))
    return shown


def _generator(metrics: Compared) -> Table:
    given = {True: "given", False: "not given; attacks that need it were left out"}
    rows = [
        ("model, SHA-256 begins", (metrics.model_sha256 or "not on record")[:16]),
        ("seed of the set", str(metrics.seed) if metrics.seed is not None else "not on record"),
        ("license", metrics.license or "not on record"),
        ("artifact", given[metrics.artifact]),
        ("run", given[metrics.run]),
    ]
    for stage, facts in (metrics.data or {}).items():
        if isinstance(facts, dict):
            listed = (f"{name} {value}" for name, value in facts.items() if isinstance(value, str | int))
            rows.append((f"{stage} was trained on", ", ".join(listed)))
    return Table("Generator", ("", ""), rows)


def _pairs(page: Page, rows: np.ndarray, score: np.ndarray) -> list[Image]:
    shown = []
    for row in rows:
        name, label = page.context.synthetic.names[row], number(float(score[row]))
        if not page.shows(row):
            shown += [Image("", "left out", f"{name}: {label}"), Image("", "left out", "its mask")]
            continue
        block = page.context.synthetic.read([row])
        shown += [
            Image(parts.data_uri(block.images[0]), f"image of pair {name}", f"{name}: {label}"),
            Image(parts.data_uri(block.masks[0]), f"mask of pair {name}", "its mask"),
        ]
    return shown
