"""The results of the section on privacy: searches for copies, distances, attacks and their control."""

import math

from synthmed_tf.evaluation.transforms import Transform
from synthmed_tf.evaluation.verdict import LeftOut, Number, Result


class CopySearch(Result):
    """One way of searching for copies: how well it works, and what it found.

    Attributes:
        name: what is compared.
        threshold: the score from which on a pair is a copy.
        impostors: real pairs that were compared with those of other patients.
        highest_impostor: the highest score among them.
        augmented: augmented real pairs that were searched for.
        recall, recall_low: share of them for which their own original was found, with the lower end of its 95 percent
            interval.
        copies: synthetic pairs that reach the threshold.
        works: whether it finds nine augmented copies in ten.
        required: whether a set can pass only where this search works.
    """

    name: str
    threshold: Number
    impostors: int
    highest_impostor: Number
    augmented: int
    recall: Number
    recall_low: Number
    copies: int
    works: bool
    required: bool


class Copy(Result):
    """A synthetic pair and the real one that it is nearest to.

    Attributes:
        synthetic: the pair's name.
        row: its place in the set.
        real, patient: name of the real pair, and of its patient.
        real_set, real_row: `train` or `holdout`, and its place there.
        search: the search in which it exceeds the threshold most.
        place: which part of the synthetic image was compared.
        score, threshold: in that search.
        transform: from the real image to the synthetic one: flips (left and right, top and bottom), rotation in degrees
            clockwise, scale, and shift to the right and down as shares of the side.
    """

    synthetic: str
    row: int
    real: str
    patient: str
    real_set: str
    real_row: int
    search: str
    place: str
    score: Number
    threshold: Number
    transform: Transform


class Closeness(Result):
    """How near a synthetic set comes to train and to holdout, both reduced to one size.

    Attributes:
        dcr_train, dcr_holdout: median distance from a synthetic image to the closest record.
        nndr_train, nndr_holdout: median of the ratio of the two least distances, in [0, 1].
        share: of synthetic images nearer to train than to holdout, in [0, 1]; 0.5 is expected where nothing leaks.
        null_low, null_high: the central 95 percent of the shares with train and holdout chosen at random from all
            patients.
        p: one-sided p value of the share, in (0, 1].
    """

    dcr_train: Number
    dcr_holdout: Number
    nndr_train: Number
    nndr_holdout: Number
    share: Number
    null_low: Number
    null_high: Number
    p: Number


class Nearness(Closeness):
    """Whether the set is nearer to train than to the holdout.

    Attributes:
        what: what is compared, `mask` or `image`.
        p_holm: p adjusted for all attacks and distances; NaN before that.
        z: C_T, far below 0 where the set copies; one image of each unseen patient counts.
    """

    what: str
    z: Number
    p_holm: Number = math.nan


class Attack(Result):
    """The result of a membership attack, over patients.

    Attributes:
        name: of the attack.
        members, others: patients in train, and not.
        auc, auc_low, auc_high: area under the ROC curve with its interval, in [0, 1]; 0.5 is a guess.
        p: one-sided p value of the AUC, by permutation of membership, in (0, 1].
        p_holm: p adjusted for all attacks and distances; NaN before that.
        fpr, fpr_low, fpr_high: share of the others that the attack takes for members, with its interval.
        tpr, tpr_low, tpr_high: share of the members that it finds then, with its interval.
    """

    name: str
    members: int
    others: int
    auc: Number
    auc_low: Number
    auc_high: Number
    p: Number
    p_holm: Number = math.nan
    fpr: Number
    fpr_low: Number
    fpr_high: Number
    tpr: Number
    tpr_low: Number
    tpr_high: Number


class Control(Result):
    """Whether train and holdout differ without the generator.

    Attributes:
        auc: of a classifier of patients that was trained on the others; about one half where they are alike.
        p: one-sided p value of the AUC, by permutation of patients.
        fired: whether the two differ by themselves, so that the attacks mean nothing.
    """

    auc: Number
    p: Number
    fired: bool


class CopyResults(Result):
    """Copies of real pairs.

    Attributes:
        synthetic, train, holdout: numbers of pairs.
        searches: each way of searching for copies.
        copies: every copy that was confirmed, the surest first; those of the holdout too, which should have none. None
            are listed in a published report.
        most_copies: share of copies that so many pairs without any do not exclude, with 95 percent confidence.
    """

    synthetic: int
    train: int
    holdout: int
    searches: tuple[CopySearch, ...]
    copies: tuple[Copy, ...]
    most_copies: Number


class Membership(Result):
    """Membership of the training data.

    Attributes:
        nearness: whether the set is nearer to train than to the holdout; empty without a holdout.
        attacks: each membership attack, over patients; empty without a holdout.
        left_out: attacks that were not made.
        leaking: names of the attacks, and of the distances, that show a leak.
        detectable_auc: the least AUC that so many patients would show in four cases of five; None without a holdout.
        more_patients: unseen patients beyond those at hand that would show an AUC at the limit; None where no number
            would, since those in train are too few, and without a holdout.
        control: whether train and holdout differ by themselves; None without a holdout.
    """

    nearness: tuple[Nearness, ...] = ()
    attacks: tuple[Attack, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    leaking: tuple[str, ...] = ()
    detectable_auc: float | None = None
    more_patients: int | None = None
    control: Control | None = None


class Privacy(Membership, CopyResults):
    """Copies of real pairs, and membership of the training data."""
