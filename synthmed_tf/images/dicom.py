"""DICOM files: ophthalmic photographs and masks, uncompressed, run-length coded or of the JPEG family."""

from io import BytesIO
from typing import Any

import numpy as np

from synthmed_tf.errors import SynthMedError
from synthmed_tf.images.decoding import COPY_AGAIN, SAVE_AGAIN, Decoded, check_size

MARK_AT = 128
_LOSSLESS_JPEG = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
_LOSSY = (*(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 81, 91, 93, 203)),)
_GREY, _INVERTED = "MONOCHROME2", "MONOCHROME1"
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT", "PALETTE COLOR")
_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"


def decode(data: bytes) -> Decoded:
    """Reads the first frame of a DICOM image; windows and colour profiles change no value."""
    try:
        import pydicom
    except ModuleNotFoundError as error:
        remedy = "pip install 'synthmed-tf[dicom]', or convert the file to PNG"
        raise SynthMedError("is a DICOM file, which needs the extra dicom", remedy) from error
    file = pydicom.dcmread(BytesIO(data))
    if "PixelData" not in file:
        kind = getattr(file.get("SOPClassUID"), "name", "") or "unknown kind"
        raise SynthMedError(f"is a DICOM file without pixels ({kind})", "give the image, or remove it")
    check_size(int(file.Columns), int(file.Rows))
    kind, frames = str(file.PhotometricInterpretation), int(file.get("NumberOfFrames", 1) or 1)
    if kind not in (_GREY, _INVERTED, *_COLOUR):
        raise SynthMedError(f"is a DICOM file of the kind {kind}, which is not read", SAVE_AGAIN)
    if frames > 1 and file.get("SOPClassUID") == _SEGMENTATION:
        problem = f"is a DICOM segmentation of {frames} frames, one for each segment or slice"
        raise SynthMedError(problem, "save the segment of the vessels as PNG")
    pixels = _frame(file, kind)
    if file.get("PixelRepresentation", 0) == 1 and (pixels.ndim == 3 or pixels.min() < 0):
        raise SynthMedError("stores values below zero", SAVE_AGAIN)
    return _meaning(file, kind, pixels)


def _frame(file: Any, kind: str) -> np.ndarray:
    syntax = str(file.file_meta.TransferSyntaxUID)
    if syntax in (*_LOSSLESS_JPEG, *_JPEG_LS):
        import imagecodecs
        from pydicom.encaps import get_frame

        frames = int(file.get("NumberOfFrames", 1) or 1)
        data = get_frame(file.PixelData, 0, number_of_frames=frames)
        pixels = (imagecodecs.jpegls_decode if syntax in _JPEG_LS else imagecodecs.jpeg_decode)(data)
        if kind.startswith("YBR"):
            raise SynthMedError(f"is a lossless JPEG in DICOM whose colours are {kind}", SAVE_AGAIN)
        return pixels
    from pydicom.pixels import pixel_array

    try:
        return pixel_array(file, index=0)  # colours that are stored as YBR come as RGB
    except (RuntimeError, NotImplementedError) as error:
        name = file.file_meta.TransferSyntaxUID.name
        remedy = "convert it with gdcmconv --raw, or save it as PNG"
        raise SynthMedError(f"cannot be read ({name}: {' '.join(str(error).split())[:200]})", remedy) from error


def _meaning(file: Any, kind: str, pixels: np.ndarray) -> Decoded:
    lossy = str(file.file_meta.TransferSyntaxUID) in _LOSSY
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[-1] != 3):
        raise SynthMedError(f"is truncated or damaged (pixels of the shape {pixels.shape})", COPY_AGAIN)
    bits = int(file.BitsStored)
    if bits > 16 or pixels.dtype.itemsize > 2:
        raise SynthMedError(f"has {bits} bits a channel", SAVE_AGAIN)
    if kind == "PALETTE COLOR":
        from pydicom.pixels import apply_color_lut

        table = apply_color_lut(pixels, file)
        # A table of 16 bits holds 8 bit colours times 256 or 257 (PS3.3, C.7.6.3.1.6).
        colours = (table >> 8).astype(np.uint8) if table.dtype == np.uint16 else table
        return Decoded(colours[..., :3], 8, pixels.astype(np.uint8) if pixels.max() < 256 else None, lossy)
    pixels = pixels.astype(np.uint8 if bits <= 8 else np.uint16)
    if kind == _INVERTED:
        pixels = (2**bits - 1 - pixels.astype(np.int64)).astype(pixels.dtype)
    return Decoded(pixels, bits if bits < 16 else None, None, lossy)  # 16 is stated where 12 are used, too
