"""Made-up results of every section, for tests of the report and its page."""

import math

import numpy as np

from helpers.evaluating import generated, make_context, picked
from synthmed_tf.evaluation import dispersion, evaluator, geometry, results
from synthmed_tf.evaluation.context import (
    QUICK,
    DispersionResult,
    EvaluationContext,
    FidelityResult,
    GeometryResult,
    PrivacyResult,
    SectionResult,
    SectionResults,
    UtilityResult,
)
from synthmed_tf.evaluation.privacy_results import Attack, Control, Copy, CopySearch, Nearness, Privacy
from synthmed_tf.evaluation.transforms import Transform
from synthmed_tf.evaluation.verdict import Evidence, LeftOut, State, Verdict

SIZE, SYNTHETIC, TRAIN, HOLDOUT = 64, 12, 4, 3


def made_context(folder) -> EvaluationContext:
    """12 synthetic pairs, 4 real ones and 3 of unseen patients."""
    block = generated(SIZE, range(SYNTHETIC + TRAIN + HOLDOUT))
    ends = np.cumsum([SYNTHETIC, TRAIN, HOLDOUT])
    parts = [picked(block, slice(start, stop)) for start, stop in zip([0, *ends[:-1]], ends, strict=True)]
    return make_context(folder, *parts, QUICK)


def made_sections(context: EvaluationContext) -> SectionResults:
    """A result of each section; pair 5 is a copy of the train pair 1."""
    return SectionResults(
        evaluator.compare_sets(context),
        _utility(),
        _fidelity(),
        _geometry(),
        _distribution(),
        _dispersion(),
        _privacy(),
    )


def answer(question: str, state: State, **more) -> Verdict:
    """A verdict whose sentences name the question."""
    evidence = [Evidence(name=question, value=0.125)]
    said = {"sentence": f"{question} found 0.125", "limit": f"{question} limit"}
    return Verdict(question=question, state=state, evidence=evidence, **said, **more)


def _utility() -> UtilityResult:
    arms = [
        results.TrainedArm(name=name, meaning=f"trained on {name}", pairs=12, thresholds=(0.5,))
        for name in ("real", "synthetic")
    ]
    scores = [
        results.ArmScore(
            arm=name,
            test="holdout",
            images=3,
            patients=3,
            dice=dice,
            dice_sd=math.nan,
            cl_dice=0.61,
            auc=0.955,
            mcc=0.66,
            pooled_dice=0.688,
            macro_f1=0.8321,
        )
        for name, dice in (("real", 0.7213), ("synthetic", 0.6517))
    ]
    row = results.ArmDifference(
        arm="synthetic",
        reference="real",
        test="holdout",
        unit="patient",
        units=3,
        mean=-0.0696,
        low=-0.1101,
        high=-0.0291,
        sd=0.02,
        p=0.25,
        least_p=0.25,
    )
    left_out = [LeftOut(name="stage2_on_real_masks", reason="no artifact")]
    metrics = results.Utility(steps=200, seeds=1, arms=arms, left_out=left_out, results=scores, compared=[row])
    dice = {"holdout": {"real": np.array([[0.70, 0.72, 0.74]]), "synthetic": np.array([[0.60, 0.65, 0.70]])}}
    return UtilityResult(metrics, (answer("utility", State.FAIL),), dice=dice)


def _fidelity() -> FidelityResult:
    found = {"dice": np.linspace(0.4, 0.95, SYNTHETIC), "cl_dice": np.linspace(0.4, 0.95, SYNTHETIC)}
    side = results.VesselsFound(images=12, patients=12, dice=0.6817, cl_dice=0.7, dice_p05=0.41, dice_p50=0.69)
    nan = dict.fromkeys(("p", "least_p"), math.nan)
    difference = results.Difference(units=3, mean=-0.0312, low=-0.0815, high=0.0191, sd=0.02, **nan)
    metrics = results.Fidelity(steps=200, threshold=0.4, synthetic=side, unseen=side, train=side, difference=difference)
    needed = "about 9 unseen patients"
    verdicts = (answer("fidelity", State.CANNOT_TELL, needed=needed),)
    return FidelityResult(metrics, verdicts, found, unseen=np.full(HOLDOUT, 0.7))


def _geometry() -> GeometryResult:
    numbers = {"wasserstein": 0.4123, "low": 0.1, "high": 0.7, "chance": 0.3, "ks": 0.2, "p": 0.1, "holdout": math.nan}
    rows = [
        results.TreeFeature(
            name=name,
            words=words,
            state=State.CANNOT_TELL,
            real_count=4,
            synthetic_count=12,
            real_mean=1.2345,
            real_sd=0.1,
            synthetic_mean=1.3,
            p_holm=0.99,
            **numbers,
        )
        for name, words in geometry.PLAIN.items()
    ]
    energy = results.Energy(distance=0.679, chance=0.813, p=0.74, count=12)
    metrics = results.Geometry(
        real_masks=4,
        real_patients=4,
        synthetic_masks=12,
        features=rows,
        energy=energy,
        energy_holdout=None,
        atypical=0.25,
        atypical_holdout=math.nan,
    )
    rng = np.random.default_rng(0)
    real, synthetic = rng.random((TRAIN, 15)), rng.random((SYNTHETIC, 15))
    scores = {"atypicality": np.linspace(0.2, 2.0, SYNTHETIC), "most_unusual": np.array(["loops"] * SYNTHETIC)}
    verdicts = (answer("geometry", State.CANNOT_TELL),)
    return GeometryResult(metrics, verdicts, scores, real=real, synthetic=synthetic)


