"""DICOM photographs: uncompressed, JPEG, JPEG 2000, lossless JPEG, palettes; and what is refused."""

import io

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from synthmed_tf.errors import SynthMedError
from synthmed_tf.images import read_image, read_mask

pydicom = pytest.importorskip("pydicom")

COLOUR = np.random.default_rng(3).integers(0, 256, (18, 22, 3)).astype(np.uint8)
PHOTOGRAPH = "1.2.840.10008.5.1.4.1.1.77.1.5.1"  # Ophthalmic Photography 8 Bit Image Storage
SYNTAXES = {"plain": "1.2.840.10008.1.2.1", "big": "1.2.840.10008.1.2.2", "jpeg": "1.2.840.10008.1.2.4.50"}
SYNTAXES |= {"jpeg 2000": "1.2.840.10008.1.2.4.90", "lossless": "1.2.840.10008.1.2.4.70"}
SYNTAXES |= {"jpeg-ls": "1.2.840.10008.1.2.4.80", "rle": "1.2.840.10008.1.2.5"}


def dicom(path, pixels, kind="RGB", syntax="plain", bits=None, **elements):
    """Writes a file; `pixels` are frames of bytes where the syntax compresses them."""
    from pydicom.dataset import Dataset, FileMetaDataset

    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = SYNTAXES[syntax]
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = elements.pop("SOPClassUID", PHOTOGRAPH)
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = "1.2.3"
    shape = elements.pop("shape", np.shape(pixels))
    file.Rows, file.Columns = shape[:2]
    file.SamplesPerPixel = 1 if len(shape) == 2 else 3
    file.PhotometricInterpretation = kind
    file.BitsAllocated = elements.pop("BitsAllocated", 8)
    file.BitsStored = bits or file.BitsAllocated
    file.HighBit = file.BitsStored - 1
    file.PixelRepresentation = 0
    if file.SamplesPerPixel == 3:
        file.PlanarConfiguration = 0
    for name, value in elements.items():
        setattr(file, name, value)
    if isinstance(pixels, list):
        file.PixelData = pydicom.encaps.encapsulate(pixels)
        file["PixelData"].is_undefined_length = True
    else:
        order = ">" if syntax == "big" else "<"
        data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
        file.PixelData = data + b"\0" * (len(data) % 2)
    file["PixelData"].VR = "OW" if file.BitsAllocated > 8 else "OB"
    pydicom.dcmwrite(path, file, enforce_file_format=True)
    return path


def test_uncompressed_colour(tmp_path):
    for syntax in ("plain", "big"):
        np.testing.assert_array_equal(read_image(dicom(tmp_path / "a.dcm", COLOUR, syntax=syntax)), COLOUR)
    planes = np.ascontiguousarray(np.moveaxis(COLOUR, -1, 0))
    apart = dicom(tmp_path / "b.dcm", planes, shape=COLOUR.shape, PlanarConfiguration=1)
    np.testing.assert_array_equal(read_image(apart), COLOUR)


def test_the_first_of_several_frames(tmp_path):
    frames = np.stack([COLOUR, 255 - COLOUR])
    path = dicom(tmp_path / "a.dcm", frames, shape=COLOUR.shape, NumberOfFrames=2)
    np.testing.assert_array_equal(read_image(path), COLOUR)


@pytest.mark.parametrize(("kind", "expected"), [("MONOCHROME2", COLOUR[..., 0]), ("MONOCHROME1", 255 - COLOUR[..., 0])])
def test_grey_of_8_and_of_12_bits(tmp_path, kind, expected):
    expected = np.broadcast_to(expected[..., None], COLOUR.shape)
    np.testing.assert_array_equal(read_image(dicom(tmp_path / "a.dcm", COLOUR[..., 0], kind)), expected)
    deep = np.round(COLOUR[..., 0] * (4095 / 255)).astype(np.uint16)
    path = dicom(tmp_path / "b.dcm", deep, kind, bits=12, BitsAllocated=16)
    np.testing.assert_array_equal(read_image(path), expected)


def test_ybr_is_turned_into_rgb(tmp_path):
    # ITU-R BT.601 of full range, as PS3.3 C.7.6.3.1.2 has it.
    ybr = np.broadcast_to(np.array([100, 90, 160], np.uint8), (8, 8, 3)).copy()
    expected = [100 + 1.402 * 32, 100 - 0.344136 * -38 - 0.714136 * 32, 100 + 1.772 * -38]
    pixels = read_image(dicom(tmp_path / "a.dcm", ybr, "YBR_FULL"))
    assert np.abs(pixels - np.array(expected)).max() <= 1


def test_jpeg(tmp_path):
    buffer = io.BytesIO()
    flat = np.full((16, 16, 3), (200, 90, 40), np.uint8)
    Image.fromarray(flat).save(buffer, "JPEG", quality=95)
    path = dicom(tmp_path / "a.dcm", [buffer.getvalue()], "YBR_FULL_422", "jpeg", shape=flat.shape)
    assert np.abs(read_image(path).astype(int) - (200, 90, 40)).max() <= 2


@pytest.mark.parametrize("syntax", ["jpeg 2000", "lossless", "jpeg-ls"])
def test_lossless_compression(tmp_path, syntax):
    grey = np.ascontiguousarray(COLOUR[..., 0])
    encode = {
        "jpeg 2000": lambda a: imagecodecs.jpeg2k_encode(a, level=0, reversible=True, codecformat="j2k"),
        "lossless": imagecodecs.ljpeg_encode,
        "jpeg-ls": imagecodecs.jpegls_encode,
    }[syntax]
    path = dicom(tmp_path / "a.dcm", [encode(grey)], "MONOCHROME2", syntax, shape=grey.shape)
    np.testing.assert_array_equal(read_image(path)[..., 1], grey)


def test_a_palette_and_its_labels(tmp_path):
    indices = (COLOUR[..., 0] % 4).astype(np.uint8)
    table = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255], [9, 8, 7]], np.uint16)
    elements = {}
    for channel, name in enumerate(("Red", "Green", "Blue")):
        elements[f"{name}PaletteColorLookupTableDescriptor"] = [4, 0, 16]
        elements[f"{name}PaletteColorLookupTableData"] = (table[:, channel] * 257).astype("<u2").tobytes()
    path = dicom(tmp_path / "a.dcm", indices, "PALETTE COLOR", **elements)
    np.testing.assert_array_equal(read_image(path), table[indices])
    np.testing.assert_array_equal(read_mask(path, (1, 2)), np.isin(indices, (1, 2)))


def test_what_is_refused(tmp_path):
    segments = dicom(
        tmp_path / "seg.dcm",
        np.zeros((2, 8, 8), np.uint8),
        "MONOCHROME2",
        shape=(8, 8),
        NumberOfFrames=2,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4",
    )
    with pytest.raises(SynthMedError, match=r"seg\.dcm is a DICOM segmentation of 2 frames.*save the segment"):
        read_mask(segments)
    negative = dicom(tmp_path / "n.dcm", np.full((8, 8), -5, np.int8), "MONOCHROME2", PixelRepresentation=1)
    with pytest.raises(SynthMedError, match=r"n\.dcm stores values below zero"):
        read_image(negative)
    cut = dicom(tmp_path / "c.dcm", COLOUR)
    cut.write_bytes(cut.read_bytes()[:-300])
    with pytest.raises(SynthMedError, match=r"c\.dcm .*(damaged|truncated)"):
        read_image(cut)
