"""Families of architectures: their metadata and the tensor names of their authors' code."""

from nr3d.models.families import not3d  # noqa: I001  the package's own networks come first
from nr3d.models.families import (
    attribute_driven,
    cosam,
    gltr,
    m3d,
    scan,
    vkd,
    vprt,
    vrstc,
)
from nr3d.models.families.architecture import ARCHITECTURES, Architecture, register_architecture
from nr3d.models.families.image_networks import (
    architecture_of,
    expected_instead_of,
    find_architecture,
    usable_image_networks,
)

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "architecture_of",
    "attribute_driven",
    "cosam",
    "expected_instead_of",
    "find_architecture",
    "gltr",
    "m3d",
    "not3d",
    "register_architecture",
    "scan",
    "usable_image_networks",
    "vkd",
    "vprt",
    "vrstc",
]
