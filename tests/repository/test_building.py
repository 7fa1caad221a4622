"""What a version's folder holds: every file, from which it came, and what is refused."""

import dataclasses
import hashlib
import io
import json
import shutil
import zipfile

import numpy as np
import pytest
from helpers.entries import PUBLISHED, built, contents, request, write_report
from PIL import Image

from synthmed_tf import images
from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation.filtering import FilterLimits, filter_set
from synthmed_tf.evaluation.verdict import State
from synthmed_tf.exporting.artifact import open_artifact
from synthmed_tf.generation import plan, synthesis
from synthmed_tf.repository.entry import Entry
from synthmed_tf.repository.publish import building

COUNT, SEED = 12, 4


@pytest.fixture(scope="module")
def opened(tiny_artifact):
    return open_artifact(tiny_artifact, "onnx")


@pytest.fixture(scope="module")
def generated(opened, tmp_path_factory):
    """A set of 12 pairs from index 0. Not to be changed."""
    out = tmp_path_factory.mktemp("sets") / "set"
    synthesis.generate_set(opened, out, COUNT, seed=SEED)
    return out


@pytest.fixture(scope="module")
def evaluated(generated, tmp_path_factory):
    """A report on it. Not to be changed."""
    return write_report(generated, tmp_path_factory.mktemp("reports") / "report")


