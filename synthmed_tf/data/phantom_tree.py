"""Vessel trees of a generated eye: they grow from the optic disc and divide by Murray's law.

Lengths are in units of the field's diameter: the field is the disc of radius 0.5 about (0.5, 0.5), x to the right,
y down. Nothing here depends on the size in pixels.

Sources: C. D. Murray, "The physiological principle of minimum work", PNAS 12, 1926 (calibres), and "The physiological
principle of minimum work applied to the angle of branching of arteries", J. Gen. Physiol. 9, 1926 (angles).
"""

import heapq
import math
from dataclasses import dataclass

import numpy as np

STEP = 0.005
FIELD_AREA = math.pi / 4
_CELLS, _PAD, _SPACING = 128, 16, 0.036
_TRUNK, _ARCADE, _NASAL, _FREE = "trunk", "arcade", "nasal", "free"
_GUIDE_GAIN = {_ARCADE: 0.09, _NASAL: 0.05, _FREE: 0.045}
_MAX_TURN = 0.15


@dataclass(frozen=True)
class Eye:
    """Landmarks of one eye, in units of the field's diameter.

    Attributes:
        disc, disc_radius: centre (x, y) and radius of the optic disc.
        fovea, fovea_radius: centre (x, y) of the macula and radius of the zone without vessels.
        arcade: semi-axes (horizontal, vertical) of the ellipse which the temporal arcades follow.
    """

    disc: tuple[float, float]
    disc_radius: float
    fovea: tuple[float, float]
    fovea_radius: float
    arcade: tuple[float, float]


@dataclass(frozen=True)
class Vessel:
    """A vessel from one branching to the next.

    Attributes:
        kind: "artery" or "vein".
        parent: position of the parent in the tree's list, or -1 for a root.
        points: `(n, 2)`, float64: the centre line; it begins where the parent ends.
        radii: `(n,)`, float64: half the calibre at each point.
    """

    kind: str
    parent: int
    points: np.ndarray
    radii: np.ndarray


def murray_angles(radius: float, major: float, minor: float) -> tuple[float, float]:
    """Angles in radians by which two children leave the parent's course, at least work (Murray 1926, angles).

    Args:
        radius, major, minor: radii of the parent and of its children, with radius^3 = major^3 + minor^3.
    """

    def angle(child, sibling):
        return math.acos((radius**4 + child**4 - sibling**4) / (2 * radius**2 * child**2))

    return angle(major, minor), angle(minor, major)


def grow_tree(rng: np.random.Generator) -> tuple[Eye, list[Vessel]]:
    """Generates an eye's landmarks and grows its arteries and veins.

    Args:
        rng: decides everything; the same state gives the same eye.

    Returns:
        The landmarks and the vessels, each parent before its children. One root for each kind, both on the disc.
    """
    eye = _generate_eye(rng)
    vessels = _Growth(eye, rng).run()
    if rng.random() < 0.5:
        return eye, vessels
    mirrored = [Vessel(v.kind, v.parent, v.points * (-1, 1) + (1, 0), v.radii) for v in vessels]
    (disc_x, disc_y), (fovea_x, fovea_y) = eye.disc, eye.fovea
    return Eye((1 - disc_x, disc_y), eye.disc_radius, (1 - fovea_x, fovea_y), eye.fovea_radius, eye.arcade), mirrored


def _generate_eye(rng):
    disc = 0.5 + rng.uniform(0.27, 0.33), 0.5 + rng.uniform(-0.035, 0.035)
    fovea = disc[0] - rng.uniform(0.31, 0.35), disc[1] + rng.uniform(0.01, 0.05)
    return Eye(
        disc,
        rng.uniform(0.060, 0.072),
        fovea,
        rng.uniform(0.045, 0.06),
        (rng.uniform(0.42, 0.50), rng.uniform(0.25, 0.30)),
    )


@dataclass
class _Tip:
    """Where a vessel is about to grow, and by which guide; `above` is -1 in the upper half of the eye, 1 below."""

    kind: str
    parent: int
    x: float
    y: float
    heading: float
    radius: float
    role: str
    above: int
    side: int


