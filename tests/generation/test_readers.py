"""A set of each format, opened as a whole folder by the readers of that format; every mask and image by its values."""

import dataclasses
import json

import imageio.v3 as imageio
import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from synthmed_tf import images
from synthmed_tf.exporting.artifact import open_artifact
from synthmed_tf.generation import synthesis
from synthmed_tf.generation.plan import FORMATS

COUNT, FIRST, SEED, SIZE = 11, 3, 4, 32
INDICES = list(range(FIRST, FIRST + COUNT))
FACTS = '{"laterality":"R","device":"ExternalCamera","burned_in_annotation":"NO","created":"2026-11-25T12:00:00"}'


@pytest.fixture(scope="module")
def opened(tiny_artifact):
    return open_artifact(tiny_artifact, "onnx")


@pytest.fixture(scope="module")
def generated(opened):
    """Masks `(11, 32, 32, 1)` and images `(11, 32, 32, 3)` of the plan, as the artifact generates them."""
    return opened.pixels(np.full(COUNT, SEED), np.array(INDICES))


@pytest.fixture(scope="module")
def sets(opened, tmp_path_factory):
    """A set of three shards in each format. Not to be changed."""
    folder = tmp_path_factory.mktemp("readers")
    for name in FORMATS:
        plan = synthesis.make_plan(opened, COUNT, SEED, FIRST, name, 3)
        synthesis.generate(opened, dataclasses.replace(plan, options=FACTS if name == "dicom" else ""), folder / name)
    return folder


def _check(generated, row, mask, image):
    """The mask exactly; the image within the grey level that batches may differ by."""
    np.testing.assert_array_equal(np.asarray(mask).reshape(SIZE, SIZE, 1), generated[0][row])
    assert np.shape(image) == (SIZE, SIZE, 3)
    np.testing.assert_allclose(np.asarray(image).astype(int), generated[1][row], atol=1)


def _masks(folder):
    return sorted((folder / "masks").glob("*.png"))


def test_pillow_and_imageio_read_png(sets, generated):
    for row, path in enumerate(_masks(sets / "png")):
        image = sets / "png" / "images" / path.name
        _check(generated, row, PIL.Image.open(path), PIL.Image.open(image))
        _check(generated, row, imageio.imread(path), imageio.imread(image))
    assert row == COUNT - 1


def test_tensorflow_and_keras_read_png(sets, generated):
    def pair(path):
        image = tf.strings.regex_replace(path, "/masks/", "/images/")
        return tuple(tf.io.decode_png(tf.io.read_file(file), channels) for file, channels in ((path, 1), (image, 3)))

    pairs = tf.data.Dataset.list_files(str(sets / "png" / "masks" / "*.png"), shuffle=False).map(pair)
    for row, (mask, image) in enumerate(pairs):
        _check(generated, row, mask, image)
    assert row == COUNT - 1
    options = {"labels": None, "shuffle": False, "batch_size": COUNT, "image_size": (SIZE, SIZE), "verbose": False}
    if keras.__version__.startswith("2."):
        del options["verbose"]
    read = [
        next(iter(keras.utils.image_dataset_from_directory(sets / "png" / part, color_mode=mode, **options)))
        for part, mode in (("masks", "grayscale"), ("images", "rgb"))
    ]
    for row in range(COUNT):
        _check(generated, row, read[0][row], read[1][row])


def test_tensorflow_datasets_reads_the_records(sets, generated):
    tfds = pytest.importorskip("tensorflow_datasets", reason="tensorflow-datasets is not installed")
    builder = tfds.builder_from_directory(sets / "tfrecord")
    assert builder.info.splits["train"].num_examples == COUNT
    examples = sorted(tfds.as_numpy(builder.as_dataset(split="train")), key=lambda example: example["index"])
    assert [int(example["index"]) for example in examples] == INDICES
    for row, example in enumerate(examples):
        _check(generated, row, example["mask"], example["image"])
        assert example["seed"] == SEED