@pytest.fixture(scope="module")
def filtered(generated, evaluated, tmp_path_factory):
    """The set without the pairs 0 to 4, whose images do not show their masks, and 9 to 11."""
    scores = [json.loads(line) for line in (evaluated / "pairs.jsonl").read_text().splitlines()]
    report = shutil.copytree(evaluated, tmp_path_factory.mktemp("reports") / "report")
    lines = [json.dumps({"index": score["index"], "dice": float(score["index"] in (5, 7, 8))}) for score in scores]
    (report / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    out = report.parent / "filtered"
    filter_set(generated, report, out, FilterLimits())
    return out


@pytest.fixture(scope="module")
def version(generated, evaluated, tiny_artifact, tmp_path_factory):
    """A version with all that it may hold. Not to be changed."""
    made = request(
        generated, report=evaluated, artifact=tiny_artifact, formats=("imagefolder", "tfrecord", "webdataset")
    )
    folder = tmp_path_factory.mktemp("versions") / "1.2.0"
    return built(made, folder), folder


def _refusal(made, tmp_path):
    with pytest.raises(SynthMedError) as caught:
        built(made, tmp_path / "refused")
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    return str(caught.value)


def _zipped(file):
    with zipfile.ZipFile(file) as opened:
        return {member.filename: opened.read(member) for member in opened.infolist()}


def test_the_entry_lists_every_file_as_it_is(version):
    entry, folder = version
    found = contents(folder)
    assert Entry.model_validate_json(found.pop("entry.json")) == entry
    assert [file.path for file in entry.files] == sorted(found)
    for file in entry.files:
        assert (file.size, file.sha256) == (len(found[file.path]), hashlib.sha256(found[file.path]).hexdigest())
    roles = {file.path.partition("/")[0]: file.role for file in entry.files}
    assert roles == {
        "README.md": "description",
        "card.json": "description",
        "croissant.json": "description",
        "thumbnail.png": "preview",
        "previews": "preview",
        "report": "report",
        "generator": "generator",
        "imagefolder": "imagefolder",
        "tfrecord": "tfrecord",
        "webdataset": "webdataset",
    }


def test_the_entry_says_what_the_set_is(version, opened):
    entry, _ = version
    assert (entry.count, entry.first_index, entry.last_index, entry.size) == (COUNT, 0, COUNT - 1, 32)
    assert (entry.seed, entry.model_sha256, entry.precision) == (SEED, opened.model_sha256, "float32")
    assert (entry.published, entry.license, entry.creators) == (PUBLISHED, "CC BY 4.0", ("Ada L.",))
    facts = {"layout": "plain", "pairs": 5, "patients": 3, "size": 32, "sha256": "ab" * 32}
    assert entry.training_data.facts == {"stage1": facts, "stage2": facts}
    assert entry.generator.onnx == "generator/generator.onnx"
    assert entry.generator.savedmodel == "generator/savedmodel/1"


def test_the_row_says_the_same(version):
    entry, _ = version
    row = building.row(entry)
    assert row.id == "tiny-eyes@1.2.0" and row.generator and row.verdict is State.FAIL
    assert row.verdicts["copies"] is State.PASS and len(row.verdicts) == 6
    assert row.bytes == sum(file.size for file in entry.files)
    assert row.formats == ("imagefolder", "tfrecord", "webdataset") and row.thumbnail == "thumbnail.png"


def test_it_is_built_again_to_the_same_bytes(version, generated, evaluated, tiny_artifact, tmp_path):
    made = request(
        generated, report=evaluated, artifact=tiny_artifact, formats=("webdataset", "tfrecord", "imagefolder")
    )
    built(made, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(version[1])


def test_the_files_are_the_bytes_of_the_set(version, generated):
    members = _zipped(version[1] / "imagefolder" / "train-00000-of-00001.zip")
    rows = [json.loads(line) for line in members.pop("metadata.jsonl").splitlines()]
    assert [row["index"] for row in rows] == list(range(COUNT))
    assert rows[3] == {
        "file_name": "images/00000003.png",
        "mask_file_name": "masks/00000003.png",
        "index": 3,
        "seed": SEED,
        "model_sha256": version[0].model_sha256,
    }
    assert members == {name: content for name, content in contents(generated).items() if name in members}
    assert len(members) == 2 * COUNT


def test_the_zip_tells_no_time_and_no_user(version):
    with zipfile.ZipFile(version[1] / "imagefolder" / "train-00000-of-00001.zip") as opened:
        members = opened.infolist()
    assert {member.date_time for member in members} == {(1980, 1, 1, 0, 0, 0)}
    assert {member.external_attr >> 16 for member in members} == {0o100644}
    assert {member.compress_type for member in members} == {zipfile.ZIP_STORED}


@pytest.mark.parametrize("name", ["tfrecord", "webdataset"])
def test_records_are_those_that_generate_writes(version, opened, tmp_path, name):
    synthesis.generate(opened, synthesis.make_plan(opened, COUNT, SEED, 0, name, 1), tmp_path / name)
    expected = contents(tmp_path / name)
    for place, content in contents(version[1] / name).items():
        assert content == expected[place]


@pytest.mark.parametrize(("count", "names"), [(None, ["00000-of-00001"]), (2, ["00000-of-00002", "00001-of-00002"])])
def test_a_filtered_set_keeps_its_indices(filtered, tmp_path, monkeypatch, count, names):
    if count is not None:
        monkeypatch.setattr(plan, "PAIRS_A_SHARD", count)
    entry = built(request(filtered), tmp_path / "version")
    assert (entry.count, entry.first_index, entry.last_index) == (3, 5, 8)
    folder = tmp_path / "version"
    assert sorted(path.stem for path in (folder / "imagefolder").iterdir()) == [f"train-{name}" for name in names]
    rows = [
        json.loads(line)["index"]
        for path in sorted((folder / "imagefolder").iterdir())
        for line in _zipped(path)["metadata.jsonl"].splitlines()
    ]
    assert rows == [5, 7, 8]
    info = json.loads((folder / "tfrecord" / "dataset_info.json").read_text())
    assert info["splits"][0]["shardLengths"] == (["3"] if count is None else ["1", "2"])
    assert [preview.index for preview in entry.previews] == [5, 7, 8]
    assert (
        "9 \\(image does not show its mask\\)".replace("\\(", "(").replace("\\)", ")")
        in (folder / "README.md").read_text()
    )


def test_a_set_in_shards_is_the_same_version(opened, generated, tmp_path):
    synthesis.generate(opened, synthesis.make_plan(opened, COUNT, SEED, 0, "png", 3), tmp_path / "set")
    made = [built(request(folder), tmp_path / name) for folder, name in ((generated, "a"), (tmp_path / "set", "b"))]
    assert made[0].count == made[1].count == COUNT
    packed = [contents(tmp_path / name / "imagefolder") for name in "ab"]
    first, second = (_zipped(io.BytesIO(each["train-00000-of-00001.zip"])) for each in packed)
    assert first == second


def test_datasets_reads_the_folder_by_its_readme_and_by_its_zips(generated, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    monkeypatch.setattr(plan, "PAIRS_A_SHARD", 5)
    built(request(generated), tmp_path / "version")
    cache = {"split": "train", "cache_dir": str(tmp_path / "cache")}
    zips = str(tmp_path / "version" / "imagefolder" / "*.zip")
    for rows in (
        datasets.load_dataset("imagefolder", data_files=zips, **cache),
        datasets.load_dataset(str(tmp_path / "version"), **cache),
    ):
        assert sorted(rows["index"][:]) == list(range(COUNT))  # shards come in an order of its own
        for row in rows:
            for column, folder in (("image", "images"), ("mask", "masks")):
                expected = images.decode_png((generated / folder / f"{row['index']:08d}.png").read_bytes()).squeeze()
                np.testing.assert_array_equal(np.asarray(row[column]).squeeze(), expected)


def test_tensorflow_datasets_reads_the_records(version, generated):
    tfds = pytest.importorskip("tensorflow_datasets", reason="tensorflow-datasets is not installed")
    builder = tfds.builder_from_directory(version[1] / "tfrecord")
    examples = sorted(tfds.as_numpy(builder.as_dataset(split="train")), key=lambda example: example["index"])
    assert [int(example["index"]) for example in examples] == list(range(COUNT))
    for example in examples:
        np.testing.assert_array_equal(
            example["image"], images.read_image(generated / "images" / f"{example['index']:08d}.png")
        )


def test_previews_are_spread_evenly_and_are_the_sets_files(opened, tmp_path):
    synthesis.generate_set(opened, tmp_path / "set", 50, seed=1, first_index=100)
    entry = built(request(tmp_path / "set"), tmp_path / "version")
    indices = [preview.index for preview in entry.previews]
    assert len(indices) == 24 and indices[:3] == [100, 102, 104] and indices[-1] == 147
    for preview in entry.previews[:2]:
        original = (tmp_path / "set" / "images" / f"{preview.index:08d}.png").read_bytes()
        assert (tmp_path / "version" / preview.image).read_bytes() == original


def test_the_thumbnail_is_small(version):
    content = (version[1] / "thumbnail.png").read_bytes()
    assert Image.open(io.BytesIO(content)).size == (240, 240)
    assert len(content) < 60_000


def test_the_shared_generator_opens_and_generates_the_same(version, opened):
    assert json.loads((version[1] / "generator" / "card.json").read_text())["name"] == "tiny-eyes"
    seed, index = np.full(2, SEED), np.arange(2)
    for runtime in ("onnx", "savedmodel"):
        again = open_artifact(version[1] / "generator", runtime)
        for ours, theirs in zip(again.pixels(seed, index), opened.pixels(seed, index), strict=True):
            assert np.abs(ours.astype(int) - theirs).max() <= (0 if runtime == "onnx" else 1)


def test_without_report_and_artifact_it_is_not_evaluated_and_not_shared(generated, tmp_path):
    entry = built(request(generated), tmp_path / "version")
    assert entry.evaluation is None and entry.generator is None
    assert not (tmp_path / "version" / "report").exists() and not (tmp_path / "version" / "generator").exists()
    readme = (tmp_path / "version" / "README.md").read_text()
    for said in ("| evaluation | not evaluated |", "**Not evaluated.**", "It is not shared."):
        assert said in readme
    assert json.loads((tmp_path / "version" / "card.json").read_text())["evaluation"] == "not evaluated"
    assert building.row(entry).verdict is None


def test_a_generator_that_was_not_attacked_is_said_to_be_so(version, generated, evaluated, tiny_artifact, tmp_path):
    assert not version[0].generator.attacked
    assert "Not attacked: the evaluation tested the set" in (version[1] / "README.md").read_text()
    found = json.loads((evaluated / "report.json").read_text())
    attack = found["sections"]["privacy"]["attacks"][0] | {"name": "reconstruction by Stage-II"}
    found["sections"]["privacy"]["attacks"].append(attack)
    attacked = shutil.copytree(evaluated, tmp_path / "report")
    (attacked / "report.json").write_text(json.dumps(found))
    entry = built(request(generated, report=attacked, artifact=tiny_artifact), tmp_path / "version")
    assert entry.generator.attacked
    assert "The evaluation attacked its weights too" in (tmp_path / "version" / "README.md").read_text()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "Tiny Eyes"}, "Field name is 'Tiny Eyes'; use lower-case letters, digits and single hyphens"),
        ({"name": "../eyes"}, "Field name is '../eyes'; use lower-case"),
        ({"version": "1.0"}, "Field version is '1.0'; write three numbers, such as 1.0.0."),
        ({"version": "1.0.0\n"}, "Field version is '1.0.0\\n'; write three numbers"),
        ({"title": ""}, "Field title is ''; write 1 to 300 characters."),
        ({"title": "x" * 100_000}, "Field title is 'xxxxxxxxxx"),
        ({"title": "\ud800"}, "Field title is"),
        ({"creators": ()}, "Field creators is empty; name who made the set."),
        ({"creators": ("a", "")}, "Field creators is ''; write 1 to 300 characters."),
        ({"description": "x" * 10_001}, "; write 10,000 characters at most."),
        ({"data_url": "javascript:alert(1)"}, "Field data_url is 'javascript:alert(1)'; write an address"),
        ({"data_name": "x" * 301}, "Field data_name is 'xxx"),
        (
            {"formats": ("imagefolder", "zip")},
            "Field formats has 'zip'; choose from imagefolder, tfrecord",
        ),
        ({"formats": ("tfrecord",)}, "Field formats is without imagefolder, which croissant.json describes; add it."),
        ({"published": PUBLISHED.replace(tzinfo=None)}, "without a time zone; give it in UTC."),
    ],
)
def test_a_bad_field_is_named(generated, tmp_path, changes, said):
    assert said in _refusal(request(generated, **changes), tmp_path)
    assert contents(tmp_path / "refused") == {}


