"""Image files in and out: photographs, two-valued masks, PNG bytes and grids of images."""

import gzip
import os
import stat
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image, ImageFile, ImageOps

from synthmed_tf.errors import SynthMedError
from synthmed_tf.files import write_bytes

MAX_PIXELS = 80_000_000
MAX_BYTES = 512 * 2**20
# Naming the formats keeps Pillow from handing a file to an interpreter (EPS) or to a plug-in that is not tested here.
FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "PPM", "BMP")
_NETPBM = (".ppm", ".pgm", ".pbm", ".pnm")
EXTENSIONS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".bmp", *_NETPBM, *(f"{name}.gz" for name in _NETPBM))

BIT_DEPTHS = (8, 10, 12, 14, 16)
FOG_MARGIN = 0.15
FOG_SHARE = 0.05
COLOUR_SHARE = 0.02
FAINT_CHANNEL = 0.25

_SAVE_AGAIN = "save it again as an 8 bit PNG"


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads a photograph.

    PNG, JPEG, TIFF, GIF, BMP and PPM/PGM (also gzipped) of 8 or 16 bit. EXIF rotation is applied, alpha dropped,
    palettes expanded, grey repeated to three channels; of several frames the first is taken. 16 bit values are scaled
    by the camera's range, which is the smallest of 8, 10, 12, 14 and 16 bit that holds the file's largest value.

    Args:
        path: the file.

    Returns:
        `(height, width, 3)`, uint8 in [0, 255], RGB.

    Raises:
        SynthMedError: the file is missing, empty, truncated, too large or no such image.
    """
    pixels = _decode(Path(path))
    if pixels.dtype == np.uint16:
        pixels = _to_eight_bits(pixels)
    colours, _ = _split_alpha(_white(pixels))
    return np.ascontiguousarray(np.broadcast_to(colours, (*colours.shape[:2], 3)))


def read_mask(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads a two-valued mask, split halfway between the file's darkest and brightest value.

    The two values may be any (0 and 1, 0 and 255, 3 and 253, two colours, transparent and opaque). JPEG's ringing
    passes: an image counts as grey where more than 5 % of its pixels lie further than 15 % of the range from both
    extremes, and as coloured where its channels, each split in two, disagree on more than 2 % of the pixels.

    Args:
        path: the file.

    Returns:
        `(height, width)`, bool: True where the mask is bright (or opaque).

    Raises:
        SynthMedError: the file cannot be read, has one value only, or is a grey or colour image.
    """
    path = Path(path)
    colours, alpha = _split_alpha(_decode(path))
    channels = [np.ascontiguousarray(colours[..., i]) for i in range(colours.shape[-1])]
    if alpha is not None and all(channel.min() == channel.max() for channel in channels):
        channels = [np.ascontiguousarray(alpha)]
    ranges = [int(channel.max()) - int(channel.min()) for channel in channels]
    if max(ranges) == 0:
        raise SynthMedError(
            f"{path} is no mask: all of its pixels have the value {int(channels[0].flat[0])}; "
            "give a file that has both bright and dark pixels."
        )
    main = int(np.argmax(ranges))
    mask = _halve(path, channels[main])
    for channel, extent in zip(channels, ranges, strict=True):
        if extent >= FAINT_CHANNEL * ranges[main]:
            disagreement = float(np.mean(_halve(path, channel) != mask))
            if min(disagreement, 1 - disagreement) > COLOUR_SHARE:
                raise SynthMedError(f"{path} is no mask: it has more than two colours; save it as a PNG of two values.")
    return mask


