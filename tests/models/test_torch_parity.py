"""What the training step's speed is compared with, the step in PyTorch, has the same losses with the same weights."""

import functools
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers.steps import COARSE, make_config, one_device, random_pairs

from synthmed_tf.data import augmentation, pipeline
from synthmed_tf.models import latents
from synthmed_tf.training import ema
from synthmed_tf.training.adversarial import AdversarialStep
from synthmed_tf.training.refiner_stage import RefinerStage
from synthmed_tf.training.renderer_stages import CoarseRendererStage, FineRendererStage
from synthmed_tf.training.ridge_stage import RidgeStage
from synthmed_tf.training.stages import ImageStage, MaskStage
from synthmed_tf.training.supervised import SupervisedStep

torch = pytest.importorskip("torch")
sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
torch_step = pytest.importorskip("torch_step")

recommended = pytest.importorskip("torch_recommended")
recommended_networks = pytest.importorskip("torch_recommended_networks")

NETWORKS = ("generator", "discriminator", "encoder", "network")


def _pairs(layer, module):
    """Each PyTorch parameter, the Keras variable of the same place, and what turns the value of one into the other's.

    The parts of a module have the names of the parts of the layer.
    """
    if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
        yield module.weight, layer.kernel, lambda value: _in_order(module, np.transpose(value, (3, 2, 0, 1)))
        yield module.bias, layer.bias, lambda value: _in_order(module, value)
    elif isinstance(module, torch.nn.Linear):
        yield from ((module.weight, layer.kernel, np.transpose), (module.bias, layer.bias, np.asarray))
    elif isinstance(module, torch.nn.GroupNorm | torch.nn.BatchNorm2d):
        yield from ((module.weight, layer.layer.gamma, np.asarray), (module.bias, layer.layer.beta, np.asarray))
    for name, part in module.named_children():
        if not isinstance(part, torch.nn.Identity | torch.nn.Dropout):
            yield from _pairs(layer[int(name)] if name.isdigit() else getattr(layer, name), part)


def _in_order(module, value):
    """TensorFlow's channels of a cell are pixels of channels, PyTorch's are channels of pixels."""
    if isinstance(module, recommended_networks.CellConvolution) and value.ndim == 4:
        cells = value.reshape(len(value), module.cell**2, -1, 3, 3)
        return np.swapaxes(cells, 1, 2).reshape(value.shape)
    if isinstance(module, recommended_networks.SubPixelConvolution):
        return np.swapaxes(value.reshape(module.cell**2, -1, *value.shape[1:]), 0, 1).reshape(value.shape)
    return value


def _copy_weights(layer, module):
    """From a Keras layer to the PyTorch module of the same structure."""
    with torch.no_grad():
        for parameter, variable, convert in _pairs(layer, module):
            parameter.copy_(torch.from_numpy(np.array(convert(variable.numpy()))))


def _make_uneven(network):
    rng = np.random.default_rng(0)
    network.set_weights([w + rng.normal(0, 0.05, w.shape).astype(np.float32) for w in network.get_weights()])


def _both(name, preset):
    """The stage in TensorFlow and in PyTorch with its weights, made uneven, and the same batch for each."""
    config = make_config(preset, "stage2.dropout=0", f"{name}.r1_gamma=1")
    fov = np.ones((32, 32, 1), np.float32)
    ours = MaskStage(config, fov) if name == "stage1" else ImageStage(config)
    theirs = torch_step.MaskStage(config) if name == "stage1" else torch_step.ImageStage(config)
    _copy_networks(ours, theirs)
    batch = next(iter(pipeline.batches(random_pairs(), 8, 0, augmentation.Ranges())))
    return ours, theirs, batch, _numbers(ours, batch) | _images(batch)


def _copy_networks(ours, theirs):
    for name in NETWORKS:
        network = getattr(ours, name, None)
        if network is not None:
            _make_uneven(network)
            _copy_weights(network, getattr(theirs, name))


def _numbers(stage, batch):
    """The random numbers that TensorFlow's stage generates for a batch."""
    index, seeds = batch["index"], tf.zeros(8, tf.int64)
    if isinstance(stage, MaskStage | RidgeStage):
        generated = {"latent": latents.sample(seeds, index, stage.config.latent_dim, latents.TRAIN_LATENT)}
        for name, stream in (("shift_real", latents.AUGMENT_REAL), ("shift_fake", latents.AUGMENT_FAKE)):
            unit = latents.sample_uniform(seeds, index, augmentation.NUMBERS, stream)
            generated[name] = augmentation.transforms(unit, stage.ranges)[..., 2]
    else:
        dim = max(stage.config.style_dim, 1)
        generated = {"jitter": latents.sample(seeds, index, dim, latents.POSTERIOR)}
        generated["prior"] = latents.sample(seeds, index, dim, latents.TRAIN_STYLE)
    return {name: torch.from_numpy(value.numpy()) for name, value in generated.items()}


