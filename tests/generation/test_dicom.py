"""Pairs as DICOM: pixels bit for bit, what the standard demands, what is said and what is not."""

import dataclasses
import hashlib
import shutil
import subprocess

import numpy as np
import pytest
from click.testing import CliRunner

from synthmed_tf.cli.main import main
from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting import artifact
from synthmed_tf.generation import shards, synthesis
from synthmed_tf.generation.formats import dicom_objects
from synthmed_tf.generation.formats.dicom import FOLDERS

pydicom = pytest.importorskip("pydicom", reason="the extra [dicom] is not installed")
highdicom = pytest.importorskip("highdicom", reason="the extra [dicom] is not installed")

GIVEN = (
    *("laterality=L", "device=FundusCamera", "burned_in_annotation=NO", "created=2026-11-25T12:00:05"),
    "pixel_spacing=0.25",
)
FACTS = dicom_objects.parse_facts(dict(text.split("=") for text in GIVEN))
SOURCE = dicom_objects.Source("0123456789abcdef" * 4, -7, 42)
# What a validator of 2022 does not know (Synthetic Data), and where it takes the Source Image Sequence for that of
# General Reference (C.12.4, an item or more) and not of the image's own module (C.8.17.2, which may be empty).
KNOWN = {
    "Error - </(0008,001c)> - Attribute with an even group number is not a recognized standard attribute",
    "Error - </SourceImageSequence(0008,2112)> - Bad Sequence number of Items = <0> (1-n Required by Module "
    "definition) - Module=<GeneralReference>",
    "Error - </SourceImageSequence(0008,2112)> - Bad attribute Value Multiplicity for Type 3 Optional - "
    "Module=<GeneralReference>",
}


def _pair(size: int = 33) -> tuple[np.ndarray, np.ndarray]:
    """An odd number of bytes, and rows that do not end on a byte's boundary."""
    rng = np.random.default_rng(3)
    mask = np.where(rng.random((size, size, 1)) < 0.2, 255, 0).astype(np.uint8)
    return mask, rng.integers(0, 256, (size, size, 3), dtype=np.uint8)


def _read(content: bytes):
    return pydicom.dcmread(pydicom.filebase.DicomBytesIO(content))


@pytest.fixture(scope="module")
def files() -> tuple[bytes, bytes]:
    return dicom_objects.encode(SOURCE, *_pair(), FACTS)


@pytest.fixture(scope="module")
def image(files):
    return _read(files[0])


@pytest.fixture(scope="module")
def segmentation(files):
    return _read(files[1])


def test_pixels_are_those_generated(image, segmentation):
    mask, pixels = _pair()
    np.testing.assert_array_equal(image.pixel_array, pixels)
    np.testing.assert_array_equal(segmentation.pixel_array, mask[..., 0] // 255)


def test_an_empty_mask_is_a_frame_of_zeros():
    mask, pixels = _pair()
    _, content = dicom_objects.encode(SOURCE, np.zeros_like(mask), pixels, FACTS)
    np.testing.assert_array_equal(_read(content).pixel_array, np.zeros(mask.shape[:2], np.uint8))


@pytest.mark.parametrize("name", ["image", "segmentation"])
def test_both_say_that_they_are_synthetic_and_by_what(name, request):
    data = request.getfixturevalue(name)
    assert data[0x0008001C].value == "YES"
    (equipment,) = data.ContributingEquipmentSequence
    (purpose,) = equipment.PurposeOfReferenceCodeSequence
    said = (purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning)
    assert said == ("109100", "DCM", "Synthesizing Equipment")
    assert equipment.DeviceSerialNumber == SOURCE.model_sha256
    assert equipment.ContributionDescription.endswith(f"model {SOURCE.model_sha256}, seed -7, index 42.")
    assert (str(data.PatientName), data.PatientID) == ("SYNTHETIC^PAIR 42", "SYNTHETIC-0123456789ab--7-42")
    assert (data.PatientBirthDate, data.PatientSex, data.StudyDate) == ("", "", "")


def test_image_says_what_the_caller_said(image):
    assert image.SOPClassUID.name == "Ophthalmic Photography 8 Bit Image Storage"
    assert (image.ImageLaterality, image.BurnedInAnnotation) == ("L", "NO")
    assert image.AcquisitionDeviceTypeCodeSequence[0].CodeMeaning == "Fundus Camera"
    assert image.PixelSpacing == [0.25, 0.25]
    assert list(image.ImageType) == ["DERIVED", "PRIMARY", "SYNTHETIC", "COLOR"]


def test_segmentation_refers_to_the_image(image, segmentation):
    assert segmentation.SOPClassUID.name == "Segmentation Storage"
    assert segmentation.StudyInstanceUID == image.StudyInstanceUID
    assert segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID == image.SeriesInstanceUID
    group = segmentation.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    listed = segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0]
    for reference in (group, listed):
        assert reference.ReferencedSOPClassUID == image.SOPClassUID
        assert reference.ReferencedSOPInstanceUID == image.SOPInstanceUID
    (segment,) = segmentation.SegmentSequence
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Blood Vessel"
    assert "FrameOfReferenceUID" not in segmentation


@pytest.mark.parametrize("name", ["image", "segmentation"])
def test_no_time_but_the_callers_is_in_a_file(name, request):
    data = request.getfixturevalue(name)
    times = {element.keyword: element.value for element in data.iterall() if element.VR in ("DA", "TM", "DT")}
    assert {name: value for name, value in times.items() if value} == {
        "ContentDate": "20261125",
        "ContentTime": "120005",
    }


def test_equal_pairs_and_facts_give_equal_files(files):
    assert dicom_objects.encode(SOURCE, *_pair(), FACTS) == files


