"""Made-up outcomes of every section, for tests of the report and its page."""

import math

import numpy as np

from helpers.evaluating import generated, make_case, picked
from synthmed_tf.evaluation import features
from synthmed_tf.evaluation.context import QUICK, Case, Outcome
from synthmed_tf.evaluation.sections import compared, dispersion, distribution, fidelity, geometry, privacy, utility
from synthmed_tf.evaluation.sections.privacy_copies import Copy, SearchFigures
from synthmed_tf.evaluation.sections.privacy_membership import AttackFigures, ControlFigures, NearnessFigures
from synthmed_tf.evaluation.verdict import State, Verdict

SIZE, SYNTHETIC, TRAIN, HOLDOUT = 64, 12, 4, 3


def made_case(folder) -> Case:
    """12 synthetic pairs, 4 real ones and 3 of unseen patients."""
    block = generated(SIZE, range(SYNTHETIC + TRAIN + HOLDOUT))
    ends = np.cumsum([SYNTHETIC, TRAIN, HOLDOUT])
    parts = [picked(block, slice(start, stop)) for start, stop in zip([0, *ends[:-1]], ends, strict=True)]
    return make_case(folder, *parts, QUICK)


def made_outcomes(case: Case) -> dict[str, Outcome]:
    """An outcome of each section; pair 5 is a copy of the train pair 1."""
    return {
        "compared": compared.judge(case),
        "utility": _utility(),
        "fidelity": _fidelity(),
        "geometry": _geometry(),
        "distribution": _distribution(),
        "dispersion": _dispersion(),
        "privacy": _privacy(),
    }


def answer(question: str, state: State, **more) -> Verdict:
    """A verdict whose sentences name the question."""
    return Verdict(
        question=question, state=state, sentence=f"{question} found 0.125", limit=f"{question} limit", **more
    )


