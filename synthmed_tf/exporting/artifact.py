"""The artifact: the exported form of a trained run, and the only form that generation, serving and evaluation open.

    <name>/savedmodel/1/                 TensorFlow; <name>/savedmodel is TF Serving's base path
    <name>/generator.onnx                the function `pixels`
    <name>/generator.fp16.onnx           the same, smaller, with a loss that the card states; also generator.int8.onnx
    <name>/generator_from_latent.onnx    the function `from_latent`, without integer arithmetic: for WebGPU
    <name>/training.npz                  what fine-tuning begins with besides the generators: discriminators
    <name>/card.json                     description, training data, the SHA-256 of each file; card.md for people
    <name>/parity.json                   the largest difference between the runtimes

Opening one needs TensorFlow, ONNX Runtime or OpenVINO, not Keras. Files that are opened are checked against the card.
The ONNX files of a compact artifact read their weights from the SavedModel's variables (`shared_weights`).
"""

import abc
import json
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from synthmed_tf import files, local_copies
from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting import pretrained
from synthmed_tf.extras import require_extra
from synthmed_tf.old_names import renamed

SAVEDMODEL = Path("savedmodel") / "1"
ONNX = Path("generator.onnx")
ONNX_LATENT = Path("generator_from_latent.onnx")
TRAINING = Path("training.npz")
CARD = Path("card.json")
KIND = "generator"
RUNTIMES = {
    "savedmodel": SAVEDMODEL,
    "onnx": ONNX,
    "openvino": ONNX,
    "onnx-fp16": Path("generator.fp16.onnx"),
    "onnx-int8": Path("generator.int8.onnx"),
}
"""The file that each runtime opens. All but the last two generate the same images."""

BATCH_SIZES = (1, 2, 4, 8, 16, 32)
"""What a server pads batches to (`export/serving/batching.config`); the artifact's warm-up has a request of each."""

_WANTED = {
    "savedmodel": "SavedModel",
    "onnx": "ONNX file",
    "openvino": "ONNX file",
    "onnx-fp16": "ONNX file in float16",
    "onnx-int8": "ONNX file in int8",
}
_FACTS = ("model_sha256", "size", "license", "data")

Runtime = Literal["auto", "savedmodel", "onnx", "openvino", "onnx-fp16", "onnx-int8"]


