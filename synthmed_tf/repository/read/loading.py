"""Opens a version of a set as a `tf.data.Dataset`. Nothing in the files is executed."""

import json
import os
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from synthmed_tf import images
from synthmed_tf.errors import SynthMedError
from synthmed_tf.files import cache_folder
from synthmed_tf.repository.entry import Entry
from synthmed_tf.repository.read.client import Repository
from synthmed_tf.repository.read.client_cache import Trust
from synthmed_tf.repository.read.download import Choice, download
from synthmed_tf.repository.read.fetching import Source

if TYPE_CHECKING:
    import tensorflow as tf

TFRECORD, IMAGEFOLDER = "tfrecord", "imagefolder"


class Loaded(NamedTuple):
    """A version of a set.

    Attributes:
        dataset: of (image, mask), `(size, size, 3)` and `(size, size, 1)`, uint8; masks are 0 or 255. In the order of
            the indices of the pairs.
        card: the content of `entry.json`.
    """

    dataset: "tf.data.Dataset"
    card: Entry


def load(
    name: str,
    source: str | os.PathLike[str],
    cache: str | os.PathLike[str] | None = None,
    root: bytes | None = None,
    fingerprint: str | None = None,
) -> Loaded:
    """Downloads a version of a set from a repository, verifies it, and opens it.

    Args:
        name: `retina-chase@1.0.0`, or `retina-chase` for the newest version that is not withdrawn.
        source: the address of a repository (`https://`, `s3://`, `gs://`, `abfs://`), or its folder.
        cache: the folder for downloads; default: `~/.cache/synthmed`.
        root: the content of the only `root.json` to trust.
        fingerprint: of the only root to trust.

    Raises:
        SynthMedError: there is no such version, it was withdrawn, or a file is not as it was signed.

    Example:
        >>> import synthmed_tf as sm
        >>> dataset, card = sm.load_dataset("phantom@1.0.0", source="REPO", cache="CACHE")
        >>> for image, mask in dataset.take(1):
        ...     print(image.shape, mask.shape, card.license)
        (32, 32, 3) (32, 32, 1) CC-BY-4.0
    """
    opened, kept = Source(source), Path(cache) if cache else cache_folder()
    repository = Repository(opened, Trust(root, fingerprint), kept)
    entry = repository.entry(name)
    form = next((known for known in (TFRECORD, IMAGEFOLDER) if known in entry.formats), None)
    if form is None:
        raise SynthMedError(
            f"{entry.name}@{entry.version} cannot be had as {TFRECORD} or {IMAGEFOLDER}; fetch it with synthmed "
            "download --all."
        )
    folder = kept / "sets" / opened.digest / entry.name / entry.version
    download(repository, f"{entry.name}@{entry.version}", folder, Choice((form,)))
    paths = [str(folder / file.path) for file in entry.files if file.role == form]
    shards = sorted(path for path in paths if ".tfrecord-" in path or path.endswith(".zip"))
    read = _tfrecords if form == TFRECORD else _image_folder
    return Loaded(read(shards, entry.size), entry)


def _tfrecords(shards: list[str], size: int) -> "tf.data.Dataset":
    import tensorflow as tf

    features = {name: tf.io.FixedLenFeature([], tf.string) for name in ("image", "mask")}
    header = struct.pack(">8sI4sII", b"\x89PNG\r\n\x1a\n", 13, b"IHDR", size, size)

    def image(content: tf.Tensor, channels: int) -> tf.Tensor:
        # Before anything is unpacked: a small file may claim to be an image that fills the memory.
        is_claimed = tf.equal(tf.strings.substr(content, 0, len(header)), header)
        problem = f"An image is not a PNG of {size} pixels a side; check the repository."
        claimed = tf.debugging.Assert(is_claimed, [problem])
        with tf.control_dependencies([claimed]):
            return tf.ensure_shape(tf.io.decode_png(content, channels), (size, size, channels))

    def pair(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        read = tf.io.parse_single_example(record, features)
        return image(read["image"], 3), image(read["mask"], 1)

    return tf.data.TFRecordDataset(shards).map(pair, num_parallel_calls=tf.data.AUTOTUNE)


def _image_folder(shards: list[str], size: int) -> "tf.data.Dataset":
    import tensorflow as tf

    shapes = ((size, size, 3), (size, size, 1))
    signature = tuple(tf.TensorSpec(shape, tf.uint8) for shape in shapes)

    def pairs() -> Iterator[tuple[np.ndarray, ...]]:
        for shard in shards:
            with zipfile.ZipFile(shard) as archive:
                for row in map(json.loads, archive.read("metadata.jsonl").splitlines()):
                    names = (row["file_name"], row["mask_file_name"])
                    yield tuple(images.decode_png(archive.read(name)) for name in names)

    return tf.data.Dataset.from_generator(pairs, output_signature=signature)
