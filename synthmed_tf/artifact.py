"""The artifact: what a trained run becomes, and all that generation, serving and evaluation ever open.

    <name>/savedmodel/1/     TensorFlow; <name>/savedmodel is TF Serving's base path
    <name>/generator.onnx    the function `pixels`
    <name>/card.json         what it is, what it was trained on, the SHA-256 of each file; card.md for people
    <name>/parity.json       the largest difference between the runtimes

Opening one needs TensorFlow or ONNX Runtime, not Keras.
"""

import abc
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np

from synthmed_tf.errors import SynthMedError

SAVEDMODEL = Path("savedmodel") / "1"
ONNX = Path("generator.onnx")
CARD = Path("card.json")
KIND = "generator"

_FACTS = ("model_sha256", "size", "licence", "data")

Runtime = Literal["auto", "savedmodel", "onnx"]


class Artifact(abc.ABC):
    """An opened artifact.

    Attributes:
        card: what `card.json` holds.
        runtime: `savedmodel` or `onnx`.
    """

    runtime: str

    def __init__(self, card: dict[str, Any]):
        self.card = card

    @property
    def model_sha256(self) -> str:
        """The model's identity, equal in every runtime; with (seed, index) it identifies a picture."""
        return self.card["model_sha256"]

    @abc.abstractmethod
    def pixels(self, seed: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Draws pairs.

        Args:
            seed, index: `(n,)`, int64.

        Returns:
            Masks `(n, size, size, 1)` uint8 in {0, 255}, and photographs `(n, size, size, 3)` uint8.
        """


class SavedModelArtifact(Artifact):
    """The SavedModel in TensorFlow."""

    runtime = "savedmodel"

    def __init__(self, folder: Path, card: dict[str, Any]):
        super().__init__(card)
        import tensorflow as tf

        # Kept whole: a signature alone does not keep the variables alive.
        self._model = tf.saved_model.load(str(folder))

    def pixels(self, seed, index):
        drawn = self._model.signatures["pixels"](seed=_int64(seed), index=_int64(index))
        return drawn["mask"].numpy(), drawn["image"].numpy()

    def translate(self, mask: np.ndarray, seed: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Stage-II alone: photographs `(n, size, size, 3)` of masks `(n, size, size, 1)` uint8."""
        import tensorflow as tf

        translate = self._model.signatures["translate"]
        return translate(mask=tf.constant(mask), seed=_int64(seed), index=_int64(index))["image"].numpy()


class OnnxArtifact(Artifact):
    """The ONNX file in ONNX Runtime, on the CPU."""

    runtime = "onnx"

    def __init__(self, file: Path, card: dict[str, Any]):
        super().__init__(card)
        import onnxruntime

        self._session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def pixels(self, seed, index):
        feed = {"seed": np.asarray(seed, np.int64), "index": np.asarray(index, np.int64)}
        return tuple(self._session.run(["mask", "image"], feed))


def open_artifact(folder: str | Path, runtime: Runtime = "auto") -> Artifact:
    """Opens an artifact.

    Args:
        folder: the artifact's folder, or its `generator.onnx`.
        runtime: `savedmodel`, `onnx`, or `auto`: the first of these that is there.

    Raises:
        SynthMedError: there is no such artifact, or it cannot be read.
    """
    folder = Path(folder)
    if folder.name == ONNX.name:
        folder, runtime = folder.parent, "onnx" if runtime == "auto" else runtime
    card = read_card(folder)
    has = {"savedmodel": (folder / SAVEDMODEL / "saved_model.pb").is_file(), "onnx": (folder / ONNX).is_file()}
    chosen = next((name for name in has if has[name]), None) if runtime == "auto" else runtime
    if chosen is None or not has.get(chosen):
        wanted = {None: "SavedModel or ONNX file", "savedmodel": "SavedModel", "onnx": "ONNX file"}[chosen]
        raise SynthMedError(f"{folder} holds no {wanted}; export the run again with synthmed export.")
    file = folder / (SAVEDMODEL if chosen == "savedmodel" else ONNX)
    try:
        return SavedModelArtifact(file, card) if chosen == "savedmodel" else OnnxArtifact(file, card)
    except Exception as error:  # each runtime has its own errors for a file that it cannot read
        raise SynthMedError(f"{file} cannot be opened ({_first_line(error)}); export the run again.") from error


def read_card(folder: Path) -> dict[str, Any]:
    """What `card.json` holds.

    Raises:
        SynthMedError: it is missing, damaged or the card of something else.
    """
    file = Path(folder) / CARD
    try:
        card = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise SynthMedError(f"{folder} is not an artifact: it has no {CARD}; make one with synthmed export.") from None
    except (OSError, ValueError) as error:
        raise SynthMedError(f"{file} is damaged ({_first_line(error)}); export the run again.") from error
    if not isinstance(card, dict) or card.get("kind") != KIND:
        raise SynthMedError(f"{folder} is not an artifact: its {CARD} is of another kind; name an artifact's folder.")
    missing = [name for name in _FACTS if name not in card]
    if missing:
        raise SynthMedError(f"{file} is damaged ({', '.join(missing)} missing); export the run again.")
    return card


def _int64(values: np.ndarray) -> Any:
    import tensorflow as tf

    return tf.constant(np.asarray(values, np.int64))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
