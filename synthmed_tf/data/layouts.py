"""The folder layouts of the public collections: which files a folder holds, and how they are named."""

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from synthmed_tf.errors import SynthMedError
from synthmed_tf.images import EXTENSIONS

LAYOUTS = {
    "drive": "training/images and training/1st_manual, or the same under test/",
    "rite": "training/images and training/vessel, or the same under test/",
    "stare": "stare-images/ and labels-ah/, or im0001.ppm with im0001.ah.ppm",
    "chase_db1": "Image_01L.jpg with Image_01L_1stHO.png, or images/ and labels1/",
    "hrf": "images/ and manual1/, or healthy/ and healthy_manualsegm/ and so on",
    "fives": "train/Original and train/Ground truth, or the same under test/",
    "les_av": "images/ and vessel-segmentations/",
    "avrdb": "a folder an image, with IM000001.JPG and IM000001--vessels.jpg",
    "dr_hagis": "Fundus_Images/ and Manual_Segmentations/",
    "aria": "aria_a_markups/ and aria_a_markup_vessel/, and so on",
    "iostar": "image/ and GT/, optionally mask/ (IOSTAR, RC-SLO)",
    "idrid": "1. Original Images/ (photographs alone)",
    "refuge": "Training400/, Validation400/ or Test400/ (photographs alone)",
    "messidor": "photographs alone, in nested folders or not",
    "plain": "images/ and masks/, optionally fov/, matched by file name",
}
# Images of these kinds are listed and refused later; skipped like notes and tables they would go missing unnoticed.
UNREAD_IMAGES = (".heic", ".heif", ".avif", ".svg", ".nii", ".nii.gz", ".npy", ".mat", ".raw", ".nef", ".cr2", ".psd")
_MASK_FOLDER = re.compile(
    r"(?<![a-z])(masks?|manual\w*|labels?|fov\w*|vessels?|annotations?|segmentations?|ground.?truths?|gt|av)(?![a-z])",
    re.IGNORECASE,
)
_MASK_FILE = re.compile(
    r"[ ._-]+(mask|manual\d?|manual_orig|mask_orig|\d(st|nd)HO|ah|vk|labels?|gt|ground.?truth|vessels?|fov|seg|"
    r"segmentation|annotation|bdp|bss|arteries|art[e]?ry|veins?|both)$",
    re.IGNORECASE,
)
_PHOTOGRAPH_FILE = re.compile(r"[ ._-]+(image|img|photo|photograph|fundus|original|orig|rgb)$", re.IGNORECASE)
_DEEPEST = 3


@dataclass(frozen=True)
class LayoutFiles:
    """The files of one layout.

    Attributes:
        photographs, masks, fovs: the files found, by kind.
        patterns: what a stem of each kind looks like; the first group is what a photograph shares with its masks.
        patient: pattern at the start of a photograph's stem, whose first group is the patient.
        masks_may_lack: whether single photographs may be without a mask.
        prefixes: what goes before the names of a folder's files, where two folders have files of one name.
        loose: whether `a` also belongs to `a_mask` and the like.
        dark_vessels: whether vessels are the dark value of the masks.
    """

    photographs: list[Path]
    masks: list[Path]
    fovs: list[Path]
    patterns: tuple[str, str, str] = ("(.+)", "(.+)", "(.+)")
    patient: str = "(.+)"
    masks_may_lack: bool = False
    prefixes: Mapping[Path, str] = field(default_factory=dict)
    loose: bool = False
    dark_vessels: bool = False


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
    found = _fitting(root)
    if len(found) > 1:
        names = " and ".join(f"{layout} ({LAYOUTS[layout]})" for layout in found)
        raise SynthMedError(f"fits more than one layout: {names}", "leave one of them in the folder", path=root)
    if found:
        return next(iter(found.items()))
    files = _messidor(root)
    if files is None:
        known = "; ".join(f"{layout}: {text}" for layout, text in LAYOUTS.items())
        raise SynthMedError(f"has none of the known layouts ({known}), or holds no images", _remedy(root), path=root)
    return "messidor", files


def folders_with_masks(root: Path) -> list[Path]:
    """What to give instead of `root`: the folders below it, or else one above it, that have vessel masks."""
    below = [folder for folder in _inner(root) if _with_masks(folder)]
    if below:
        return below
    parents = [parent for parent in root.resolve().parents[:2] if _with_masks(parent)]
    return parents[-1:]