def test_another_pair_fact_or_pixel_gives_other_uids(image):
    mask, pixels = _pair()
    brighter = pixels.copy()
    brighter[0, 0, 0] ^= 1
    others = [
        dicom_objects.encode(SOURCE._replace(index=43), mask, pixels, FACTS),
        dicom_objects.encode(SOURCE, mask, pixels, FACTS.model_copy(update={"laterality": "R"})),
        dicom_objects.encode(SOURCE, mask, brighter, FACTS),
        dicom_objects.encode(SOURCE, 255 - mask, pixels, FACTS),
    ]
    uids = [_read(content).SOPInstanceUID for pair in others for content in pair]
    assert len({image.SOPInstanceUID, *uids}) == 9
    assert all(uid.is_valid and uid.startswith("2.25.") for uid in uids)


@pytest.mark.parametrize("name", ["image", "segmentation"])
def test_what_the_standard_demands_is_there(name, request):
    """By highdicom's tables of the standard: types 1 and 2 of the mandatory modules, at the root."""
    standard = pytest.importorskip(
        "highdicom._standard_utils", reason="highdicom before 0.28 keeps its tables elsewhere"
    )
    data = request.getfixturevalue(name)
    modules = standard.get_iod_module_map()[standard.get_sop_class_iod_map()[data.SOPClassUID]]
    mandatory = [module["key"] for module in modules if module["usage"] == "M"]
    rows = [row for key in mandatory for row in standard.get_module_attribute_map()[key] if not row["path"]]
    demanded = {row["keyword"] for row in rows if row["type"] in ("1", "2")}
    assert len(demanded) > 30
    assert sorted(keyword for keyword in demanded if keyword not in data) == []
    filled = {row["keyword"] for row in rows if row["type"] == "1"}
    assert sorted(keyword for keyword in filled if data[keyword].is_empty) == []


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian's dicom3tools) is not installed")
@pytest.mark.parametrize("number", [0, 1])
def test_dciodvfy_finds_nothing_new(files, number, tmp_path):
    (tmp_path / "file.dcm").write_bytes(files[number])
    said = subprocess.run(["dciodvfy", "-new", tmp_path / "file.dcm"], capture_output=True, text=True).stderr
    assert ("OphthalmicPhotography8BitImage", "Segmentation")[number] in said.splitlines()
    assert {line for line in said.splitlines() if line.startswith("Error")} - KNOWN == set()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((), "laterality is missing; device is missing; burned_in_annotation is missing; created is missing"),
        (GIVEN[:4], "pixel_spacing is missing, which the standard requires for a fundus camera"),
        ((*GIVEN, "laterality=U"), "laterality is 'U' (input should be 'R', 'L' or 'B')"),
        ((*GIVEN, "sex=F"), "there is no 'sex'"),
        ((*GIVEN, "pixel_spacing=0"), "pixel_spacing is '0' (input should be greater than 0)"),
    ],
)
def test_facts_that_are_missing_or_wrong_are_named(given, said):
    with pytest.raises(SynthMedError, match="that a generator cannot know") as caught:
        dicom_objects.parse_facts(dict(text.split("=") for text in given))
    assert said in str(caught.value)


def test_a_set_is_the_same_in_any_order_it_is_generated(tiny_artifact, tmp_path):
    opened = artifact.open_artifact(tiny_artifact, "onnx")
    plan = synthesis.make_plan(opened, 5, 5, 10, "dicom", 2, 4)
    plan = dataclasses.replace(plan, options=FACTS.model_dump_json())
    synthesis.generate(opened, plan, tmp_path / "a")
    for shard in (1, 0):
        synthesis.generate(opened, plan, tmp_path / "b", [shard])
    a, b = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (tmp_path / "a", tmp_path / "b")
    )
    assert a == b
    masks, images = opened.pixels(np.full(4, 5), np.arange(10, 14))
    for folder, generated in zip(FOLDERS, (images[2], masks[2, ..., 0] // 255), strict=True):
        np.testing.assert_array_equal(pydicom.dcmread(tmp_path / "a" / folder / "00000012.dcm").pixel_array, generated)
        assert len(list((tmp_path / "a" / folder).iterdir())) == 5
    line = next(line for line in shards.read_record(plan, 1, tmp_path / "a") if "file" in line)
    assert line["sha256"] == hashlib.sha256((tmp_path / "a" / line["file"]).read_bytes()).hexdigest()


def test_a_plan_without_facts_is_refused(tiny_artifact, tmp_path):
    opened = artifact.open_artifact(tiny_artifact, "onnx")
    with pytest.raises(SynthMedError, match="laterality is missing"):
        synthesis.generate(opened, synthesis.make_plan(opened, 1, format="dicom"), tmp_path / "set")
    assert list((tmp_path / "set").rglob("*.dcm")) == []


def test_generate_writes_dicom(tiny_artifact, tmp_path):
    facts = [part for text in GIVEN for part in ("--dicom", text)]
    command = [
        "generate",
        "--model",
        str(tiny_artifact),
        "-n",
        "2",
        "--format",
        "dicom",
        "--out",
        str(tmp_path / "set"),
    ]
    refused = CliRunner().invoke(main, command)
    assert (refused.exit_code, (tmp_path / "set").exists()) == (2, False)
    assert "laterality is missing" in refused.output
    assert CliRunner().invoke(main, command + facts).exit_code == 0
    assert pydicom.dcmread(tmp_path / "set" / "images" / "00000001.dcm").ImageLaterality == "L"
    again = CliRunner().invoke(main, [*command, *facts, "--dicom", "laterality=R"])
    assert (again.exit_code, "holds a set with options" in again.output) == (2, True)
