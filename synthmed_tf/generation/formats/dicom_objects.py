"""A pair as two DICOM files: the image as Ophthalmic Photography 8 Bit, its mask as a Segmentation of it.

Both say that they are synthetic (Synthetic Data is YES) and what generated them (Contributing Equipment, Synthesizing
Equipment). What a generator cannot know is given by the caller (`Facts`) or left empty if the standard allows it, and
never invented. Nothing in the files is random or from the clock: equal pairs and facts give equal bytes and UIDs, and
different ones give different UIDs.

The numbers in comments are the sections and tables of DICOM PS3.3.
"""

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from io import BytesIO
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from synthmed_tf import __version__
from synthmed_tf.errors import SynthMedError

PHOTOGRAPH = "1.2.840.10008.5.1.4.1.1.77.1.5.1"
"""Ophthalmic Photography 8 Bit Image Storage."""
_VL_PHOTOGRAPH = "1.2.840.10008.5.1.4.1.1.77.1.4"
_EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
_NAMESPACE = uuid.UUID("6a1f6b52-3a0f-5e0c-9d0c-5d1a4a2f7c11")
_MAKER, _PROGRAM = "SynthMed", "synthmed_tf"
_EMPTY = (
    *("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"),
    *("ReferringPhysicianName", "PatientOrientation", "PatientEyeMovementCommanded", "EmmetropicMagnification"),
    *("IntraOcularPressure", "HorizontalFieldOfView", "PupilDilated", "DetectorType"),
)
_EMPTY_SEQUENCES = (
    *("SourceImageSequence", "RefractiveStateSequence", "IlluminationTypeCodeSequence", "AcquisitionContextSequence"),
    *("LightPathFilterTypeStackCodeSequence", "ImagePathFilterTypeStackCodeSequence", "LensesCodeSequence"),
)


