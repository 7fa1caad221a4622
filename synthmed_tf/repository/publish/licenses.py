"""Licenses by their SPDX identifiers, as far as the name that a publisher gives is one of the known."""

SPDX = {
    name.casefold(): name
    for name in (
        "CC0-1.0",
        "CC-BY-4.0",
        "CC-BY-SA-4.0",
        "CC-BY-NC-4.0",
        "CC-BY-NC-SA-4.0",
        "CC-BY-ND-4.0",
        "CC-BY-NC-ND-4.0",
        "CDLA-Permissive-2.0",
        "ODbL-1.0",
        "Apache-2.0",
        "MIT",
    )
}
"""By their names in lower case, which are also those of Hugging Face."""


def spdx(license: str) -> str | None:
    """The identifier of a license such as `CC BY 4.0` or `cc-by-4.0`; None where it is not among the known."""
    return SPDX.get("-".join(license.casefold().split()))


def url(license: str) -> str | None:
    """Where the text of a known license is."""
    known = spdx(license)
    return known and f"https://spdx.org/licenses/{known}.html"
