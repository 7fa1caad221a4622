"""The report's plots: arrays in, SVG out. Each is small, for a page that shows them side by side or one below another.

They can be read without colour: lines differ in style, points in shape, areas in hatching. The same arrays give the
same bytes.
"""

import hashlib
import html
import io
import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from scipy.stats import beta

from synthmed_tf.extras import require_extra

Interval = tuple[float, float, float]
"""A value with the lower and the upper end of its interval; NaN where there is none."""

SMALL, LARGE = (3.0, 2.3), (4.2, 2.5)
"""Inches. On the page 96 pixels are an inch, in a narrow window fewer."""

_LEVEL = 0.05
_MOST_STEPS = 300
_BINS = 16
_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Helvetica", "Arial", "sans-serif"],
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "text.parse_math": False,
    "svg.hashsalt": "synthmed",
    "path.simplify_threshold": 0.5,
}
_REAL = {"color": "#1f4e79", "linestyle": (0, (4, 1.5)), "linewidth": 1.4}
_SYNTHETIC = {"color": "black", "linestyle": "solid", "linewidth": 1.6}
_GENUINE = {"color": "#a04000", "linestyle": (0, (1, 1.2)), "linewidth": 1.6}
_CHANCE = {"color": "#555555", "linestyle": (0, (1, 2)), "linewidth": 1.0}
_BAND = {"facecolor": "#dddddd", "edgecolor": "#888888", "linewidth": 0.0, "hatch": "////"}
_PAPER = {"facecolor": "white", "linewidth": 0, "pad": 0.8}
_LIMIT = {"color": "black", "linestyle": (0, (6, 2, 1, 2)), "linewidth": 1.0}


def roc(fpr: np.ndarray, tpr: np.ndarray, members: int, name: str) -> str:
    """The ROC curve of an attack, with the pointwise interval of 95 percent of its TPR and the diagonal of a guess.

    Args:
        fpr, tpr: `(k,)` each, rising.
        members: patients of which tpr is a share; the interval is that of Clopper and Pearson (1934).
        name: of the attack.
    """
    return _svg(SMALL, f"ROC curve: {name}", lambda axes: _roc(axes, fpr, tpr, members))


def scores(synthetic: np.ndarray, impostors: np.ndarray, augmented: np.ndarray, threshold: float, name: str) -> str:
    """The share of pairs that reach each score in one search for copies: synthetic pairs, real pairs against those of
    other patients (impostors), and augmented real pairs against their originals (genuine).

    Args:
        synthetic, impostors, augmented: `(n,)` each: scores.
        threshold: from which on a pair is a copy.
        name: of the search.
    """

    def plot(axes):
        curves = (
            (impostors, "other patients", "impostors", _REAL),
            (augmented, "augmented real", "augmented", _GENUINE),
            (synthetic, "synthetic", "synthetic", _SYNTHETIC),
        )
        for values, label, gid, style in curves:
            x, share = _survival(values)
            axes.step(x, share, where="pre", label=label, gid=gid, **style)
        axes.axvline(threshold, gid="threshold", label="a copy from here on", **_LIMIT)
        axes.set(xlabel="score", ylabel="share of pairs", ylim=(-0.03, 1.03))
        _legend_above(axes)

    return _svg((SMALL[0], 2.7), f"scores: {name}", plot)


def distributions(
    real: np.ndarray,
    synthetic: np.ndarray,
    name: str,
    labels: tuple[str, str] = ("real", "synthetic"),
    inches: tuple[float, float] = SMALL,
) -> str:
    """How a metric is distributed in real and in synthetic images, as shares of each.

    Args:
        real, synthetic: `(n,)` and `(m,)`; NaN is left out.
        name: of the metric.
        labels: of the two.
        inches: width and height.
    """

    def plot(axes):
        ours, theirs = (values[np.isfinite(values)] for values in (real, synthetic))
        edges = np.histogram_bin_edges(np.concatenate([ours, theirs]), _BINS) if ours.size + theirs.size else [0, 1]
        for values, label, gid, style in (
            (theirs, labels[1], "synthetic", _SYNTHETIC),
            (ours, labels[0], "real", _REAL),
        ):
            share = np.histogram(values, edges)[0] / max(values.size, 1)
            if gid == "synthetic":
                axes.stairs(share, edges, fill=True, facecolor="#e4e4e4", linewidth=0)
            axes.stairs(share, edges, label=label, gid=gid, **style)
        axes.set(xlabel=name, ylabel="share")
        axes.set_ylim(bottom=0)
        axes.locator_params(nbins=4)
        _legend_above(axes)

    return _svg(inches, f"distribution of {name}", plot)


