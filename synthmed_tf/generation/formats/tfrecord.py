"""TFRecord, as TensorFlow Datasets reads it: `tfds.builder_from_directory(<set>)`.

synthmed-train.tfrecord-00003-of-00008    an Example a pair: image, mask (PNG), index, seed
features.json  dataset_info.json
"""

import contextlib
import errno
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from synthmed_tf.generation.formats.base import Line, PngPair, PngWriter
from synthmed_tf.generation.plan import Plan

_FEATURES = "tensorflow_datasets.core.features."
_DESCRIPTION = "Labelled synthetic retinal photographs: images and their vessel masks (0 or 255), drawn by model {}."


class Writer(PngWriter):
    """Needs TensorFlow, and TensorFlow Datasets neither here nor in `describe`."""

    def __init__(self, folder: Path, plan: Plan, shard: int):
        super().__init__(folder, plan, shard)
        import tensorflow as tf

        self._train, self._failure = tf.train, tf.errors.OpError
        self._name = f"synthmed-train.tfrecord-{shard:05d}-of-{plan.shards:05d}"
        self._records = tf.io.TFRecordWriter(str(folder / self._name))

    def encode_png(self, pair: PngPair) -> bytes:
        pictures = {"image": pair.photograph, "mask": pair.mask}
        numbers = {"index": pair.index, "seed": self.plan.seed}
        features = {name: _feature(self._train, bytes_list=[value]) for name, value in pictures.items()}
        features |= {name: _feature(self._train, int64_list=[value]) for name, value in numbers.items()}
        example = self._train.Example(features=self._train.Features(feature=features))
        return example.SerializeToString(deterministic=True)

    def add(self, encoded: bytes) -> list[Line]:
        with self._as_errors_of_the_disk():
            self._records.write(encoded)
        return []

    def close(self) -> list[Line]:
        with self._as_errors_of_the_disk():
            self._records.close()
        return [self.line_of(self._name)]

    def abandon(self) -> None:
        with contextlib.suppress(self._failure):  # it would write what it still holds
            self._records.close()

    @contextlib.contextmanager
    def _as_errors_of_the_disk(self) -> Iterator[None]:
        try:
            yield
        except self._failure as error:
            raise OSError(errno.EIO, error.message.rpartition("; ")[2], str(self.folder / self._name)) from error

    @classmethod
    def describe(cls, plan: Plan, lines: Iterable[Line]) -> Iterator[tuple[str, list[bytes]]]:
        size = sum(line["size"] for line in lines if line.get("file", "").startswith("synthmed-train"))
        yield "features.json", [_json(_features(plan))]
        yield "dataset_info.json", [_json(_dataset_info(plan, size))]


def _feature(train, **values) -> Any:
    lists = {"bytes_list": train.BytesList, "int64_list": train.Int64List}
    return train.Feature(**{kind: lists[kind](value=value) for kind, value in values.items()})


def _features(plan: Plan) -> dict[str, Any]:
    """As `tfds.features.FeaturesDict` writes it."""

    def picture(channels: int) -> dict[str, Any]:
        shape = {"dimensions": [str(length) for length in (plan.size, plan.size, channels)]}
        return {
            "image": {"dtype": "uint8", "encodingFormat": "png", "shape": shape},
            "pythonClassName": f"{_FEATURES}image_feature.Image",
        }

    number = {
        "pythonClassName": f"{_FEATURES}scalar.Scalar",
        "tensor": {"dtype": "int64", "encoding": "none", "shape": {}},
    }
    features = {"image": picture(3), "index": number, "mask": picture(1), "seed": number}
    return {
        "featuresDict": {"features": features},
        "pythonClassName": f"{_FEATURES}features_dict.FeaturesDict",
    }


def _dataset_info(plan: Plan, size: int) -> dict[str, Any]:
    """As `tfds.core.DatasetInfo` writes it."""
    train = {
        "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        "name": "train",
        "numBytes": str(size),
        "shardLengths": [str(len(plan.indices(shard))) for shard in range(plan.shards)],
    }
    return {
        "description": _DESCRIPTION.format(plan.model_sha256),
        "fileFormat": "tfrecord",
        "name": "synthmed",
        "splits": [train],
        "version": "1.0.0",
    }


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
