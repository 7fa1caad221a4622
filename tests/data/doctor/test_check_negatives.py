"""White borders and negatives: a border is no content, and a negative is called one."""

import numpy as np

from synthmed_tf.data.doctor.check import check_folder
from synthmed_tf.data.preprocessing import bright_border, derive_fov
from synthmed_tf.images import read_image, read_mask, write_png


def _change(root, image, mask=lambda mask: mask, keep_fov=False):
    for path in sorted((root / "images").iterdir()):
        write_png(path, image(read_image(path)))
        write_png(root / "masks" / path.name, mask(read_mask(root / "masks" / path.name)))
        if not keep_fov:
            (root / "fov" / path.name).unlink()
    if not keep_fov:
        (root / "fov").rmdir()


def _bordered(pixels, value=255):
    return np.pad(pixels, ((30, 30), (50, 50), (0, 0))[: pixels.ndim], constant_values=value)


def test_photographs_with_a_white_border_are_not_the_same(root):
    _change(root, _bordered, lambda mask: _bordered(mask, False))
    report = check_folder(root)
    assert [finding for finding in report.findings if "same photograph" in finding.problem] == []
    assert report.exit_code == 0, report.to_text()


def test_white_in_place_of_the_black_surroundings(root):
    _change(root, lambda pixels: np.where(pixels.max(axis=-1, keepdims=True) < 12, 255, pixels).astype(np.uint8))
    report = check_folder(root)
    assert report.exit_code == 0, report.to_text()


def test_negatives_are_named_as_such_and_not_as_the_same_photograph(root):
    _change(root, lambda pixels: 255 - pixels)
    errors = [finding for finding in check_folder(root).findings if finding.severity == "error"]
    assert [finding.path.split("/")[0] for finding in errors] == ["images"] * 4
    assert all(finding.problem.startswith("is a negative or an angiogram") for finding in errors)
    assert all(finding.remedy == "invert it, or remove it with its mask" for finding in errors)


def test_negatives_without_masks_are_told_by_their_colours(root):
    for path in (root / "images").iterdir():
        write_png(path, 255 - read_image(path))
    findings = [f for f in check_folder(root / "images").findings if "as a negative is" in f.problem]
    assert [finding.severity for finding in findings] == ["warning"] * 4


def test_the_field_of_view_inside_a_bright_border(phantoms):
    pixels = read_image(phantoms / "images" / "phantom_00000.png")
    expected = np.pad(derive_fov(pixels), ((30, 30), (50, 50)))
    for value in (230, 255):
        field = derive_fov(_bordered(pixels, value))
        assert np.mean(field != expected) < 0.01
    border = bright_border(_bordered(pixels))
    assert border[0].all() and border[:, 0].all() and not border[30:-30, 50:-50].any()


def test_a_dark_or_patchy_edge_is_no_bright_border():
    random = np.random.default_rng(0)
    assert not bright_border(np.zeros((50, 60, 3), np.uint8)).any()
    assert not bright_border(random.integers(150, 256, (50, 60, 3)).astype(np.uint8)).any()
