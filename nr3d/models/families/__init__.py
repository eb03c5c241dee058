"""Families: architectures, with what is known of them and how their authors name the tensors."""

from nr3d.models.families import not3d, vkd
from nr3d.models.families.architecture import ARCHITECTURES, Architecture, register_architecture

__all__ = ["ARCHITECTURES", "Architecture", "not3d", "register_architecture", "vkd"]
