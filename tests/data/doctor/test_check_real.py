"""The data doctor on CHASE_DB1 and HRF: no word about what is right, and every swapped pair and copy."""

import pytest
from PIL import Image

from synthmed_tf.data.doctor.check import check_folder
from synthmed_tf.data.sources import find_pairs


def _linked(folder, target, source):
    (folder / target).parent.mkdir(parents=True, exist_ok=True)
    (folder / target).symlink_to(source)


def _swapped(source, folder):
    """Gives each photograph the mask of the next patient; returns, for each photograph, whose mask is its own."""
    pairs = [pair for pair in source.pairs if pair.mask is not None]
    step = 2 if source.layout == "chase_db1" else 1
    owner = {}
    for i, pair in enumerate(pairs):
        owner[pair.name] = pairs[i - step].name
        _linked(folder, f"images/{pair.name}{pair.photograph.suffix}", pair.photograph)
        other = pairs[(i + step) % len(pairs)]
        _linked(folder, f"masks/{pair.name}{other.mask.suffix}", other.mask)
    return owner


def test_untouched_chase_db1_has_one_note(real_data):
    report = check_folder(real_data / "chase_db1")
    assert (report.layout, report.photographs, report.masks, report.patients) == ("chase_db1", 28, 28, 14)
    assert report.sizes == ("999x960",) and report.exit_code == 0
    assert [(f.severity, f.path) for f in report.findings] == [("note", "labels2")]


@pytest.mark.slow
def test_untouched_hrf_has_three_notes(real_data):
    report = check_folder(real_data / "hrf")
    assert (report.layout, report.photographs, report.masks, report.patients) == ("hrf", 45, 42, 45)
    assert report.sizes == ("3504x2336",) and report.exit_code == 0
    assert [(f.severity, f.path) for f in report.findings] == [("note", f"images/{n}_h.jpg") for n in (11, 12, 13)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["chase_db1", "hrf"])
def test_every_swapped_mask_is_found_with_its_photograph(real_data, tmp_path, name):
    owner = _swapped(find_pairs(real_data / name), tmp_path)
    findings = {f.path.split("/")[1].split(".")[0]: f for f in check_folder(tmp_path).findings}
    assert findings.keys() == owner.keys()
    for photograph, finding in findings.items():
        assert finding.severity == "error" and "not darker" in finding.problem
        assert f"the mask masks/{owner[photograph]}." in finding.remedy


@pytest.mark.slow
def test_copies_of_real_photographs_are_found_and_nothing_else(real_data, tmp_path):
    chase, hrf = (find_pairs(real_data / name).pairs for name in ("chase_db1", "hrf"))
    expected = set()
    for i, pair in enumerate([*chase, *hrf[::3]]):
        _linked(tmp_path, f"{pair.name}.jpg", pair.photograph)
        if i % 4:
            continue
        with Image.open(pair.photograph) as image:
            width, height = image.size
            cut = (width // 25, height // 33, width - width // 33, height - height // 25)
            altered = {
                "small": image.resize((width // 2, height // 2), Image.Resampling.LANCZOS),
                "cut": image.crop(cut),
                "mirror": image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
            }
        for kind, copy in altered.items():
            copy.save(tmp_path / f"{pair.name}_{kind}.jpg", quality=70)
            expected.add(f"{pair.name}_{kind}.jpg")
    found = [finding for finding in check_folder(tmp_path).findings if "the same photograph" in finding.problem]
    assert {finding.path for finding in found} == expected
    assert all(f"photograph as {finding.path.rpartition('_')[0]}.jpg" in finding.problem for finding in found)