def _with_masks(folder: Path) -> bool:
    try:
        return any(files.masks and files.photographs for files in _fitting(folder).values())
    except OSError:
        return False


def _inner(root: Path) -> list[Path]:
    """The uppermost folders below that have a layout of their own, at most three levels down."""
    found, level, seen = [], _folders(root), {os.path.realpath(root)}
    for _ in range(_DEEPEST):
        level = [folder for folder in level if os.path.realpath(folder) not in seen]
        seen |= {os.path.realpath(folder) for folder in level}
        fits = [folder for folder in level if _fitting(folder)]
        found += fits
        level = [inner for folder in level if folder not in fits for inner in _folders(folder)]
    return found


def _remedy(root: Path) -> str:
    inner = _inner(root)
    if inner:
        return f"give {' or '.join(map(str, inner))}"
    above = folders_with_masks(root)
    if above:
        return f"give {above[0]}"
    named = [folder for folder in _folders(root) if _MASK_FOLDER.search(folder.name)]
    if _child(root, "images") and len(named) == 1:
        return f"arrange it like one of them (rename {named[0].name} to masks if it holds the vessel masks)"
    return "arrange it like one of them"


def _fitting(root: Path) -> dict[str, LayoutFiles]:
    return {layout: files for layout, look in _LOOKS.items() if (files := look(root)) is not None}


def _drive(root: Path) -> LayoutFiles | None:
    if _rite(root) is not None:
        return None
    parts = [part for part in _parts(root, "training", "test") if _child(part, "images")]
    named = not _child(root, "masks") and any(
        re.fullmatch(r"\d+_(training|test)", stem(path)) for path in _images(_child(root, "images"))
    )
    if _child(root, "images") and (_child(root, "1st_manual") or named):
        parts.append(root)
    if not parts:
        return None
    # The test masks are not given out with every copy of DRIVE; its photographs are then no half pairs.
    parts = [part for part in parts if part.name != "test" or _images(_child(part, "1st_manual"))] or parts
    patterns = (r"(\d+)_(?:training|test)", r"(\d+)_manual1", r"(\d+)_(?:training|test)_mask")
    return LayoutFiles(*_listed(parts, "images", "1st_manual", "mask"), patterns, r"(\d+)")


def _rite(root: Path) -> LayoutFiles | None:
    parts = [part for part in (*_parts(root, "training", "test"), root) if _child(part, "vessel")]
    parts = [part for part in parts if _child(part, "images")]
    if not parts:
        return None
    pattern = r"(\d+)_(?:training|test)(?:_manual1)?"
    return LayoutFiles(*_listed(parts, "images", "vessel", "mask"), (pattern, pattern, rf"{pattern}_mask"), r"(\d+)")


def _stare(root: Path) -> LayoutFiles | None:
    if _child(root, "stare-images"):
        observer = "ah" if _child(root, "labels-ah") else "vk"
        photographs, masks = (_images(_child(root, name)) for name in ("stare-images", f"labels-{observer}"))
    else:
        here = _images(root)
        labelled = {letter: [p for p in here if re.fullmatch(rf"im\d+\.{letter}", stem(p))] for letter in ("ah", "vk")}
        observer = "ah" if labelled["ah"] else "vk"
        masks = labelled[observer]
        photographs = [path for path in here if path not in labelled["ah"] and path not in labelled["vk"]]
        if not masks:
            return None
    return LayoutFiles(photographs, masks, [], (r"im(\d+)", rf"im(\d+)\.{observer}", "(.+)"), r"im(\d+)")