class _Growth:
    """Grows the widest waiting tip first, so that thin vessels fill the room which wide ones leave.

    Crowding is read from one grid for each kind: vessels of one kind keep apart, those of the other matter less, so
    that arteries and veins alternate and may cross.
    """

    def __init__(self, eye, rng):
        self.eye, self.rng = eye, rng
        self.vessels, self.waiting, self.pushed, self.area = [], [], 0, 0.0
        self.target = rng.uniform(0.076, 0.092) * FIELD_AREA
        vein, ratio = rng.uniform(0.0094, 0.0108), rng.uniform(0.68, 0.80)
        self.root = {"vein": vein, "artery": vein * ratio}
        self.thinnest = {"vein": 0.0025, "artery": 0.0025 * ratio}
        gap = rng.choice((-1, 1)) * rng.uniform(0.02, 0.035)
        high = {above: eye.arcade[1] + rng.uniform(-0.03, 0.02) for above in (-1, 1)}
        self.arch = {(kind, above): high[above] + gap * (kind == "artery") for kind in self.root for above in high}
        self.shift = {"vein": 0.0, "artery": math.copysign(rng.uniform(0.012, 0.018), gap)}
        cells = _CELLS + 2 * _PAD
        self.crowd = {kind: np.zeros((cells, cells), np.float32) for kind in self.root}
        span = np.arange(-_PAD, _PAD + 1) / _CELLS
        self.stamp = np.exp(-(span**2 + span[:, None] ** 2) / (2 * _SPACING**2)).astype(np.float32)
        self._crowd_at(np.array([eye.fovea]), {"vein": 1.0, "artery": 1.0})

    def run(self):
        for kind in self.root:
            self._plant(kind)
        while self.waiting:
            self._grow(heapq.heappop(self.waiting)[2])
        return self.vessels

    def _plant(self, kind):
        """The central vessel comes out of the nerve towards the viewer: the angle of its branching is not seen."""
        radius, rng = self.root[kind], self.rng
        x, y = self.eye.disc
        x += self.shift[kind] + rng.uniform(-0.002, 0.002)
        y += rng.uniform(-0.006, 0.006)
        points = np.array([(x, y), (x + 0.003, y)])
        self.vessels.append(Vessel(kind, -1, points, np.full(2, radius)))
        share = rng.uniform(0.44, 0.56)
        for above, flow in ((-1, share), (1, 1 - share)):
            heading = above * (math.pi / 2 + rng.uniform(-0.15, 0.3))
            self._push(
                _Tip(kind, len(self.vessels) - 1, x + 0.003, y, heading, radius * flow ** (1 / 3), _TRUNK, above, 0)
            )

    def _push(self, tip):
        urgency = tip.radius * (1 if tip.role == _FREE else 1.6)
        self.pushed += 1
        heapq.heappush(self.waiting, (-urgency, self.pushed, tip))

    def _grow(self, tip):
        """Advances until the vessel divides, leaves the field, or meets its own kind."""
        rng, radius, sway = self.rng, tip.radius, 0.0
        x, y, heading, length = tip.x, tip.y, tip.heading, 0.0
        track = [(x, y, radius)]
        divide = self._first_length(tip)
        last = rng.uniform(0.08, 0.26)
        children = None
        while children is None:
            sway = 0.88 * sway + rng.normal(0, 0.018)
            heading += self._turn(tip, x, y, heading) + sway
            x, y, length = x + STEP * math.cos(heading), y + STEP * math.sin(heading), length + STEP
            radius *= 1 - 0.3 * STEP
            track.append((x, y, radius))
            if self._ends(tip, x, y, heading, length):
                children = ()
            elif not self._may_divide(tip, radius):
                children = () if length >= last and tip.role == _FREE else None
            elif length >= divide:
                children, divide = self._divide(tip, x, y, heading, radius), divide + 0.015
        self._finish(tip, np.array(track), children)

    def _first_length(self, tip):
        rng = self.rng
        if tip.role == _TRUNK:
            return rng.uniform(0.03, 0.06)
        return (0.045 if tip.role == _ARCADE else 0.04) + rng.exponential(0.04)

    def _may_divide(self, tip, radius):
        return self.area < self.target and radius**3 > 2 * self.thinnest[tip.kind] ** 3

    def _turn(self, tip, x, y, heading):
        """Change of heading in one step: towards the guide, and away from crowded room."""
        bearing = self._guide(tip, x, y)
        lean = 0.0 if bearing is None else math.sin(bearing - heading) * _GUIDE_GAIN.get(tip.role, 0.0)
        crowd = self.crowd[tip.kind]
        left = _read(crowd, x + 0.035 * math.cos(heading - 0.7), y + 0.035 * math.sin(heading - 0.7))
        right = _read(crowd, x + 0.035 * math.cos(heading + 0.7), y + 0.035 * math.sin(heading + 0.7))
        room = (0.10 if tip.role == _ARCADE else 0.14) * (left - right)
        return max(-_MAX_TURN, min(_MAX_TURN, lean + room))

    def _guide(self, tip, x, y):
        """Bearing that the vessel tends to; None for none."""
        (disc_x, disc_y), (fovea_x, fovea_y) = self.eye.disc, self.eye.fovea
        if tip.role == _TRUNK:
            return None
        wide, high = self.eye.arcade[0], self.arch[tip.kind, tip.above]
        across, down = (x - disc_x - self.shift[tip.kind] + wide) / wide, (y - fovea_y) / high
        far = math.hypot(across, down)
        if tip.role == _ARCADE:
            pull = 2.5 * (1 - far)
            ahead_x, ahead_y = -abs(down) * wide, tip.above * across * high
            return math.atan2(ahead_y + pull * down * high, ahead_x + pull * across * wide)
        if tip.role == _NASAL or far > 1 or x > disc_x:
            return math.atan2(y - disc_y, x - disc_x)
        return math.atan2(fovea_y - y, fovea_x - x)

    def _ends(self, tip, x, y, heading, length):
        if math.hypot(x - 0.5, y - 0.5) > 0.51:
            return True
        if math.dist((x, y), self.eye.fovea) < self.eye.fovea_radius:
            return True
        ahead = _read(self.crowd[tip.kind], x + 0.012 * math.cos(heading), y + 0.012 * math.sin(heading))
        return tip.role == _FREE and length > 0.04 and ahead > 0.88

    def _divide(self, tip, x, y, heading, radius):
        """Two children by Murray's law, the minor one on the roomier side; None where neither side has room."""
        rng = self.rng
        least = (self.thinnest[tip.kind] / radius) ** 3
        beyond = (self.eye.disc[0] - x) / self.eye.arcade[0]
        share = max(least, rng.uniform(*((0.08, 0.24) if tip.role == _ARCADE and beyond < 0.7 else (0.2, 0.5))))
        role, minor_role = tip.role, _FREE
        if tip.role == _TRUNK:
            share, role, minor_role = rng.uniform(0.28, 0.46), _ARCADE, _NASAL
        major, minor = radius * (1 - share) ** (1 / 3), radius * share ** (1 / 3)
        near, wide = murray_angles(radius, major, minor)
        side = -tip.above if tip.role == _TRUNK else self._roomier_side(tip, x, y, heading, wide)
        if side == 0:
            return None
        return (
            _Tip(tip.kind, -1, x, y, heading - side * near, major, role, tip.above, side),
            _Tip(tip.kind, -1, x, y, heading + side * wide, minor, minor_role, tip.above, -side),
        )

    def _roomier_side(self, tip, x, y, heading, angle):
        """1 (clockwise on the image), -1, or 0 where both are crowded; the side used last is liked less."""
        best, room = 0, 0.62
        for side in (-1, 1):
            bearing = heading + side * angle
            crowd = max(
                _read(self.crowd[tip.kind], x + d * math.cos(bearing), y + d * math.sin(bearing))
                for d in (0.045, 0.065)
            )
            crowd += 0.15 * (side == tip.side) + self.rng.uniform(0, 0.1)
            if crowd < room:
                best, room = side, crowd
        return best

    def _finish(self, tip, track, children):
        points, radii = track[:, :2], track[:, 2]
        if not children:
            radii = radii * np.linspace(1, 0.7, len(radii))
        self.vessels.append(Vessel(tip.kind, tip.parent, points, radii))
        self.area += STEP * 2 * radii[1:].sum()
        weights = {kind: 1.0 if kind == tip.kind else 0.4 for kind in self.crowd}
        self._crowd_at(points[::2], weights)
        for child in children:
            child.parent = len(self.vessels) - 1
            self._push(child)

    def _crowd_at(self, points, weights):
        cells = np.clip(np.rint(points * _CELLS).astype(int), 0, _CELLS - 1)
        for kind, weight in weights.items():
            stamp = weight * self.stamp
            for column, row in cells.tolist():
                window = self.crowd[kind][row : row + 2 * _PAD + 1, column : column + 2 * _PAD + 1]
                np.maximum(window, stamp, out=window)


def _read(grid, x, y):
    column, row = int(x * _CELLS) + _PAD, int(y * _CELLS) + _PAD
    return float(grid[max(0, min(len(grid) - 1, row)), max(0, min(len(grid) - 1, column))])
