"""The data doctor: each damage is told with its file and cure, and nothing else is."""

import json
import os
import shutil
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from synthmed_tf.data import alignment, duplicates
from synthmed_tf.data.check import check_folder
from synthmed_tf.data.check_report import Finding, Report
from synthmed_tf.data.phantom import write_phantoms
from synthmed_tf.errors import SynthMedError
from synthmed_tf.images import encode_png, read_image, read_mask, write_png

SIDE = 160
A, B, C, D = (f"phantom_0000{i}.png" for i in range(4))


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms") / "set"
    write_phantoms(folder, SIDE, 4, seed=5)
    return folder


@pytest.fixture
def root(phantoms, tmp_path):
    shutil.copytree(phantoms, tmp_path / "set")
    return tmp_path / "set"


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
    """Bytes of a picture in another format."""

    def make(root):
        out = BytesIO()
        picture = Image.open(root / source)
        if "mode" in options:
            picture = picture.convert(options["mode"])
        picture.save(out, kind, **{k: v for k, v in options.items() if k != "mode"})
        return out.getvalue()

    return make


def _swap_masks(root):
    first, second = (read_mask(root / "masks" / name) for name in (A, B))
    write_png(root / "masks" / A, second)
    write_png(root / "masks" / B, first)


def _palette(root):
    picture = Image.fromarray((read_mask(root / "masks" / A) * 1).astype(np.uint8), mode=None).convert("P")
    picture.putpalette([3, 3, 3, 253, 253, 253])
    picture.save(root / "masks" / A)


