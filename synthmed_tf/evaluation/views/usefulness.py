"""Usefulness for training a segmenter, and whether the images show their masks."""

import numpy as np

from synthmed_tf.evaluation import comparison, plots
from synthmed_tf.evaluation.context import FidelityResult, UtilityResult
from synthmed_tf.evaluation.results import Utility
from synthmed_tf.evaluation.verdict import LIMITS
from synthmed_tf.evaluation.views.parts import Note, Page, Part, Plots, Table, interval, number, probability, reasons

_TESTS = {"holdout": "unseen patients", "other": "another camera"}
_WORDS = {
    "real": "real (TRTR)",
    "synthetic": "synthetic (TSTR)",
    "mixed": "real + synthetic",
    "stage2_on_real_masks": "Stage-II on real masks",
    "real_unaugmented": "real, unaugmented",
    "shuffled": "shuffled (floor)",
}


def utility(page: Page, section: UtilityResult) -> list[Part]:
    """Dice by arm and the differences between arms, for each test set."""
    metrics = section.metrics
    if not metrics.arms:
        return [Note("No segmenter was trained, since there are no real pairs to test it on.")]
    parts: list[Part] = [
        Note(
            f"Segmenters of {metrics.steps:,} steps, {metrics.seeds} a row, were trained on each kind of pairs and "
            "find vessels inside the field of view of photographs that none of them saw. Intervals are of 95 percent "
            "over patients."
        )
    ]
    for test, words in _TESTS.items():
        if test in section.dice:
            parts += [_results(metrics, test, words), *_plots(page, section, test, words)]
            parts.append(_compared(metrics, test, words))
    arms = [(_WORDS[arm.name], arm.meaning, f"{arm.pairs:,}") for arm in metrics.arms]
    left_out = reasons(metrics.left_out, "Arms", _WORDS.__getitem__)
    return [*parts, Table("Trained on", ("arm", "meaning", "pairs"), arms), *left_out]


def fidelity(page: Page, section: FidelityResult) -> list[Part]:
    """Dice of the synthetic images and of real ones."""
    metrics = section.metrics
    sides = (("synthetic set", metrics.synthetic), ("unseen patients", metrics.unseen), ("trained on", metrics.train))
    rows = [
        (
            words,
            f"{side.images:,}",
            number(side.dice),
            number(side.cl_dice),
            number(side.dice_p05),
            number(side.dice_p50),
        )
        for words, side in sides
        if side is not None
    ]
    head = ("images", "number", "mean Dice", "mean clDice", "5th percentile of Dice", "median Dice")
    parts: list[Part] = [
        Note(
            f"A segmenter trained on the real pairs for {metrics.steps:,} steps finds vessels in each image; they "
            "are compared with the image's own mask. The pairs that it was trained on show how much is memory."
        ),
        Table("Vessels found, compared with the own mask", head, rows),
    ]
    if metrics.difference is not None and section.unseen is not None:
        found = metrics.difference
        difference = interval(found.mean, found.low, found.high, signed=True)
        parts.append(Note(f"Mean Dice of the set minus that of unseen patients: {difference}."))
        labels = ("unseen real", "synthetic")
        plot = plots.distributions(section.unseen, section.scores["dice"], "Dice", labels, plots.LARGE)
        parts.append(Plots("Dice of single images: shares of each kind.", [("", plot)], large=True))
    return parts


def _results(metrics: Utility, test: str, words: str) -> Table:
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
        for row in metrics.results
        if row.test == test
    ]
    some = next(row for row in metrics.results if row.test == test)
    caption = f"Found in {some.images} images of {some.patients} patients ({words})"
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


def _plots(page: Page, section: UtilityResult, test: str, words: str) -> list[Part]:
    patients = getattr(page.context, test).patients
    values, singles = {}, {}
    for arm, dice in section.dice[test].items():
        own = comparison.per_patient(dice.mean(axis=0), patients)
        found = comparison.paired(own, np.zeros_like(own), page.context.rng(f"Dice of {arm} on {test}"))
        values[_WORDS[arm]], singles[_WORDS[arm]] = (found.mean, found.low, found.high), own
    differences = {
        f"{_WORDS[row.arm]} minus real": (row.mean, row.low, row.high)
        for row in section.metrics.compared
        if (row.test, row.unit, row.reference) == (test, "patient", "real")
    }
    shown = [("", plots.intervals(values, f"Dice, {words}", points=singles))]
    if differences:
        shown.append(("", plots.intervals(differences, f"difference in Dice, {words}", limit=-LIMITS.utility)))
    return [Plots("Means with intervals; each circle is a patient, mean over the seeds.", shown, large=True)]


def _compared(metrics: Utility, test: str, words: str) -> Table:
    patients = next(row.patients for row in metrics.results if row.test == test)
    rows = [
        (
            f"{_WORDS[row.arm]} minus {_WORDS[row.reference]}",
            f"{row.units} {row.unit}s",
            interval(row.mean, row.low, row.high, signed=True),
            probability(row.p),
            probability(row.least_p),
        )
        for row in metrics.compared
        if row.test == test and (row.unit == "patient" or row.units > patients)
    ]
    head = ("arms", "over", "difference in mean Dice (interval)", "p", "least p possible")
    return Table(f"Differences between arms ({words})", head, rows)
