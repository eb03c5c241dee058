"""Families of architectures: their metadata and the tensor names of their authors' code."""

from nr3d.models.families import not3d, vkd
from nr3d.models.families.architecture import ARCHITECTURES, Architecture, register_architecture

__all__ = ["ARCHITECTURES", "Architecture", "not3d", "register_architecture", "vkd"]
