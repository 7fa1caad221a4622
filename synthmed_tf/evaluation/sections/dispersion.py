"""Dispersion, as in the paper: grey levels alone, blind to structure; no verdict rests on it."""

from dataclasses import asdict

import numpy as np

from synthmed_tf.evaluation import dispersion
from synthmed_tf.evaluation.context import Case, Figures, Outcome
from synthmed_tf.evaluation.pairs import Block, Pairs

LABEL = "blind to structure"


class Divergence(Figures):
    """One divergence of the photographs, in nats; the figures of `evaluation.dispersion.Divergence`.

    Attributes:
        name: `real_to_synthetic` (the paper's), `synthetic_to_real` or `jensen_shannon`.
        value: of the whole sets, mean of the channels.
        channels: of the whole sets, for red, green and blue.
        at_equal_size: median over half splits of the real patients, between one half and as many synthetic photographs.
        null_median: median over the splits, between the two halves.
        ratio: at_equal_size / null_median; about 1 is as good as it gets.
    """

    name: str
    value: float
    channels: tuple[float, float, float]
    at_equal_size: float
    null_median: float
    ratio: float


class Dispersion(Figures):
    """The section's figures.

    Attributes:
        label: what the figures cannot see.
        real_photographs, real_patients, synthetic_photographs: how many were compared.
        divergences: three of them.
    """

    label: str
    real_photographs: int
    real_patients: int
    synthetic_photographs: int
    divergences: tuple[Divergence, ...]


def judge(case: Case) -> Outcome:
    """Compares the mean histograms of the synthetic photographs and of those that the generator was trained on.

    The outcome's arrays are these histograms, `real` and `synthetic`, `(3, 64)`, shares that sum to 1 a channel.
    """
    real, synthetic = (_histograms(case, pairs) for pairs in (case.train, case.synthetic))
    found = dispersion.dispersion(real, synthetic, case.rng("dispersion"), case.train.patients)
    figures = Dispersion(
        label=LABEL,
        real_photographs=len(real),
        real_patients=len(set(case.train.patients)),
        synthetic_photographs=len(synthetic),
        divergences=tuple(Divergence(name=name, **asdict(one)) for name, one in found.items()),
    )
    return Outcome(figures, arrays={"real": real.mean(axis=0), "synthetic": synthetic.mean(axis=0)})


def _histograms(case: Case, pairs: Pairs) -> np.ndarray:
    """`(pairs, 3, 64)`."""
    return case.measured(pairs, "histograms", {"version": 1, "bins": dispersion.BINS}, _measure)["histograms"]


def _measure(block: Block) -> dict[str, np.ndarray]:
    pairs = zip(block.photographs, block.fields, strict=True)
    return {"histograms": np.stack([dispersion.histogram(photograph, field) for photograph, field in pairs])}
