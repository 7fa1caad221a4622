"""The adversarial step of both stages in PyTorch: the same losses, updates and averaged weights.

Written as PyTorch is written for speed: fused optimizers, one generation for both updates, no gradient into a frozen
discriminator's weights, no synchronization inside a step. Updates alternate, as in the public code of DCGAN and
pix2pix; optionally both networks learn from one discriminator pass over each example, as in this package.
"""

import torch
import torch.nn.functional as F
import torch_networks as networks
from torch import Tensor, nn

from synthmed_tf.config.schema import Config, StageConfig, TrainedConfig

Batch = dict[str, Tensor]
DiscriminatorOutput = tuple[Tensor, list[Tensor]]


class MaskStage:
    """Stage-I's networks and losses (`synthmed_tf.training.stages.MaskStage`, presets without the DCGAN)."""

    def __init__(self, config: Config):
        self.config = stage = config.stage1
        parts = (config.size, stage.latent_dim, stage.filters, stage.max_filters, stage.norm)
        self.generator = networks.MaskGenerator(*parts)
        self.generator_ema = networks.MaskGenerator(*parts)
        self.discriminator = networks.MaskDiscriminator(config.size, stage.discriminator_filters, stage.max_filters)

    def trained_with_generator(self) -> list[nn.Parameter]:
        return list(self.generator.parameters())

    def numbers(self, batch: int) -> Batch:
        """The random numbers of one step."""
        shift = self.config.augment.shift
        shifts = {name: 2.0 * shift * (2.0 * torch.rand(batch, 2) - 1.0) for name in ("shift_real", "shift_fake")}
        return {"latent": torch.randn(batch, self.config.latent_dim)} | shifts

    def generate(self, batch: Batch) -> Batch:
        return {"coverage_tanh": self.generator(batch["latent"])}

    def discriminate_real(self, batch: Batch) -> DiscriminatorOutput:
        return self.discriminator(self._seen_real(batch)), []

    def discriminate_generated(self, batch: Batch, generated: Batch) -> DiscriminatorOutput:
        return self.discriminator(_shifted(generated["coverage_tanh"], batch["shift_fake"])), []

    def real_features(self, batch: Batch) -> None:
        """None: no loss compares features."""

    def discriminator_terms(self, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Batch:
        return {"adversarial": discriminator_loss(real[0], fake[0])}

    def generator_terms(self, batch: Batch, generated: Batch, fake: DiscriminatorOutput, real_features: None) -> Batch:
        terms = {"adversarial": generator_loss(fake[0])}
        if self.config.diversity_weight:
            loss = diversity_loss(2.0 * batch["coverage"] - 1.0, generated["coverage_tanh"])
            terms["diversity"] = self.config.diversity_weight * loss
        return terms

    def r1_term(self, batch: Batch) -> Tensor:
        real = self._seen_real(batch).requires_grad_()
        (gradient,) = torch.autograd.grad(self.discriminator(real).sum(), real, create_graph=True)
        return gradient.square().sum(dim=(1, 2, 3)).mean() / 2.0

    def _seen_real(self, batch: Batch) -> Tensor:
        return _shifted(2.0 * batch["coverage"] - 1.0, batch["shift_real"])


class ImageStage:
    """Stage-II's networks and losses (`synthmed_tf.training.stages.ImageStage`)."""

    def __init__(self, config: Config):
        self.config = stage = config.stage2
        parts = (config.size, stage.filters, stage.norm, stage.upsampling, stage.dropout, stage.style_dim)
        self.generator = networks.ImageGenerator(*parts, stage.use_fov)
        self.generator_ema = networks.ImageGenerator(*parts, stage.use_fov)
        self.discriminator = networks.PatchDiscriminator(1 + stage.use_fov, stage.discriminator_filters, stage.norm)
        self.encoder = networks.StyleEncoder(stage.style_dim) if stage.style_dim else None

    def trained_with_generator(self) -> list[nn.Parameter]:
        return [*self.generator.parameters(), *(self.encoder.parameters() if self.encoder else ())]

    def numbers(self, batch: int) -> Batch:
        """The random numbers of one step."""
        dim = self.config.style_dim
        return {"jitter": torch.randn(batch, dim), "prior": torch.randn(batch, dim)} if dim else {}

    def generate(self, batch: Batch) -> Batch:
        condition = self._condition(batch)
        if self.encoder is None:
            return {"condition": condition, "image": self.generator(condition)}
        mean, log_variance = self.encoder(batch["image"])
        posterior = mean + batch["jitter"] * torch.exp(log_variance / 2.0)
        style = torch.where(batch["paired"][:, None] > 0.0, posterior, batch["prior"])
        generated = {"style_mean": mean, "style_log_variance": log_variance, "style": style}
        return generated | {"condition": condition, "image": self.generator(condition, style)}

    def discriminate_real(self, batch: Batch) -> DiscriminatorOutput:
        return self.discriminator(self._condition(batch), batch["image"])

    def discriminate_generated(self, batch: Batch, generated: Batch) -> DiscriminatorOutput:
        return self.discriminator(generated["condition"], generated["image"])

    def discriminator_terms(self, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Batch:
        return {"adversarial": discriminator_loss(real[0], fake[0])}

    @torch.no_grad()
    def real_features(self, batch: Batch) -> list[Tensor] | None:
        """The features of paired examples alone."""
        if not self.config.feature_weight:
            return None
        every = self._every()
        return self.discriminator(self._condition(batch)[::every], batch["image"][::every])[1]

    def generator_terms(
        self, batch: Batch, generated: Batch, fake: DiscriminatorOutput, real_features: list[Tensor] | None
    ) -> Batch:
        config, image = self.config, generated["image"]
        paired = 2.0 * batch["paired"] if self.encoder else torch.ones(len(image))
        terms = {"adversarial": config.adversarial_weight * generator_loss(fake[0])}
        terms["l1"] = config.l1_weight * (paired * _l1(batch["image"], image)).mean()
        if config.feature_weight:
            pairs = zip(real_features, fake[1], strict=True)
            matching = [_l1(real, generated[:: self._every()]).mean() for real, generated in pairs]
            terms["features"] = config.feature_weight * sum(matching) / len(matching)
        if self.encoder:
            mean, log_variance = generated["style_mean"], generated["style_log_variance"]
            divergence = (mean.square() + log_variance.exp() - log_variance - 1.0).sum(dim=1) / 2.0
            terms["kl"] = config.kl_weight * divergence.mean()
            self.encoder.requires_grad_(False)  # it does not learn to read back
            read_back, _ = self.encoder(image)
            self.encoder.requires_grad_(True)
            terms["style"] = config.style_weight * ((2.0 - paired) * _l1(generated["style"], read_back)).mean()
        return terms

    def _every(self) -> int:
        """Paired examples are every other one where there is a style, and weigh 2."""
        return 2 if self.encoder else 1

    def r1_term(self, batch: Batch) -> Tensor:
        real = batch["image"].clone().requires_grad_()
        logits = self.discriminator(self._condition(batch), real)[0].mean(dim=(1, 2, 3))
        (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
        return gradient.square().sum(dim=(1, 2, 3)).mean() / 2.0

    def _condition(self, batch: Batch) -> Tensor:
        channels = [batch["coverage"], batch["fov"]] if self.config.use_fov else [batch["coverage"]]
        return torch.where(torch.cat(channels, dim=1) >= 0.5, 1.0, -1.0)


class AdversarialStep:
    """Updates the discriminator, the generator and the averaged generator, as `synthmed_tf.training.adversarial`."""

    def __init__(self, stage: MaskStage | ImageStage, simultaneous: bool = False):
        self.stage, self.config, self.taken, self.simultaneous = stage, stage.config, 0, simultaneous
        rates = self.config.optimizer
        self.generator_optimizer = _optimizer(self.config, stage.trained_with_generator(), rates.generator_rate)
        self.weights = list(stage.discriminator.parameters())
        self.discriminator_optimizer = _optimizer(self.config, self.weights, rates.discriminator_rate)

    def __call__(self, batch: Batch) -> Batch:
        """Takes one step on a batch with its random numbers; returns the terms, without gradient."""
        terms = self._both(batch) if self.simultaneous else self._in_turn(batch)
        self.taken += 1
        update_average(self.stage.generator_ema, self.stage.generator, self.config, self.taken)
        return terms

    def _both(self, batch: Batch) -> Batch:
        generated = self.stage.generate(batch)
        real, fake = self.stage.discriminate_real(batch), self.stage.discriminate_generated(batch, generated)
        terms = self._discriminator_terms(batch, real, fake)
        gradients = torch.autograd.grad(sum(terms.values()), self.weights, retain_graph=True)
        every = len(real[1]) and self.stage._every()
        compared = [features[::every].detach() for features in real[1]]
        generated_better = self.stage.generator_terms(batch, generated, fake, compared)
        self.generator_optimizer.zero_grad(set_to_none=True)
        sum(generated_better.values()).backward(inputs=self.stage.trained_with_generator())
        for weight, gradient in zip(self.weights, gradients, strict=True):
            weight.grad = gradient
        self.discriminator_optimizer.step()
        self.generator_optimizer.step()
        return metrics("discriminator", terms) | metrics("generator", generated_better)

    def _in_turn(self, batch: Batch) -> Batch:
        generated = self.stage.generate(batch)
        fake = self.stage.discriminate_generated(batch, {name: value.detach() for name, value in generated.items()})
        terms = self._discriminator_terms(batch, self.stage.discriminate_real(batch), fake)
        self._update(terms, self.discriminator_optimizer)
        self.stage.discriminator.requires_grad_(False)
        fake = self.stage.discriminate_generated(batch, generated)
        generated_better = self.stage.generator_terms(batch, generated, fake, self.stage.real_features(batch))
        self._update(generated_better, self.generator_optimizer)
        self.stage.discriminator.requires_grad_(True)
        return metrics("discriminator", terms) | metrics("generator", generated_better)

    def _discriminator_terms(self, batch: Batch, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Batch:
        terms = self.stage.discriminator_terms(real, fake)
        if self.config.r1_gamma and self.taken % self.config.r1_interval == 0:
            terms["r1"] = self.config.r1_gamma * self.config.r1_interval * self.stage.r1_term(batch)
        return terms

    def _update(self, terms: Batch, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad(set_to_none=True)
        sum(terms.values()).backward()
        optimizer.step()


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, config: TrainedConfig, taken: int) -> None:
    """Moves the averaged weights towards those of the network, after so many steps."""
    if not config.ema_half_life:
        decay = 0.0
    else:
        ramped = min(config.ema_half_life, 0.05 * taken * config.batch_size)
        decay = 0.5 ** (config.batch_size / max(ramped, 1e-8))
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1.0 - decay)


def generator_loss(fake_logits: Tensor) -> Tensor:
    """The non-saturating logistic loss."""
    return F.softplus(-fake_logits).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The logistic loss."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def diversity_loss(real: Tensor, fake: Tensor) -> Tensor:
    """The squared relative difference of the distance of generated pairs from that of real ones."""
    return (_pair_distance(fake) / (_pair_distance(real) + 1e-6) - 1.0).square().mean()


def metrics(network: str, terms: Batch) -> Batch:
    """Terms and their sum by name, without gradient."""
    return {f"{network}/{name}": term.detach() for name, term in (terms | {"loss": sum(terms.values())}).items()}


def _optimizer(config: StageConfig, parameters: list[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    if config.optimizer.name == "adam":
        betas = (config.optimizer.beta1, config.optimizer.beta2)
        return torch.optim.Adam(parameters, rate, betas, eps=1e-7, fused=True)
    return torch.optim.RMSprop(parameters, rate, alpha=0.9, eps=1e-7, foreach=True)


def _shifted(coverage_tanh: Tensor, shift: Tensor) -> Tensor:
    """Shifts masks bilinearly, -1 from beyond the border."""
    identity = torch.eye(2, 3).expand(len(coverage_tanh), 2, 3)
    matrices = torch.cat([identity[..., :2], shift[..., None]], dim=2)
    grid = F.affine_grid(matrices, list(coverage_tanh.shape), align_corners=False)
    return F.grid_sample(coverage_tanh + 1.0, grid, align_corners=False) - 1.0


def _pair_distance(masks: Tensor, cells: int = 16) -> Tensor:
    coarse = F.avg_pool2d(masks, masks.shape[2] // cells)
    return (coarse[0::2] - coarse[1::2]).abs().mean(dim=(1, 2, 3))


def _l1(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().flatten(1).mean(dim=1)
