"""The built-in data set: retinal photographs with exact vessel masks, drawn by code.

`phantom_tree` grows the vessels; this module paints the eye about them. The geometry and the colours belong to
(seed, index) alone, so a phantom is the same eye at every size.
"""

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.special import expit

from synthmed_tf.data.phantom_tree import FIELD_AREA, STEP, Eye, Vessel, grow_tree
from synthmed_tf.data.sample import Crop, Sample
from synthmed_tf.errors import SynthMedError
from synthmed_tf.images import write_png

SMALLEST, LARGEST = 32, 1024
# Absorption of light (red, green, blue) along a vessel's diameter. Blood takes green most, and red the more the less
# oxygen it carries, which is why veins look darker.
_ABSORPTION = {"vein": np.array((0.46, 0.84, 0.80)), "artery": np.array((0.20, 0.62, 0.66))}
_FULL_CALIBRE = 0.014
_TREE, _PAINT, _CAMERA = range(3)
# Colours of the fundus (RGB out of 255) from fair to pigmented; a picture's colour lies between two of them.
_FUNDUS = np.array([(208, 66, 34), (214, 94, 48), (192, 62, 24), (176, 82, 28), (200, 102, 46), (160, 58, 18)])


def draw_phantom(size: int, seed: int, index: int) -> Sample:
    """Draws one eye.

    Args:
        size: side of the picture in pixels, 32 to 1024.
        seed: which data set, 0 or more.
        index: which picture of it, 0 or more.

    Returns:
        The sample: photograph `(size, size, 3)`, uint8, exactly 0 outside the field of view; mask `(size, size, 1)`,
        uint8, the share of each pixel that the painted vessels cover, 0 to 255 (a vessel thinner than a pixel is one
        pixel wide in mask and photograph); fov `(size, size, 1)`, uint8 in {0, 255}, the disc that fills the square.
        The same arguments give the same bytes.

    Raises:
        SynthMedError: an argument is out of range.
    """
    _check_whole("size", size, SMALLEST, LARGEST)
    _check_whole("seed", seed, 0)
    _check_whole("index", index, 0)
    eye, vessels = draw_eye(seed, index)
    grid = _Grid(size)
    vessels = resolved(vessels, size)
    shapes = {kind: rasterise([v for v in vessels if v.kind == kind], size) for kind in ("vein", "artery")}
    cover = np.clip(np.maximum(shapes["vein"][0], shapes["artery"][0]) + 0.5, 0, 1) * grid.fov
    rng = np.random.default_rng((seed, index, _PAINT))
    light = _paint_fundus(grid, eye, rng)
    for kind in ("vein", "artery"):
        light = _paint_vessels(light, *shapes[kind], kind, size)
    light = _expose(light, grid, rng, np.random.default_rng((seed, index, _CAMERA)))
    photograph = np.rint(light).astype(np.uint8) * grid.fov[..., None]
    mask, fov = np.rint(cover * 255).astype(np.uint8)[..., None], np.uint8(255) * grid.fov[..., None]
    return Sample(f"phantom_{index:05d}", f"{index:04d}", photograph, mask, fov, Crop(0, 0, size, size, size))


def draw_phantoms(size: int, count: int, seed: int, workers: int = 1) -> list[Sample]:
    """Draws the eyes 0 to count - 1 of a data set.

    Args:
        size, seed: as in `draw_phantom`.
        count: how many, 1 or more.
        workers: threads that draw; the result does not depend on it. Defaults to 1.

    Raises:
        SynthMedError: an argument is out of range.
    """
    _check_whole("count", count, 1)
    _check_whole("workers", workers, 1)
    if workers == 1:
        return [draw_phantom(size, seed, index) for index in range(count)]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda index: draw_phantom(size, seed, index), range(count)))


@functools.lru_cache(maxsize=256)
def draw_eye(seed: int, index: int) -> tuple[Eye, tuple[Vessel, ...]]:
    """Landmarks and vessels of the phantom (seed, index), in units of the field's diameter; the same at every size."""
    eye, vessels = grow_tree(np.random.default_rng((seed, index, _TREE)))
    return eye, tuple(vessels)