class Artifact(abc.ABC):
    """An opened artifact.

    Attributes:
        card: what `card.json` holds.
        runtime: of `RUNTIMES`.
    """

    runtime: str

    def __init__(self, card: dict[str, Any]):
        self.card = card

    @property
    def precision(self) -> str:
        """`float32` (the same images in every runtime), `float16` or `int8` (other images)."""
        return {"onnx-fp16": "float16", "onnx-int8": "int8"}.get(self.runtime, "float32")

    @property
    def model_sha256(self) -> str:
        """The model's identity, equal in every runtime; with (seed, index) it identifies an image."""
        return str(self.card["model_sha256"])

    @abc.abstractmethod
    def pixels(self, seed: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Generates pairs.

        Args:
            seed, index: `(n,)`, int64.

        Returns:
            Masks `(n, size, size, 1)` uint8 in {0, 255}, and images `(n, size, size, 3)` uint8.
        """

    def translate(self, mask: np.ndarray, seed: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Generates images of given masks: Stage-II alone, which only a SavedModel has.

        Args:
            mask: `(n, size, size, 1)`, uint8; 128 or more is vessel.
            seed, index: `(n,)`, int64: of the styles.

        Returns:
            Images `(n, size, size, 3)`, uint8.

        Raises:
            SynthMedError: the runtime has no Stage-II alone.
        """
        raise SynthMedError(
            f"The runtime {self.runtime} generates no images of given masks; open the artifact with runtime=savedmodel."
        )


class SavedModelArtifact(Artifact):
    """The SavedModel in TensorFlow."""

    runtime = "savedmodel"

    def __init__(self, folder: Path, card: dict[str, Any]):
        super().__init__(card)
        import tensorflow as tf

        # The whole model is kept: a signature does not keep the variables alive.
        with files.glob_free(folder) as place:
            self._model = tf.saved_model.load(str(place))

    def pixels(self, seed: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        generated = self._model.signatures["pixels"](seed=_int64(seed), index=_int64(index))
        return generated["mask"].numpy(), generated["image"].numpy()

    def translate(self, mask: np.ndarray, seed: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Stage-II alone: images `(n, size, size, 3)` of masks `(n, size, size, 1)` uint8."""
        import tensorflow as tf

        translate = self._model.signatures["translate"]
        image: np.ndarray = translate(mask=tf.constant(mask), seed=_int64(seed), index=_int64(index))["image"].numpy()
        return image


class OnnxArtifact(Artifact):
    """An ONNX file in ONNX Runtime, on the CPU."""

    def __init__(self, file: Path, card: dict[str, Any], runtime: str = "onnx"):
        super().__init__(card)
        import onnxruntime

        self.runtime = runtime
        self._session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        described = self._session.get_modelmeta().custom_metadata_map.get("model_sha256")
        if described != self.model_sha256:
            raise SynthMedError(
                f"{file} is of model {described}, and its {CARD} is of {self.model_sha256}; export the run again."
            )

    def pixels(self, seed: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        feed = {"seed": np.asarray(seed, np.int64), "index": np.asarray(index, np.int64)}
        mask, image = self._session.run(["mask", "image"], feed)
        return mask, image


class OpenVinoArtifact(Artifact):
    """The ONNX file in OpenVINO, on the CPU and in float32; it is compiled again for each size of batch.

    Seed and index must fit into 32 bits: OpenVINO has no larger integers there.
    """

    runtime = "openvino"

    def __init__(self, file: Path, card: dict[str, Any]):
        super().__init__(card)
        require_extra("openvino")
        import openvino

        self._core = openvino.Core()
        self._model = self._core.read_model(file)
        self._compiled: tuple[int, Any] = (0, None)

    def pixels(self, seed: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        feed = {"seed": np.asarray(seed, np.int64), "index": np.asarray(index, np.int64)}
        for name, numbers in feed.items():
            if (numbers != numbers.astype(np.int32)).any():
                raise SynthMedError(f"OpenVINO generates no {name} beyond 32 bits; choose another --runtime or {name}.")
        generated = self._of_batch(len(feed["seed"]))(feed)
        return generated["mask"], generated["image"]

    def _of_batch(self, count: int) -> Any:
        """Inference with known shapes is up to a third faster; only the latest batch size is kept."""
        if self._compiled[0] != count:
            self._model.reshape({"seed": [count], "index": [count]})
            # Without the hint a processor that has bfloat16 computes in it.
            compiled = self._core.compile_model(self._model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
            self._compiled = count, compiled
        return self._compiled[1]


def open_artifact(folder: str | os.PathLike[str], runtime: Runtime = "auto") -> Artifact:
    """Opens an artifact, whose files are compared with the card first.

    Args:
        folder: the artifact's folder or its `generator.onnx`, on this disk or in an object store; or the name of a
            model that the package holds.
        runtime: of `RUNTIMES`, or `auto`: the first of `savedmodel` and `onnx` that is there.

    Raises:
        SynthMedError: there is no such artifact, a file of it is missing or has changed, or it cannot be read.
    """
    folder = pretrained.located(folder)
    if folder.name == ONNX.name:
        folder, runtime = folder.parent, "onnx" if runtime == "auto" else runtime
    folder = local_copies.local_copy(folder)
    card = read_card(folder)
    chosen = next((name for name in ("savedmodel", "onnx") if _has(folder, name)), None)
    if runtime != "auto":
        chosen = runtime if _has(folder, runtime) else None
    if chosen is None:
        wanted = "SavedModel or ONNX file" if runtime == "auto" else _WANTED[runtime]
        raise SynthMedError(f"{folder} holds no {wanted}; export the run again with synthmed export.")
    check_files(folder, card, RUNTIMES[chosen])
    if chosen != "savedmodel" and "weights" in card:
        check_files(folder, card, Path(card["weights"]["file"]))
    file = folder / RUNTIMES[chosen]
    try:
        return _open(file, card, chosen)
    except SynthMedError:
        raise
    except Exception as error:  # each runtime has its own errors for a file that it cannot read
        raise SynthMedError(f"{file} cannot be opened ({_first_line(error)}); export the run again.") from error


def _has(folder: Path, runtime: str) -> bool:
    return (folder / RUNTIMES[runtime] / ("saved_model.pb" if runtime == "savedmodel" else "")).is_file()


def _open(file: Path, card: dict[str, Any], runtime: str) -> Artifact:
    if runtime == "savedmodel":
        return SavedModelArtifact(file, card)
    return OpenVinoArtifact(file, card) if runtime == "openvino" else OnnxArtifact(file, card, runtime)


def check_files(folder: Path, card: dict[str, Any], part: Path) -> None:
    """Compares a part of an artifact with the card; while it is being exported the card lists nothing yet.

    Args:
        folder: the artifact's.
        card: its.
        part: the file or folder in it that is about to be opened.

    Raises:
        SynthMedError: a file is missing, has changed or cannot be read.
    """
    for name, expected in card.get("files", {}).items():
        if not Path(name).is_relative_to(part):
            continue
        try:
            found = files.sha256(folder / name)
        except FileNotFoundError:
            raise SynthMedError(
                f"{folder / name} is missing; copy the artifact again or export the run again."
            ) from None
        except OSError as error:
            raise SynthMedError(f"{folder / name} cannot be read ({error.strerror}); check its rights.") from error
        if found != expected:
            raise SynthMedError(
                f"{folder / name} is not the file that {CARD} lists (its SHA-256 begins with {found[:12]}, not "
                f"{expected[:12]}); copy the artifact again or export the run again."
            )


def read_card(folder: Path) -> dict[str, Any]:
    """What `card.json` holds.

    Raises:
        SynthMedError: it is missing, damaged or the card of something else.
    """
    file = folder / CARD
    try:
        card = json.loads(file.read_text(encoding="utf-8"), object_hook=renamed)
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
