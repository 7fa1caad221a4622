"""The results that a report holds, each declared once: the statistics return these models, and `report.json` and the
pages are made from them. Those of the section on privacy are in `privacy_results`.
"""

import math
from typing import Any

import pydantic

from synthmed_tf.evaluation.privacy_results import Privacy
from synthmed_tf.evaluation.verdict import Evidence, LeftOut, Number, Result, State


class Difference(Result):
    """The difference of two means.

    Attributes:
        units: independent units; of unpaired groups, the size of the smaller one.
        mean: of the first minus the second.
        low, high: its interval of 95 percent; NaN for one unit.
        sd: standard deviation of the differences (of the second group where they are not paired); NaN for one unit.
        p: two-sided p value, by sign flips; NaN where they are not paired.
        least_p: the smallest p that so many units can give.
    """

    units: int
    mean: Number
    low: Number
    high: Number
    sd: Number
    p: Number
    least_p: Number

    def evidence(self, name: str) -> Evidence:
        """The mean with its interval, as what a verdict rests on."""
        return Evidence(name=name, value=self.mean, low=self.low, high=self.high)


class PairSet(Result):
    """One set of pairs.

    Attributes:
        sha256: fingerprint of the pairs.
        pairs: how many.
        size: pixels a side.
        patients: how many; 0 for the synthetic set, whose pairs belong to no patient.
        names: of the patients, in order; none for the synthetic set.
    """

    sha256: str
    pairs: int
    size: int
    patients: int
    names: tuple[str, ...]


class Compared(Result):
    """What was compared.

    Attributes:
        set: the synthetic set.
        train: the real pairs that the generator was trained on.
        holdout: real pairs of patients that it never saw, or None.
        other: real pairs of another camera, or None.
        shared_patients: names that are both in train and in the holdout; there should be none.
        model_sha256, seed, license, data: what the set's card says of the generator and of its training data; None for
            a set in memory, or where the card does not say.
        artifact, run: whether the generator's artifact and run were given.
    """

    set: PairSet
    train: PairSet
    holdout: PairSet | None = None
    other: PairSet | None = None
    shared_patients: tuple[str, ...] = ()
    model_sha256: str | None = None
    seed: int | None = None
    license: str | None = None
    data: dict[str, Any] | None = None
    artifact: bool = False
    run: bool = False


class TrainedArm(Result):
    """Segmenters that were trained on one kind of pairs.

    Attributes:
        name: of the arm.
        meaning: what they were trained on.
        pairs: how many pairs there are of it; a segmenter sees `segmenters.MOST_PAIRS` at most.
        thresholds: one for each seed, chosen on training pairs.
    """

    name: str
    meaning: str
    pairs: int
    thresholds: tuple[Number, ...]


class ArmScore(Result):
    """How well the segmenters of an arm find the vessels of a test set, inside the field of view.

    Attributes:
        arm, test: which; the test set is `holdout` (unseen patients) or `other` (another camera).
        images, patients: of the test set.
        dice, cl_dice, auc, mcc: means over images and seeds.
        dice_sd: standard deviation of the mean Dice over seeds; NaN for one seed.
        pooled_dice: Dice of the pixels of all images together, mean over seeds.
        macro_f1: mean of the vessels' and the background's pooled F1; comparable to the paper, and no headline.
    """

    arm: str
    test: str
    images: int
    patients: int
    dice: Number
    dice_sd: Number
    cl_dice: Number
    auc: Number
    mcc: Number
    pooled_dice: Number
    macro_f1: Number


class ArmDifference(Difference):
    """The difference of two arms in mean Dice.

    Attributes:
        arm, reference: the first minus the second.
        test: the test set.
        unit: `patient`, or `image` for a comparison that treats two eyes of a patient as independent.
    """

    arm: str
    reference: str
    test: str
    unit: str


class Utility(Result):
    """Usefulness for training a segmenter.

    Attributes:
        steps, seeds: of each segmenter, and segmenters of each arm.
        arms: what was trained.
        left_out: arms that were not trained.
        results: a row for each arm and test set.
        compared: a row for each two arms, test set and unit.
    """

    steps: int
    seeds: int
    arms: tuple[TrainedArm, ...]
    left_out: tuple[LeftOut, ...]
    results: tuple[ArmScore, ...]
    compared: tuple[ArmDifference, ...]


