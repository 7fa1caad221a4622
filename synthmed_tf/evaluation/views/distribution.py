"""Distribution and diversity."""

from synthmed_tf.evaluation import plots
from synthmed_tf.evaluation.views.parts import (
    NOT_MEASURED,
    Note,
    Page,
    Part,
    Plots,
    Table,
    interval,
    number,
    percent,
    probability,
    reasons,
    rough,
)

TITLE = "Distribution and diversity"


def view(page: Page) -> list[Part]:
    """The figures by each detector."""
    figures = page.outcomes["distribution"].figures
    named = {detector.name: detector for detector in figures.detectors}
    around = {name: detector.prdc for name, detector in named.items() if detector.prdc is not None}
    parts: list[Part] = [
        Note(
            "A detector turns a pair into figures: geometry (of the mask), appearance (of the photograph), handcrafted "
            f"(both). The real pairs are of {figures.real_patients} patients, all trained on."
        ),
        Table(
            "Various as real pairs of as many patients, and how often pairs repeat",
            (
                "detector",
                "Vendi score, ratio to real (interval)",
                "real",
                "synthetic",
                "repeated",
                "different images (interval)",
            ),
            [(name, *_variety(detector)) for name, detector in named.items()],
        ),
        Table(
            "Kernel inception distance",
            ("detector", "features", "n real", "n synthetic", "KID", "standard error", "p"),
            [(name, *_distance(detector)) for name, detector in named.items()],
        ),
    ]
    if around:
        parts += [_neighbourhoods(around), _plot(around)]
    frechet = [(name, rough(d.frechet.value), f"{d.n} and {d.m}", d.frechet.note) for name, d in named.items()]
    head = ("detector", "value", "n", "note")
    return [
        *parts,
        Table("Fréchet distance (FID-like): not a verdict", head, frechet),
        *reasons(figures.left_out, "Detectors"),
    ]


def _variety(detector) -> tuple[str, ...]:
    vendi, repeats = detector.vendi, detector.repeats
    return (
        interval(vendi.ratio, vendi.low, vendi.high, 2),
        number(vendi.real, 2),
        number(vendi.synthetic, 2),
        percent(repeats.repeated),
        interval(repeats.images, repeats.low, repeats.high, 0) if repeats.couples else "none repeats another",
    )


def _distance(detector) -> tuple[str, ...]:
    kid = detector.kid
    counts = (str(detector.features), f"{detector.n:,}", f"{detector.m:,}")
    if kid is None:
        return (*counts, *[NOT_MEASURED] * 3)
    return (*counts, rough(kid.value), rough(kid.standard_error), probability(kid.p))


def _neighbourhoods(around) -> Table:
    rows = [
        (
            name,
            *(number(value, 2) for value in (one.precision, one.recall, one.density, one.coverage, one.coverage_null)),
            number(one.coverage_excess, 2, signed=True),
            str(one.k),
            str(one.count),
        )
        for name, one in around.items()
    ]
    head = (
        "detector",
        "precision",
        "recall",
        "density",
        "coverage",
        "coverage expected",
        "excess",
        "neighbours",
        "rows",
    )
    return Table("Precision, recall, density and coverage, at equal size", head, rows)


def _plot(around) -> Plots:
    values = {name: (one.precision, one.recall, one.density, one.coverage) for name, one in around.items()}
    drawn = plots.neighbourhoods(values, {name: one.coverage_null for name, one in around.items()})
    return Plots("The mark on coverage is what two sets of one distribution would have.", [("", drawn)], large=True)