def write_phantoms(folder: str | Path, size: int, count: int, seed: int) -> None:
    """Writes a data set as the folders `images/`, `masks/` and `fov/` with one PNG of each for every eye.

    Masks are two-valued: 255 where vessels cover half of the pixel or more, else 0.

    Args:
        folder: where to; made if it is missing.
        size, count, seed: as in `draw_phantoms`.

    Raises:
        SynthMedError: an argument is out of range, or a file cannot be written.
    """
    _check_whole("count", count, 1)
    for index in range(count):
        sample = draw_phantom(size, seed, index)
        mask = np.where(sample.mask >= 128, np.uint8(255), np.uint8(0))
        for part, pixels in (("images", sample.photograph), ("masks", mask), ("fov", sample.fov)):
            path = Path(folder) / part / f"{sample.name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_png(path, pixels)


def resolved(vessels: Sequence[Vessel], size: int) -> list[Vessel]:
    """The vessels that a picture of this size can hold apart.

    At one pixel's width a whole tree would fill a small picture. The vessels which are thinnest, measured by the root
    of their kind, are left out until those drawn cover 12.5 percent of the field at most, overlaps counted twice. As
    calibres fall from parent to child, what is left is connected. From about 200 pixels on all are drawn.

    Args:
        vessels: a whole tree, roots included.
        size: side of the picture in pixels.
    """
    root = {v.kind: v.radii[0] for v in vessels if v.parent < 0}
    order = sorted(range(len(vessels)), key=lambda i: -vessels[i].radii[0] / root[vessels[i].kind])
    area = np.array([STEP * np.maximum(2 * vessels[i].radii[1:], 1 / size).sum() for i in order]).cumsum()
    kept = sorted(order[: int(np.searchsorted(area, 0.125 * FIELD_AREA, side="right"))])
    return [vessels[i] for i in kept]


