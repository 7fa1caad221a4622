"""Export: proven or nothing, and a card that says the truth."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
from helpers.tiny import FACTS, make_coarse_run, make_config, make_run

from synthmed_tf import files
from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting import artifact, exporter, parity
from synthmed_tf.models import latents
from synthmed_tf.training import snapshot


def _read(file):
    return json.loads(file.read_text(encoding="utf-8"))


def _refusal(run, out, **options):
    with pytest.raises(SynthMedError) as caught:
        exporter.export(run, out, **options)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def run_copy(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run")


def test_the_artifact_has_the_files_of_the_design_and_no_others(tiny_artifact):
    listed = {path.relative_to(tiny_artifact).as_posix() for path in tiny_artifact.rglob("*") if path.is_file()}
    savedmodel = {name for name in listed if name.startswith("savedmodel/1/")}
    assert "savedmodel/1/saved_model.pb" in savedmodel
    assert listed - savedmodel == {"generator.onnx", "card.json", "card.md", "parity.json"}


def test_the_card_lists_every_file_with_its_hash(tiny_artifact):
    listed = _read(tiny_artifact / "card.json")["files"]
    others = [path for path in tiny_artifact.rglob("*") if path.is_file() and not path.name.startswith("card.")]
    assert listed == {path.relative_to(tiny_artifact).as_posix(): files.sha256(path) for path in others}


def test_the_card_tells_what_the_model_is(tiny_run, tiny_artifact):
    card = _read(tiny_artifact / "card.json")
    masks = snapshot.load(tiny_run / "stage1" / "snapshot")
    facts = {"kind": "generator", "name": "model", "size": 32, "latent_dim": 6, "style_dim": 3, "license": "CC BY 4.0"}
    facts |= {"threshold": masks.threshold, "data": {"stage1": FACTS, "stage2": FACTS}, "synthetic": True}
    facts |= {"steps": {"stage1": 7, "stage2": 7}, "config": masks.config.model_dump(mode="json")}
    assert {name: card[name] for name in facts} == facts
    assert card["versions"].keys() >= {"synthmed_tf", "python", "tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime"}
    text = (tiny_artifact / "card.md").read_text(encoding="utf-8")
    trained_on = "5 pairs of 3 patients of eyes (SHA-256 abababababababab): source not named, 7 steps"
    for part in ("# model", card["model_sha256"], "32 x 32", "CC BY 4.0", trained_on, "| savedmodel | 0.0e+00 |"):
        assert part in text


def test_the_parity_report_has_metrics_within_its_limits(tiny_artifact):
    report = _read(tiny_artifact / "parity.json")
    assert report == _read(tiny_artifact / "card.json")["parity"]
    assert report["limits"] == {"mask_share": 1e-5, "grey_levels": 1}
    assert report["batch_sizes"] == [1, 3, 8] and report["images"] * 32 * 32 >= 1_000_000
    for runtime in ("savedmodel", "onnx"):
        assert report[runtime]["mask_share"] <= 1e-5 and report[runtime]["grey_levels"] <= 1


def test_the_identity_changes_with_all_that_decides_the_images(tiny_run):
    masks, images = (snapshot.load(tiny_run / stage / "snapshot") for stage in ("stage1", "stage2"))

    def changed(made, **facts):
        return snapshot.Snapshot(**(vars(made) | facts))

    weights = [masks.weights[0] + np.float32(1e-6), *masks.weights[1:]]
    identities = [
        exporter._identity(*pair)
        for pair in (
            (masks, images),
            (changed(masks, threshold=masks.threshold + 1e-6), images),
            (changed(masks, weights=weights), images),
            (changed(masks, fov=255 - masks.fov), images),
            (masks, changed(images, weights=images.weights[::-1])),
        )
    ]
    assert len(set(identities)) == 5
    assert exporter._identity(changed(masks, step=8, data={}), images) == identities[0]


@pytest.mark.once
@pytest.mark.parametrize("fault", ["mask", "image", "batch"])
def test_parity_refuses_a_runtime_that_generates_something_else(tiny_artifact, tiny_chain, fault):
    class Other(artifact.SavedModelArtifact):
        """Differs in a mask pixel of each batch, of each batch of 3, or by 2 grey levels in one place."""

        def pixels(self, seed, index):
            masks, images = (images.copy() for images in super().pixels(seed, index))
            if fault == "mask" or (fault == "batch" and len(seed) == 3):
                masks[0, 16, 16] = 255 - masks[0, 16, 16]
            if fault == "image" and seed[0] == -3:
                images[0, 16, 16, 0] ^= 2
            return masks, images

    with pytest.raises(SynthMedError) as caught:
        parity.compare(tiny_chain, [Other(tiny_artifact / artifact.SAVEDMODEL, artifact.read_card(tiny_artifact))])
    # 977 images in batches of 1, 3, 8, 1, 3, 8, ...: 246 batches, 82 of them of 3 images.
    share = {"mask": 246 / (977 * 1024), "batch": 82 / (977 * 1024)}.get(fault)
    if share is None:
        expected = "An image of the savedmodel differs from Keras by 2 grey levels, more than 1"
    else:
        expected = f"The savedmodel differs from Keras in {share:.1e} of the mask pixels, more than 1e-05"
    assert str(caught.value) == f"{expected}; nothing was exported."


@pytest.mark.once
def test_a_failed_export_leaves_nothing_behind_and_the_old_artifact_as_it_was(
    tiny_run, tiny_artifact, tmp_path, monkeypatch
):
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(tiny_artifact / artifact.ONNX))
    kernel = max((t for t in model.graph.initializer if len(t.dims) == 4), key=lambda t: np.prod(t.dims))
    values = numpy_helper.to_array(kernel)
    values = values + 0.1 * np.random.default_rng(0).normal(size=values.shape).astype(np.float32)
    kernel.CopyFrom(numpy_helper.from_array(values, kernel.name))
    monkeypatch.setattr(exporter, "write_onnx", lambda chain, file, card: onnx.save(model, str(file)))
    out = shutil.copytree(tiny_artifact, tmp_path / "model")
    before = {path: files.sha256(path) for path in out.rglob("*") if path.is_file()}
    for folder in (out, tmp_path / "new"):
        assert "nothing was exported" in _refusal(tiny_run, folder, formats=["onnx"])
    assert os.listdir(tmp_path) == ["model"]
    assert {path: files.sha256(path) for path in out.rglob("*") if path.is_file()} == before


@pytest.mark.once
def test_an_artifact_is_replaced_by_one_of_one_format(tiny_run, tiny_artifact, tmp_path):
    out = shutil.copytree(tiny_artifact, tmp_path / "model")
    report = exporter.export(tiny_run, out, formats=["onnx", "onnx"], name="only ONNX")
    assert sorted(os.listdir(out)) == ["card.json", "card.md", "generator.onnx", "parity.json"]
    assert "savedmodel" not in report and _read(out / "card.json")["name"] == "only ONNX"
    assert _read(out / "card.json")["model_sha256"] == _read(tiny_artifact / "card.json")["model_sha256"]


def test_the_papers_networks_export_too(tmp_path):
    run = make_run(tmp_path / "run", "paper")
    report = exporter.export(run, tmp_path / "model")
    assert report["savedmodel"]["mask_share"] <= 1e-5 and report["onnx"]["grey_levels"] <= 1
    opened = [artifact.open_artifact(tmp_path / "model", runtime) for runtime in ("savedmodel", "onnx")]
    pairs = [each.pixels(np.array([1, 2]), np.array([3, 3])) for each in opened]
    np.testing.assert_array_equal(pairs[0][0], pairs[1][0])
    assert 0.05 < np.mean(pairs[0][0] == 255) < 0.95
    assert opened[0].card["threshold"] == 0 and opened[0].card["style_dim"] == 0
    from_latent = opened[0]._model.signatures["from_latent"]
    assert list(from_latent.structured_input_signature[1]) == ["latent"]


def test_parity_generates_a_million_pixels_in_batches_of_several_sizes(tiny_chain):
    assert list(parity._parts(7, (1, 3))) == [slice(0, 1), slice(1, 4), slice(4, 5), slice(5, 7)]
    assert parity.compare(tiny_chain, [])["images"] == 977


@pytest.mark.parametrize(("formats", "found"), [(["onnxx"], "There is no format 'onnxx'"), ([], "No format is given")])
def test_unknown_formats(tiny_run, tmp_path, formats, found):
    assert _refusal(tiny_run, tmp_path / "out", formats=formats) == (
        f"{found}; choose from savedmodel, onnx, onnx-latent, onnx-fp16, onnx-int8, training."
    )


def test_a_run_without_a_stage(run_copy, tmp_path):
    shutil.rmtree(run_copy / "stage2")
    message = f"There is no snapshot in {run_copy / 'stage2' / 'snapshot'}; train this stage first (synthmed train)."
    assert _refusal(run_copy, tmp_path / "out") == message
    assert not (tmp_path / "out").exists()


def test_stages_that_do_not_belong_together(run_copy, tmp_path):
    read = snapshot.load(run_copy / "stage2" / "snapshot")
    other = read.config.model_copy(update={"size": 64})
    snapshot.save(
        snapshot.Snapshot(**(vars(read) | {"config": other, "fov": np.zeros((64, 64, 1), np.uint8)})),
        run_copy / "stage2" / "snapshot",
    )
    message = f"In {run_copy} stage1 generates 32 pixels and stage2 64; train both at one size."
    assert _refusal(run_copy, tmp_path / "out") == message
    shutil.rmtree(run_copy / "stage2")
    shutil.copytree(run_copy / "stage1", run_copy / "stage2")
    assert "the snapshots are of stage1 and stage1, not of stage1 and stage2" in _refusal(run_copy, tmp_path / "out")


def test_weights_of_another_configuration(run_copy, tmp_path):
    file = run_copy / "stage1" / "snapshot" / "snapshot.json"
    facts = _read(file)
    facts["config"] = make_config("gan", "stage1.filters=5").model_dump(mode="json")
    file.write_text(json.dumps(facts))
    message = _refusal(run_copy, tmp_path / "out")
    assert f"The snapshot in {file.parent} is damaged (weights.npz does not fit the configuration)" in message


@pytest.mark.parametrize("name", ["notes.txt", "card.json"])
def test_a_folder_of_something_else_is_kept(tiny_run, tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text('{"kind": "synthetic set"}')
    message = f"{tmp_path / 'out'} is there and is not an artifact; choose another --out or empty it."
    assert _refusal(tiny_run, tmp_path / "out") == message
    assert os.listdir(tmp_path / "out") == [name]


def test_a_file_in_the_way(tiny_run, tmp_path):
    (tmp_path / "out").write_text("text")
    assert "is there and is not an artifact" in _refusal(tiny_run, tmp_path / "out")
    message = _refusal(tiny_run, tmp_path / "out" / "model")
    assert "cannot be written (" in message and "choose another --out." in message


@pytest.fixture(scope="module")
def coarse_run(tmp_path_factory):
    """Two networks in each stage. Not to be changed."""
    return make_coarse_run(tmp_path_factory.mktemp("coarse") / "run")


@pytest.mark.once
def test_stages_of_two_networks_are_one_graph_that_all_runtimes_agree_on(coarse_run, tmp_path):
    run = coarse_run
    report = exporter.export(run, tmp_path / "model", overrides=["stage2.guidance=0.5"])
    # An export fails above its limits; one flipped branch may be more than 1e-5 of such small masks.
    assert report["limits"] == {"mask_share": 1e-4, "grey_levels": 1} and {"savedmodel", "onnx"} < report.keys()
    card = _read(tmp_path / "model" / "card.json")
    assert card["steps"] == dict.fromkeys(("stage1", "stage1_fine", "stage2", "stage2_fine"), 7) and card["size"] == 64
    assert card["config"]["stage2"]["guidance"] == 0.5
    index = np.arange(5)
    masks, _ = artifact.open_artifact(tmp_path / "model", "onnx").pixels(np.full(5, 3), index)
    assert masks.shape == (5, 64, 64, 1) and 0.02 < np.mean(masks == 255) < 0.9
    chain = exporter.make_mask_generator(*_parts(run))
    coverage = chain(latents.sample(np.full(5, 3), index, 6, latents.LATENT)).numpy()
    np.testing.assert_array_equal(masks == 255, (coverage > 0) & (snapshot.load(run / "stage1/snapshot").fov >= 128))
    opened = artifact.open_artifact(tmp_path / "model", "savedmodel")
    images = opened.translate(masks, np.full(5, 3), index).astype(int)
    np.testing.assert_allclose(images, opened.pixels(np.full(5, 3), index)[1], atol=1)
    assert np.abs(images[0] - images[1]).mean() > 1


def _parts(run):
    masks, refiner = exporter.load_stage1(run)
    return masks, run, refiner


def test_the_identity_changes_with_the_fine_network(coarse_run):
    masks, run, refiner = _parts(coarse_run)
    images = snapshot.load(run / "stage2" / "snapshot")
    other = dataclasses.replace(refiner, thresholds=refiner.thresholds._replace(high=0.7))
    assert len({exporter._identity(masks, images, *fine) for fine in ((), (refiner,), (other,))}) == 3


def test_the_identity_changes_with_the_rules_by_which_an_architecture_generates(tiny_run, coarse_run, monkeypatch):
    def identities():
        parts = (exporter.Parts.load(tiny_run), exporter.Parts.load(coarse_run))
        return [each.identity for each in parts]

    unet, pyramid = identities()
    monkeypatch.setitem(exporter._RULES, "pyramid", 3)
    assert identities()[0] == unet and identities()[1] != pyramid


def test_the_card_has_the_options_that_each_network_was_trained_with_last(coarse_run):
    masks, _, refiner = _parts(coarse_run)
    images, renderer = exporter.load_stage2(coarse_run)
    stage = refiner.config.stage1_fine.model_copy(update={"guidance": 2.0})
    later = dataclasses.replace(refiner, config=refiner.config.model_copy(update={"stage1_fine": stage}))
    config = exporter._describe(masks, images, "model", "CC0-1.0", (later, renderer))["config"]
    expected = masks.config.model_dump(mode="json")
    expected["stage1_fine"]["guidance"] = 2.0
    assert config == expected


def test_an_export_changes_options_of_generation_alone(coarse_run, tmp_path):
    parts = exporter.Parts.load(coarse_run)
    assert parts.sampled_with([]).identity == parts.identity
    guided = parts.sampled_with(["stage2.guidance=4", "stage2_fine.flow_steps=2"])
    assert guided.identity != parts.identity and {part.config.stage2_fine.flow_steps for part in guided.present} == {2}
    before, after = (each.chain(coarse_run).pixels(np.array([3]), np.array([0])) for each in (parts, guided))
    np.testing.assert_array_equal(before["mask"], after["mask"])
    assert np.abs(before["image"].numpy().astype(int) - after["image"]).max() > 1
    assert _refusal(coarse_run, tmp_path / "model", overrides=["stage2.filters=8"]) == (
        "Option stage2.filters cannot be changed after training; an export changes stage2.guidance, "
        "stage2.flow_steps, stage2.thumbnail_steps or stage2_fine.flow_steps."
    )
    assert os.listdir(tmp_path) == []


def test_a_run_whose_second_stage_is_no_pyramid_has_no_options_of_generation(tiny_run, tmp_path):
    assert _refusal(tiny_run, tmp_path / "model", overrides=["stage2.guidance=1"]) == (
        "Stage-II of this run is 'unet', which has no options for an export to change; leave them out."
    )


def test_a_fine_network_that_is_missing_or_of_another_size_is_refused(coarse_run, tmp_path):
    masks, run, refiner = _parts(shutil.copytree(coarse_run, tmp_path / "run"))
    other = dataclasses.replace(refiner, config=make_config("recommended", "size=128", "stage1.coarse_size=32"))
    with pytest.raises(SynthMedError, match=r"do not belong together \(sizes \(64, 32\) and \(128, 32\)\)"):
        exporter.make_mask_generator(masks, run, other)
    shutil.rmtree(run / "stage1_fine")
    assert "stage1_fine" in _refusal(run, tmp_path / "model")


def test_a_fine_renderer_that_is_missing_or_of_another_size_is_refused(coarse_run, tmp_path):
    run = shutil.copytree(coarse_run, tmp_path / "run")
    images, renderer = exporter.load_stage2(run)
    other = dataclasses.replace(renderer, config=make_config("recommended", "size=128", "stage1.coarse_size=32"))
    with pytest.raises(SynthMedError, match="snapshots of stage2 and stage2_fine do not belong together"):
        exporter.make_image_generator(images, run, other)
    shutil.rmtree(run / "stage2_fine")
    assert "stage2_fine" in _refusal(run, tmp_path / "model")