def test_tensorflow_alone_reads_the_records(sets, generated):
    kinds = {name: tf.io.FixedLenFeature([], kind) for name, kind in (("image", tf.string), ("mask", tf.string))}
    kinds |= {name: tf.io.FixedLenFeature([], tf.int64) for name in ("index", "seed")}
    files = tf.data.Dataset.list_files(str(sets / "tfrecord" / "*.tfrecord-*"), shuffle=False)
    for row, record in enumerate(tf.data.TFRecordDataset(files)):
        example = tf.io.parse_single_example(record, kinds)
        _check(generated, row, tf.io.decode_png(example["mask"]), tf.io.decode_png(example["image"]))
        assert (int(example["index"]), int(example["seed"])) == (FIRST + row, SEED)
    assert row == COUNT - 1


def test_webdataset_reads_the_tars(sets, generated):
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed")
    tars = sorted(map(str, (sets / "webdataset").glob("*.tar")))
    assert len(tars) == 3
    read = webdataset.WebDataset(tars, shardshuffle=False).decode("rgb8").to_tuple("image.png", "mask.png", "json")
    for row, (image, mask, facts) in enumerate(read):
        _check(generated, row, mask[..., 0], image)
        assert facts["index"] == FIRST + row
    assert row == COUNT - 1


@pytest.mark.parametrize("given", ["data_dir", "data_files"])
def test_datasets_reads_the_tars(sets, generated, tmp_path, given):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    place = sets / "webdataset"
    named = {"data_dir": str(place)} if given == "data_dir" else {"data_files": str(place / "*.tar")}
    rows = datasets.load_dataset("webdataset", **named, split="train", cache_dir=str(tmp_path))
    assert [facts["index"] for facts in rows["json"]] == INDICES
    for row, example in enumerate(rows):
        _check(generated, row, example["mask.png"], example["image.png"])
        assert example["json"]["seed"] == SEED


def test_datasets_reads_the_image_folder(sets, generated, tmp_path):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    folder = str(sets / "imagefolder")
    rows = datasets.load_dataset("imagefolder", data_dir=folder, split="train", cache_dir=str(tmp_path))
    assert rows["index"][:] == INDICES
    for row, example in enumerate(rows):
        _check(generated, row, example["mask"], example["image"])


def test_nnunet_finds_its_raw_data(sets, generated):
    """As nnU-Net v2 pairs and reads them: `ID_0000.png` with three channels, and `ID.png` with the labels."""
    folder = sets / "nnunet"
    facts = json.loads((folder / "dataset.json").read_text())
    ending, names = facts["file_ending"], sorted(path.name for path in (folder / "labelsTr").iterdir())
    cases = sorted(path.name[: -len("_0000" + ending)] for path in (folder / "imagesTr").iterdir())
    assert names == [case + ending for case in cases] and len(cases) == facts["numTraining"] == COUNT
    assert cases == [f"pair_{index:08d}" for index in INDICES]
    assert facts["labels"] == {"background": 0, "vessel": 1}
    for row, case in enumerate(cases):
        image, label = (imageio.imread(folder / part) for part in (f"imagesTr/{case}_0000.png", f"labelsTr/{case}.png"))
        assert image.shape[-1] == len(facts["channel_names"]) and label.shape == image.shape[:2]
        assert set(np.unique(label)) <= set(facts["labels"].values())
        _check(generated, row, label * 255, image)


def test_pydicom_reads_every_pair(sets, generated):
    pydicom = pytest.importorskip("pydicom", reason="the extra [dicom] is not installed")
    folder = sets / "dicom"
    known = {read.SOPInstanceUID: read for read in map(pydicom.dcmread, (folder / "images").glob("*.dcm"))}
    assert len(known) == COUNT
    for row, path in enumerate(sorted((folder / "segmentations").glob("*.dcm"))):
        segmentation = pydicom.dcmread(path)
        [series] = segmentation.ReferencedSeriesSequence
        image = known[series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID]
        assert image.filename == str(folder / "images" / path.name)
        _check(generated, row, segmentation.pixel_array * 255, image.pixel_array)
    assert row == COUNT - 1


def test_the_manifest_names_every_pair(sets, generated):
    """Without a reader: the manifest of a png set alone."""
    lines = map(json.loads, (sets / "png" / "manifest.jsonl").read_text().splitlines())
    pairs = [line for line in lines if "vessel_share" in line]
    assert [line["index"] for line in pairs] == INDICES
    for row, line in enumerate(pairs):
        files = [sets / "png" / part / f"{line['index']:08d}.png" for part in ("masks", "images")]
        _check(generated, row, *(images.decode_png(file.read_bytes()) for file in files))