def rasterise(vessels: list[Vessel], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws vessels as capsules by their distance to each pixel's centre.

    A vessel thinner than a pixel is drawn one pixel wide, so that it does not break.

    Args:
        vessels: what to draw; may be empty.
        size: side of the square in pixels.

    Returns:
        depth: `(size, size)`, float32: how deep inside a vessel the pixel's centre lies, in pixels; negative outside,
            -1 where no vessel is near. `clip(depth + 0.5, 0, 1)` is the share of the pixel that vessels cover.
        radius: `(size, size)`, float32: half the calibre in pixels of the vessel that is deepest there, 0 where none.
    """
    depth, radius = np.full(size * size, -1.0, np.float32), np.zeros(size * size, np.float32)
    if not vessels:
        return depth.reshape(size, size), radius.reshape(size, size)
    start = np.concatenate([v.points[:-1] for v in vessels]) * size - 0.5
    course = np.concatenate([np.diff(v.points, axis=0) for v in vessels]) * size
    half = np.concatenate([np.stack([v.radii[:-1], v.radii[1:]], 1) for v in vessels]) * size
    half = np.maximum(half, 0.5)
    found = [
        _capsules(start[i : i + 500], course[i : i + 500], half[i : i + 500], size) for i in range(0, len(start), 500)
    ]
    where, deep, wide = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(deep, kind="stable")
    depth[where[order]], radius[where[order]] = deep[order], wide[order]
    return depth.reshape(size, size), radius.reshape(size, size)


class _Grid:
    """Pixel centres in units of the field's diameter, and the field.

    Attributes:
        size: side in pixels.
        x, y: `(size, size)`, float32 in (0, 1).
        fov: `(size, size)`, uint8 in {0, 1}.
    """

    def __init__(self, size):
        self.size = size
        centre = (np.arange(size, dtype=np.float32) + 0.5) / size
        self.x, self.y = np.meshgrid(centre, centre)
        self.fov = (self.away((0.5, 0.5)) <= 0.5).astype(np.uint8)

    def away(self, point, stretch=(1.0, 1.0)):
        """Distance of each pixel from a point, either axis divided by its stretch."""
        return np.hypot((self.x - point[0]) / stretch[0], (self.y - point[1]) / stretch[1])

    def spot(self, point, spread):
        return np.exp(-0.5 * (self.away(point) / spread) ** 2)

    def texture(self, rng, cells, stretch=1.0):
        """Smooth noise of unit spread with so many cells across the field, the same at every size."""
        knots = rng.standard_normal((cells + 4, int(cells / stretch) + 4)).astype(np.float32)
        if cells > self.size // 2:
            return np.zeros_like(self.x)
        return map_coordinates(knots, (1.5 + self.y * cells, 1.5 + self.x * cells / stretch), order=3, mode="nearest")


def _paint_fundus(grid, eye, rng):
    """Background, macula and disc as `(size, size, 3)`, float64 in [0, 255], before vessels and camera."""
    pair, share = rng.choice(len(_FUNDUS), 2, replace=False), rng.random()
    colour = share * _FUNDUS[pair[0]] + (1 - share) * _FUNDUS[pair[1]]
    light = np.broadcast_to(colour, (*grid.x.shape, 3)) * np.exp(_mottling(grid, rng))
    around = np.clip(grid.away(eye.fovea, (1.15, 1.0)) - 0.17, 0, None)
    sheen = rng.uniform(0.05, 0.14) * np.exp(-0.5 * ((around - 0.05) / 0.09) ** 2) * grid.spot(eye.disc, 0.28)
    light = light * (1 + sheen[..., None] * (0.6, 1.6, 1.3))
    depth, broad = rng.uniform(0.22, 0.42), rng.uniform(0.08, 0.2)
    shade = depth * grid.spot(eye.fovea, rng.uniform(0.035, 0.05)) + broad * grid.spot(eye.fovea, 0.11)
    light = light * np.exp(-shade[..., None] * (0.8, 1.25, 0.9))
    return _paint_disc(light, grid, eye, rng)


def _mottling(grid, rng):
    """Logarithm of the choroid's light, `(size, size, 3)`: clouds, grain and, in fair eyes, its broad vessels."""
    clouds = 0.05 * grid.texture(rng, 5) + 0.03 * grid.texture(rng, 12) + 0.02 * grid.texture(rng, 30)
    grain = 0.022 * grid.texture(rng, 70) + 0.015 * grid.texture(rng, 140)
    bend = 0.05 * grid.texture(rng, 4)
    ridges = np.exp(-2.5 * np.abs(grid.texture(rng, 26, stretch=1.6) + bend)) - 0.35
    stripes = rng.uniform(0, 0.13) ** 1.2 * 1.3 * ridges * (0.3 + np.clip(grid.away((0.5, 0.5)) * 2, 0, 1))
    hue = 0.05 * grid.texture(rng, 3)
    total = (clouds + grain + stripes)[..., None] * (0.7, 1.25, 1.2)
    return total + hue[..., None] * (0.3, -1.0, -1.4)


def _paint_disc(light, grid, eye, rng):
    """The optic disc with its cup over `light`; a crescent of bared or pigmented tissue on its temporal side."""
    tall = rng.uniform(1.0, 1.12)
    ripple = 0.035 * grid.texture(rng, 9)
    away = grid.away(eye.disc, (eye.disc_radius / tall, eye.disc_radius * tall)) * (1 + ripple)
    temporal = np.sign(eye.fovea[0] - eye.disc[0])
    halo = np.exp(-0.5 * (np.clip(away - 1, 0, None) / 0.4) ** 2) * rng.uniform(0.03, 0.1)
    crescent = np.clip((grid.x - eye.disc[0]) * temporal / eye.disc_radius, 0, 1) * rng.uniform(-0.15, 0.3)
    light = light * (1 + (halo * (1 + crescent))[..., None] * (0.7, 1.5, 1.3))
    rim_colour = np.array((240, 164, 84)) + rng.uniform(-1, 1) * np.array((8, 18, 18))
    cup_colour = np.array((253, 218, 142)) + rng.uniform(-1, 1) * np.array((3, 14, 22))
    rim = expit((1 - away) / rng.uniform(0.045, 0.08))
    cup_at = eye.disc[0] + 0.12 * temporal * eye.disc_radius, eye.disc[1]
    cup = expit((rng.uniform(0.3, 0.5) - grid.away(cup_at) / eye.disc_radius) / 0.09)
    pallor = 1 + 0.1 * temporal * (grid.x - eye.disc[0]) / eye.disc_radius + 0.03 * grid.texture(rng, 40)
    inside = 1.14 * (rim_colour + cup[..., None] * (cup_colour - rim_colour)) * np.clip(pallor, 0.8, 1.15)[..., None]
    return light + 0.9 * rim[..., None] * (inside - light)


def _paint_vessels(light, depth, radius, kind, size):
    """Lays the vessels of one kind over `light`: blood absorbs along the chord, and arteries shine at their centre."""
    cover = np.clip(depth + 0.5, 0, 1)
    inner = np.clip(depth / np.maximum(radius, 0.5), 0, 1)
    chord = 0.62 + 0.38 * np.sqrt(1 - (1 - inner) ** 2)
    calibre = np.clip(2 * radius / size / _FULL_CALIBRE, 0.05, 1) ** 0.35
    absorbed = (cover * chord * calibre)[..., None] * _ABSORPTION[kind]
    reflex = np.exp(-0.5 * ((1 - inner) / 0.28) ** 2) * np.clip((radius - 1.2) / 2, 0, 1) * cover
    shine = (0.24 if kind == "artery" else 0.07) * reflex
    return light * np.exp(-absorbed * (1 - shine[..., None] * (1.6, 1.2, 1.0)))


def _capsules(start, course, half, size):
    """Pixel positions, depths and radii in a window about each segment; `half` holds the radius at either end."""
    reach = half.max() + 1.5
    low = np.floor(np.minimum(start, start + course) - reach).astype(int)
    side = int(np.ceil(np.abs(course).max() + 2 * reach)) + 2
    offset = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(1, -1, 2)
    pixel = low[:, None] + offset
    away = pixel - start[:, None]
    along = np.clip((away * course[:, None]).sum(-1) / (course**2).sum(-1)[:, None], 0, 1)
    distance = np.linalg.norm(away - along[..., None] * course[:, None], axis=-1)
    wide = half[:, :1] + along * (half[:, 1:] - half[:, :1])
    keep = (wide - distance > -1) & ((pixel >= 0) & (pixel < size)).all(-1)
    where = pixel[..., 1] * size + pixel[..., 0]
    return where[keep], (wide - distance)[keep].astype(np.float32), wide[keep].astype(np.float32)


def _expose(light, grid, rng, camera):
    """Uneven light, vignetting, blur and sensor noise; float64 in [0, 255]."""
    bearing, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0.04, 0.28)
    tilt = slope * ((grid.x - 0.5) * np.cos(bearing) + (grid.y - 0.5) * np.sin(bearing))
    rim = rng.uniform(0.15, 0.45) * (2 * grid.away((0.5 + rng.uniform(-0.04, 0.04), 0.5))) ** rng.uniform(3, 5)
    haze = rng.uniform(0, 0.07) * 255 * np.clip(grid.away((0.5, 0.5)) - 0.25, 0, None)
    light = light * (np.exp(tilt - rim) * rng.uniform(0.86, 1.08))[..., None] + haze[..., None] * (0.8, 0.6, 0.45)
    light = gaussian_filter(light, (max(0.35, 0.0011 * grid.size),) * 2 + (0,))
    coarse = camera.standard_normal(grid.x.shape)[..., None] * (0.9, 0.9, 0.9)
    noise = coarse + camera.standard_normal(light.shape) * (1.1, 1.0, 1.6)
    return np.clip(light + noise * rng.uniform(0.6, 1.5), 0, 255)


def _check_whole(name, value, least, most=None):
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        allowed = f"from {least} to {most}" if most is not None else f"of {least} or more"
        raise SynthMedError(f"The phantoms' {name} must be a whole number {allowed}. Received: {name}={value!r}.")
