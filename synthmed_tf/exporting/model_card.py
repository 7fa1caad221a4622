"""The card that travels with an artifact: `card.json` for programs, `card.md` for people."""

import json
from pathlib import Path
from typing import Any

from synthmed_tf import files

ATTRIBUTION = {
    "chase_db1": "CHASE_DB1 (Fraz et al., IEEE TBME 59(9), 2012, doi:10.1109/TBME.2012.2205687), CC BY 4.0",
    "hrf": "HRF (Budai et al., International Journal of Biomedical Imaging, 2013), CC BY 4.0",
    "drive": "DRIVE (Staal et al., IEEE TMI 23(4), 2004); its terms forbid redistribution of the data",
    "stare": "STARE (Hoover et al., IEEE TMI 19(3), 2000); no licence stated",
    "phantom": "drawn by code, no patient",
}


def write_card(folder: Path, card: dict[str, Any]) -> None:
    """Writes both forms, with the SHA-256 of every other file in the folder."""
    folder = Path(folder)
    others = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in ("card.json", "card.md"))
    listed = {path.relative_to(folder).as_posix(): files.sha256(path) for path in others}
    card = card | {"files": listed}
    files.write_text(folder / "card.json", json.dumps(card, indent=2) + "\n")
    files.write_text(folder / "card.md", _markdown(card))


def _markdown(card: dict[str, Any]) -> str:
    lines = [
        f"# {card['name']}",
        "",
        "Draws labelled synthetic retinal photographs: a vessel mask from a latent, a photograph from the mask "
        "(after Guibas, Virdi, Li, 2017, arXiv 1709.01872). The pictures are synthetic and of no person; whether they "
        "give a training patient away has to be audited before they are released.",
        "",
        "| | |",
        "|---|---|",
        f"| model | `{card['model_sha256']}` |",
        f"| size | {card['size']} x {card['size']} pixels |",
        f"| licence | {card['licence']} |",
        f"| evaluation | {card['evaluation']} |",
        f"| created | {card['created']} |",
        f"| made with | {', '.join(f'{name} {version}' for name, version in card['versions'].items())} |",
    ]
    for stage, data in card["data"].items():
        lines.append(f"| {stage} trained on | {_data_line(data)}, {card['steps'][stage]} steps |")
    lines += _runtimes(card["parity"])
    lines += ["", "Not for diagnosis. A picture is known by (model, seed, index) and can be drawn again from these."]
    return "\n".join(lines) + "\n"


def _runtimes(parity: dict[str, Any]) -> list[str]:
    """How far each file is from Keras; those of less precision have a table of their own."""
    found = {name: figures for name, figures in parity.items() if isinstance(figures, dict) and name != "limits"}
    lines = ["", "## Runtimes against Keras", "", "| runtime | mask pixels that differ | grey levels in photographs |"]
    lines.append("|---|---|---|")
    lines += [f"| {name} | {figures['mask_share']:.1e} | {figures['grey_levels']} |" for name, figures in found.items()]
    smaller = {name: figures for name, figures in found.items() if "mean_grey_levels" in figures}
    if smaller:
        lines += ["", "## What the smaller files lose", ""]
        lines += ["| file | grey levels on average | photographs show their masks: by | in float32 | here |"]
        lines.append("|---|---|---|---|---|")
    for name, figures in smaller.items():
        seen = figures["visibility"]
        measured = f"{seen['measure']} | {seen['float32']:.4f} | {seen['reduced']:.4f}"
        lines.append(f"| {name} | {figures['mean_grey_levels']:.3f} | {measured} |")
    return lines


def _data_line(data: dict[str, Any]) -> str:
    named = ATTRIBUTION.get(data["layout"], "source not named")
    pairs = f"{data['pairs']} pairs of {data['patients']} patients of {data['source']} (SHA-256 {data['sha256'][:16]})"
    return f"{pairs}: {named}"