def _chase_db1(root: Path) -> LayoutFiles | None:
    observer = 1 if _child(root, "labels1") else 2
    masks, fovs = _images(_child(root, f"labels{observer}")), _images(_child(root, "fov-masks-unofficial"))
    if _child(root, "images") and _child(root, f"labels{observer}"):
        photographs = _images(_child(root, "images"))
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
    patterns = ("(.+)", "(.+)", r"(.+?)(?:_mask)?")
    if _child(root, "images") and _child(root, "manual1"):
        photographs, masks, fovs = _listed([root], "images", "manual1", "mask")
        return LayoutFiles(photographs, masks, fovs or _images(_child(root, "fov")), patterns, masks_may_lack=True)
    groups = [name for name in ("healthy", "diabetic_retinopathy", "glaucoma") if _child(root, f"{name}_manualsegm")]
    if not groups:
        return None
    listed = [
        [path for name in groups for path in _images(_child(root, f"{name}{ending}"))]
        for ending in ("", "_manualsegm", "_fovmask")
    ]
    return LayoutFiles(*listed, patterns, masks_may_lack=True)


def _fives(root: Path) -> LayoutFiles | None:
    parts = [part for part in (*_parts(root, "train", "test"), root) if _child(part, "Original")]
    parts = [part for part in parts if _child(part, "Ground truth")]
    if not parts:
        return None
    prefixes = {
        _child(part, name): "" if part == root else f"{part.name}_"
        for part in parts
        for name in ("Original", "Ground truth")
    }
    return LayoutFiles(*_listed(parts, "Original", "Ground truth"), [], prefixes=prefixes)


def _les_av(root: Path) -> LayoutFiles | None:
    if not (_child(root, "images") and _child(root, "vessel-segmentations")):
        return None
    return LayoutFiles(
        *_listed([root], "images", "vessel-segmentations", "masks"), ("(.+)", "(.+)", r"(.+?)(?:_mask)?")
    )


def _avrdb(root: Path) -> LayoutFiles | None:
    files = [path for folder in _folders(root) for path in _images(folder)]
    masks = [path for path in files if stem(path).lower().endswith("--vessels")]
    if not masks:
        return None
    photographs = [path for path in files if "--" not in stem(path)]
    return LayoutFiles(
        photographs, masks, [], ("(.+)", "(.+)--[Vv]essels", "(.+)"), masks_may_lack=True, dark_vessels=True
    )


def _dr_hagis(root: Path) -> LayoutFiles | None:
    if not (_child(root, "Fundus_Images") and _child(root, "Manual_Segmentations")):
        return None
    listed = _listed([root], "Fundus_Images", "Manual_Segmentations", "Mask_images")
    return LayoutFiles(*listed, ("(.+)", "(.+)_manual_orig", "(.+)_mask_orig"))


def _aria(root: Path) -> LayoutFiles | None:
    folders = [inner for folder in _folders(root) for inner in (folder, _child(folder, folder.name)) if inner]
    marked = [f for f in folders if re.fullmatch(r"aria_[a-d]_markups?_?vessels?", f.name.lower())]
    plain = [f for f in folders if re.fullmatch(r"aria_[a-d]_markups?", f.name.lower())]
    masks = [path for folder in marked for path in _images(folder)]
    photographs = [path for folder in plain for path in _images(folder)]
    if not (masks and photographs):
        return None
    observer = "BDP" if any(stem(path).upper().endswith("_BDP") for path in masks) else "BSS"
    masks = [path for path in masks if stem(path).upper().endswith(f"_{observer}")]
    patterns = (r"(?:\(\d+\) ?)?(aria_.+)", rf"(?:\(\d+\) ?)?(aria_.+)_(?i:{observer})", "(.+)")
    return LayoutFiles(photographs, masks, [], patterns, r"(?:\(\d+\) ?)?(aria_.+)", masks_may_lack=True)


def _iostar(root: Path) -> LayoutFiles | None:
    folder = _child(root, "image") or _child(root, "images")
    if not (folder and _child(root, "GT")):
        return None
    fovs = _images(_child(root, "mask"))
    patterns = ("(.+)", r"(.+?)(?:[_ -](?i:gt))?", r"(.+?)(?:[_ -](?i:mask))?")
    return LayoutFiles(_images(folder), _images(_child(root, "GT")), fovs, patterns, r"((?:STAR \d+)|.+)")


def _idrid(root: Path) -> LayoutFiles | None:
    folder = _child(root, "1. Original Images")
    if not folder:
        return None
    parts = _folders(folder)
    prefixes = {part: "train_" if "train" in part.name.lower() else "test_" for part in parts}
    photographs = [path for part in (folder, *parts) for path in _images(part)]
    names = [stem(path) for path in photographs]
    prefixes = prefixes if len(set(names)) < len(names) else {}
    return LayoutFiles(photographs, [], [], (r"(IDRiD_\d+)", "(.+)", "(.+)"), prefixes=prefixes)


