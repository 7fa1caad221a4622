"""What was compared: the sets, whose pairs they hold, and what the set's card says of its generator."""

from typing import Any

from synthmed_tf.evaluation.context import Case, Figures, Outcome
from synthmed_tf.evaluation.pairs import Pairs


class Side(Figures):
    """One set of pairs.

    Attributes:
        sha256: fingerprint of what the pairs are.
        pairs: how many.
        size: pixels a side.
        patients: how many; 0 for the synthetic set, whose pairs are nobody's.
        names: of the patients, in order; none for the synthetic set.
    """

    sha256: str
    pairs: int
    size: int
    patients: int
    names: tuple[str, ...]


class Compared(Figures):
    """The section's figures.

    Attributes:
        set: the synthetic set.
        train: the real pairs that the generator was trained on.
        holdout: real pairs of patients that it never saw, or None.
        other: real pairs of another camera, or None.
        shared_patients: names that are both in train and in the holdout; none where the frame did its work.
        model_sha256, seed, license, data: what the set's card says of its generator and of what that was trained on;
            None for a set in memory, or where the card does not say.
        artifact, run: whether the generator's artifact and run were at hand.
    """

    set: Side
    train: Side
    holdout: Side | None
    other: Side | None
    shared_patients: tuple[str, ...]
    model_sha256: str | None
    seed: int | None
    license: str | None
    data: dict[str, Any] | None
    artifact: bool
    run: bool


def judge(case: Case) -> Outcome:
    """Lists what was compared; it measures nothing."""
    card = getattr(case.synthetic, "card", {})
    held = case.holdout.patients if case.holdout is not None else ()
    return Outcome(
        Compared(
            set=_side(case.synthetic, is_real=False),
            train=_side(case.train),
            holdout=_side(case.holdout) if case.holdout is not None else None,
            other=_side(case.other) if case.other is not None else None,
            shared_patients=tuple(sorted(set(case.train.patients) & set(held))),
            artifact=case.artifact is not None,
            run=case.run is not None,
            **{name: card.get(name) for name in ("model_sha256", "seed", "license", "data")},
        )
    )


def _side(pairs: Pairs, is_real: bool = True) -> Side:
    names = tuple(sorted(set(pairs.patients))) if is_real else ()
    return Side(sha256=pairs.fingerprint, pairs=len(pairs), size=pairs.size, patients=len(names), names=names)