def _utility() -> Outcome:
    arms = [
        utility.ArmFigures(name=name, meaning=f"trained on {name}", pairs=12, thresholds=(0.5,))
        for name in ("real", "synthetic")
    ]
    results = [
        utility.Result(
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
    row = utility.Compared(
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
    figures = utility.Utility(
        steps=200, seeds=1, arms=arms, left_out={"redrawn": "no artifact"}, results=results, compared=[row]
    )
    dice = {"holdout": {"real": np.array([[0.70, 0.72, 0.74]]), "synthetic": np.array([[0.60, 0.65, 0.70]])}}
    return Outcome(figures, (answer("utility", State.FAIL),), arrays={"dice": dice})


def _fidelity() -> Outcome:
    found = {"dice": np.linspace(0.4, 0.95, SYNTHETIC), "cl_dice": np.linspace(0.4, 0.95, SYNTHETIC)}
    side = fidelity.Found(photographs=12, patients=12, dice=0.6817, cl_dice=0.7, dice_p05=0.41, dice_p50=0.69)
    figures = fidelity.Fidelity(
        steps=200, threshold=0.4, synthetic=side, unseen=side, train=side, mean=-0.0312, low=-0.0815, high=0.0191
    )
    arrays = {"train": np.full(TRAIN, 0.8), "unseen": np.full(HOLDOUT, 0.7)}
    needed = "about 9 unseen patients"
    return Outcome(figures, (answer("fidelity", State.CANNOT_TELL, needed=needed),), found, arrays)


def _geometry() -> Outcome:
    numbers = {"wasserstein": 0.4123, "low": 0.1, "high": 0.7, "chance": 0.3, "ks": 0.2, "p": 0.1, "holdout": math.nan}
    rows = [
        geometry.Feature(
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
    energy = geometry.Energy(distance=0.679, chance=0.813, p=0.74, count=12)
    figures = geometry.Geometry(
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
    arrays = {"real": rng.random((TRAIN, 15)), "synthetic": rng.random((SYNTHETIC, 15)), "names": features.TREE}
    scores = {"atypicality": np.linspace(0.2, 2.0, SYNTHETIC)}
    return Outcome(figures, (answer("geometry", State.CANNOT_TELL),), scores, arrays)


def _distribution() -> Outcome:
    detectors = [
        distribution.Detector(
            name=name,
            features=15,
            n=4,
            m=12,
            kid=distribution.Kid(value=0.0456, standard_error=0.01, p=0.3, p_rows=(4, 12)),
            prdc=distribution.Neighbourhoods(
                precision=0.81,
                recall=0.72,
                density=1.13,
                coverage=0.64,
                coverage_null=0.91,
                coverage_excess=-0.27,
                k=3,
                count=4,
            ),
            vendi=distribution.Variety(ratio=0.873, low=0.7, high=1.1, real=3.1, synthetic=2.7, count=4),
            repeats=distribution.Repeated(couples=0, repeated=0.0, images=math.inf, low=40.0, high=math.inf),
            frechet=distribution.Frechet(value=28.8, note="Not a verdict: singular."),
        )
        for name in ("geometry", "appearance", "handcrafted")
    ]
    figures = distribution.Distribution(real_patients=4, detectors=detectors, left_out={"network": "would fake a leak"})
    return Outcome(figures, (answer("diversity", State.PASS),))


def _dispersion() -> Outcome:
    rows = [
        dispersion.Divergence(
            name=name, value=0.0481, channels=(0.01, 0.06, 0.07), at_equal_size=0.126, null_median=0.0955, ratio=1.3
        )
        for name in ("real_to_synthetic", "synthetic_to_real", "jensen_shannon")
    ]
    figures = dispersion.Dispersion(
        label=dispersion.LABEL, real_photographs=4, real_patients=4, synthetic_photographs=12, divergences=rows
    )
    flat = np.full((3, 64), 1 / 64)
    return Outcome(figures, arrays={"real": flat, "synthetic": flat})


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
        flips=(True, False),
        rotation=5.0,
        scale=1.02,
        right=0.01,
        down=0.0,
    )


def _privacy() -> Outcome:
    excess = np.linspace(-0.4, -0.1, SYNTHETIC)
    excess[5] = 0.396
    near = [_near(row, 0.542 + excess[row]) for row in np.argsort(-excess)[:10].tolist()]
    search = SearchFigures(
        name="mask whole",
        threshold=0.542,
        strangers=7,
        highest_stranger=0.476,
        disguised=30,
        recall=0.967,
        recall_low=0.83,
        copies=1,
        works=True,
        required=True,
    )
    rates = {"fpr": 0.0, "fpr_low": 0.0, "fpr_high": 0.7, "tpr": 0.25, "tpr_low": 0.01, "tpr_high": 0.8}
    attack = AttackFigures(
        name="nearest mask", members=4, others=3, auc=0.754, auc_low=0.31, auc_high=0.93, p=0.2, p_holm=0.4, **rates
    )
    near_train = NearnessFigures(
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
    figures = privacy.Privacy(
        synthetic=12,
        train=4,
        holdout=3,
        searches=[search],
        copies=near[:1],
        most_copies=0.22,
        nearness=[near_train],
        attacks=[attack],
        left_out={"discriminator of Stage-I": "the run was not given (--run)"},
        leaking=[],
        detectable_auc=0.98,
        more_patients=None,
        control=ControlFigures(auc=0.91, p=0.03, fired=True),
    )
    arrays = {
        "searches": np.array(["mask whole"]),
        "thresholds": np.array([0.542]),
        "synthetic scores": 0.542 + excess[:, None],
        "stranger scores": np.linspace(0.1, 0.476, 7)[:, None],
        "disguised scores": np.linspace(0.6, 0.9, 30)[:, None],
        "nearest": [copy.model_dump() for copy in near],
        "roc": {"nearest mask": np.array([[0, 0, 1 / 3, 1], [0, 0.25, 0.5, 1]])},
    }
    told = answer("membership", State.CANNOT_TELL, invalid=True, needed="other patients")
    return Outcome(figures, (answer("copies", State.FAIL), told), {"copy_excess": excess}, arrays)