def _images(batch):
    made = {name: torch.from_numpy(batch[name].numpy().transpose(0, 3, 1, 2)) for name in ("image", "coverage")}
    made["fov"] = torch.from_numpy(batch["fov"].numpy().transpose(0, 3, 1, 2))
    return made | {"paired": torch.from_numpy((batch["index"].numpy() % 2 == 0).astype(np.float32))}


@pytest.mark.parametrize(("name", "preset"), [("stage1", "gan"), ("stage2", "gan"), ("stage2", "paper")])
def test_every_term_is_the_same_in_pytorch(name, preset):
    ours, theirs, batch, torch_batch = _both(name, preset)
    generated, torch_generated = ours.generate(batch, 0), theirs.generate(torch_batch)
    real, fake = ours.discriminate_real(batch), ours.discriminate_generated(batch, generated)
    torch_real, torch_fake = (
        theirs.discriminate_real(torch_batch),
        theirs.discriminate_generated(torch_batch, torch_generated),
    )
    for found, expected in ((torch_real[0], real[0]), (torch_fake[0], fake[0])):
        found = found.detach().numpy().reshape(expected.shape)  # one channel
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(theirs.r1_term(torch_batch).item(), np.mean(ours.r1_term(batch)), rtol=1e-4)
    features = theirs.real_features(torch_batch)
    found = theirs.generator_terms(torch_batch, torch_generated, torch_fake, features)
    expected = ours.generator_terms(batch, generated, fake, real)
    assert set(found) == set(expected)
    for term, value in expected.items():
        np.testing.assert_allclose(found[term].item(), np.mean(value), rtol=1e-4, err_msg=term)


@pytest.mark.parametrize("name", ["stage1", "stage2"])
def test_a_step_with_one_discriminator_pass_has_the_same_gradients_in_pytorch(name):
    ours, theirs, batch, torch_batch = _both(name, "gan")
    step, torch_steps = AdversarialStep(ours, one_device()), torch_step.AdversarialStep(theirs, simultaneous=True)
    applied = {}
    for network in ("generator", "discriminator"):
        getattr(step, f"{network}_update").apply = lambda gradients, network=network: applied.update(
            {network: gradients}
        )
    terms, torch_terms = step.replica_step(batch, tf.constant(0, tf.int64)), torch_steps(torch_batch)
    assert set(terms) == set(torch_terms)
    for term, value in terms.items():
        np.testing.assert_allclose(torch_terms[term].item(), value, rtol=1e-4, err_msg=term)
    trained = {"generator": theirs.trained_with_generator(), "discriminator": torch_steps.weights}
    for network, parameters in trained.items():
        found = sorted(parameter.grad.norm().item() for parameter in parameters)
        expected = sorted(float(tf.norm(gradient)) for gradient in applied[network])
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4, err_msg=network)


@pytest.mark.parametrize("name", ["stage1", "stage2"])
def test_the_networks_have_as_many_parameters_in_pytorch(name):
    ours, theirs, _, _ = _both(name, "gan")
    for network in NETWORKS:
        if getattr(ours, network, None) is not None:
            count = sum(parameter.numel() for parameter in getattr(theirs, network).parameters())
            assert count == getattr(ours, network).count_params(), network


RECOMMENDED = ("stage1", "stage1_fine", "stage2", "stage2_fine")


@functools.cache
def _recommended(name):
    """The stage of the preset `recommended` as `_both` gives it; each takes seconds to make, and both tests use it."""
    config = make_config(
        "recommended", *COARSE, "stage1.steps=1", "stage1_fine.steps=1", "stage2.steps=4", "stage2_fine.steps=4"
    )
    pairs = random_pairs(64)
    pairs[..., 4:] *= np.hypot(*(np.mgrid[:64, :64] - 31.5))[..., None] < 31
    if name == "stage1":
        ours = RidgeStage(config, pairs[0, ..., 4:] / 255.0, pairs[..., 3:4])
        ours._unreached = 0.0
        fov = torch.from_numpy(ours.fov.numpy()).permute(2, 0, 1)[None]
        theirs = recommended.RidgeStage(config, fov, ours._unreached)
    else:
        make = {"stage1_fine": RefinerStage, "stage2": CoarseRendererStage, "stage2_fine": FineRendererStage}[name]
        ours, theirs = make(config, pairs), getattr(recommended, make.__name__)(config)
    _copy_networks(ours, theirs)
    batch = next(iter(ours.batches()))
    torch_batch = {"maps": _channels_first(batch["maps"].numpy()), "index": torch.from_numpy(batch["index"].numpy())}
    numbers = {"stage1": _numbers, "stage1_fine": _numbers_of_refiner}.get(name, _numbers_of_flow)
    return ours, theirs, batch, torch_batch | numbers(ours, batch)


def _channels_first(images):
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1)))


def _sampled(batch, dim, stream, distribution="normal"):
    sampled = latents.sample(tf.zeros_like(batch["index"]), batch["index"], dim, stream, distribution).numpy()
    return sampled if distribution == "normal" else (sampled + 1) / 2


