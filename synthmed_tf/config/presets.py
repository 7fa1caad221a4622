"""The presets: the initial options of a run, as plain values that `schema` validates."""

from typing import Any

_GENTLE = {"flip_horizontal": True, "flip_vertical": True, "rotation": 20.0, "zoom_in": 0.15, "shift": 0.03}

PRESETS: dict[str, dict[str, Any]] = {
    # Guibas et al. 2017, as their published code has it (docs/paper_preset.md lists what was mended and what is ours).
    "paper": {
        "size": 512,
        "stage1": {
            "architecture": "dcgan",
            "latent_dim": 100,
            "latent": "uniform",
            "filters": 64,
            "discriminator_filters": 64,
            "batch_size": 7,
            "steps": 20_000,
            "optimizer": {"beta2": 0.999},
            "updates": "alternating",
            "generator_updates": 2,
            "diversity_weight": 0.0,
            "soft_masks": False,
            "calibrate": False,
        },
        "stage2": {
            "filters": 64,
            "discriminator_filters": 64,
            "norm": "batch",
            "upsampling": "transposed",
            "dropout": 0.5,
            "style_dim": 0,
            "use_fov": False,
            "batch_size": 32,
            "epochs": 100,
            "optimizer": {"name": "rmsprop"},
            "l1_weight": 1.0,
            "feature_weight": 0.0,
            "kl_weight": 0.0,
            "style_weight": 0.0,
            "colour": 0.0,
        },
    },
    # One GAN a stage, at full size (docs/gan_preset.md).
    "gan": {
        "size": 256,
        "data": {"augment": _GENTLE, "validation_share": 0.1},
        "stage1": {
            "batch_size": 16,
            "steps": 20_000,
            "optimizer": {"generator_rate": 3e-4, "discriminator_rate": 4e-4},
            "r1_gamma": 2.0,
            "ema_half_life": 5_000,
            "augment": {"shift": 0.1},
        },
        "stage2": {
            "batch_size": 8,
            "steps": 20_000,
            "ema_half_life": 5_000,
        },
    },
    # From coarse to fine in both stages: what is global is small, what is fine is local (docs/recommended_preset.md).
    "recommended": {
        "size": 512,
        "data": {"augment": _GENTLE, "validation_share": 0.1},
        "stage1": {
            "architecture": "coarse_to_fine",
            "batch_size": 16,
            "steps": 10_000,
            "filters": 32,
            "discriminator_filters": 32,
            "optimizer": {"generator_rate": 4e-4, "discriminator_rate": 3e-4, "beta1": 0.0},
            "r1_gamma": 1.0,
            "r1_interval": 16,
            "connected_weight": 8.0,
            "ema_half_life": 5_000,
            "augment": {"shift": 0.1},
        },
        "stage2": {
            "architecture": "pyramid",
            "batch_size": 8,
            "crops": 2,
            "steps": 5_000,
            "filters": 64,
            "style_dim": 2,
            "colour": 0.1,
            "tones": True,
            "illumination": 0.05,
            "elastic": 0.02,
            "optimizer": {"generator_rate": 1e-3, "beta1": 0.9},
            "ema_half_life": 4_000,
        },
        "stage2_fine": {"filters": 48, "steps": 2_000},
    },
    "demo": {
        "size": 64,
        "data": {"augment": _GENTLE, "validation_share": 0.1},
        "save_every": 200,
        "image_every": 200,
        "validate_every": 200,
        "stage1": {
            "batch_size": 16,
            "steps": 600,
            "latent_dim": 64,
            "optimizer": {"generator_rate": 1e-3, "discriminator_rate": 1e-3},
            "r1_gamma": 2.0,
            "ema_half_life": 1_000,
            "augment": {"shift": 0.1},
        },
        "stage2": {
            "batch_size": 8,
            "steps": 600,
            "filters": 16,
            "discriminator_filters": 16,
            "ema_half_life": 500,
        },
        "segmenter": {"steps": 300, "filters": 8, "ema_half_life": 500},
    },
}
