"""Whether the vessel trees are like real ones."""

from synthmed_tf.evaluation import plots
from synthmed_tf.evaluation.views.parts import (
    Note,
    Page,
    Part,
    Plots,
    Table,
    interval,
    number,
    percent,
    probability,
    rough,
)

TITLE = "Vessel trees"


def view(page: Page) -> list[Part]:
    """All figures in a table, their distributions, and the test of all together."""
    outcome = page.outcomes["geometry"]
    figures, arrays = outcome.figures, outcome.arrays
    drawn = [
        (feature.words, plots.distributions(arrays["real"][:, i], arrays["synthetic"][:, i], feature.words))
        for i, feature in enumerate(figures.features)
    ]
    return [
        Note(
            f"{figures.synthetic_masks:,} synthetic masks against {figures.real_masks} real ones of "
            f"{figures.real_patients} patients, all trained on. The distance is Wasserstein's, in standard deviations "
            "of the real values; by chance: the distance expected without any difference."
        ),
        _table(figures),
        Note(_together(figures)),
        Plots("Distributions: shares of the masks.", drawn),
    ]


def _table(figures) -> Table:
    rows = [
        (
            feature.words,
            feature.state.value,
            rough(feature.real_mean),
            rough(feature.synthetic_mean),
            interval(feature.wasserstein, feature.low, feature.high, 2),
            number(feature.chance, 2),
            number(feature.holdout, 2),
            number(feature.ks, 2),
            probability(feature.p_holm),
        )
        for feature in figures.features
    ]
    head = (
        "figure",
        "state",
        "mean, real",
        "mean, synthetic",
        "distance in SD (interval)",
        "by chance",
        "holdout's distance",
        "KS",
        "p (Holm)",
    )
    return Table("Figures of the vessel trees", head, rows)


def _together(figures) -> str:
    energy, beside = figures.energy, figures.energy_holdout
    text = (
        f"All figures together: energy distance {rough(energy.distance)} (by chance {rough(energy.chance)}), "
        f"p = {probability(energy.p)}"
    )
    if beside is not None:
        text += f"; the holdout's is {rough(beside.distance)} (by chance {rough(beside.chance)}), "
        text += f"p = {probability(beside.p)}"
    text += f". {percent(figures.atypical)} of the synthetic masks are more unusual than the most atypical real one"
    return text + (f" ({percent(figures.atypical_holdout)} of the holdout's)." if beside is not None else ".")