def _refuge(root: Path) -> LayoutFiles | None:
    parts = [
        f for f in _folders(root) if re.fullmatch(r"(REFUGE-?)?(training|validation|test)400", f.name, re.IGNORECASE)
    ]
    if not parts:
        return None
    annotated = re.compile(r"disc|cup|annotation|illustration|gt$", re.IGNORECASE)
    folders = [folder for part in parts for folder in _tree(part)]
    photographs = [
        path
        for folder in folders
        if not any(annotated.search(name) for name in folder.relative_to(root).parts)
        for path in _images(folder)
    ]
    return LayoutFiles(photographs, [], [])


def _plain(root: Path) -> LayoutFiles | None:
    if _les_av(root) is not None:
        return None
    if not _child(root, "masks"):
        others = [folder for folder in _folders(root) if _MASK_FOLDER.search(folder.name) and folder.name != "fov"]
        if not _child(root, "images") or others:
            return None
    return LayoutFiles(*_listed([root], "images", "masks", "fov"), loose=True)


def _tree(root: Path) -> Iterator[Path]:
    """The folder and all below it, each once, however links lead back."""
    waiting, seen = [root], set()
    while waiting:
        folder = waiting.pop()
        real = os.path.realpath(folder)
        if real not in seen:
            seen.add(real)
            waiting += _folders(folder)
            yield folder


def _messidor(root: Path) -> LayoutFiles | None:
    photographs = []
    for folder in _tree(root):
        if folder != root and _MASK_FOLDER.search(folder.name):
            return None
        photographs += _images(folder)
    for path in photographs:
        if _MASK_FILE.search(stem(path)):
            above = folders_with_masks(root)
            remedy = f"give {above[0]}" if above else "put photographs into images/ and masks into masks/"
            raise SynthMedError("is named like a mask among photographs", remedy, path=path)
    return LayoutFiles(photographs, [], []) if photographs else None


_LOOKS: dict[str, Callable[[Path], LayoutFiles | None]] = {
    "drive": _drive, "rite": _rite, "stare": _stare, "chase_db1": _chase_db1, "hrf": _hrf, "fives": _fives,
    "les_av": _les_av, "avrdb": _avrdb, "dr_hagis": _dr_hagis, "aria": _aria, "iostar": _iostar, "idrid": _idrid,
    "refuge": _refuge, "plain": _plain,
}  # fmt: skip


def stem(path: Path) -> str:
    """The file's name without extension, in composed form (NFC): `im0001.ah` of `im0001.ah.ppm.gz`."""
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    return unicodedata.normalize("NFC", Path(name).stem)


def named_like_mask(path: Path, root: Path) -> bool:
    """Whether a file's name, or that of a folder between it and `root`, is usual for masks."""
    folders = path.relative_to(root).parts[:-1]
    return bool(_MASK_FILE.search(stem(path))) or any(_MASK_FOLDER.search(folder) for folder in folders)


def bare_name(name: str) -> str:
    """A stem without what marks a mask or a photograph: `a` of `a_mask` and of `a_image`."""
    bare = name
    for pattern in (_MASK_FILE, _PHOTOGRAPH_FILE):
        bare = pattern.sub("", bare)
    return bare or name


def _images(folder: Path | None) -> list[Path]:
    if folder is None or not folder.is_dir():
        return []
    files = [path for path in sorted(folder.iterdir()) if not (path.name.startswith(".") or path.is_dir())]
    return [path for path in files if path.name.lower().endswith(EXTENSIONS + UNREAD_IMAGES)]


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))


def _child(folder: Path, name: str) -> Path | None:
    """The folder of that name, or one that differs in upper and lower case alone."""
    if (folder / name).is_dir():
        return folder / name
    return next((path for path in _folders(folder) if path.name.lower() == name.lower()), None)


def _parts(root: Path, *names: str) -> list[Path]:
    return [part for part in (_child(root, name) for name in names) if part]


def _listed(parts: Iterable[Path], *names: str) -> list[list[Path]]:
    return [[path for part in parts for path in _images(_child(part, name))] for name in names]
