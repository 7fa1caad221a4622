"""The networks of both stages in PyTorch, for a comparison of speed.

Layer by layer those of `synthmed_tf.models`, with the same padding, so that equal weights generate equal images. Images
are `(batch, channels, height, width)`, float32, in either memory format.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def instance_norm(channels: int) -> nn.Module:
    """Group normalization with one channel a group: unlike `InstanceNorm2d`, it has kernels for both formats."""
    return nn.GroupNorm(channels, channels, eps=1e-5)


def batch_norm(channels: int) -> nn.Module:
    """As DCGAN's; PyTorch's momentum is the share of the new value."""
    return nn.BatchNorm2d(channels, eps=1e-5, momentum=0.1)


NORMS = {"instance": instance_norm, "batch": batch_norm, "none": lambda channels: nn.Identity()}


class Modulation(nn.Module):
    """Scales and shifts each channel by an affine function of a vector."""

    def __init__(self, channels: int, dim: int):
        super().__init__()
        self.affine = nn.Linear(dim, 2 * channels)

    def forward(self, features: Tensor, vector: Tensor) -> Tensor:
        scale, offset = self.affine(vector)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(offset, features, 1.0 + scale)


def upsample(features: Tensor) -> Tensor:
    """Doubles height and width by repeating pixels."""
    return F.interpolate(features, scale_factor=2.0, mode="nearest")


def minibatch_deviation(features: Tensor, group: int = 4) -> Tensor:
    """Appends one channel: how much the examples of a group differ at each position."""
    batch, channels, height, width = features.shape
    group = group if batch % group == 0 else batch
    groups = features.reshape(batch // group, group, channels, height, width)
    deviation = torch.sqrt(groups.var(dim=1, correction=0) + 1e-8).mean(dim=1, keepdim=True)
    return torch.cat([features, deviation.repeat_interleave(group, dim=0)], dim=1)


class MaskGenerator(nn.Module):
    """Stage-I's generator: latent `(batch, latent_dim)` to `coverage_tanh` `(batch, 1, size, size)`."""

    def __init__(self, size: int, latent_dim: int, filters: int, max_filters: int, norm: str):
        super().__init__()
        widths = pyramid_widths(size, filters, max_filters)[::-1]
        self.linear = nn.Linear(latent_dim, 16 * widths[0])
        self.first_norm = NORMS[norm](widths[0])
        pairs = list(zip(widths[:-1], widths[1:], strict=True))
        self.convolutions = nn.ModuleList(nn.Conv2d(before, after, 3, padding=1) for before, after in pairs)
        self.norms = nn.ModuleList(NORMS[norm](width) for width in widths[1:])
        self.modulations = nn.ModuleList(Modulation(width, latent_dim) for width in widths[1:])
        self.refine = nn.Conv2d(filters, filters, 3, padding=1)
        self.refine_norm = NORMS[norm](filters)
        self.to_coverage = nn.Conv2d(filters, 1, 3, padding=1)

    def forward(self, latent: Tensor) -> Tensor:
        # Keras' order of the linear layer's outputs is height, width, channels.
        x = self.linear(latent).unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2)
        x = F.leaky_relu(self.first_norm(x), 0.2)
        for convolution, norm, modulation in zip(self.convolutions, self.norms, self.modulations, strict=True):
            x = upsample(F.leaky_relu(modulation(norm(convolution(x)), latent), 0.2))
        x = F.leaky_relu(self.refine_norm(self.refine(x)), 0.2, inplace=True)
        return torch.tanh(self.to_coverage(x))


class MaskDiscriminator(nn.Module):
    """Stage-I's discriminator: `coverage_tanh` to logits `(batch, 1)`."""

    def __init__(self, size: int, filters: int, max_filters: int):
        super().__init__()
        widths = pyramid_widths(size, filters, max_filters)[1:]
        pairs = zip([1, *widths[:-1]], widths, strict=True)
        self.convolutions = nn.ModuleList(strided(before, after) for before, after in pairs)
        self.last = nn.Conv2d(widths[-1] + 1, widths[-1], 3, padding=1)
        self.to_logit = nn.Linear(16 * widths[-1], 1)

    def forward(self, coverage_tanh: Tensor) -> Tensor:
        x = coverage_tanh
        for convolution in self.convolutions:
            x = F.leaky_relu(convolution(x), 0.2, inplace=True)
        x = F.leaky_relu(self.last(minibatch_deviation(x)), 0.2, inplace=True)
        return self.to_logit(x.permute(0, 2, 3, 1).flatten(1))


