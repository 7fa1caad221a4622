"""The folder layouts of the public collections: which files a folder holds, and how they are named."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from synthmed_tf.errors import SynthMedError
from synthmed_tf.images import EXTENSIONS

LAYOUTS = {
    "drive": "training/images and training/1st_manual, or the same under test/",
    "stare": "stare-images/ and labels-ah/",
    "chase_db1": "Image_01L.jpg beside Image_01L_1stHO.png, or images/ and labels1/",
    "hrf": "images/ and manual1/",
    "messidor": "photographs alone, in nested folders or not",
    "plain": "images/ and masks/, optionally fov/, matched by file name",
}
# Images of these kinds are listed and refused later; skipped like notes and tables they would go missing unnoticed.
UNREAD_IMAGES = (".dcm", ".webp", ".heic", ".heif", ".avif", ".jp2", ".svg", ".nii", ".npy", ".mat", ".raw", ".nef")
_MASK_FOLDER = re.compile(
    r"(?<![a-z])(masks?|manual|labels?|fov|vessels?|annotations?|segmentations?|ground.?truth|gt)(?![a-z])",
    re.IGNORECASE,
)
_MASK_FILE = re.compile(r"[._-](mask|manual\d?|\d(st|nd)HO|ah|vk|labels?|gt|vessels?|fov|seg)$", re.IGNORECASE)


@dataclass(frozen=True)
class LayoutFiles:
    """The files of one layout.

    Attributes:
        photographs, masks, fovs: the files found, by kind.
        patterns: what a stem of each kind looks like; the first group is what a photograph shares with its masks.
        patient: pattern at the start of a photograph's stem, whose first group is the patient.
        masks_may_lack: whether single photographs may be without a mask.
    """

    photographs: list[Path]
    masks: list[Path]
    fovs: list[Path]
    patterns: tuple[str, str, str] = ("(.+)", "(.+)", "(.+)")
    patient: str = "(.+)"
    masks_may_lack: bool = False


def recognise(root: Path) -> tuple[str, LayoutFiles]:
    """Finds the one layout that a folder has.

    Args:
        root: a folder that exists.

    Returns:
        A key of `LAYOUTS`, and the files.

    Raises:
        SynthMedError: none or more than one of the layouts, or a file that cannot be part of it.
        OSError: a folder cannot be listed.
    """
    found = {layout: files for layout, look in _LOOKS.items() if (files := look(root)) is not None}
    if len(found) > 1:
        names = " and ".join(f"{layout} ({LAYOUTS[layout]})" for layout in found)
        raise SynthMedError(f"{root} fits more than one layout: {names}; leave one of them in the folder.")
    if found:
        return next(iter(found.items()))
    files = _messidor(root)
    if files is None:
        inner = [folder for folder in _folders(root) if any(look(folder) for look in _LOOKS.values())]
        hint = f"give {' or '.join(map(str, inner))}" if inner else "arrange it like one of them"
        known = "; ".join(f"{layout}: {text}" for layout, text in LAYOUTS.items())
        raise SynthMedError(f"{root} has none of the known layouts ({known}), or holds no images; {hint}.")
    return "messidor", files


def _drive(root: Path) -> LayoutFiles | None:
    parts = [part for part in (root / "training", root / "test") if (part / "images").is_dir()]
    named = not (root / "masks").is_dir() and any(
        re.fullmatch(r"\d+_(training|test)", stem(path)) for path in _images(root / "images")
    )
    if (root / "images").is_dir() and ((root / "1st_manual").is_dir() or named):
        parts.append(root)
    if not parts:
        return None
    # The test masks are not given out with every copy of DRIVE; its photographs are then no half pairs.
    parts = [part for part in parts if part.name != "test" or _images(part / "1st_manual")] or parts
    patterns = (r"(\d+)_(?:training|test)", r"(\d+)_manual1", r"(\d+)_(?:training|test)_mask")
    listed = [[path for part in parts for path in _images(part / name)] for name in ("images", "1st_manual", "mask")]
    return LayoutFiles(*listed, patterns, r"(\d+)")


def _stare(root: Path) -> LayoutFiles | None:
    if not (root / "stare-images").is_dir():
        return None
    observer = "ah" if (root / "labels-ah").is_dir() else "vk"
    patterns = (r"im(\d+)", rf"im(\d+)\.{observer}", "(.+)")
    photographs, masks = (_images(root / name) for name in ("stare-images", f"labels-{observer}"))
    return LayoutFiles(photographs, masks, [], patterns, r"im(\d+)")


def _chase_db1(root: Path) -> LayoutFiles | None:
    observer = 1 if (root / "labels1").is_dir() else 2
    masks, fovs = _images(root / f"labels{observer}"), _images(root / "fov-masks-unofficial")
    if (root / "images").is_dir() and (root / f"labels{observer}").is_dir():
        photographs = _images(root / "images")
    else:
        here, fovs = _images(root), []
        if not any(re.fullmatch(r"Image_\d+[LR](_\d(st|nd)HO)?", stem(path)) for path in here):
            return None
        photographs = [path for path in here if not stem(path).endswith(("_1stHO", "_2ndHO"))]
        first = [path for path in here if stem(path).endswith("_1stHO")]
        observer = 1 if first else 2
        masks = first or [path for path in here if stem(path).endswith("_2ndHO")]
    patterns = (r"Image_(\d+[LR])", rf"Image_(\d+[LR])_{('1st', '2nd')[observer - 1]}HO", r"mask_(\d+[LR])")
    return LayoutFiles(photographs, masks, fovs, patterns, r"Image_(\d+)[LR]")


def _hrf(root: Path) -> LayoutFiles | None:
    if not ((root / "images").is_dir() and (root / "manual1").is_dir()):
        return None
    listed = [_images(root / name) for name in ("images", "manual1", "mask")]
    return LayoutFiles(*listed, ("(.+)", "(.+)", "(.+)_mask"), masks_may_lack=True)


def _plain(root: Path) -> LayoutFiles | None:
    if not (root / "masks").is_dir():
        others = [folder for folder in _folders(root) if _MASK_FOLDER.search(folder.name) and folder.name != "fov"]
        if not (root / "images").is_dir() or others:
            return None
    return LayoutFiles(*(_images(root / name) for name in ("images", "masks", "fov")))


def _messidor(root: Path) -> LayoutFiles | None:
    photographs = _images(root)
    waiting, seen = _folders(root), {os.path.realpath(root)}
    while waiting:
        folder = waiting.pop()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        photographs += _images(folder)
        waiting += _folders(folder)
        if _MASK_FOLDER.search(folder.name):
            return None
    for path in photographs:
        if _MASK_FILE.search(stem(path)):
            raise SynthMedError(
                f"{path} is named like a mask among photographs; put photographs into images/ and masks into masks/."
            )
    return LayoutFiles(photographs, [], []) if photographs else None


_LOOKS: dict[str, Callable[[Path], LayoutFiles | None]] = {
    "drive": _drive, "stare": _stare, "chase_db1": _chase_db1, "hrf": _hrf, "plain": _plain,
}  # fmt: skip


def stem(path: Path) -> str:
    """The file's name without extension: `im0001` of `im0001.ppm.gz`, `im0001.ah` of `im0001.ah.ppm`."""
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    return Path(name).stem


def named_like_mask(path: Path, root: Path) -> bool:
    """Whether a file's name, or that of a folder between it and `root`, is usual for masks."""
    folders = path.relative_to(root).parts[:-1]
    return bool(_MASK_FILE.search(stem(path))) or any(_MASK_FOLDER.search(folder) for folder in folders)


def without_mask_suffix(path: Path) -> str:
    """The file's stem without what marks a mask: `a` of `a_mask.png`."""
    return _MASK_FILE.sub("", stem(path))


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    files = [path for path in sorted(folder.iterdir()) if not (path.name.startswith(".") or path.is_dir())]
    return [path for path in files if path.name.lower().endswith(EXTENSIONS + UNREAD_IMAGES)]


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))
