"""State of a run according to its folder: finished, cut off, or not begun."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from nr3d import parallel
from nr3d.config import KEYS, Command, Scope, as_mapping, differing, keys_that_change, leaves
from nr3d.engine import LAST
from nr3d.errors import ConfigError, DataError
from nr3d.runs.configuration import changed, settled
from nr3d.runs.results import RESULT_FILE, read_result, require_figures

logger = logging.getLogger(__name__)

_MOST_DIFFERING = 8
"""Number of keys that a message names."""


def standing(cfg: CfgNode) -> tuple[dict[str, Any] | None, CfgNode]:
    """Return the state of a configuration's run, according to its folder.

    Args:
        cfg: a complete configuration.

    Returns:
        tuple: the content of its ``result.json`` if the run is finished, else None; and the
        configuration, which resumes from the last checkpoint if there is one.

    Raises:
        ConfigError: if the folder holds a finished run that was made with other settings.
        DataError: if its ``result.json`` is damaged.
    """
    folder = Path(cfg.data.save_dir)
    result = parallel.of_first(read_result(folder))
    if result is not None:
        if "config" not in result:
            raise DataError(
                f"{folder / RESULT_FILE} has no config, and does not say how its run was made: "
                "give another data.save_dir (transfer.save_dir for what is trained first)."
            )
        differences = _other_settings(result["config"], cfg)
        if differences:
            more = len(differences) - _MOST_DIFFERING
            if more > 0:
                differences[_MOST_DIFFERING:] = [f"and {more} more"]
            raise ConfigError(
                f"{folder} holds a run that was made with other settings "
                f"({'; '.join(differences)}): set them as they were, or give another data.save_dir "
                "(transfer.save_dir for what is trained first)."
            )
        require_figures(result, cfg.data.targets, cfg.test.ranks, folder)
        logger.info("%s is finished", folder)
        return dict(result), cfg
    if parallel.of_first((folder / LAST).exists()):
        logger.info("%s is resumed", folder)
        cfg = changed(cfg, "model.resume", str(folder / LAST))
    return None, cfg


def _other_settings(before: Any, cfg: CfgNode) -> list[str]:
    """Return the differences between a finished run and that of a configuration."""
    keys = keys_that_change(~Scope.MACHINE, Command.TRAIN)
    weights = dict(leaves(before)).get("model.load_weights")
    same_file = (
        bool(weights) and Path(str(weights)).absolute() == Path(cfg.model.load_weights).absolute()
    )
    if same_file or cfg.transfer.config:
        # What is trained first has settings of its own, which are compared in its own folder.
        keys.remove(KEYS["model.load_weights"])
    return differing(before, as_mapping(settled(cfg)), keys)