def test_a_folder_that_is_not_empty_is_refused(generated, tmp_path):
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(SynthMedError, match="is not empty; name an empty folder"):
        building.build(request(generated), tmp_path)


def test_sets_that_cannot_be_published_are_refused(opened, generated, tmp_path):
    synthesis.generate(opened, synthesis.make_plan(opened, COUNT, SEED, 0, "webdataset", 1), tmp_path / "tars")
    said = _refusal(request(tmp_path / "tars"), tmp_path)
    assert "is a set of webdataset, and plain pairs are published; generate it with --format png." in said
    synthesis.generate(opened, synthesis.make_plan(opened, COUNT, SEED, 0, "png", 3), tmp_path / "half", only=[0])
    shutil.rmtree(tmp_path / "refused")
    assert "00001-of-00003.jsonl cannot be read (No such file" in _refusal(request(tmp_path / "half"), tmp_path)
    shutil.rmtree(tmp_path / "refused")
    assert "is not a synthetic set" in _refusal(request(tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "manifest.jsonl").unlink(), "manifest.jsonl cannot be read (No such file"),
        (lambda folder: (folder / "manifest.jsonl").write_text(""), "holds no pairs"),
        (lambda folder: _edit(folder, lambda lines: [*lines, "{"]), "is damaged (line 13 is no pair)"),
        (lambda folder: _edit(folder, lambda lines: lines[::-1]), "is damaged (pair 10 comes after pair 11)"),
        (lambda folder: _edit(folder, lambda lines: [lines[0].replace('"seed": 4', '"seed": 5')]), "seed 5, not 4"),
        (lambda folder: _change_card(folder, size="32"), "card.json is damaged at size; generate the set again."),
        (lambda folder: _change_card(folder, data={"stage1": 1}), "card.json is damaged at data; generate"),
        (lambda folder: (folder / "masks" / "00000007.png").unlink(), "00000007.png cannot be read (No such file"),
        (lambda folder: _flip(folder / "images" / "00000011.png"), "00000011.png is not the file that the manifest"),
    ],
)
def test_a_damaged_set_is_refused(generated, tmp_path, damage, said):
    broken = shutil.copytree(generated, tmp_path / "set")
    damage(broken)
    assert said in _refusal(request(broken), tmp_path)