class ImageGenerator(nn.Module):
    """Stage-II's U-Net: condition (and style) to image `(batch, 3, size, size)`."""

    def __init__(
        self, size: int, filters: int, norm: str, upsampling: str, dropout: float, style_dim: int, use_fov: bool
    ):
        super().__init__()
        self.use_fov, self.upsampling, self.conditions = use_fov, upsampling, 1 + use_fov
        levels = size.bit_length() - 2
        widths = [filters * min(8, 1 << level) for level in range(levels)]
        pairs = zip([self.conditions, *widths[:-1]], widths, strict=True)
        self.down = nn.ModuleList(strided(before, after) for before, after in pairs)
        kinds = ["none" if level in (0, levels - 1) else norm for level in range(levels)]
        self.down_norms = nn.ModuleList(NORMS[kind](width) for kind, width in zip(kinds, widths, strict=True))
        self.up = nn.ModuleList()
        before = widths[-1]
        for level, width in enumerate(widths[-2::-1]):
            rate = dropout if level < 3 else 0.0
            self.up.append(UpBlock(before, width, norm, upsampling, rate, style_dim))
            before = 2 * width
        self.head = (
            nn.ConvTranspose2d(before, 3, 4, stride=2, padding=1)
            if upsampling == "transposed"
            else RefiningHead(before, filters, self.conditions)
        )

    def forward(self, condition: Tensor, style: Tensor | None = None) -> Tensor:
        skips, x = [], condition
        for down, norm in zip(self.down, self.down_norms, strict=True):
            x = F.leaky_relu(norm(down(x)), 0.2)
            skips.append(x)
        skips.pop()
        for block in self.up:
            x = torch.cat([block(x, style), skips.pop()], dim=1)
        image = torch.tanh(self.head(x) if self.upsampling == "transposed" else self.head(x, condition))
        if not self.use_fov:
            return image
        inside = (condition[:, 1:2] + 1.0) / 2.0
        return image * inside - (1.0 - inside)


class UpBlock(nn.Module):
    """A decoder level: convolution, normalization, style, dropout, activation, at twice the resolution."""

    def __init__(self, before: int, after: int, norm: str, upsampling: str, dropout: float, style_dim: int):
        super().__init__()
        self.nearest = upsampling == "nearest"
        self.convolution = (
            nn.Conv2d(before, after, 3, padding=1)
            if self.nearest
            else nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)
        )
        self.norm = NORMS[norm](after)
        self.modulation = Modulation(after, style_dim) if style_dim else None
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, features: Tensor, style: Tensor | None) -> Tensor:
        x = self.norm(self.convolution(features))
        if self.modulation is not None:
            x = self.modulation(x, style)
        x = F.leaky_relu(self.dropout(x), 0.2)
        return upsample(x) if self.nearest else x


class RefiningHead(nn.Module):
    """The last level without transposed convolutions: at full resolution it sees the condition again."""

    def __init__(self, before: int, filters: int, conditions: int):
        super().__init__()
        self.before = nn.Conv2d(before, filters // 2, 3, padding=1)
        self.refine = nn.Conv2d(filters // 2 + conditions, filters // 2, 3, padding=1)
        self.to_image = nn.Conv2d(filters // 2, 3, 3, padding=1)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        x = upsample(F.leaky_relu(self.before(features), 0.2, inplace=True))
        x = self.refine(torch.cat([x, condition], dim=1))
        return self.to_image(F.leaky_relu(x, 0.2, inplace=True))


class PatchDiscriminator(nn.Module):
    """pix2pix's patch discriminator: logits, and the features of the four hidden layers."""

    def __init__(self, conditions: int, filters: int, norm: str):
        super().__init__()
        widths = (filters, 2 * filters, 4 * filters, 8 * filters)
        pairs = zip((conditions + 3, *widths[:-1]), widths, (2, 2, 2, 1), strict=True)
        self.convolutions = nn.ModuleList(strided(before, after, stride) for before, after, stride in pairs)
        self.norms = nn.ModuleList(NORMS["none" if i == 0 else norm](width) for i, width in enumerate(widths))
        self.to_logits = strided(widths[-1], 1, 1)

    def forward(self, condition: Tensor, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        x, features = torch.cat([condition, image], dim=1), []
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.leaky_relu(norm(convolution(x)), 0.2, inplace=True)
            features.append(x)
        return self.to_logits(x), features


class StyleEncoder(nn.Module):
    """The style of an image: mean and log variance, `(batch, style_dim)` each."""

    def __init__(self, style_dim: int, filters: int = 32):
        super().__init__()
        widths = [3, filters, 2 * filters, 4 * filters]
        self.convolutions = nn.ModuleList(strided(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True))
        self.to_moments = nn.Linear(16 * widths[-1], 2 * style_dim)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = F.avg_pool2d(image, image.shape[2] // 32) if image.shape[2] > 32 else image
        for convolution in self.convolutions:
            x = F.leaky_relu(convolution(x), 0.2, inplace=True)
        mean, log_variance = self.to_moments(x.permute(0, 2, 3, 1).flatten(1)).chunk(2, dim=1)
        return mean, log_variance.clamp(-8.0, 4.0)


def strided(before: int, after: int, stride: int = 2) -> nn.Conv2d:
    """A 4x4 convolution with Keras' padding `same`."""
    return nn.Conv2d(before, after, 4, stride=stride, padding=1 if stride == 2 else "same")


def pyramid_widths(size: int, filters: int, max_filters: int) -> list[int]:
    """Channels at each resolution from `size` down to 4."""
    return [min(max_filters, filters << level) for level in range((size // 4).bit_length())]
