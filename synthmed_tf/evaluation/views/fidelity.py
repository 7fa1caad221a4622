"""Whether the photographs show their masks."""

from synthmed_tf.evaluation import plots
from synthmed_tf.evaluation.views.parts import Note, Page, Part, Plots, Table, interval, number

TITLE = "Do the photographs show their masks"


def view(page: Page) -> list[Part]:
    """Dice of the synthetic photographs beside that of real ones."""
    outcome = page.outcomes["fidelity"]
    figures = outcome.figures
    sides = (("synthetic set", figures.synthetic), ("unseen patients", figures.unseen), ("trained on", figures.train))
    rows = [
        (
            words,
            f"{side.photographs:,}",
            number(side.dice),
            number(side.cl_dice),
            number(side.dice_p05),
            number(side.dice_p50),
        )
        for words, side in sides
        if side is not None
    ]
    head = ("photographs", "number", "mean Dice", "mean clDice", "5th percentile of Dice", "median Dice")
    difference = interval(figures.mean, figures.low, figures.high, signed=True)
    parts: list[Part] = [
        Note(
            f"A segmenter trained on the real pairs for {figures.steps:,} steps finds vessels in each photograph; what "
            "it finds is held against the photograph's own mask. Pairs that it was trained on are shown to see how "
            "much is memory."
        ),
        Table("Vessels found against the own mask", head, rows),
    ]
    if figures.unseen is not None:
        parts.append(Note(f"Mean Dice of the set minus that of unseen patients: {difference}."))
        drawn = plots.distributions(
            outcome.arrays["unseen"], outcome.scores["dice"], "Dice", ("unseen real", "synthetic"), plots.LARGE
        )
        parts.append(Plots("Dice of single photographs: shares of each kind.", [("", drawn)], large=True))
    return parts
