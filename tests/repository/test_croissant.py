"""`croissant.json`: valid, loadable offline by mlcroissant, and saying how each pair can be generated again."""

import json
import logging

import numpy as np
import pytest
from helpers.entries import built, request

from synthmed_tf import images
from synthmed_tf.exporting.artifact import open_artifact
from synthmed_tf.generation import plan, synthesis

mlcroissant = pytest.importorskip("mlcroissant")

FIRST, COUNT = 8, 5


@pytest.fixture(scope="module")
def generated(tiny_artifact, tmp_path_factory):
    """A set of 5 pairs from index 8: with 8, 9, 10 and so on, names of several lengths. Not to be changed."""
    out = tmp_path_factory.mktemp("sets") / "set"
    synthesis.generate_set(open_artifact(tiny_artifact, "onnx"), out, COUNT, seed=-4, first_index=FIRST)
    return out


@pytest.fixture(scope="module")
def version(generated, tmp_path_factory):
    """A version of two shards. Not to be changed."""
    folder = tmp_path_factory.mktemp("versions") / "1.2.0"
    stated = {"data_name": "EYES-5", "data_license": "CC0 1.0", "data_url": "https://example.org/eyes"}
    made = request(generated, description="First line.\n\nThe <b>rest</b>.", keywords=("fundus",), **stated)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "PAIRS_A_SHARD", 3)
        return built(made, folder), folder


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No cache of the user's is touched, and nothing is fetched."""
    import socket

    def refuse(*arguments, **more):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("HOME", str(tmp_path))


def _load(version):
    return json.loads((version[1] / "croissant.json").read_text())


def test_it_is_valid_without_errors_and_without_warnings(version, offline, caplog):
    with caplog.at_level(logging.WARNING):
        dataset = mlcroissant.Dataset(str(version[1] / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors and not dataset.metadata.ctx.issues.warnings
    assert [record.message for record in caplog.records] == []


def test_mlcroissant_loads_the_pairs(version, generated, offline):
    records = list(mlcroissant.Dataset(str(version[1] / "croissant.json")).records("pairs"))
    assert sorted(record["pairs/index"] for record in records) == list(range(FIRST, FIRST + COUNT))
    for record in records:
        for name, folder in (("image", "images"), ("mask", "masks")):
            content = (generated / folder / f"{record['pairs/index']:08d}.png").read_bytes()
            np.testing.assert_array_equal(
                np.asarray(record[f"pairs/{name}"]), images.decode_png(content).squeeze(), err_msg=name
            )
        assert record["pairs/seed"] == -4
        assert record["pairs/model_sha256"] == version[0].model_sha256.encode()


def test_it_conforms_to_croissant_and_its_rai_vocabulary(version):
    found = _load(version)
    assert found["conformsTo"] == ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
    assert found["name"] == "Tiny eyes" and found["version"] == "1.2.0"
    assert found["description"] == "First line.\n\nThe <b>rest</b>."
    assert found["license"] == "https://spdx.org/licenses/CC-BY-4.0.html"
    assert found["datePublished"] == "2026-11-25T12:30:00Z"
    assert found["keywords"][0] == "synthetic" and found["keywords"][-1] == "fundus"
    said = {name for name in found if name.startswith("rai:")}
    assert said == {
        "rai:dataAnnotationProtocol",
        "rai:dataBiases",
        "rai:dataCollection",
        "rai:dataCollectionType",
        "rai:dataLimitations",
        "rai:dataReleaseMaintenancePlan",
        "rai:dataSocialImpact",
        "rai:dataUseCases",
        "rai:hasSyntheticData",
        "rai:machineAnnotationTools",
        "rai:personalSensitiveInformation",
    }
    assert found["rai:dataCollection"].startswith("Synthetic. A generator of two networks generated each pair")
    assert "Not evaluated: it is not known whether it is useful" in json.dumps(found["rai:dataLimitations"])


def test_provenance_goes_from_the_pairs_to_the_training_data(version):
    found, model = _load(version), version[0].model_sha256
    generation = found["prov:wasGeneratedBy"]
    assert found["@context"]["prov"] == "http://www.w3.org/ns/prov#"
    assert found["prov:wasDerivedFrom"] == {"@id": f"urn:sha256:{model}"} == {"@id": generation["prov:used"]["@id"]}
    assert generation["prov:label"] == "generation with seed -4, indices 8 to 12"
    assert generation["prov:used"]["prov:wasDerivedFrom"] == {
        "@type": "prov:Entity",
        "@id": "https://example.org/eyes",
        "prov:label": "EYES-5",
    }


def test_every_file_of_every_format_is_listed_with_its_digest(version):
    listed = {part["@id"]: part for part in _load(version)["distribution"] if part["@type"] == "cr:FileObject"}
    expected = {file.path: file for file in version[0].files if file.role in ("imagefolder", "tfrecord")}
    assert listed.keys() == expected.keys()
    for place, part in listed.items():
        assert (part["contentUrl"], part["sha256"]) == (place, expected[place].sha256)
        assert part["contentSize"] == f"{expected[place].size} B"


def test_hostile_text_leaves_it_valid(generated, offline, tmp_path):
    hostile = '"}],"@type":"x\\\n</script><script>alert(1)</script>\u202e{"@id":"y"}'
    more = {"data_name": hostile, "data_license": hostile, "data_attribution": hostile, "organ": hostile}
    stated = {"title": hostile, "description": hostile, "license": hostile, "creators": (hostile,), **more}
    made = request(generated, keywords=(hostile + "!",), **stated)
    built(made, tmp_path / "version")
    found = mlcroissant.Dataset(str(tmp_path / "version" / "croissant.json")).metadata
    assert (found.name, found.description) == (hostile, hostile)
    assert (found.creators[0].name, found.license, found.keywords[-1]) == (hostile, [hostile], hostile + "!")
