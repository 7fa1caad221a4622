"""Image files to pixels: the values that the file stores, upright, or a refusal with the reason.

Colours are not managed: gamma (`gAMA`) and colour profiles (`iCCP`, ICC) change no value. Of several pages, frames or
resolutions the first full one is taken.
"""

import gzip
import stat
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps

from synthmed_tf.errors import SynthMedError

MAX_PIXELS = 80_000_000
MAX_BYTES = 512 * 2**20
EXTENSIONS = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".gif", ".bmp", ".webp"),
    *(".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc", ".dcm", ".dicom"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".ppm.gz", ".pgm.gz", ".pbm.gz", ".pnm.gz"),
)

PNG_MARK = b"\x89PNG\r\n\x1a\n"
SAVE_AGAIN = "save it again as an 8 bit PNG"
COPY_AGAIN = "copy it again from its source or remove it"


@dataclass(frozen=True)
class Decoded:
    """What a file stores.

    Attributes:
        pixels: `(height, width)`, or `(height, width, n)` with n = 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha). bool,
            uint8 or uint16; of one channel also signed, 32 bit or floating point.
        depth: how many bits of a value are used, where the file says so; None for 16 bit values of an unknown range.
        indices: `(height, width)`, uint8: of a file with a palette, what `pixels` were looked up by; otherwise None.
        lossy: whether the values are only near those that were once written (JPEG and its like).
        orientation: the EXIF orientation that was applied; 1 for none.
    """

    pixels: np.ndarray
    depth: int | None = None
    indices: np.ndarray | None = None
    lossy: bool = False
    orientation: int = 1

    def upright(self, orientation: int) -> "Decoded":
        """Applies an EXIF orientation, 1 to 8; any other value changes nothing."""
        indices = self.indices
        return replace(
            self,
            pixels=_upright(self.pixels, orientation),
            indices=None if indices is None else _upright(indices, orientation),
            orientation=orientation,
        )


def read_bytes(path: Path) -> bytes:
    """Reads a file as it is stored. Never opens pipes and devices, which may have no end.

    Raises:
        SynthMedError: the file is missing, no regular file, empty or larger than `MAX_BYTES`.
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise SynthMedError("could not be opened (it is no regular file)", "check its name", path=path)
        if facts.st_size > MAX_BYTES:
            raise SynthMedError(f"is larger than {MAX_BYTES // 2**20} MB", "make it smaller", path=path)
        data = path.read_bytes()
    except OSError as error:
        problem = f"could not be opened ({error.strerror})"
        raise SynthMedError(problem, "check its name and rights, or where its link leads", path=path) from error
    if not data:
        raise SynthMedError("is empty (0 bytes)", "copy it again from its source", path=path)
    return data


def unpack(path: Path, data: bytes) -> bytes:
    """Unpacks the content of a `.gz` file; gives that of any other file back.

    Raises:
        SynthMedError: the content is damaged, or larger than `MAX_BYTES`.
    """
    if path.suffix.lower() != ".gz":
        return data
    try:
        with gzip.open(BytesIO(data)) as stream:
            data = stream.read(MAX_BYTES + 1)
    except Exception as error:
        problem = f"is no whole gzip file ({error})"
        raise SynthMedError(problem, "copy it again from its source", path=path) from error
    if len(data) > MAX_BYTES:
        raise SynthMedError(f"unpacks to more than {MAX_BYTES // 2**20} MB", "make it smaller", path=path)
    return data


def check_size(width: int, height: int) -> None:
    """Refuses an image of no or too many pixels before they are decoded."""
    if width < 1 or height < 1:
        raise SynthMedError(f"is truncated or damaged (a size of {width}x{height})", COPY_AGAIN)
    if width * height > MAX_PIXELS:
        raise SynthMedError(too_many_pixels(), "make it smaller")


def open_with_pillow(data: bytes, kind: str) -> Image.Image:
    """Opens an image with one decoder of Pillow's and checks its size."""
    # Another package may have set this for the whole process; half a photograph must not pass as a whole one.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    image = Image.open(BytesIO(data), formats=(kind,))
    check_size(image.width, image.height)
    return image


def pillow_pixels(image: Image.Image, lossy: bool = False) -> Decoded:
    """The pixels of an image of up to 8 bits a channel, or of 16 bit grey."""
    orientation = image.getexif().get(0x0112, 1)
    image = ImageOps.exif_transpose(image)
    indices = np.array(image) if image.mode == "P" else None
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if image.mode == "PA" or "transparency" in image.info else "RGB")
    elif image.mode in ("CMYK", "YCbCr", "RGBX", "RGBa", "La"):
        image = image.convert({"RGBa": "RGBA", "La": "LA"}.get(image.mode, "RGB"))
    elif image.mode not in ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "RGB", "RGBA"):
        raise SynthMedError(f"has pixels of the kind {image.mode}, which are not read", SAVE_AGAIN)
    pixels = np.array(image)
    if pixels.dtype in (np.bool_, np.uint8):
        return Decoded(pixels, 8, indices, lossy, orientation)
    return Decoded(pixels.astype(np.uint16), None, indices, lossy, orientation)


def too_many_pixels() -> str:
    """What an error says of an image that is too large."""
    return f"has more than {MAX_PIXELS // 10**6} million pixels"


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    turned = np.rot90(pixels, {3: 2, 4: 2, 5: -1, 6: -1, 7: 1, 8: 1}.get(orientation, 0))
    return turned[:, ::-1] if orientation in (2, 4, 5, 7) else turned
