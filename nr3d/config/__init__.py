"""Configurations: the keys with their defaults, the shipped files, and changes on top."""

from nr3d.config.comparing import differences
from nr3d.config.defaults import default_config
from nr3d.config.files import read_yaml, write_text, yaml_text
from nr3d.config.loading import config_of, load_config, shipped_configs

__all__ = [
    "config_of",
    "default_config",
    "differences",
    "load_config",
    "read_yaml",
    "shipped_configs",
    "write_text",
    "yaml_text",
]
