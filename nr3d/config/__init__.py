"""Configurations: the table of keys, the shipped files, and changes to them."""

from nr3d.config.checking import check_values, refuse_unused
from nr3d.config.comparing import (
    differing,
    features_settings,
    leaves,
    steps_differing,
)
from nr3d.config.files import read_yaml, yaml_text
from nr3d.config.keys import KEYS, default_config, keys_that_change, present_name
from nr3d.config.loading import as_mapping, config_of, load_config, shipped_configs
from nr3d.config.scopes import Command, Key, Scope
from nr3d.files.atomic import write_text

__all__ = [
    "KEYS",
    "Command",
    "Key",
    "Scope",
    "as_mapping",
    "check_values",
    "config_of",
    "default_config",
    "differing",
    "features_settings",
    "keys_that_change",
    "leaves",
    "load_config",
    "present_name",
    "read_yaml",
    "refuse_unused",
    "shipped_configs",
    "steps_differing",
    "write_text",
    "yaml_text",
]
