"""Typical and worst pairs, by the scores that `synthmed filter` goes by."""

from synthmed_tf.evaluation import page_images
from synthmed_tf.evaluation.views.parts import Image, Images, Note, Page, Part, number

TITLE = "Typical and worst pairs"

_SHOWN = 4
_SCORES = (
    ("fidelity", "dice", "low", "Dice of the vessels seen in the photograph with the mask"),
    ("geometry", "atypicality", "high", "atypicality of the tree (1: as unusual as the most atypical real one)"),
    ("privacy", "copy_excess", "high", "likeness to a real pair beyond the threshold (0 or more: a copy)"),
)
"""Section, score, which end of it is the worst, and what it is."""


def view(page: Page) -> list[Part]:
    """Synthetic pairs alone: some near the median of each score, and those with the worst."""
    parts: list[Part] = []
    for section, name, worst_is, words in _SCORES:
        if section in page.outcomes:
            score = page.outcomes[section].scores[name]
            typical, worst = page_images.typical_and_worst(score, worst_is, _SHOWN)
            groups = [("typical", typical), ("worst first", worst)]
            parts.append(
                Images(
                    f"By {words}",
                    [(title, _pairs(page, rows, score)) for title, rows in groups if len(rows)],
                    even=True,
                )
            )
    if not page.real_images and parts:
        parts.insert(0, Note("Pairs that copy a real one, or were not searched for copies, are left out."))
    return parts


def _pairs(page: Page, rows, score) -> list[Image]:
    drawn = []
    for row in rows:
        name, label = page.case.synthetic.names[row], number(float(score[row]))
        if not page.shows(row):
            drawn += [Image("", "left out", f"{name}: {label}"), Image("", "left out", "its mask")]
            continue
        block = page.case.synthetic.read([row])
        drawn.append(
            Image(page_images.data_uri(block.photographs[0]), f"photograph of pair {name}", f"{name}: {label}")
        )
        drawn.append(Image(page_images.data_uri(block.masks[0]), f"mask of pair {name}", "its mask"))
    return drawn