def _blur(pixels):
    return np.asarray(Image.fromarray(pixels).resize((SIDE // 2,) * 2, Image.Resampling.BOX).resize((SIDE,) * 2))


def _smaller(pixels):
    return np.asarray(Image.fromarray(pixels).resize((96, 96), Image.Resampling.BOX))


def _bright(pixels):
    return np.where(pixels.max(axis=-1, keepdims=True) > 20, np.maximum(pixels, 251), pixels).astype(np.uint8)


# damage: what does it, then (severity, path, problem, cure) of every finding
DAMAGES = {
    "empty file": (_write(f"images/{A}", lambda root: b""), [("error", f"images/{A}", "0 bytes", "copy it again")]),
    "truncated photograph": (
        _write(f"images/{A}", lambda root: (root / "images" / A).read_bytes()[:-200]),
        [("error", f"images/{A}", "truncated or damaged", "copy it again")],
    ),
    "a checksum that fails": (
        _write(f"masks/{A}", lambda root: (root / "masks" / A).read_bytes()[:-5] + b"\0\0\0\0\0"),
        [("warning", f"masks/{A}", "fails the checks of its format", "copy it again")],
    ),
    "text": (_write(f"masks/{A}", lambda root: b"hello"), [("error", f"masks/{A}", "no picture", "copy it again")]),
    "JPEG named PNG": (
        _write(f"images/{A}", _saved(f"images/{A}", "JPEG", quality=95)),
        [("warning", f"images/{A}", "is a JPEG file, other than its name says", "rename it to phantom_00000.jpg")],
    ),
    "WebP named PNG": (
        _write(f"images/{A}", _saved(f"images/{A}", "WEBP")),
        [("error", f"images/{A}", "is a WebP file", "convert it to PNG"),
         ("error", f"images/{A}", "no picture that can be read", "copy it again")],
    ),
    "kind that is not read": (
        lambda root: (root / "images" / A).rename(root / "images" / "phantom_00000.dcm"),
        [("error", f"fov/{A}", "is a field of view without a photograph", "add the photograph"),
         ("error", "images/phantom_00000.dcm", "is of a kind that is not read", "convert it to PNG"),
         ("error", f"masks/{A}", "is a mask without a photograph", "add the photograph")],
    ),
    "bomb": (
        _write(f"images/{A}", lambda root: b"P5 60000 60000 255\n"),
        [("error", f"images/{A}", "is a PPM file", "rename it"),
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
        [("error", "images/phantom_00000.tif", f"has the same name as images/{A}", "remove one of the two")],
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
        [("warning", f"masks/{A}", "is a colour picture of 2 colours", "save it as a PNG")],
    ),
    "mask saved as JPEG": (
        _write(f"masks/{A}", _saved(f"masks/{A}", "JPEG", quality=95)),
        [("warning", f"masks/{A}", "grey values, as after JPEG", "save it as a PNG"),
         ("warning", f"masks/{A}", "is a JPEG file", "rename it")],
    ),
    "fog": (_change("masks", A, _blur), [("error", f"masks/{A}", "neither dark nor bright", "PNG of two values")]),
    "mask in colours": (
        _change("masks", A, lambda mask: np.roll(mask, (0, 40, 80), (0, 1, 2)) | mask[:, ::-1] * np.array([0, 1, 0], np.uint8)),
        [("error", f"masks/{A}", "more than two colours", "save it as a PNG of two values")],
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
        _change("masks", A, lambda mask: mask * (np.arange(SIDE) // 9 == 9)[:, None, None].astype(np.uint8)),
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
        [("error", f"images/{A}", "is white on 100% of the field", "remove it"),
         ("error", f"masks/{A}", "that are not darker than their surroundings", "check that it belongs")],
    ),
    "mask as a photograph": (
        lambda root: shutil.copy(root / "masks" / A, root / "images" / A),
        [("error", f"images/{A}", "has two values only", "put a photograph in its place")],
    ),
    "wrong field of view": (
        _change("fov", A, lambda fov: fov * (np.arange(SIDE) < 80)[:, None, None].astype(np.uint8)),
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
        _change("images", A, lambda pixels: np.where(pixels.max(-1, keepdims=True) > 20, 255 - pixels, 0).astype(np.uint8)),
        [("error", f"masks/{A}", "vessels that are not darker", "check that it belongs to this photograph")],
    ),
    "two layouts": (
        lambda root: shutil.copytree(root / "masks", root / "manual1"),
        [("error", ".", "fits more than one layout: hrf", "leave one of them in the folder")],
    ),
    "pictures of no layout": (
        lambda root: shutil.copytree(root / "masks", root / "old"),
        [("note", "old", "holds 4 picture(s) that are no part of the layout plain", "nothing, unless")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_with_its_file_and_cure_and_nothing_else_is(root, damage):
    make, expected = DAMAGES[damage]
    make(root)
    report = check_folder(root, workers=1)
    found = sorted((f.severity, f.path, f.problem, f.cure) for f in report.findings)
    assert [row[:2] for row in found] == sorted(row[:2] for row in expected), report.to_text()
    for row in expected:
        assert any(row[:2] == other[:2] and row[2] in other[2] and row[3] in other[3] for other in found), found
    severities = {severity for severity, *_ in expected}
    assert report.exit_code == (2 if "error" in severities else 1 if "warning" in severities else 0)


def test_untouched_phantoms_have_no_finding(phantoms):
    report = check_folder(phantoms)
    assert report == Report(str(phantoms), "plain", 4, 4, 4, (f"{SIDE}x{SIDE}",), ())
    assert report.exit_code == 0 and report.to_text().endswith("nothing is wrong")


@pytest.mark.parametrize("size", [128, 512])
def test_phantoms_of_other_sizes_have_no_finding(tmp_path, size):
    write_phantoms(tmp_path, size, 3, seed=1)
    assert check_folder(tmp_path).findings == ()


def test_small_photographs_are_told(tmp_path):
    write_phantoms(tmp_path, 64, 2, seed=1)
    findings = check_folder(tmp_path).findings
    assert [(f.severity, f.path) for f in findings] == [("warning", f"images/{name}") for name in (A, B)]
    assert findings[0].problem == "has 64 pixels across the field of view, fewer than 128"


def _again(change):
    def damage(root):
        picture = change(Image.open(root / "images" / A))
        picture.save(root / "images" / "other.png")
        Image.open(root / "fov" / A).resize(picture.size).save(root / "fov" / "other.png")
        mask = (
            change(Image.open(root / "masks" / A).convert("RGB")).convert("L").point(lambda value: 255 * (value > 127))
        )
        mask.save(root / "masks" / "other.png")

    return damage


def _as_jpeg(picture):
    out = BytesIO()
    picture.save(out, "JPEG", quality=40)
    return Image.open(out)


@pytest.mark.parametrize(
    ("change", "how"),
    [
        (lambda picture: picture, "byte for byte"),
        (_as_jpeg, "nearly the same"),
        (lambda picture: picture.resize((130, 130), Image.Resampling.LANCZOS), "nearly the same"),
        (lambda picture: picture.crop((5, 3, 156, 154)), "nearly the same"),
        (lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "nearly the same"),
        (lambda picture: picture.point(lambda value: min(255, int(value * 1.15))), "nearly the same"),
    ],
    ids=["copy", "JPEG", "resized", "cut", "mirrored", "brighter"],
)
def test_a_photograph_that_is_there_twice_under_two_patients(root, change, how):
    _again(change)(root)
    found = [f for f in check_folder(root).findings if f.path == "images/phantom_00000.png" and f.severity == "error"]
    found += [f for f in check_folder(root).findings if f.path == "images/other.png" and f.severity == "error"]
    assert len(found) == 1 and how in found[0].problem
    assert "under two patients" in found[0].problem and "other" in found[0].problem


def test_the_same_mask_twice_is_told(root):
    shutil.copy(root / "masks" / A, root / "masks" / B)
    (found,) = [f for f in check_folder(root).findings if "byte for byte" in f.problem]
    assert (found.severity, found.path) == ("error", f"masks/{B}")
    assert f"mask as masks/{A}, under two patients, phantom_00000 and phantom_00001" in found.problem


def test_a_photograph_twice_under_one_patient_is_a_warning(root):
    for kind in ("images", "masks", "fov"):
        shutil.copy(root / kind / A, root / kind / "phantom_00000b.png")
    report = check_folder(root, patient_regex=r"phantom_(\d+)")
    assert report.patients == 4 and report.exit_code == 1
    assert [(f.severity, f.path) for f in report.findings] == [
        ("warning", "images/phantom_00000b.png"),
        ("warning", "masks/phantom_00000b.png"),
    ]
    assert report.findings[0].problem.endswith(f"as images/{A}, twice under the patient 00000")


def test_a_photograph_in_both_parts_of_drive_is_an_error(phantoms, tmp_path):
    for source, part, number in ((A, "training", "21"), (B, "training", "22"), (A, "test", "01")):
        for kind, name in (("images", f"{number}_{part}.png"), ("masks", f"{number}_manual1.png")):
            target = tmp_path / part / {"images": "images", "masks": "1st_manual"}[kind] / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(phantoms / kind / source, target)
    report = check_folder(tmp_path, patient_regex="(2|0)")
    assert report.layout == "drive" and report.exit_code == 2
    found = [f for f in report.findings if f.severity == "error"]
    assert [f.path for f in found] == ["training/1st_manual/21_manual1.png", "training/images/21_training.png"]
    assert found[1].problem.endswith("photograph as test/images/01_test.png, across the splits test and training")


def test_a_folder_of_no_known_layout_is_checked_all_the_same(root):
    (root / "masks").rename(root / "vessel_labels")
    (root / "vessel_labels" / B).write_bytes(b"")
    report = check_folder(root)
    assert report.layout == "unknown" and (report.photographs, report.masks) == (4, 4)
    assert [(f.severity, f.path) for f in report.findings] == [("error", "."), ("error", f"vessel_labels/{B}")]
    assert "none of the known layouts" in report.findings[0].problem


def test_photographs_alone_are_a_warning(phantoms, tmp_path):
    shutil.copytree(phantoms / "images", tmp_path / "set")
    report = check_folder(tmp_path / "set")
    assert (report.layout, report.photographs, report.masks, report.exit_code) == ("messidor", 4, 0, 1)
    assert [f.path for f in report.findings] == ["."]
    assert "was taken for photographs alone" in report.findings[0].problem


def test_a_patient_expression_that_finds_nothing_is_told_for_each_file(root):
    report = check_folder(root, patient_regex="_0000([0-2])")
    assert [(f.severity, f.path) for f in report.findings] == [("error", f"images/{D}")]


def test_pipes_loops_and_dangling_links_neither_hang_nor_stop_it(root):
    os.mkfifo(root / "images" / "pipe.png")
    (root / "images" / "gone.png").symlink_to(root / "nowhere.png")
    (root / "images" / "folder.png").mkdir()
    for name in ("one", "two"):
        (root / name).symlink_to(root, target_is_directory=True)
    (root / "loop.png").symlink_to(root / "loop.png")
    report = check_folder(root)
    errors = {f.path: f.problem for f in report.findings if f.severity == "error" and "without" not in f.problem}
    assert errors.keys() == {"images/pipe.png", "images/gone.png"}
    assert errors["images/pipe.png"].startswith("is no file but a pipe")
    assert errors["images/gone.png"] == "could not be opened (No such file or directory)"


def test_links_that_lead_back_do_not_multiply_photographs_alone(phantoms, tmp_path):
    shutil.copytree(phantoms / "images", tmp_path / "set" / "inner")
    for name in ("a", "b", "c"):
        (tmp_path / "set" / "inner" / name).symlink_to(tmp_path / "set", target_is_directory=True)
    assert check_folder(tmp_path / "set").photographs == 4


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_rights_is_told(root):
    (root / "images" / A).chmod(0)
    (found,) = check_folder(root).findings
    assert found.problem == "could not be opened (Permission denied)"


@pytest.mark.parametrize("name", ["none", "file"])
def test_no_folder_is_one_sentence(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(SynthMedError, match=r"(does not exist|is a file); give the folder|give a folder"):
        check_folder(tmp_path / name)


def test_an_expression_that_is_not_valid_is_one_sentence(root):
    with pytest.raises(SynthMedError, match=r"--patient-regex '\(' is not valid"):
        check_folder(root, patient_regex="(")


def test_progress_counts_up_to_all(root):
    seen = []
    check_folder(root, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_report_as_json_has_all_fields(root):
    (root / "masks" / A).unlink()
    report = json.loads(check_folder(root).to_json())
    assert report["exit_code"] == 2 and report["layout"] == "plain" and report["sizes"] == [f"{SIDE}x{SIDE}"]
    assert report["findings"] == [
        {
            "severity": "error",
            "path": f"images/{A}",
            "problem": "is a photograph without a mask",
            "cure": "add the mask or remove the photograph",
        }
    ]


def test_a_report_as_text_groups_by_severity_and_shows_strange_names():
    findings = (
        Finding("error", "images/a\n\x1b[31m.png", "is empty", "copy it"),
        Finding("note", "masks/ä [b]\udcff.png", "is fine", "nothing"),
    )
    report = Report("set", "plain", 1, 2, 1, ("9x8",), findings)
    assert report.to_text().splitlines() == [
        "set: layout plain, 1 photograph, 2 vessel masks, 1 patient",
        "sizes: 9x8",
        "",
        "1 error (training would stop, or the pair is wrong)",
        "  images/a\\n\\x1b[31m.png",
        "    is empty",
        "    cure: copy it",
        "",
        "1 note (good to know)",
        "  masks/ä [b]\\udcff.png",
        "    is fine",
        "    cure: nothing",
    ]
    assert [replace(report, findings=findings[i:]).exit_code for i in range(3)] == [2, 0, 0]


def test_contrast_is_the_difference_of_ring_and_vessel():
    green = np.zeros((256, 256), np.float32)
    coverage = np.zeros((256, 256), np.uint8)
    coverage[:, 120:124] = 255
    green[:, 120:124], green[:, 116:120], green[:, 124:128] = -2, 1, 0
    assert alignment.contrast(green, coverage, np.ones((256, 256), bool)) == pytest.approx(2.5)


def test_detail_does_not_see_slow_light():
    rows, columns = np.mgrid[:256, :256]
    lines = 10.0 * (columns % 16 < 8)
    field = np.hypot(rows - 127.5, columns - 127.5) < 120
    plain, lit = (alignment.detail(lines + slope * rows, field) for slope in (0, 0.5))
    near = np.hypot(rows - 127.5, columns - 127.5) < 90
    np.testing.assert_allclose(plain[near], lit[near], atol=0.05)
    assert not plain[~field].any()


def test_correlation_is_that_of_numpy_at_every_shift():
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(2, 8, 8)).astype(np.float32)
    found = alignment.correlation(first, second)
    moved = np.roll(second, (3, 5), (0, 1))
    expected = (first * moved).sum() / np.sqrt((first**2).sum() * (second**2).sum())
    assert found[3, 5] == pytest.approx(expected, abs=1e-6)


def test_a_mask_that_was_moved_is_found_where_it_belongs(phantoms):
    pixels, mask, fov = (read_image(phantoms / kind / A) for kind in ("images", "masks", "fov"))
    big = [
        np.asarray(Image.fromarray(array).resize((256, 256))) for array in (pixels[..., 1], mask[..., 0], fov[..., 0])
    ]
    green = alignment.detail(big[0], big[2] >= 128)
    place = alignment.best_place(green, np.roll(big[1], (-9, 14), (0, 1)), big[2] >= 128)
    assert (place.turn, place.down * 256, place.right * 256) == ("", -9, 14)


def test_many_pictures_are_compared_through_the_gate(phantoms, monkeypatch):
    monkeypatch.setattr(duplicates, "_MANY", 2)
    field = np.ones((SIDE, SIDE), bool)
    names = (A, B, A, C)
    prints = [duplicates.fingerprint(read_image(phantoms / "images" / name)[..., 1], field) for name in names]
    assert [pair[:2] for pair in duplicates.same_pictures(prints)] == [(0, 2)]


def test_flat_pictures_are_never_the_same():
    field = np.ones((64, 64), bool)
    prints = [duplicates.fingerprint(np.full((64, 64), value, np.uint8), field) for value in (0, 9)]
    assert duplicates.same_pictures(prints, 0.01) == []


def test_encoded_png_passes_the_checksum(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(encode_png(np.zeros((9, 9), np.uint8)))
    assert "fails the checks" not in check_folder(tmp_path).to_text()