class VesselsFound(Result):
    """How well the segmenter finds the vessels in one kind of images.

    Attributes:
        images, patients: how many; each synthetic pair counts as a patient.
        dice, cl_dice: means over images.
        dice_p05, dice_p50: the 5th and 50th percentile of the images' Dice.
    """

    images: int
    patients: int
    dice: Number
    cl_dice: Number
    dice_p05: Number
    dice_p50: Number


class Fidelity(Result):
    """Whether the images show their masks: Dice and clDice of the vessels found with each image's own mask.

    Attributes:
        steps, threshold: of the segmenter; the threshold is chosen on the real training patients.
        synthetic: of the set.
        unseen: of the holdout; None without one.
        train: of the pairs that the segmenter was trained on, which shows how much of its skill is memory.
        difference: mean Dice of the set minus that of unseen patients, with Welch's interval over pairs and patients;
            None without a holdout.
    """

    steps: int
    threshold: Number
    synthetic: VesselsFound
    unseen: VesselsFound | None
    train: VesselsFound
    difference: Difference | None


class FeatureDifference(Result):
    """How one feature differs between real and synthetic rows. NaN where one of the samples has no value.

    Distances are in standard deviations of the real values. If these are all alike, a distance is 0 or infinite.

    Attributes:
        real_count, synthetic_count: rows that have the feature.
        wasserstein: the Wasserstein distance (W1).
        low, high: its interval of 95 percent.
        chance: the mean distance of the permuted samples: what is expected without any difference.
        ks: the Kolmogorov-Smirnov statistic, in [0, 1].
        p: of the Wasserstein distance, by permutation of patients.
        p_holm: p adjusted for the number of features.
    """

    real_count: int
    synthetic_count: int
    wasserstein: Number
    low: Number
    high: Number
    chance: Number
    ks: Number
    p: Number
    p_holm: Number


class TreeFeature(FeatureDifference):
    """One feature of the vessel trees (`evaluation.vessel_tree.TreeMetrics` says what each is and its unit).

    Attributes:
        name: as in `TreeMetrics`.
        words: the same in plain words.
        real_mean, real_sd, synthetic_mean: over the masks that have it, in its unit.
        holdout: the holdout's distance from the real values, for comparison; NaN without a holdout.
        state: the verdict on this feature.
    """

    name: str
    words: str
    real_mean: Number
    real_sd: Number
    synthetic_mean: Number
    holdout: Number
    state: State


class Energy(Result):
    """One test of all features together.

    Attributes:
        distance: the energy distance of the robust z-scores, 2 E|X - Y| - E|X - X'| - E|Y - Y'|; 0 for equal samples.
        chance: its mean over permuted samples: what is expected without any difference.
        p: by permutation of patients.
        count: rows that were compared with the real ones.
    """

    distance: Number
    chance: Number
    p: Number
    count: int


class Geometry(Result):
    """How the vessel trees differ from real ones.

    Attributes:
        real_masks, real_patients, synthetic_masks: how many were compared; the real ones are those trained on.
        features: a row for each feature.
        energy: of the synthetic masks.
        energy_holdout: of the holdout's, for comparison, or None.
        atypical: share of the synthetic masks that are more unusual than the most atypical real mask.
        atypical_holdout: share of the holdout's, NaN without one.
    """

    real_masks: int
    real_patients: int
    synthetic_masks: int
    features: tuple[TreeFeature, ...]
    energy: Energy
    energy_holdout: Energy | None
    atypical: Number
    atypical_holdout: Number


class KernelDistance(Result):
    """The kernel inception distance (KID) of two sets.

    Attributes:
        value: unbiased MMD^2; about 0 for sets of one distribution, and then negative as often as not.
        standard_error: by the jackknife over patients and synthetic pairs; near 0 the value is not Gaussian, so p
            decides whether sets differ.
        p: by permutation of patients; at least 1 / (permutations + 1).
        p_rows: how many rows of each set gave p.
    """

    value: Number
    standard_error: Number
    p: Number
    p_rows: tuple[int, int]


class FrechetDistance(Result):
    """The Frechet distance between Gaussians fitted to two sets.

    Attributes:
        value: squared distance, not negative.
        note: that it is not a verdict, and why.
    """

    value: Number
    note: str


