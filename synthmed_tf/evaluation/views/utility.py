"""Usefulness for training a segmenter."""

import numpy as np

from synthmed_tf.evaluation import comparison, plots
from synthmed_tf.evaluation.verdict import LIMITS
from synthmed_tf.evaluation.views.parts import Note, Page, Part, Plots, Table, interval, number, probability, reasons

TITLE = "Usefulness: segmenters trained on the set"

_TESTS = {"holdout": "unseen patients", "other": "another camera"}
_WORDS = {
    "real": "real (TRTR)",
    "synthetic": "synthetic (TSTR)",
    "mixed": "real + synthetic",
    "redrawn": "real masks, redrawn",
    "real_unaugmented": "real, unaugmented",
    "shuffled": "shuffled (floor)",
}


def view(page: Page) -> list[Part]:
    """Dice by arm and the differences between arms, for each test set."""
    outcome = page.outcomes["utility"]
    figures = outcome.figures
    if not figures.arms:
        return [Note("No segmenter was trained, since there are no real pairs to test it on.")]
    parts: list[Part] = [
        Note(
            f"Segmenters of {figures.steps:,} steps, {figures.seeds} a row, were trained on each kind of pairs and "
            "find vessels inside the field of view of photographs that none of them saw. Intervals are of 95 percent "
            "over patients."
        )
    ]
    for test, words in _TESTS.items():
        if test in outcome.arrays["dice"]:
            parts += [_results(figures, test, words), *_plots(page, test, words), _compared(figures, test, words)]
    arms = [(_WORDS[arm.name], arm.meaning, f"{arm.pairs:,}") for arm in figures.arms]
    left_out = {_WORDS[name]: reason for name, reason in figures.left_out.items()}
    return [*parts, Table("Trained on", ("arm", "meaning", "pairs"), arms), *reasons(left_out, "Arms")]


def _results(figures, test: str, words: str) -> Table:
    rows = [
        (
            _WORDS[row.arm],
            number(row.dice),
            number(row.dice_sd),
            number(row.cl_dice),
            number(row.auc),
            number(row.mcc),
            number(row.pooled_dice),
            number(row.macro_f1),
        )
        for row in figures.results
        if row.test == test
    ]
    some = next(row for row in figures.results if row.test == test)
    caption = f"Found in {some.images} photographs of {some.patients} patients ({words})"
    head = (
        "arm",
        "mean Dice",
        "SD over seeds",
        "clDice",
        "AUC",
        "MCC",
        "pooled Dice",
        "macro F1, comparable to the paper",
    )
    return Table(caption, head, rows)


def _plots(page: Page, test: str, words: str) -> list[Part]:
    outcome = page.outcomes["utility"]
    patients = getattr(page.case, test).patients
    values, singles = {}, {}
    for arm, dice in outcome.arrays["dice"][test].items():
        own = comparison.per_patient(dice.mean(axis=0), patients)
        found = comparison.paired(own, np.zeros_like(own), page.case.rng(f"Dice of {arm} on {test}"))
        values[_WORDS[arm]], singles[_WORDS[arm]] = (found.mean, found.low, found.high), own
    differences = {
        f"{_WORDS[row.arm]} minus real": (row.mean, row.low, row.high)
        for row in outcome.figures.compared
        if (row.test, row.unit, row.reference) == (test, "patient", "real")
    }
    drawn = [("", plots.intervals(values, f"Dice, {words}", points=singles))]
    if differences:
        drawn.append(("", plots.intervals(differences, f"difference in Dice, {words}", limit=-LIMITS.utility)))
    return [Plots("Means with intervals; each circle is a patient, mean over the seeds.", drawn, large=True)]


def _compared(figures, test: str, words: str) -> Table:
    patients = next(row.patients for row in figures.results if row.test == test)
    rows = [
        (
            f"{_WORDS[row.arm]} minus {_WORDS[row.reference]}",
            f"{row.units} {row.unit}s",
            interval(row.mean, row.low, row.high, signed=True),
            probability(row.p),
            probability(row.least_p),
        )
        for row in figures.compared
        if row.test == test and (row.unit == "patient" or row.units > patients)
    ]
    head = ("arms", "over", "difference in mean Dice (interval)", "p", "least p possible")
    return Table(f"Differences between arms ({words})", head, rows)
