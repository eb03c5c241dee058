"""Configurations: the keys with their defaults, the shipped files, and changes on top."""

from nr3d.config.defaults import default_config
from nr3d.config.loading import load_config, shipped_configs

__all__ = ["default_config", "load_config", "shipped_configs"]
