"""Dispersion, as in the paper."""

from synthmed_tf.evaluation import plots
from synthmed_tf.evaluation.views.parts import Note, Page, Part, Plots, Table, number, rough

TITLE = "Dispersion, as in the paper"

_WORDS = {
    "real_to_synthetic": "real to synthetic, comparable to the paper",
    "synthetic_to_real": "synthetic to real",
    "jensen_shannon": "Jensen-Shannon",
}


def view(page: Page) -> list[Part]:
    """The divergences, and the histograms that they compare."""
    outcome = page.outcomes["dispersion"]
    figures = outcome.figures
    rows = [
        (
            _WORDS[one.name],
            rough(one.value),
            *map(rough, one.channels),
            rough(one.at_equal_size),
            rough(one.null_median),
            number(one.ratio, 1),
        )
        for one in figures.divergences
    ]
    head = ("divergence, nats", "value", "red", "green", "blue", "at equal size", "between real halves", "ratio")
    drawn = plots.histograms(outcome.arrays["real"], outcome.arrays["synthetic"])
    return [
        Note(
            f"Grey levels alone: {figures.label}, and no verdict rests on it. {figures.synthetic_photographs:,} "
            f"synthetic photographs against {figures.real_photographs} real ones of {figures.real_patients} patients; "
            "a ratio of about 1 is as good as it gets."
        ),
        Table("Divergences of the mean histograms", head, rows),
        Plots("Mean histograms inside the field of view.", [("", drawn)], large=True),
    ]