def intervals(rows: Mapping[str, Interval], name: str, limit: float | None = None, points: Any = None) -> str:
    """Values with their intervals, one below another.

    Args:
        rows: by their labels.
        name: of the metric, and its unit.
        limit: shown as a line, beyond which there is harm.
        points: single values of each row, `{label: (n,)}`, shown as small circles; None for none.
    """

    def plot(axes):
        places = np.arange(len(rows))[::-1]
        for place, (label, (value, low, high)) in zip(places, rows.items(), strict=True):
            single = np.asarray((points or {}).get(label, ()), float)
            below = place - 0.22 + np.zeros(single.size)
            axes.plot(single, below, "o", mfc="none", mec="#555555", ms=3, mew=0.7, gid=f"points {label}")
            if np.isfinite([low, high]).all():
                axes.plot([low, high], [place, place], color="black", linewidth=1.6, gid=f"interval {label}")
                axes.plot([low, high], [place, place], "|", color="black", ms=7)
            axes.plot([value], [place], "D", color="black", ms=5, gid=f"value {label}")
        if limit is not None:
            axes.axvline(limit, gid="limit", **_LIMIT)
            axes.annotate(
                "limit", (limit, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=7.5
            )
        axes.set_yticks(places, list(rows))
        axes.set(xlabel=name, ylim=(-0.6, len(rows) - 0.4))
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.locator_params(axis="x", nbins=5)

    return _svg((LARGE[0], 0.9 + 0.36 * len(rows)), name, plot)


def neighbourhoods(rows: Mapping[str, Sequence[float]], expected: Mapping[str, float]) -> str:
    """Precision, recall, density and coverage by detector.

    Args:
        rows: the four, by detector.
        expected: the coverage of two sets of one distribution, by detector.
    """

    def plot(axes):
        height = 0.8 / max(len(rows), 1)
        for number, (detector, values) in enumerate(rows.items()):
            places = 3 - np.arange(4) + 0.4 - height * (number + 0.5)
            style = {"facecolor": ("white", "#cccccc", "#777777")[number % 3], "hatch": ("", "////", "")[number % 3]}
            bars = axes.barh(places, values, height * 0.9, edgecolor="black", linewidth=0.8, label=detector, **style)
            for kind, bar in zip(("precision", "recall", "density", "coverage"), bars, strict=True):
                bar.set_gid(f"{kind} {detector}")
            for place, value in zip(places, values, strict=True):
                axes.annotate(
                    f"{value:.2f}", (value, place), (3, 0), textcoords="offset points", va="center", fontsize=7
                )
            if detector in expected:
                label = "expected coverage" if number == 0 else None
                axes.plot(expected[detector], places[3], "|k", ms=11, mew=2, label=label, gid=f"expected {detector}")
        axes.set_yticks(3 - np.arange(4), ["precision", "recall", "density", "coverage"])
        axes.set_xlim(0, 1.12 * max(1.0, *(max(values) for values in rows.values())))
        _legend_above(axes)

    return _svg((LARGE[0], 3.2), "precision, recall, density and coverage", plot)


def histograms(real: np.ndarray, synthetic: np.ndarray) -> str:
    """Mean grey-level histograms of real and synthetic images.

    Args:
        real, synthetic: `(3, bins)`: shares of the pixels, for red, green and blue.
    """

    def plot(axes):
        grey = (np.arange(real.shape[1]) + 0.5) * 256 / real.shape[1]
        for channel, (name, marker) in enumerate((("red", "o"), ("green", "s"), ("blue", "^"))):
            for values, kind, style in ((real, "real", _REAL), (synthetic, "synthetic", _SYNTHETIC)):
                color = ("#a02020", "#207020", "#2040a0")[channel]
                shown = style | {"color": color, "marker": marker, "ms": 3, "markevery": 6}
                axes.plot(grey, values[channel], label=f"{name}, {kind}", gid=f"{name} {kind}", **shown)
        axes.set(xlabel="grey level", ylabel="share of pixels", xlim=(0, 255))
        axes.set_ylim(bottom=0)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, handlelength=2.6)

    return _svg(LARGE, "grey levels", plot)