class Neighbourhoods(Result):
    """Precision, recall, density and coverage (PRDC) at equal size, each the mean over the subsamples.

    Attributes:
        precision: the share of synthetic rows within the k-th neighbour of a real row.
        recall: the share of real rows within the k-th neighbour of a synthetic row.
        density: how many real rows have a synthetic one within their k-th neighbour, over k; 1 is expected of two sets
            of one distribution, and there is no upper limit.
        coverage: the share of real rows with a synthetic one within their k-th neighbour.
        coverage_null: the coverage expected of two sets of one distribution. Precision and recall have no such value
            that holds for every distribution.
        coverage_excess: coverage minus coverage_null; about 0 is the best that can be expected.
        k: neighbours.
        count: rows of each set in a subsample.
    """

    precision: Number
    recall: Number
    density: Number
    coverage: Number
    coverage_null: Number
    k: int
    count: int

    @pydantic.computed_field
    @property
    def coverage_excess(self) -> Number:
        """The coverage minus its null."""
        return self.coverage - self.coverage_null


class Diversity(Result):
    """The ratio of the Vendi scores, synthetic to real, at equal size.

    Attributes:
        ratio: about 1 for sets of one distribution, less where the synthetic set is less diverse.
        low, high: its interval of 95 percent.
        real, synthetic: the scores, geometric means over the subsamples; they grow with `count` and mean little alone.
        count: rows of each set in a subsample, one of each patient.
    """

    ratio: Number
    low: Number
    high: Number
    real: Number
    synthetic: Number
    count: int


class Repeats(Result):
    """How often the synthetic set repeats itself.

    Attributes:
        couples: of synthetic rows that are alike.
        repeated: share of synthetic rows that are alike with another one, in [0, 1].
        images: how many different images the generator can generate, at least 1; infinite where no rows are alike.
        low, high: its interval of 95 percent.
        radius: below which two rows are alike, in units of the features.
    """

    couples: int
    repeated: Number
    images: Number
    low: Number
    high: Number
    radius: Number = math.nan


class Detector(Result):
    """The metrics by one detector.

    Attributes:
        name: `geometry` (15 features of the mask), `appearance` (28 of the image), or `handcrafted` (both).
        features: columns; more than features where some are missing.
        n, m: real and synthetic rows.
        kid, prdc, vendi, repeats, frechet: the metrics; the first two are None for fewer than three synthetic pairs,
            and the Vendi scores then are NaN.
    """

    name: str
    features: int
    n: int
    m: int
    kid: KernelDistance | None
    prdc: Neighbourhoods | None
    vendi: Diversity
    repeats: Repeats
    frechet: FrechetDistance


class Distribution(Result):
    """How far the pairs are from real ones as a whole, and how diverse they are.

    Attributes:
        real_patients: how many, all trained on.
        detectors: a row for each.
        left_out: detectors that were not used.
    """

    real_patients: int
    detectors: tuple[Detector, ...]
    left_out: tuple[LeftOut, ...]


class Divergence(Result):
    """One divergence of the grey levels, in nats, and its value between two halves of the real set.

    Attributes:
        name: `real_to_synthetic` (the paper's), `synthetic_to_real` or `jensen_shannon`.
        value: of the whole sets, mean of the channels.
        channels: of the whole sets, for red, green and blue.
        at_equal_size: median over half splits of the real patients, between one half and as many synthetic images
            as the other half has.
        null_median: median over the splits, between the two halves.
        ratio: at_equal_size / null_median; about 1 is the best that can be expected, somewhat less where patients have
            several images alike. Infinite where the halves are always equal, and NaN where all are.
    """

    name: str
    value: Number
    channels: tuple[Number, Number, Number]
    at_equal_size: Number
    null_median: Number
    ratio: Number


class Dispersion(Result):
    """The grey levels, compared as in the paper.

    Attributes:
        label: what these metrics cannot see.
        real_photographs, real_patients, synthetic_images: how many were compared.
        divergences: three of them.
    """

    label: str
    real_photographs: int
    real_patients: int
    synthetic_images: int
    divergences: tuple[Divergence, ...]


class Sections(Result):
    """The results of each section; None for one that did not run.

    Attributes:
        compared: what was compared; always there.
        utility: usefulness for training a segmenter.
        fidelity: whether the images show their masks.
        geometry: how the vessel trees differ from real ones.
        distribution: distance of the distributions, and diversity.
        dispersion: grey levels, as in the paper.
        privacy: copies, and membership of the training data.
    """

    compared: Compared
    utility: Utility | None = None
    fidelity: Fidelity | None = None
    geometry: Geometry | None = None
    distribution: Distribution | None = None
    dispersion: Dispersion | None = None
    privacy: Privacy | None = None
