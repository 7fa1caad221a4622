"""The data doctor on one damage after the other: each is told with its file and remedy, and nothing else is."""

import shutil
from io import BytesIO

import numpy as np
import pytest
from helpers.phantoms import PHANTOM_SIDE
from PIL import Image

from synthmed_tf.data.doctor.check import check_folder
from synthmed_tf.images import read_image, read_mask, write_png

A, B, C, D = (f"phantom_0000{i}.png" for i in range(4))


def _change(kind, name, function):
    def damage(root):
        path = root / kind / name
        write_png(path, function(read_image(path)))

    return damage


def _write(name, make):
    def damage(root):
        data = make(root)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)

    return damage


def _saved(source, kind, **options):
    """Bytes of an image in another format."""

    def make(root):
        out = BytesIO()
        image = Image.open(root / source)
        if "mode" in options:
            image = image.convert(options["mode"])
        image.save(out, kind, **{k: v for k, v in options.items() if k != "mode"})
        return out.getvalue()

    return make


def _swap_masks(root):
    first, second = (read_mask(root / "masks" / name) for name in (A, B))
    write_png(root / "masks" / A, second)
    write_png(root / "masks" / B, first)


def _palette(root):
    image = Image.fromarray((read_mask(root / "masks" / A) * 1).astype(np.uint8)).convert("P")
    image.putpalette([3, 3, 3, 253, 253, 253])
    image.save(root / "masks" / A)