def _numbers_of_refiner(stage, batch):
    size = stage.crop
    normal = _sampled(batch, 2 * size**2, latents.MAPS_NOISE).reshape(-1, size, size, 2)
    return {
        "maps_noise": torch.from_numpy(_sampled(batch, 1, latents.MAPS_NOISE_LEVEL, "uniform"))[..., None, None],
        "maps_normal": _channels_first(normal),
        **_flow_numbers(batch, 1, size, latents.FLOW_NOISE, latents.FLOW_TIME, stage.factor**2),
    }


def _numbers_of_flow(stage, batch):
    crops = stage.config.crops if isinstance(stage, CoarseRendererStage) else 1
    numbers = _flow_numbers(batch, crops, stage.crop, latents.FLOW_NOISE, latents.FLOW_TIME)
    numbers["colour"] = _sampled(batch, 5, latents.AUGMENT_COLOUR, "uniform")
    if isinstance(stage, CoarseRendererStage):
        numbers["corners"] = _sampled(batch, 2 * crops, latents.CROP, "uniform").reshape(-1, 2, crops)
        streams = (latents.THUMBNAIL_FLOW_NOISE, latents.THUMBNAIL_FLOW_TIME)
        small = _flow_numbers(batch, 4, stage.size // 4, *streams)
        numbers |= {f"thumbnail_{key}": value for key, value in small.items()}
        normal = _sampled(batch, 1 + augmentation.CONTROLS**2, latents.THUMBNAIL_ERASED)
        numbers["height"] = normal[:, :1, None, None]
        numbers["controls"] = normal[:, 1:].reshape(-1, 1, augmentation.CONTROLS, augmentation.CONTROLS)
    return {key: torch.as_tensor(value) for key, value in numbers.items()}


def _flow_numbers(batch, times, side, noise, time, channels=3):
    images = _sampled(batch, times * side * side * channels, noise).reshape(-1, side, side, channels)
    return {"noise": _channels_first(images), "time": torch.from_numpy(_sampled(batch, times, time).ravel())}


@pytest.mark.parametrize("name", RECOMMENDED)
def test_a_step_of_the_recommended_preset_has_the_same_terms_and_gradients_in_pytorch(name):
    ours, theirs, batch, torch_batch = _recommended(name)
    if name == "stage1":
        step, torch_steps = AdversarialStep(ours, one_device()), torch_step.AdversarialStep(theirs, simultaneous=True)
        updates = (step.generator_update, step.discriminator_update)
    else:
        step, torch_steps = SupervisedStep(ours, one_device()), recommended.SupervisedStep(theirs)
        updates = (step.update,)
    gradients = {}
    for update in updates:
        ids = [id(variable) for variable in update.variables]
        update.apply = lambda found, ids=ids: gradients.update(zip(ids, found, strict=True))
    terms, torch_terms = step.replica_step(batch, tf.constant(0, tf.int64)), torch_steps(torch_batch)
    assert set(terms) == set(torch_terms)
    for term, value in terms.items():
        assert value > 0, term
        np.testing.assert_allclose(torch_terms[term].item(), value, rtol=1e-4, err_msg=term)
    compared = 0
    for network in NETWORKS:
        if getattr(ours, network, None) is not None:
            for parameter, variable, convert in _pairs(getattr(ours, network), getattr(theirs, network)):
                expected = convert(gradients[id(variable)].numpy())
                near = 1e-3 * max(np.abs(expected).max(), 1e-3)
                np.testing.assert_allclose(parameter.grad.numpy(), expected, rtol=1e-3, atol=near)
                compared += 1
    assert compared == len(gradients)


@pytest.mark.parametrize("name", RECOMMENDED)
def test_the_networks_of_the_recommended_preset_have_as_many_parameters_in_pytorch(name):
    ours, theirs, _, torch_batch = _recommended(name)
    for network in NETWORKS:
        if getattr(ours, network, None) is not None:
            count = sum(parameter.numel() for parameter in getattr(theirs, network).parameters())
            assert count == getattr(ours, network).count_params(), network
    made = theirs.numbers(8)
    assert {key: value.shape for key, value in made.items()} == {key: torch_batch[key].shape for key in made}


@pytest.mark.parametrize("name", RECOMMENDED[1:])
def test_the_learning_rate_falls_alike_in_pytorch(name):
    ours, theirs, _, _ = _recommended(name)
    steps = recommended.SupervisedStep(theirs)
    steps.optimizer.zero_grad()
    for step in range(ours.config.steps + 1):
        np.testing.assert_allclose(steps.optimizer.param_groups[0]["lr"], ours.learning_rate(step), rtol=1e-5)
        steps.optimizer.step()
        steps.schedule.step()


@pytest.mark.parametrize("steps", [1, 50, 10_000])
def test_weights_are_averaged_alike_in_pytorch(steps):
    config = make_config("recommended").stage2
    average, network = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(average.weight)
    torch.nn.init.ones_(network.weight)
    torch_step.update_average(average, network, config, steps)
    size = config.batch_size
    expected = 1.0 - ema.decay(tf.constant(steps * size), size, config.ema_half_life)
    np.testing.assert_allclose(average.weight.item(), expected, rtol=1e-4)