class Facts(BaseModel):
    """What the standard requires and a generator cannot know.

    Attributes:
        laterality: the eye that the images represent: R, L, or B if an image shows both.
        device: the kind of camera that the images look like (context group 4202).
        burned_in_annotation: whether the images contain text that would identify a patient.
        created: date and time of the content, such as 2026-11-25T12:00:00. The same time gives the same files.
        pixel_spacing: nominal mm in the retina from pixel to pixel. Required for a fundus camera.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    laterality: Literal["R", "L", "B"]
    device: Literal[
        "FundusCamera",
        "ScanningLaserOphthalmoscope",
        "DirectOphthalmoscope",
        "IndirectOphthalmoscope",
        "ExternalCamera",
    ]
    burned_in_annotation: Literal["YES", "NO"]
    created: datetime
    pixel_spacing: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _spaced(self) -> "Facts":
        if self.device == "FundusCamera" and self.pixel_spacing is None:
            raise ValueError("pixel_spacing is missing, which the standard requires for a fundus camera")
        return self


class Source(NamedTuple):
    """The identity of a pair: `model_sha256`, `seed` and `index`."""

    model_sha256: str
    seed: int
    index: int  # type: ignore[assignment]  # hides the method of tuples


def parse_facts(given: Mapping[str, str]) -> Facts:
    """Facts from texts by name.

    Raises:
        SynthMedError: one is missing, unknown or not allowed.
    """
    return _validated(lambda: Facts.model_validate(dict(given)))


def facts_from_json(text: str) -> Facts:
    """Facts as `Facts.model_dump_json` wrote them.

    Raises:
        SynthMedError: one is missing, unknown or not allowed.
    """
    return _validated(lambda: Facts.model_validate_json(text or "{}"))


def _validated(make: Callable[[], Facts]) -> Facts:
    try:
        return make()
    except ValidationError as error:
        said = "; ".join(map(_sentence, error.errors()))
        raise SynthMedError(
            f"DICOM requires facts that a generator cannot know: {said}. Give each as --dicom "
            "NAME=VALUE (laterality, device, burned_in_annotation, created, pixel_spacing; see docs/dicom.md)."
        ) from None


def _sentence(fault: Mapping[str, Any]) -> str:
    name, message = ".".join(map(str, fault["loc"])), str(fault["msg"])
    if fault["type"] == "missing":
        return f"{name} is missing"
    if fault["type"] == "extra_forbidden":
        return f"there is no {name!r}"
    if not name:
        return message.removeprefix("Value error, ")
    return f"{name} is {fault['input']!r} ({message[0].lower()}{message[1:]})"


def encode(source: Source, mask: np.ndarray, image: np.ndarray, facts: Facts) -> tuple[bytes, bytes]:
    """Both files of a pair.

    Args:
        source: the identity of the pair.
        mask: `(height, width, 1)`, uint8 in {0, 255}.
        image: `(height, width, 3)`, uint8, sRGB.
        facts: given by the caller.

    Returns:
        The files of the image and of the segmentation, uncompressed.
    """
    identity = _Identity(source, mask, image, facts)
    shown = _image(source, image, facts, identity)
    return _file(shown), _file(_segmentation(source, mask, facts, shown, identity))


class _Identity:
    """The UIDs of a pair. Another pixel or another fact gives other UIDs, since the objects are others."""

    def __init__(self, source: Source, mask: np.ndarray, image: np.ndarray, facts: Facts):
        said = json.dumps([__version__, *source, list(image.shape), facts.model_dump(mode="json")])
        self._digest = hashlib.sha256(said.encode() + image.tobytes() + mask.tobytes()).hexdigest()

    def uid(self, of: str) -> str:
        """A UID below 2.25, which is for UUIDs (PS3.5, B.2)."""
        return _uid(f"{self._digest} {of}")


def _uid(name: str) -> str:
    return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"


def _image(source: Source, pixels: np.ndarray, facts: Facts, identity: _Identity) -> Any:
    """The data set of an Ophthalmic Photography 8 Bit Image (A.41)."""
    from pydicom.dataset import Dataset
    from pydicom.sr.codedict import codes

    data = Dataset()
    for name in _EMPTY:
        setattr(data, name, None)
    for name in _EMPTY_SEQUENCES:
        setattr(data, name, [])
    _identify(data, source, facts)
    data.SOPClassUID, data.SOPInstanceUID = PHOTOGRAPH, identity.uid("photograph")
    data.StudyInstanceUID, data.SeriesInstanceUID = identity.uid("study"), identity.uid("photograph series")
    data.Modality, data.SeriesNumber, data.InstanceNumber = "OP", 1, 1
    # C.7.4.2: nothing was acquired, so nothing was triggered or synchronized.
    data.SynchronizationTrigger, data.AcquisitionTimeSynchronized = "NO TRIGGER", "N"
    data.SynchronizationFrameOfReferenceUID = identity.uid("synchronization")
    # C.8.17.2.1.4: ORIGINAL would need a time of acquisition. Value 2 can only be PRIMARY; MONTAGE, the only
    # term defined for value 3, would be false.
    data.ImageType = ["DERIVED", "PRIMARY", "SYNTHETIC", "COLOR"]
    if facts.pixel_spacing is not None:
        data.PixelSpacing = [facts.pixel_spacing] * 2
    data.BurnedInAnnotation = facts.burned_in_annotation
    data.LossyImageCompression = "00"
    data.ImageLaterality = facts.laterality
    data.AnatomicRegionSequence = [_code(codes.SCT.Retina)]
    data.AcquisitionDeviceTypeCodeSequence = [_code(getattr(codes.cid4202, facts.device))]
    _add_pixels(data, pixels)
    return data


def _add_pixels(data: Any, pixels: np.ndarray) -> None:
    data.Rows, data.Columns, data.SamplesPerPixel = pixels.shape
    data.PhotometricInterpretation, data.PlanarConfiguration = "RGB", 0
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    # C.7.6.6: the class is a multi-frame one.
    data.NumberOfFrames = 1
    data.FrameIncrementPointer, data.FrameTime = 0x00181063, 0
    content = pixels.tobytes()
    data.PixelData = content + b"\0" * (len(content) % 2)


def _segmentation(source: Source, mask: np.ndarray, facts: Facts, image: Any, identity: _Identity) -> Any:
    """The data set of a binary Segmentation (A.51): 1 is vessel. Single-frame, since the image has no position."""
    import highdicom
    from pydicom.sr.codedict import codes

    program = {"name": _PROGRAM, "version": __version__, "family": codes.DCM.ArtificialIntelligence}
    segment = highdicom.seg.SegmentDescription(
        segment_number=1,
        segment_label="vessels",
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=codes.SCT.BloodVessel,
        algorithm_type="AUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(**program),
        anatomic_regions=[codes.SCT.Retina],
        tracking_uid=identity.uid("vessels"),
        tracking_id="vessels",
    )
    data = highdicom.seg.Segmentation(
        source_images=[_as_single_frame(image)],
        pixel_array=mask[..., 0] >= 128,
        segmentation_type="BINARY",
        segment_descriptions=[segment],
        series_instance_uid=identity.uid("segmentation series"),
        series_number=2,
        sop_instance_uid=identity.uid("segmentation"),
        instance_number=1,
        manufacturer=_MAKER,
        manufacturer_model_name=_PROGRAM,
        software_versions=__version__,
        device_serial_number=source.model_sha256,
        transfer_syntax_uid=_EXPLICIT_LITTLE_ENDIAN,
        omit_empty_frames=False,
        content_label="VESSELS",
    )
    for element in data.iterall():
        if element.keyword == "ReferencedSOPClassUID":
            element.value = PHOTOGRAPH
    # highdicom takes these from the clock and a random generator.
    for name in ("InstanceCreationDate", "InstanceCreationTime"):
        delattr(data, name)
    data.PatientOrientation = None  # C.7.6.1: type 2C without an Image Orientation (Patient)
    organization = identity.uid("dimensions")
    for item in (*data.DimensionOrganizationSequence, *data.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
    _identify(data, source, facts)
    return data


def _as_single_frame(image: Any) -> Any:
    """The image without pixels, as a single-frame class: highdicom requires a pixel size of a multi-frame class,
    and the pixel size is not known.
    """
    from pydicom.dataset import Dataset

    source, left_out = Dataset(), ("PixelData", "PixelSpacing")
    source.update({element.tag: element for element in image if element.keyword not in left_out})
    source.SOPClassUID = _VL_PHOTOGRAPH
    return source


def _identify(data: Any, source: Source, facts: Facts) -> None:
    """Sets patient, equipment, time and Synthetic Data."""
    from pydicom.dataset import Dataset
    from pydicom.sr.codedict import codes

    data.PatientName = f"SYNTHETIC^PAIR {source.index}"
    data.PatientID = f"SYNTHETIC-{source.model_sha256[:12]}-{source.seed}-{source.index}"
    data.ContentDate, data.ContentTime = facts.created.strftime("%Y%m%d"), facts.created.strftime("%H%M%S")
    data.SyntheticData = "YES"
    generator = Dataset()
    for equipment in (data, generator):
        equipment.Manufacturer, equipment.ManufacturerModelName = _MAKER, _PROGRAM
        equipment.SoftwareVersions, equipment.DeviceSerialNumber = __version__, source.model_sha256
    generator.PurposeOfReferenceCodeSequence = [_code(codes.DCM.SynthesizingEquipment)]
    generator.ContributionDescription = (
        f"Generated by a generative adversarial network: model {source.model_sha256}, seed {source.seed}, "
        f"index {source.index}."
    )
    data.ContributingEquipmentSequence = [generator]


def _code(code: Any) -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def _file(data: Any) -> bytes:
    import pydicom
    from pydicom.dataset import FileMetaDataset

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
    meta.TransferSyntaxUID = _EXPLICIT_LITTLE_ENDIAN
    meta.ImplementationClassUID, meta.ImplementationVersionName = _uid(_PROGRAM), f"SYNTHMED_{__version__}"[:16]
    data.file_meta = meta
    written = BytesIO()
    pydicom.dcmwrite(written, data, enforce_file_format=True)
    return written.getvalue()
