"""What segmenters are trained on to learn a set's utility: the set, real pairs, and what tells why they differ."""

from collections.abc import Sequence

import numpy as np

from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation.context import Case
from synthmed_tf.evaluation.pairs import ArrayPairs, Block, Pairs
from synthmed_tf.evaluation.segmenters import MOST_PAIRS, Arm, real_arm
from synthmed_tf.exporting import artifact

REAL, SYNTHETIC, MIXED, REDRAWN, PLAIN, SHUFFLED = (
    "real",
    "synthetic",
    "mixed",
    "redrawn",
    "real_unaugmented",
    "shuffled",
)

MEANINGS = {
    REAL: "the real training pairs (TRTR), augmented as all arms are",
    SYNTHETIC: "the synthetic set (TSTR)",
    MIXED: "real and synthetic pairs, half of each batch each",
    REDRAWN: "the generator's photographs of the real masks, so that only its photographs differ from TRTR",
    PLAIN: "the real training pairs without augmentation",
    SHUFFLED: "real photographs with the masks of other patients: the floor, from which nothing can be learnt",
}

_QUICK = (REAL, SYNTHETIC, MIXED, SHUFFLED)
_SHOWN_FOR_FIELD = 64
_AT_ONCE = 16


def arms_of(case: Case) -> tuple[tuple[Arm, ...], dict[str, str]]:
    """The arms that can be trained, and why each of the others is left out."""
    left_out = {name: "not part of a quick look" for name in MEANINGS if case.settings.quick and name not in _QUICK}
    arms = [
        real_arm(case),
        Arm(SYNTHETIC, (case.synthetic,)),
        Arm(MIXED, (case.train, case.synthetic)),
        Arm(PLAIN, (case.train,), augmented=False),
    ]
    for name, make in ((REDRAWN, lambda: Redrawn(case)), (SHUFFLED, lambda: shuffled(case.train))):
        try:
            arms += [] if name in left_out else [Arm(name, (make(),))]
        except SynthMedError as error:
            left_out[name] = str(error)
    return tuple(arm for arm in arms if arm.name not in left_out), left_out


def shuffled(pairs: Pairs) -> ArrayPairs:
    """The same photographs, each with the mask of another patient: pairs in which there is nothing to learn.

    Sorted by patient, masks move on by the largest number of images of one patient, so that none stays with its own.

    Raises:
        SynthMedError: one patient has more than half of all images.
    """
    block, order = pairs.all(), np.argsort(pairs.patients, kind="stable")
    patient = max(set(pairs.patients), key=pairs.patients.count)
    most = pairs.patients.count(patient)
    if 2 * most > len(pairs):
        raise SynthMedError(
            f"Masks cannot be exchanged between patients: {patient} has {most} of {len(pairs)} images; "
            "add images of others."
        )
    masks = np.empty_like(block.masks)
    masks[order] = np.roll(block.masks[order], most, axis=0)
    return ArrayPairs(Block(block.photographs, masks, block.fields), pairs.names, pairs.patients)


class Redrawn(Pairs):
    """The generator's photographs of the real masks, in as many styles as give about as many pairs as the set has.

    They are drawn when they are read.
    """

    def __init__(self, case: Case):
        """Opens the artifact.

        Raises:
            SynthMedError: there is none, or none with a SavedModel.
        """
        if case.artifact is None:
            raise SynthMedError("It needs the generator: name its artifact (--artifact).")
        self._model = artifact.open_artifact(case.artifact, "savedmodel")
        self._masks, self._seed = case.train.all().masks, case.settings.seed
        styles = max(1, min(len(case.synthetic), MOST_PAIRS) // len(case.train))
        places = [(style, name) for style in range(styles) for name in case.train.names]
        self.names = tuple(f"{name}/{style}" for style, name in places)
        self.patients = case.train.patients * styles
        self.size = case.train.size
        self.fingerprint = f"redrawn {self._model.model_sha256} {case.train.fingerprint} {styles} {self._seed}"
        some = self._photographs(range(min(len(self), _SHOWN_FOR_FIELD)))
        self._field = some.max(axis=(0, 3)) > 0

    def read(self, rows):
        photographs = self._photographs(rows)
        fields = np.broadcast_to(self._field, photographs.shape[:3])
        return Block(photographs, self._masks[np.asarray(rows, int) % len(self._masks)] & fields, fields)

    def _photographs(self, rows: Sequence[int]) -> np.ndarray:
        rows = np.asarray(rows, np.int64)
        masks = self._masks[rows % len(self._masks), ..., None] * np.uint8(255)
        parts = [slice(start, start + _AT_ONCE) for start in range(0, len(rows), _AT_ONCE)]
        drawn = [self._model.translate(masks[part], np.full_like(rows[part], self._seed), rows[part]) for part in parts]
        return np.concatenate(drawn)
