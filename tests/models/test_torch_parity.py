"""What the training step's speed is compared with, the step in PyTorch, has the same losses with the same weights."""

import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers.steps import make_config, one_device, random_pairs

from synthmed_tf.data import augmentation, pipeline
from synthmed_tf.models import latents
from synthmed_tf.training.adversarial import AdversarialStep
from synthmed_tf.training.stages import ImageStage, MaskStage

torch = pytest.importorskip("torch")
sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
torch_step = pytest.importorskip("torch_step")

NETWORKS = ("generator", "discriminator", "encoder")


def _copy_weights(layer, module):
    """From a Keras layer to the PyTorch module of the same structure, part by part, by the name of each part."""
    if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
        _fill(module, np.transpose(layer.kernel.numpy(), (3, 2, 0, 1)), layer.bias)
    elif isinstance(module, torch.nn.Linear):
        _fill(module, np.transpose(layer.kernel.numpy()), layer.bias)
    elif isinstance(module, torch.nn.GroupNorm | torch.nn.BatchNorm2d):
        _fill(module, layer.layer.gamma.numpy(), layer.layer.beta)
    for name, part in module.named_children():
        if not isinstance(part, torch.nn.Identity | torch.nn.Dropout):
            _copy_weights(layer[int(name)] if name.isdigit() else getattr(layer, name), part)


def _fill(module, weight, bias):
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(weight.copy()))
        module.bias.copy_(torch.from_numpy(bias.numpy()))


def _both(name, preset):
    """The stage in TensorFlow and in PyTorch with its weights, made uneven, and the same batch for each."""
    config = make_config(preset, "stage2.dropout=0", f"{name}.r1_gamma=1")
    fov = np.ones((32, 32, 1), np.float32)
    ours = MaskStage(config, fov) if name == "stage1" else ImageStage(config)
    theirs = torch_step.MaskStage(config) if name == "stage1" else torch_step.ImageStage(config)
    rng = np.random.default_rng(0)
    for network in NETWORKS:
        if getattr(ours, network, None) is not None:
            made = getattr(ours, network)
            made.set_weights([w + rng.normal(0, 0.05, w.shape).astype(np.float32) for w in made.get_weights()])
            _copy_weights(made, getattr(theirs, network))
    batch = next(iter(pipeline.batches(random_pairs(), 8, 0, augmentation.Ranges())))
    return ours, theirs, batch, _numbers(ours, batch) | _images(batch)


def _numbers(stage, batch):
    """The random numbers that TensorFlow's stage generates for a batch."""
    index, seeds = batch["index"], tf.zeros(8, tf.int64)
    if isinstance(stage, MaskStage):
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