def write_png(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Writes a PNG in one step: a reader sees the old file or the whole new one, never a part.

    Args:
        path: the file; folders that are missing are made.
        array: as for `encode_png`.

    Raises:
        SynthMedError: the file cannot be written.
        ValueError: the array is no image.
    """
    data = encode_png(array)
    try:
        write_bytes(Path(path), data)
    except OSError as error:
        raise SynthMedError(
            f"{path} could not be written ({error.strerror}); check the folder, its permissions and the free space."
        ) from error


def encode_png(array: np.ndarray) -> bytes:
    """Encodes an image as PNG.

    Args:
        array: `(height, width)`, `(height, width, 1)` or `(height, width, 3)`; uint8 in [0, 255], or bool (0 and 255).

    Returns:
        The PNG file's bytes: 8 bit grey or RGB.

    Raises:
        ValueError: another shape or dtype.
    """
    array = np.asarray(array)
    grey = array.ndim == 2 or (array.ndim == 3 and array.shape[-1] == 1)
    if array.dtype not in (np.uint8, np.bool_) or array.size == 0 or not (grey or array.shape[2:] == (3,)):
        raise ValueError(
            "An image is uint8 or bool of shape (height, width), (height, width, 1) or (height, width, 3). "
            f"Received: dtype={array.dtype}, shape={array.shape}"
        )
    array = _white(array.reshape(array.shape[:2]) if grey else array)
    # On photographs zlib's run-length strategy is some five times as fast as its default, and the file 2 % smaller.
    encoded = BytesIO()
    Image.fromarray(array).save(encoded, "PNG", compress_type=zlib.Z_RLE)
    return encoded.getvalue()


def decode_png(data: bytes) -> np.ndarray:
    """Decodes what `encode_png` gave.

    Args:
        data: the bytes of a PNG file.

    Returns:
        `(height, width, 1)` of a grey, `(height, width, 3)` of a colour image; uint8 in [0, 255].

    Raises:
        SynthMedError: the bytes are no PNG of 8 bits a channel, or cut short.
    """
    pixels = _decode_bytes("the PNG data", data, ("PNG",))
    if pixels.dtype == np.uint16:
        raise SynthMedError("the PNG data has 16 bits a channel where 8 are expected; encode it with 8 bits.")
    return np.ascontiguousarray(_split_alpha(_white(pixels))[0])


def grid(images: np.ndarray, columns: int, margin: int = 2) -> np.ndarray:
    """Lays images out in rows on a white ground; the last row may be short.

    Args:
        images: `(n, height, width, channels)`, uint8 in [0, 255], n at least 1.
        columns: images a row, at least 1; no more columns are generated than there are images.
        margin: pixels between the images and around them.

    Returns:
        `(rows * (height + margin) + margin, columns * (width + margin) + margin, channels)`, uint8.

    Raises:
        ValueError: another rank or dtype, no image, or no column.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.dtype != np.uint8 or len(images) == 0 or columns < 1 or margin < 0:
        raise ValueError(
            "A grid takes uint8 images (n, height, width, channels), columns >= 1 and margin >= 0. "
            f"Received: dtype={images.dtype}, shape={images.shape}, columns={columns}, margin={margin}"
        )
    count, height, width, channels = images.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    sheet = np.full(
        (rows * (height + margin) + margin, columns * (width + margin) + margin, channels), 255, dtype=np.uint8
    )
    for index, image in enumerate(images):
        top = margin + index // columns * (height + margin)
        left = margin + index % columns * (width + margin)
        sheet[top : top + height, left : left + width] = image
    return sheet


def _halve(path: Path, channel: np.ndarray) -> np.ndarray:
    low, high = float(channel.min()), float(channel.max())
    margin = FOG_MARGIN * (high - low)
    share = float(np.mean((channel > low + margin) & (channel < high - margin)))
    if share > FOG_SHARE:
        raise SynthMedError(
            f"{path} is no mask: {share:.0%} of its pixels are neither dark nor bright, as in a photograph or a "
            "blurred mask; save it as a PNG of two values, vessel and background."
        )
    return channel > (low + high) / 2


def _white(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.uint8) * np.uint8(255) if pixels.dtype == np.bool_ else pixels


def _to_eight_bits(pixels: np.ndarray) -> np.ndarray:
    largest = int(pixels.max())
    depth = next(depth for depth in BIT_DEPTHS if largest < 2**depth)
    scaled: np.ndarray = np.round(pixels * np.float32(255 / (2**depth - 1)))
    return scaled.astype(np.uint8)


def _split_alpha(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    if pixels.ndim == 2:
        return pixels[..., None], None
    if pixels.shape[-1] in (2, 4):
        return pixels[..., :-1], pixels[..., -1]
    return pixels, None


def _decode(path: Path) -> np.ndarray:
    """Gives the file's pixels as stored but upright: bool, uint8 or uint16; (h, w) or (h, w, 2 to 4)."""
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):  # reading a pipe would wait for ever
            raise SynthMedError(f"{path} could not be opened (it is no regular file); check its name.")
        if facts.st_size > MAX_BYTES:
            raise SynthMedError(f"{path} is larger than {MAX_BYTES // 2**20} MB; make it smaller.")
        data = path.read_bytes()
    except OSError as error:
        raise SynthMedError(f"{path} could not be opened ({error.strerror}); check its name and rights.") from error
    if not data:
        raise SynthMedError(f"{path} is empty (0 bytes); copy it again from its source.")
    if path.suffix.lower() == ".gz":
        try:
            with gzip.open(BytesIO(data)) as stream:
                data = stream.read(MAX_BYTES + 1)
        except Exception as error:
            raise SynthMedError(f"{path} is no whole gzip file ({error}); copy it again from its source.") from error
        if len(data) > MAX_BYTES:
            raise SynthMedError(f"{path} unpacks to more than {MAX_BYTES // 2**20} MB; make it smaller.")
    return _decode_bytes(str(path), data, FORMATS)


def _decode_bytes(name: str, data: bytes, formats: tuple[str, ...]) -> np.ndarray:
    # Another package may have set this for the whole process; half a photograph must not pass as a whole one.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with Image.open(BytesIO(data), formats=formats) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            return _pixels(name, data, image)
    except SynthMedError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise SynthMedError(f"{name} has more than {MAX_PIXELS // 10**6} million pixels; make it smaller.") from error
    except Image.UnidentifiedImageError as error:
        raise SynthMedError(
            f"{name} is no image that can be read (PNG, JPEG, TIFF, GIF, BMP or PPM), or it is damaged or cut short; "
            "copy it again from its source or remove it."
        ) from error
    # Decoders meet damage with errors of almost any class (struct.error, zlib.error, SyntaxError, ValueError, ...).
    except Exception as error:
        raise SynthMedError(f"{name} is truncated or damaged ({error}); copy it again or remove it.") from error


def _pixels(name: str, data: bytes, image: Image.Image) -> np.ndarray:
    if ";16" in str(image.tile) and not image.mode.startswith("I"):
        return _deep_colour(name, data, image)
    netpbm = image.format == "PPM"
    if image.mode == "F" or (image.mode == "I" and not netpbm):
        raise SynthMedError(f"{name} has 32 bits a channel; {_SAVE_AGAIN}.")
    image = ImageOps.exif_transpose(image)
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if image.mode == "PA" or "transparency" in image.info else "RGB")
    elif image.mode not in ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "RGB", "RGBA"):
        image = image.convert("RGB")
    pixels = np.array(image)
    return pixels if pixels.dtype in (np.bool_, np.uint8) else pixels.astype(np.uint16)


def _deep_colour(name: str, data: bytes, image: Image.Image) -> np.ndarray:
    # Pillow keeps only the high byte of 16 bit colour, so TIFF goes through tifffile where its codecs allow.
    orientation = image.getexif().get(0x0112, 1)
    is_tiff = image.format == "TIFF"
    high_bytes = np.array(ImageOps.exif_transpose(image))
    if is_tiff:
        with suppress(Exception):
            pixels = iio.imread(data, plugin="tifffile", index=0)
            return _upright(np.moveaxis(pixels, 0, -1) if pixels.shape[0] in (3, 4) else pixels, orientation)
    if high_bytes.max() < 2**6:
        raise SynthMedError(f"{name} stores 14 bits or fewer in 16 bit colour, which is not read here; {_SAVE_AGAIN}.")
    return high_bytes


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    turned = np.rot90(pixels, {3: 2, 4: 2, 5: -1, 6: -1, 7: 1, 8: 1}.get(orientation, 0))
    return turned[:, ::-1] if orientation in (2, 4, 5, 7) else turned