def _distribution() -> SectionResult:
    detectors = [
        results.Detector(
            name=name,
            features=15,
            n=4,
            m=12,
            kid=results.KernelDistance(value=0.0456, standard_error=0.01, p=0.3, p_rows=(4, 12)),
            prdc=results.Neighbourhoods(
                precision=0.81,
                recall=0.72,
                density=1.13,
                coverage=0.64,
                coverage_null=0.91,
                k=3,
                count=4,
            ),
            vendi=results.Diversity(ratio=0.873, low=0.7, high=1.1, real=3.1, synthetic=2.7, count=4),
            repeats=results.Repeats(couples=0, repeated=0.0, images=math.inf, low=40.0, high=math.inf, radius=0.5),
            frechet=results.FrechetDistance(value=28.8, note="Not a verdict: singular."),
        )
        for name in ("geometry", "appearance", "handcrafted")
    ]
    left_out = [LeftOut(name="network", reason="would fake a leak")]
    metrics = results.Distribution(real_patients=4, detectors=detectors, left_out=left_out)
    return SectionResult(metrics, (answer("diversity", State.PASS),))


def _dispersion() -> DispersionResult:
    rows = [
        results.Divergence(
            name=name, value=0.0481, channels=(0.01, 0.06, 0.07), at_equal_size=0.126, null_median=0.0955, ratio=1.3
        )
        for name in ("real_to_synthetic", "synthetic_to_real", "jensen_shannon")
    ]
    metrics = results.Dispersion(
        label=dispersion.LABEL, real_photographs=4, real_patients=4, synthetic_images=12, divergences=rows
    )
    flat = np.full((3, 64), 1 / 64)
    return DispersionResult(metrics, real=flat, synthetic=flat)


def _near(row: int, score: float) -> Copy:
    return Copy(
        synthetic=f"synthetic-{row}",
        row=row,
        real="train-1",
        patient="train-1",
        real_set="train",
        real_row=1,
        search="mask whole",
        place="whole",
        score=score,
        threshold=0.542,
        transform=Transform((True, False), 5.0, 1.02, 0.01, 0.0),
    )


def _privacy() -> PrivacyResult:
    excess = np.linspace(-0.4, -0.1, SYNTHETIC)
    excess[5] = 0.396
    near = [_near(row, 0.542 + excess[row]) for row in np.argsort(-excess)[:10].tolist()]
    search = CopySearch(
        name="mask whole",
        threshold=0.542,
        impostors=7,
        highest_impostor=0.476,
        augmented=30,
        recall=0.967,
        recall_low=0.83,
        copies=1,
        works=True,
        required=True,
    )
    rates = {"fpr": 0.0, "fpr_low": 0.0, "fpr_high": 0.7, "tpr": 0.25, "tpr_low": 0.01, "tpr_high": 0.8}
    attack = Attack(
        name="nearest mask", members=4, others=3, auc=0.754, auc_low=0.31, auc_high=0.93, p=0.2, p_holm=0.4, **rates
    )
    near_train = Nearness(
        what="mask",
        dcr_train=0.55,
        dcr_holdout=0.57,
        nndr_train=0.96,
        nndr_holdout=0.98,
        share=0.63,
        null_low=0.21,
        null_high=0.78,
        p=0.3,
        p_holm=0.6,
        z=-0.4,
    )
    metrics = Privacy(
        synthetic=12,
        train=4,
        holdout=3,
        searches=[search],
        copies=near[:1],
        most_copies=0.22,
        nearness=[near_train],
        attacks=[attack],
        left_out=[LeftOut(name="discriminator of Stage-I", reason="the run was not given (--run)")],
        leaking=[],
        detectable_auc=0.98,
        more_patients=None,
        control=Control(auc=0.91, p=0.03, fired=True),
    )
    scores = (0.542 + excess, np.linspace(0.1, 0.476, 7), np.linspace(0.6, 0.9, 30))
    copies = answer("copies", State.FAIL, private=["synthetic-5 is train-1 of patient train-1."])
    members = answer("membership", State.CANNOT_TELL, invalid=True, needed="other patients")
    return PrivacyResult(
        metrics,
        (copies, members),
        {"copy_excess": excess},
        copy_scores={"mask whole": scores},
        nearest=tuple(near),
        roc={"nearest mask": np.array([[0, 0, 1 / 3, 1], [0, 0.25, 0.5, 1]])},
    )
