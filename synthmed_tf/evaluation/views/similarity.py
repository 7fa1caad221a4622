"""How similar the set is to the real one: vessel trees, distribution and diversity, and dispersion as in the paper."""

from collections.abc import Mapping

from synthmed_tf.evaluation import plots
from synthmed_tf.evaluation.context import DispersionResult, GeometryResult, SectionResult
from synthmed_tf.evaluation.results import Detector, Distribution, Geometry, Neighbourhoods
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

_DIVERGENCES = {
    "real_to_synthetic": "real to synthetic, comparable to the paper",
    "synthetic_to_real": "synthetic to real",
    "jensen_shannon": "Jensen-Shannon",
}


def geometry(page: Page, section: GeometryResult) -> list[Part]:
    """All features in a table, their distributions, and the test of all together."""
    metrics = section.metrics
    shown = [
        (feature.words, plots.distributions(section.real[:, i], section.synthetic[:, i], feature.words))
        for i, feature in enumerate(metrics.features)
    ]
    return [
        Note(
            f"{metrics.synthetic_masks:,} synthetic masks against {metrics.real_masks} real ones of "
            f"{metrics.real_patients} patients, all trained on. The distance is Wasserstein's, in standard deviations "
            "of the real values; by chance: the distance expected without any difference."
        ),
        _features(metrics),
        Note(_together(metrics)),
        Plots("Distributions: shares of the masks.", shown),
    ]


def distribution(page: Page, section: SectionResult[Distribution]) -> list[Part]:
    """The metrics by each detector."""
    metrics = section.metrics
    named = {detector.name: detector for detector in metrics.detectors}
    around = {name: detector.prdc for name, detector in named.items() if detector.prdc is not None}
    parts: list[Part] = [
        Note(
            "A detector turns a pair into features: geometry (of the mask), appearance (of the image), "
            f"handcrafted (both). The real pairs are of {metrics.real_patients} patients, all trained on."
        ),
        Table(
            "Diversity compared with real pairs of as many patients, and how often pairs repeat",
            (
                "detector",
                "Vendi score, ratio to real (interval)",
                "real",
                "synthetic",
                "repeated",
                "different images (interval)",
            ),
            [(name, *_diversity(detector)) for name, detector in named.items()],
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
        *reasons(metrics.left_out, "Detectors"),
    ]


def dispersion(page: Page, section: DispersionResult) -> list[Part]:
    """The divergences, and the histograms that they compare."""
    metrics = section.metrics
    rows = [
        (
            _DIVERGENCES[one.name],
            rough(one.value),
            *map(rough, one.channels),
            rough(one.at_equal_size),
            rough(one.null_median),
            number(one.ratio, 1),
        )
        for one in metrics.divergences
    ]
    head = ("divergence, nats", "value", "red", "green", "blue", "at equal size", "between real halves", "ratio")
    plot = plots.histograms(section.real, section.synthetic)
    return [
        Note(
            f"Grey levels alone: {metrics.label}, and no verdict rests on it. {metrics.synthetic_images:,} "
            f"synthetic images against {metrics.real_photographs} real ones of {metrics.real_patients} patients; "
            "a ratio of about 1 is the best that can be expected."
        ),
        Table("Divergences of the mean histograms", head, rows),
        Plots("Mean histograms inside the field of view.", [("", plot)], large=True),
    ]


def _features(metrics: Geometry) -> Table:
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
        for feature in metrics.features
    ]
    head = (
        "feature",
        "state",
        "mean, real",
        "mean, synthetic",
        "distance in SD (interval)",
        "by chance",
        "holdout's distance",
        "KS",
        "p (Holm)",
    )
    return Table("Features of the vessel trees", head, rows)


def _together(metrics: Geometry) -> str:
    energy, of_holdout = metrics.energy, metrics.energy_holdout
    text = (
        f"All features together: energy distance {rough(energy.distance)} (by chance {rough(energy.chance)}), "
        f"p = {probability(energy.p)}"
    )
    if of_holdout is not None:
        text += f"; the holdout's is {rough(of_holdout.distance)} (by chance {rough(of_holdout.chance)}), "
        text += f"p = {probability(of_holdout.p)}"
    text += f". {percent(metrics.atypical)} of the synthetic masks are more unusual than the most atypical real one"
    return text + (f" ({percent(metrics.atypical_holdout)} of the holdout's)." if of_holdout is not None else ".")


def _diversity(detector: Detector) -> tuple[str, ...]:
    vendi, repeats = detector.vendi, detector.repeats
    return (
        interval(vendi.ratio, vendi.low, vendi.high, 2),
        number(vendi.real, 2),
        number(vendi.synthetic, 2),
        percent(repeats.repeated),
        interval(repeats.images, repeats.low, repeats.high, 0) if repeats.couples else "none repeats another",
    )


def _distance(detector: Detector) -> tuple[str, ...]:
    kid = detector.kid
    counts = (str(detector.features), f"{detector.n:,}", f"{detector.m:,}")
    if kid is None:
        return (*counts, *[NOT_MEASURED] * 3)
    return (*counts, rough(kid.value), rough(kid.standard_error), probability(kid.p))


def _neighbourhoods(around: Mapping[str, Neighbourhoods]) -> Table:
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


def _plot(around: Mapping[str, Neighbourhoods]) -> Plots:
    values = {name: (one.precision, one.recall, one.density, one.coverage) for name, one in around.items()}
    plot = plots.neighbourhoods(values, {name: one.coverage_null for name, one in around.items()})
    return Plots("The mark on coverage is what two sets of one distribution would have.", [("", plot)], large=True)