def _roc(axes, fpr: np.ndarray, tpr: np.ndarray, members: int) -> None:
    hits = np.rint(tpr * members)
    low = np.where(hits > 0, beta.ppf(_LEVEL / 2, hits, members - hits + 1), 0.0)
    high = np.where(hits < members, beta.ppf(1 - _LEVEL / 2, hits + 1, members - hits), 1.0)
    axes.fill_between(fpr, low, high, step="post", gid="interval", **_BAND)
    axes.plot([0, 1], [0, 1], gid="chance", **_CHANCE)
    axes.step(fpr, tpr, where="post", gid="curve", **_SYNTHETIC)
    axes.annotate("a guess", (0.62, 0.62), (4, -3), textcoords="offset points", va="top", fontsize=7.5, bbox=_PAPER)
    axes.set(xlabel="unseen patients taken for members", ylabel="members found", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_xticks([0, 0.5, 1])
    axes.set_yticks([0, 0.5, 1])


def _survival(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of the values that are so large or larger, at each of them, or at as many as can be seen."""
    values = np.sort(values[np.isfinite(values)])
    shown = np.unique(np.linspace(0, len(values) - 1, min(len(values), _MOST_STEPS)).astype(int))
    return values[shown], 1 - shown / max(len(values), 1)


def _legend_above(axes) -> None:
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, handlelength=2.6, columnspacing=1.2)


def _svg(inches: tuple[float, float], title: str, plot) -> str:
    matplotlib = _matplotlib()
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=inches, layout="constrained")
        plot(figure.add_subplot())
        file = io.StringIO()
        # No date, no creator and no font files: the same arrays give the same bytes.
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None, "Creator": None})
    return _inline(file.getvalue(), title)


def _inline(svg: str, title: str) -> str:
    """The image alone, to stand in a page: no head of a file, no addresses, no rule or name that another one has.

    The names of its parts become `data-part`; those that its own parts refer to begin with a digest of the image.
    """
    svg = svg[svg.index("<svg") :].strip()
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', svg).group(1)) * 96 / 72
    view = re.search(r'viewBox="[^"]*"', svg).group()
    for needless in (r"<svg[^>]*>", r"<title>.*?</title>", r"<metadata>.*?</metadata>", r"<style.*?</style>"):
        svg = re.sub(needless, "", svg, count=1, flags=re.DOTALL)
    svg = svg.replace("xlink:href", "href")
    referred = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", svg))
    own = hashlib.sha256((title + svg).encode()).hexdigest()[:8]
    svg = re.sub(r'id="([^"]*)"', lambda m: f'id="{own}{m[1]}"' if m[1] in referred else f'data-part="{m[1]}"', svg)
    svg = re.sub(r"(url\(#|href=\"#)", rf"\g<1>{own}", svg)
    svg = re.sub(r' data-part="(?:\w+_\d+|matplotlib[^"]*)"', "", svg)
    svg = re.sub(r'(?<= d=")[^"]*', lambda m: re.sub(r"(\.\d\d)\d+", r"\1", m[0]).replace("\n", ""), svg)
    name = html.escape(title)
    style = f"width:100%;max-width:{width:.0f}px;stroke-linejoin:round"
    head = f'<svg {view} role="img" aria-label="{name}" style="{style}">'
    return re.sub(r"\n\s*", "\n", f"{head}<title>{name}</title>{svg}")


def _matplotlib() -> ModuleType:
    require_extra("evaluate")
    import matplotlib

    return matplotlib
