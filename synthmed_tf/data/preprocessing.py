"""Reads pairs: finds the field of view, cuts the square around it and resamples photograph and masks to one size."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image
from scipy import ndimage, sparse
from skimage.morphology import skeletonize

from synthmed_tf.config.image_kind import ImageKind
from synthmed_tf.data.sample import Crop, Sample
from synthmed_tf.data.sources import Pair
from synthmed_tf.errors import SynthMedError
from synthmed_tf.images import read_image, read_mask

VESSEL_THRESHOLD = 128
_FIELD_SIDE = 320
_FIELD_LEVEL = 0.07
_FIELD_LEAST_STEP = 5.0
_NO_BORDER_LEVEL = 0.2
_FULL_FRAME_SHARE = 0.985
_LEAST_FIELD_SHARE = 0.1
_FINE = 3
_BRIGHT_BORDER, _BORDER_TOLERANCE, _BORDER_SHARE = 200, 24, 0.6


def load_sample(pair: Pair, size: int) -> Sample:
    """Reads a pair and brings it to `size`.

    The field of view is that of the pair's kind (`field_of_view`). The crop is the smallest square
    around it, centred on its bounding box. Vessels thinner than a pixel of the new size are widened to about one, so
    that they neither vanish nor break; outside the field of view the mask is 0.

    Args:
        pair: the files.
        size: side of the result in pixels, at least 1.

    Returns:
        The sample; see `Sample` for shapes and ranges.

    Raises:
        SynthMedError: a file cannot be read, sizes differ, no field of view is found, or the mask has nothing in it or
            covers more of it than its kind may.
        ValueError: size is below 1.
    """
    if size < 1:
        raise ValueError(f"A sample has a side of at least 1 pixel. Received: size={size}")
    photograph = read_image(pair.photograph)
    mask = None if pair.mask is None else read_mask(pair.mask, pair.labels, pair.dark_vessels)
    fov = None if pair.fov is None else read_mask(pair.fov, labels=None)
    _refuse_sizes(pair, photograph, mask, fov)
    fov = field_of_view(photograph, fov, pair.kind, str(pair.photograph))
    crop = square_around(fov)
    if mask is not None:
        _refuse_implausible(pair, mask, fov)
    small_mask, small_fov = resample_masks(mask, fov, size)
    return Sample(
        name=pair.name,
        patient=pair.patient,
        image=_resample(_cut(photograph, crop), size),
        mask=None if small_mask is None else small_mask[..., None],
        fov=small_fov[..., None].astype(np.uint8) * np.uint8(255),
        crop=crop,
    )


def load_samples(
    pairs: Iterable[Pair],
    size: int,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Sample]:
    """Reads pairs in parallel threads.

    Args:
        pairs: in any order, which the result keeps.
        size: as for `load_sample`.
        workers: threads; by default one a core and eight at most.
        progress: called in the caller's thread after each pair with the number of pairs done and of all.

    Returns:
        A sample for each pair, in the order of the pairs.

    Raises:
        SynthMedError: that of the first pair, in order, which fails; those not yet begun are left unread.
    """
    pairs = tuple(pairs)
    samples = []
    pool = ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1))
    try:
        for sample in pool.map(lambda pair: load_sample(pair, size), pairs):
            samples.append(sample)
            if progress is not None:
                progress(len(samples), len(pairs))
    finally:
        pool.shutdown(cancel_futures=True)
    return samples


def uncrop(array: np.ndarray, crop: Crop) -> np.ndarray:
    """Puts a square result back where it was cut from the original.

    Args:
        array: `(size, size)`, bool (resampled to the nearest) or floating point (bilinear).
        crop: of the sample.

    Returns:
        `(crop.height, crop.width)`, bool or float32; False or 0 outside the square.

    Raises:
        ValueError: another shape or dtype.
    """
    array = np.asarray(array)
    is_bool = array.dtype == np.bool_
    if array.ndim != 2 or array.shape[0] != array.shape[1] or not (is_bool or np.issubdtype(array.dtype, np.floating)):
        raise ValueError(
            f"uncrop takes bool or floating point of shape (size, size). Received: dtype={array.dtype}, "
            f"shape={array.shape}"
        )
    if is_bool:
        nearest = ((np.arange(crop.side) + 0.5) * len(array) / crop.side).astype(int)
        square = array[np.ix_(nearest, nearest)]
    else:
        image = Image.fromarray(array.astype(np.float32))
        square = np.asarray(image.resize((crop.side, crop.side), Image.Resampling.BILINEAR))
    whole = np.zeros((crop.height, crop.width), square.dtype)
    inside, within = _overlap(crop)
    whole[inside] = square[within]
    return whole


def field_of_view(photograph: np.ndarray, given: np.ndarray | None, kind: ImageKind, name: str) -> np.ndarray:
    """The field of view of an image as its kind has it.

    Args:
        photograph: `(height, width, 3)`, uint8.
        given: `(height, width)`, bool: what its file says; None where there is none.
        kind: for `frame`, the file does not count, and the field is the largest square in the middle of the image.
        name: what an error calls the photograph.

    Returns:
        `(height, width)`, bool.

    Raises:
        SynthMedError: a file is needed and missing, or no field is found (`derive_fov`).
    """
    if kind.field_of_view == "frame":
        return middle_square(*photograph.shape[:2])
    if given is not None:
        return given
    if kind.field_of_view == "from_file":
        problem = "has no field-of-view mask, which --field-of-view from_file needs"
        raise SynthMedError(problem, "add one in fov/, or give --field-of-view disc or frame", path=name)
    return derive_fov(photograph, name)


def middle_square(height: int, width: int) -> np.ndarray:
    """`(height, width)`, bool: the largest square in the middle."""
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    inside = np.zeros((height, width), bool)
    inside[top : top + side, left : left + side] = True
    return inside


def derive_fov(photograph: np.ndarray, name: str = "The photograph") -> np.ndarray:
    """Finds the field of view: where the brightest channel lies above the black border.

    The threshold is relative to the image (7 % of the way from its darkest to its bright parts), so dark
    photographs work too. The largest component is kept and its holes are filled. A bright border of one colour, as
    that of a scan or a negative, counts as black.

    Args:
        photograph: `(height, width, 3)`, uint8 in [0, 255].
        name: what an error calls the photograph.

    Returns:
        `(height, width)`, bool; True everywhere if the photograph has no black border.

    Raises:
        SynthMedError: the photograph is black, or the field would be less than a tenth of it.
    """
    brightest = np.maximum(np.maximum(photograph[..., 0], photograph[..., 1]), photograph[..., 2])
    height, width = brightest.shape
    factor = max(1, min(height, width) // _FIELD_SIDE)
    level = ndimage.median_filter(np.asarray(Image.fromarray(brightest).reduce(factor)), 5).astype(np.float32)
    level[bright_border(np.asarray(Image.fromarray(photograph).reduce(factor)))] = 0
    darkest, bright = float(level.min()), float(np.percentile(level, 90))
    if bright > 0 and darkest > _NO_BORDER_LEVEL * bright:
        return np.ones((height, width), bool)
    field = _largest_filled(level > darkest + max(_FIELD_LEVEL * (bright - darkest), _FIELD_LEAST_STEP))
    share = float(field.mean())
    if share < _LEAST_FIELD_SHARE:
        problem = f"shows no field of view: the largest bright part covers {share:.0%} of the image"
        remedy = "give a field-of-view mask or remove the photograph; for images without one, --field-of-view frame"
        raise SynthMedError(problem, remedy, path=name)
    if share > _FULL_FRAME_SHARE:
        return np.ones((height, width), bool)
    rows, columns = (
        np.minimum(np.arange(n) // factor, m - 1) for n, m in zip((height, width), field.shape, strict=True)
    )
    return field[np.ix_(rows, columns)]


def bright_border(photograph: np.ndarray) -> np.ndarray:
    """Finds a border of one bright colour, such as the paper around a scan.

    Args:
        photograph: `(height, width, 3)`, uint8 in [0, 255].

    Returns:
        `(height, width)`, bool: what is connected to the edge and has the edge's colour, if most of the edge has one
        colour, it is bright, and it surrounds something; otherwise False everywhere.
    """
    edge = np.concatenate([photograph[0], photograph[-1], photograph[:, 0], photograph[:, -1]]).astype(np.int16)
    colour = np.median(edge, axis=0)
    uniform = np.abs(edge - colour).max(axis=1) <= _BORDER_TOLERANCE
    if colour.min() < _BRIGHT_BORDER or uniform.mean() < _BORDER_SHARE:
        return np.zeros(photograph.shape[:2], bool)
    alike = np.abs(photograph.astype(np.int16) - colour).max(axis=2) <= _BORDER_TOLERANCE
    pieces, _ = ndimage.label(alike)
    touching = np.unique(np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]]))
    border = np.isin(pieces, touching[touching > 0])
    return border if border.mean() <= 1 - _LEAST_FIELD_SHARE else np.zeros_like(border)


def square_around(fov: np.ndarray) -> Crop:
    """The smallest square that holds the field of view, centred on its bounding box.

    Args:
        fov: `(height, width)`, bool, with at least one True.

    Returns:
        The crop, which may reach beyond the image.
    """
    rows, columns = np.flatnonzero(fov.any(axis=1)), np.flatnonzero(fov.any(axis=0))
    tall, wide = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
    side = max(tall, wide)
    return Crop(int(rows[0]) - (side - tall) // 2, int(columns[0]) - (side - wide) // 2, side, *fov.shape)


def resample_masks(mask: np.ndarray | None, fov: np.ndarray, size: int) -> tuple[np.ndarray | None, np.ndarray]:
    """Brings both masks of a photograph to one size: the square around its field of view (`square_around`).

    Args:
        mask: `(height, width)`, bool: the vessels; or None.
        fov: of that shape, bool, with at least one True.
        size: side of the result in pixels.

    Returns:
        The vessels (None for None), `(size, size)`, uint8, as of `vessel_coverage_u8` and 0 outside the field of view;
        and the field of view, `(size, size)`, bool.
    """
    crop = square_around(fov)
    small_fov = _resample(_cut(fov, crop).astype(np.uint8) * np.uint8(255), size) >= 128
    return None if mask is None else vessel_coverage_u8(_cut(mask & fov, crop), size) * small_fov, small_fov


def vessel_coverage_u8(mask: np.ndarray, size: int) -> np.ndarray:
    """Resamples a vessel mask so that thin vessels stay whole.

    Going down, the coverage is the larger of two: the area average of the mask, and that of its centre lines painted
    one target pixel wide. The threshold at 128 then shows every vessel as one 8-connected piece.

    Args:
        mask: `(side, side)`, bool.
        size: side of the result in pixels.

    Returns:
        `(size, size)`, uint8: the share of each pixel that vessels cover, 0 to 255.
    """
    coverage_u8 = _resample(mask.astype(np.uint8) * np.uint8(255), size)
    return coverage_u8 if size >= len(mask) else np.maximum(coverage_u8, _centre_line_coverage_u8(mask, size))


def _largest_filled(bright: np.ndarray) -> np.ndarray:
    components, count = ndimage.label(bright)
    if count == 0:
        return bright
    return ndimage.binary_fill_holes(components == 1 + np.argmax(np.bincount(components.ravel())[1:]))


def _centre_line_coverage_u8(mask: np.ndarray, size: int) -> np.ndarray:
    # On a grid three times finer than the target, a line with its four neighbours is three wide: one target pixel.
    # Marking every fine pixel that holds a vessel keeps pieces connected, and the cost depends on `size` alone.
    fine = _FINE * size
    if len(mask) > fine:
        place = ((np.arange(len(mask)) + 0.5) * fine / len(mask)).astype(int)
        grid = np.zeros((fine, fine), bool)
        rows, columns = np.nonzero(mask)
        grid[place[rows], place[columns]] = True
    else:
        place = ((np.arange(fine) + 0.5) * len(mask) / fine).astype(int)
        grid = mask[np.ix_(place, place)]
    # The default method (Zhang and Suen) erases a diagonal that is two pixels wide; that of Lee et al. keeps it.
    lines = ndimage.binary_dilation(skeletonize(grid, method="lee"))
    share = lines.reshape(size, _FINE, size, _FINE).mean(axis=(1, 3))
    return np.floor(share * 255 + 0.5).astype(np.uint8)


def _resample(array: np.ndarray, size: int) -> np.ndarray:
    if size >= len(array):
        return np.array(Image.fromarray(array).resize((size, size), Image.Resampling.BICUBIC))
    # The exact area average: a photograph's pixel then stands for the same square as the mask's coverage, and the step
    # to the black border does not ring as with LANCZOS. Pillow's BOX weighs whole pixels only, so it shifts edges.
    weights = _area_weights(len(array), size)
    channels = np.moveaxis(array.reshape(*array.shape[:2], -1), -1, 0)
    averages = [weights @ (weights @ channel.astype(np.float32)).T for channel in channels]
    averages = np.floor(np.stack([average.T for average in averages], axis=-1) + 0.5).astype(np.uint8)
    return averages.reshape(size, size, *array.shape[2:])


def _area_weights(side: int, size: int) -> sparse.csr_array:
    """`(size, side)`: the share that each source pixel has in each target pixel; rows sum to 1."""
    edges = np.unique(np.concatenate([np.arange(side + 1) * size, np.arange(size + 1) * side]))
    lengths, starts = np.diff(edges) / side, edges[:-1]
    return sparse.csr_array((lengths.astype(np.float32), (starts // side, starts // size)), shape=(size, side))


def _cut(array: np.ndarray, crop: Crop) -> np.ndarray:
    square = np.zeros((crop.side, crop.side, *array.shape[2:]), array.dtype)
    inside, within = _overlap(crop)
    square[within] = array[inside]
    return square


def _overlap(crop: Crop) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where image and square overlap: in the image's pixels, and in the square's."""
    corners = ((crop.top, crop.height), (crop.left, crop.width))
    spans = [(max(start, 0), min(start + crop.side, length), start) for start, length in corners]
    inside = tuple(slice(low, high) for low, high, _ in spans)
    return inside, tuple(slice(low - start, high - start) for low, high, start in spans)


def _refuse_sizes(pair: Pair, photograph: np.ndarray, mask: np.ndarray | None, fov: np.ndarray | None) -> None:
    for path, other in ((pair.mask, mask), (pair.fov, fov)):
        if other is not None and other.shape != photograph.shape[:2]:
            sizes = [f"{array.shape[1]}x{array.shape[0]}" for array in (photograph, other)]
            problem = f"has {sizes[0]} pixels but {path} has {sizes[1]}"
            raise SynthMedError(problem, "give two files of one size", path=pair.photograph)


def _refuse_implausible(pair: Pair, mask: np.ndarray, fov: np.ndarray) -> None:
    share, kind = float(mask[fov].mean()), pair.kind
    if share == 0:
        problem = f"has no {kind.noun} in the {kind.place} of {pair.photograph}"
        raise SynthMedError(problem, "check both files", path=pair.mask)
    if share > kind.most:
        problem = f"calls {share:.0%} of the {kind.place} {kind.noun}"
        remedy = f"invert it ({kind.noun}s are the bright value), or check that it is a mask of {kind.noun}s"
        raise SynthMedError(problem, remedy, path=pair.mask)
