"""`croissant.json`: MLCommons Croissant 1.1 with the RAI vocabulary and PROV-O, loadable from the version's folder.

The record set `pairs` has a record for each pair: `image`, `mask`, `index`, `seed` and `model_sha256`, from which the
pair can be generated again.
"""

import importlib
import json
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from synthmed_tf import files
from synthmed_tf.extras import require_extra
from synthmed_tf.generation.formats.png import FOLDERS
from synthmed_tf.repository.entry import Entry
from synthmed_tf.repository.publish import card_text
from synthmed_tf.repository.publish.packing import IMAGEFOLDER

FILE = "croissant.json"

_CONFORMS_TO = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
_NEW_IN_1_1 = {
    "arrayShape": "cr:arrayShape",
    "containedIn": "cr:containedIn",
    "isArray": "cr:isArray",
    "description": {"@container": "@language"},
    "name": {"@container": "@language"},
}
"""Terms that the library's own context lacks."""

_PROV = "http://www.w3.org/ns/prov#"
_TYPES = {".zip": "application/zip", ".tar": "application/x-tar", ".json": "application/json"}
_OTHER_TYPE = "application/octet-stream"
_INDEX = r"0*(\d+)(?:\.png)?$"
"""Of a file's name. It also takes what it gave: the library applies it twice where two sources are joined."""

Json = dict[str, Any]


def write(entry: Entry, folder: Path) -> None:
    """Writes the file; `entry.files` must list those of all formats.

    Raises:
        SynthMedError: the package mlcroissant is missing.
        OSError: it cannot be written.
    """
    files.write_text(folder / FILE, json.dumps(describe(entry), indent=2, ensure_ascii=False) + "\n")


def describe(entry: Entry) -> Json:
    """The description as JSON-LD.

    Raises:
        SynthMedError: the package mlcroissant is missing.
    """
    mlc = _library()
    context = mlc.Context(conforms_to=_CONFORMS_TO[0])
    context.rdf = mlc.Rdf(context=context.rdf.context | _NEW_IN_1_1 | {"prov": _PROV})
    made = mlc.Metadata(
        ctx=context,
        conforms_to=_CONFORMS_TO,
        name=entry.title,
        description=entry.description or entry.title,
        version=entry.version,
        url="README.md",
        license=[card_text.license_url(entry.license) or entry.license],
        creators=[mlc.Organization(ctx=context, name=name) for name in entry.creators],
        date_published=entry.published,
        keywords=list(card_text.tags(entry)),
        cite_as=card_text.CITATION,
        distribution=_distribution(mlc, context, entry),
        record_sets=_record_sets(mlc, context, entry),
        **_responsible(entry),
    )
    return dict(made.to_json()) | {"rai:hasSyntheticData": True} | _provenance(entry)


def _distribution(mlc: ModuleType, context: Any, entry: Entry) -> list[Any]:
    """Every file of every format, and in the zip files the images and masks."""
    objects = [
        mlc.FileObject(
            ctx=context,
            id=file.path,
            name=file.path,
            content_url=file.path,
            content_size=f"{file.size} B",
            encoding_formats=[_TYPES.get(PurePosixPath(file.path).suffix, _OTHER_TYPE)],
            sha256=file.sha256,
        )
        for file in entry.files
        if file.role in entry.formats
    ]
    zips = [file.path for file in entry.files if file.role == IMAGEFOLDER]
    sets = [
        mlc.FileSet(
            ctx=context,
            id=folder,
            name=folder,
            contained_in=zips,
            encoding_formats=["image/png"],
            includes=[f"{folder}/*.png"],
        )
        for folder in FOLDERS
    ]
    return objects + sets


def _record_sets(mlc: ModuleType, context: Any, entry: Entry) -> list[Any]:
    """`pairs`, and the masks by themselves: the library joins two sources where one of them is a record set."""

    def of_file(folder: str, fact: str) -> Any:
        transforms = [mlc.Transform(ctx=context, regex=_INDEX)] if fact == "filename" else []
        extract = mlc.Extract(ctx=context, file_property=fact)
        return mlc.Source(ctx=context, file_set=folder, extract=extract, transforms=transforms)

    def of_field(name: str) -> Any:
        return mlc.Source(ctx=context, field=name)

    def field(place: str, kind: Any, description: str, **more: Any) -> Any:
        name = place.partition("/")[2]
        return mlc.Field(ctx=context, id=place, name=name, description=description, data_types=[kind], **more)

    def records(name: str, description: str, fields: list[Any]) -> Any:
        return mlc.RecordSet(ctx=context, id=name, name=name, description=description, fields=fields)

    kinds, (images, masks) = mlc.DataType, FOLDERS
    vessels, index = f"The {card_text.mask(entry)}, 0 or 255.", "The pair's index in the endless set of the seed."
    by_mask = [
        field("mask_files/index", kinds.TEXT, index, source=of_file(masks, "filename")),
        field("mask_files/mask", kinds.IMAGE_OBJECT, vessels, source=of_file(masks, "content")),
    ]
    joined = {"source": of_file(images, "filename"), "references": of_field("mask_files/index")}
    by_pair = [
        field("pairs/index", kinds.INTEGER, index, **joined),
        field("pairs/image", kinds.IMAGE_OBJECT, "The image.", source=of_file(images, "content")),
        field("pairs/mask", kinds.IMAGE_OBJECT, vessels, source=of_field("mask_files/mask")),
        field("pairs/seed", kinds.INTEGER, "Of the endless set.", value=entry.seed),
        field("pairs/model_sha256", kinds.TEXT, "The generator that generated it.", value=entry.model_sha256),
    ]
    generated = "A record for each pair. Model, seed and index are what it can be generated again from."
    return [records("mask_files", "The masks alone.", by_mask), records("pairs", generated, by_pair)]


def _responsible(entry: Entry) -> Json:
    """The RAI vocabulary."""
    return {
        "data_collection": card_text.collection(entry),
        "data_collection_type": ["Others"],
        "data_annotation_protocol": ["The mask is generated first and the image from it; nobody labelled anything."],
        "machine_annotation_tools": [entry.made_with],
        "data_limitations": card_text.limits(entry),
        "data_biases": card_text.biases(entry),
        "data_use_cases": [card_text.uses(entry)],
        "data_social_impact": card_text.impact(entry),
        "personal_sensitive_information": [card_text.sensitive(entry)],
        "data_release_maintenance_plan": card_text.MAINTENANCE,
    }


def _provenance(entry: Entry) -> Json:
    """PROV-O: training data, generator, pairs."""
    data, model = entry.training_data, f"urn:sha256:{entry.model_sha256}"
    trained_on = {"@type": "prov:Entity", "prov:label": data.name or card_text.NOT_STATED}
    if data.url is not None:
        trained_on["@id"] = data.url
    generator = {
        "@type": "prov:Entity",
        "@id": model,
        "prov:label": f"generator, model SHA-256 {entry.model_sha256}",
        "prov:wasDerivedFrom": trained_on,
    }
    generation = {
        "@type": "prov:Activity",
        "prov:label": f"generation with seed {entry.seed}, indices {entry.first_index} to {entry.last_index}",
        "prov:used": generator,
        "prov:wasAssociatedWith": {"@type": "prov:SoftwareAgent", "prov:label": entry.made_with},
    }
    return {"prov:wasDerivedFrom": {"@id": model}, "prov:wasGeneratedBy": generation}


def _library() -> ModuleType:
    require_extra("repository")
    return importlib.import_module("mlcroissant")
