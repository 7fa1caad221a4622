"""The data doctor as a whole: layouts, patients, files that are none, and the report."""

import json
import os
import shutil
from dataclasses import replace

import pytest
from helpers.phantoms import PHANTOM_SIDE

from synthmed_tf.data.doctor.check import check_folder
from synthmed_tf.data.doctor.report import Report
from synthmed_tf.data.phantom import write_phantoms
from synthmed_tf.errors import Finding, SynthMedError

A, B, C, D = (f"phantom_0000{i}.png" for i in range(4))


def test_untouched_phantoms_have_no_finding(phantoms):
    report = check_folder(phantoms)
    assert report == Report(str(phantoms), "plain", 4, 4, 4, (f"{PHANTOM_SIDE}x{PHANTOM_SIDE}",), ())
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
    assert errors["images/pipe.png"] == "could not be opened (it is no regular file)"
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
    assert (
        report["exit_code"] == 2
        and report["layout"] == "plain"
        and report["sizes"] == [f"{PHANTOM_SIDE}x{PHANTOM_SIDE}"]
    )
    assert report["findings"] == [
        {
            "severity": "error",
            "path": f"images/{A}",
            "problem": "is a photograph without a mask",
            "remedy": "add the mask or remove the photograph",
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
        "    remedy: copy it",
        "",
        "1 note (good to know)",
        "  masks/ä [b]\\udcff.png",
        "    is fine",
        "    remedy: nothing",
    ]
    assert [replace(report, findings=findings[i:]).exit_code for i in range(3)] == [2, 0, 0]
