"""The SavedModel that a server loads, and its signatures as protocol buffers."""

import re
from pathlib import Path

import numpy as np

from synthmed_tf import files
from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting import artifact
from synthmed_tf.serving.status import Refused

DEFAULT_SIGNATURE = "serving_default"


class Model:
    """A loaded version of a model.

    Attributes:
        name: the name of the model in requests.
        version: the number that is the name of its folder.
        signatures: the `SignatureDef` of each signature by name.
    """

    def __init__(self, name: str, folder: Path):
        """Loads the version with the largest number.

        Args:
            name: the name of the model in requests.
            folder: the folder of the artifact.

        Raises:
            SynthMedError: there is no such artifact, it has no SavedModel, or a file of it is missing or damaged.
        """
        import tensorflow as tf
        from tensorflow.core.protobuf import saved_model_pb2

        self.name = name
        self.version, place = _latest(Path(folder))
        artifact.check_files(Path(folder), artifact.read_card(folder), place.relative_to(folder))
        try:
            saved = saved_model_pb2.SavedModel.FromString((place / "saved_model.pb").read_bytes())
            self.signatures = dict(saved.meta_graphs[0].signature_def)
            with files.glob_free(place) as folder:
                self._model = tf.saved_model.load(str(folder))
        except Exception as error:  # TensorFlow has many errors for files that are missing or damaged
            first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise SynthMedError(f"{place} cannot be opened ({first}); export the run again.") from error

    def run(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Generates a batch.

        Raises:
            Refused: the graph rejects the inputs.
        """
        import tensorflow as tf

        dtypes = {name: tf.as_dtype(info.dtype) for name, info in self.signatures[signature].inputs.items()}
        try:
            tensors = {name: tf.constant(array, dtypes[name]) for name, array in inputs.items()}
            return {name: value.numpy() for name, value in self._model.signatures[signature](**tensors).items()}
        except tf.errors.OpError as error:
            code = {tf.errors.InvalidArgumentError: "INVALID_ARGUMENT"}.get(type(error), "INTERNAL")
            if isinstance(error, tf.errors.ResourceExhaustedError):
                code = "RESOURCE_EXHAUSTED"
            raise Refused(code, error.message.splitlines()[0]) from error


def _latest(folder: Path) -> tuple[int, Path]:
    base = folder / artifact.SAVEDMODEL.parent
    versions = [place for place in base.glob("*") if re.fullmatch(r"\d+", place.name)]
    if not versions:
        raise SynthMedError(f"{folder} holds no SavedModel; export the run again with --format savedmodel,onnx.")
    place = max(versions, key=lambda place: int(place.name))
    return int(place.name), place