def _blur(pixels):
    return np.asarray(
        Image.fromarray(pixels).resize((PHANTOM_SIDE // 2,) * 2, Image.Resampling.BOX).resize((PHANTOM_SIDE,) * 2)
    )


def _smaller(pixels):
    return np.asarray(Image.fromarray(pixels).resize((96, 96), Image.Resampling.BOX))


def _bright(pixels):
    return np.where(pixels.max(axis=-1, keepdims=True) > 20, np.maximum(pixels, 251), pixels).astype(np.uint8)


# damage: what does it, then (severity, path, problem, remedy) of every finding
DAMAGES = {
    "empty file": (_write(f"images/{A}", lambda root: b""), [("error", f"images/{A}", "0 bytes", "copy it again")]),
    "truncated photograph": (
        _write(f"images/{A}", lambda root: (root / "images" / A).read_bytes()[:-200]),
        [("error", f"images/{A}", "truncated or damaged", "copy it again")],
    ),
    "a checksum that fails": (
        _write(f"masks/{A}", lambda root: (root / "masks" / A).read_bytes()[:-5] + b"\0\0\0\0\0"),
        [("error", f"masks/{A}", "the checksum of its chunk", "copy it again")],
    ),
    "text": (_write(f"masks/{A}", lambda root: b"hello"), [("error", f"masks/{A}", "no image", "copy it again")]),
    "JPEG named PNG": (
        _write(f"images/{A}", _saved(f"images/{A}", "JPEG", quality=95)),
        [("warning", f"images/{A}", "is a JPEG file, other than its name says", "rename it to phantom_00000.jpg")],
    ),
    "WebP named PNG": (
        _write(f"images/{A}", _saved(f"images/{A}", "WEBP")),
        [("warning", f"images/{A}", "is a WebP file", "rename it to phantom_00000.webp")],
    ),
    "kind that is not read": (
        lambda root: (root / "images" / A).rename(root / "images" / "phantom_00000.heic"),
        [("error", f"fov/{A}", "is a field of view without a photograph", "add the photograph"),
         ("error", "images/phantom_00000.heic", "is of a kind that is not read", "convert it to PNG"),
         ("error", f"masks/{A}", "is a mask without a photograph", "add the photograph")],
    ),
    "bomb": (
        _write(f"images/{A}", lambda root: b"P5 60000 60000 255\n"),
        [("warning", f"images/{A}", "is a PPM file", "rename it"),
         ("error", f"images/{A}", "more than 80 million pixels", "make it smaller")],
    ),
    "two halves": (
        lambda root: [(root / "masks" / A).unlink(), (root / "images" / B).unlink()],
        [("error", f"fov/{B}", "field of view without a photograph", "add the photograph"),
         ("error", f"images/{A}", "is a photograph without a mask", "add the mask"),
         ("error", f"masks/{B}", "is a mask without a photograph", "add the photograph")],
    ),
    "two photographs of a name": (
        _write("images/phantom_00000.tif", _saved(f"images/{A}", "TIFF")),
        [("error", "images/phantom_00000.tif", f"has the same name as images/{A}", "remove one of the two"),
         ("warning", "images/phantom_00000.tif", "twice under the patient phantom_00000", "remove one")],
    ),
    "mask of another size": (
        _change("masks", A, lambda mask: mask[:100]),
        [("error", f"masks/{A}", f"160x100 pixels but its photograph images/{A} has 160x160", "two files of one size")],
    ),
    "mask of 0 and 1": (
        _change("masks", A, lambda mask: mask[..., 0] // 255),
        [("note", f"masks/{A}", "the values 0 and 1 instead of 0 and 255", "nothing")],
    ),
    "mask with a palette": (
        _palette, [("note", f"masks/{A}", "the values 3 and 253 instead of 0 and 255 in a palette", "nothing")]),
    "mask of two colours": (
        _change("masks", A, lambda mask: mask * np.array([1, 0, 0], np.uint8)),
        [("warning", f"masks/{A}", "is a colour image of 2 colours", "save it as a PNG")],
    ),
    "mask saved as JPEG": (
        _write(f"masks/{A}", _saved(f"masks/{A}", "JPEG", quality=95)),
        [("warning", f"masks/{A}", "grey values, as after JPEG", "save it as a PNG"),
         ("warning", f"masks/{A}", "is a JPEG file", "rename it")],
    ),
    "fog": (_change("masks", A, _blur), [("error", f"masks/{A}", "neither dark nor bright", "PNG of two values")]),
    "mask in colours": (
        _change("masks", A, lambda mask: mask * np.uint8([1, 0, 0]) + mask[::-1] * np.uint8([0, 1, 0])),
        [("error", f"masks/{A}", "has the colours #000000, #00ff00, #ff0000 and #ffff00", "with --vessel-labels")],
    ),
    "inverted mask": (
        _change("masks", A, lambda mask: 255 - mask),
        [("error", f"masks/{A}", "of the field of view vessel: it is inverted", "invert it")],
    ),
    "empty mask": (
        _change("masks", A, np.zeros_like),
        [("error", f"masks/{A}", "all of its pixels have the value 0", "both bright and dark")],
    ),
    "full mask": (
        _change("masks", A, lambda mask: np.full_like(mask, 255)),
        [("error", f"masks/{A}", "all of its pixels have the value 255", "both bright and dark")],
    ),
    "nearly empty mask": (
        _change("masks", A, lambda mask: mask * (np.arange(PHANTOM_SIDE) // 9 == 9)[:, None, None].astype(np.uint8)),
        [("warning", f"masks/{A}", "of the field of view vessel; in most sets", "look at it")],
    ),
    "black photograph": (
        _change("images", A, np.zeros_like), [("error", f"images/{A}", "is black", "export it again")]),
    "dark photograph": (
        _change("images", A, lambda pixels: pixels // 6),
        [("warning", f"images/{A}", "is very dark", "remove it or expose it again")],
    ),
    "white photograph": (
        _change("images", A, _bright),
        [("error", f"images/{A}", "is white on 100% of the field", "remove it")],
    ),
    "mask as a photograph": (
        lambda root: shutil.copy(root / "masks" / A, root / "images" / A),
        [("error", f"images/{A}", "has two values only", "put a photograph in its place")],
    ),
    "wrong field of view": (
        _change("fov", A, lambda fov: fov * (np.arange(PHANTOM_SIDE) < 80)[:, None, None].astype(np.uint8)),
        [("warning", f"images/{A}", "another field of view than its file says (overlap 5", "check the file in fov/"),
         ("warning", f"masks/{A}", "of its vessels outside the field of view", "check that it belongs")],
    ),
    "swapped pairs": (
        _swap_masks,
        [("error", f"masks/{A}", "are not darker", f"give images/{A} the mask masks/{B}, which fits it"),
         ("error", f"masks/{B}", "are not darker", f"give images/{B} the mask masks/{A}, which fits it")],
    ),
    "mirrored mask": (
        _change("masks", A, lambda mask: mask[:, ::-1]),
        [("error", f"masks/{A}", "lies mirrored on its photograph", "move it back")],
    ),
    "moved mask": (
        _change("masks", A, lambda mask: np.roll(mask, (-4, 7), (0, 1))),
        [("error", f"masks/{A}", "lies 4 pixels too high and 7 pixels too far right on", "move it back")],
    ),
    "vessels that are bright": (
        _change("images", A, lambda pixels: 255 - pixels),
        [("error", f"images/{A}", "is a negative or an angiogram", "invert it, or remove it with its mask"),
         ("warning", f"images/{A}", "is more blue than red", "invert it")],
    ),
    "two layouts": (
        lambda root: shutil.copytree(root / "masks", root / "manual1"),
        [("error", ".", "fits more than one layout: hrf", "leave one of them in the folder"),
         *(("warning", f"masks/{name}", f"as manual1/{name}, in another folder", "remove") for name in (A, B, C, D))],
    ),
    "images of no layout": (
        lambda root: shutil.copytree(root / "masks", root / "old"),
        [("note", "old", "holds 4 image(s) that are no part of the layout plain", "nothing, unless")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_with_its_file_and_remedy_and_nothing_else_is(root, damage):
    make, expected = DAMAGES[damage]
    make(root)
    report = check_folder(root, workers=1)
    found = sorted((f.severity, f.path, f.problem, f.remedy) for f in report.findings)
    assert [row[:2] for row in found] == sorted(row[:2] for row in expected), report.to_text()
    for row in expected:
        assert any(row[:2] == other[:2] and row[2] in other[2] and row[3] in other[3] for other in found), found
    severities = {severity for severity, *_ in expected}
    assert report.exit_code == (2 if "error" in severities else 1 if "warning" in severities else 0)