def _edit(folder, change):
    path = folder / "manifest.jsonl"
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")


def _change_card(folder, **fields):
    path = folder / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def _flip(path):
    path.write_bytes(path.read_bytes()[:-1] + b"x")


@pytest.mark.parametrize(
    ("states", "leaking", "said"),
    [
        ({"copies": State.FAIL}, [], "copy real ones, so it is not published; drop them with synthmed filter"),
        ({"membership": State.FAIL}, ["nearest mask"], "the set itself gives it away"),
        ({"membership": State.FAIL}, ["discriminator of Stage-I"], "evaluate the set without --artifact and --run"),
        ({"membership": State.FAIL}, ["discriminator of Stage-I", "mask"], "the set itself gives it away"),
    ],
)
def test_a_privacy_fail_is_refused(generated, tmp_path, states, leaking, said):
    folder = write_report(generated, tmp_path / "report", states, {"leaking": tuple(leaking)})
    assert said in _refusal(request(generated, report=folder), tmp_path)
    assert contents(tmp_path / "refused") == {}


def test_a_report_on_another_set_is_refused(opened, evaluated, tmp_path):
    synthesis.generate_set(opened, tmp_path / "other", COUNT, seed=5)
    said = _refusal(request(tmp_path / "other", report=evaluated), tmp_path)
    assert "is a report on another set than" in said


def test_the_artifact_must_have_generated_the_set_and_be_whole(generated, tiny_artifact, tmp_path):
    other = shutil.copytree(tiny_artifact, tmp_path / "model")
    card = json.loads((other / "card.json").read_text())
    (other / "card.json").write_text(json.dumps(card | {"model_sha256": "0" * 64}))
    assert "is model 0000000000000000 but" in _refusal(request(generated, artifact=other), tmp_path)
    shutil.rmtree(tmp_path / "refused")
    (other / "card.json").write_text(json.dumps(card | {"files": {"../card.json": "0" * 64}}))
    assert "Path '../card.json' is absolute, leaves its folder" in _refusal(
        request(generated, artifact=other), tmp_path
    )
    shutil.rmtree(tmp_path / "refused")
    (other / "card.json").write_text(json.dumps(card))
    _flip(other / "parity.json")
    assert "parity.json is not the file that card.json lists" in _refusal(request(generated, artifact=other), tmp_path)


def test_a_request_is_frozen(generated):
    with pytest.raises(dataclasses.FrozenInstanceError):
        request(generated).name = "other"
