"""Training and testing of every method under the same rules, with several seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from nr3d.config import leaves, load_config
from nr3d.errors import ConfigError
from nr3d.runs.standing import standing
from nr3d.runs.transfer import Plan, train_plan
from nr3d.zoo.methods import Method

_OF_METHOD = (
    "loss.name",
    "loss.softmax.label_smooth",
    "loss.triplet.margin",
    "loss.triplet.weight_t",
    "loss.triplet.weight_x",
    "video.seq_len",
    "video.sample_method",
    "not3d.test_sample_method",
)
"""Keys that each method's own recipe sets, whatever the common configuration says."""


@dataclass(frozen=True)
class Trained:
    """The figures of one method on one dataset, over the seeds.

    Args:
        method: the key of the method.
        dataset: the name of the dataset.
        rank1: rank-1 of each seed, 0..1.
        mAP: mAP of each seed, 0..1.
        seeds: the seeds.
        tracklets: kind of the tracklets if they are no video.
    """

    method: str
    dataset: str
    rank1: tuple[float, ...]
    mAP: tuple[float, ...]
    seeds: tuple[int, ...]
    tracklets: str | None = None

    def text(self, values: Sequence[float]) -> str:
        """Return the mean of values and their sample standard deviation, in percent."""
        mean = f"{100 * statistics.fmean(values):.1f}"
        return mean if len(values) < 2 else f"{mean} ± {100 * statistics.stdev(values):.1f}"


def plan_of(
    method: Method,
    seed: int,
    config: str | Path,
    out: Path,
    changes: Sequence[str] = (),
    *,
    small: bool = False,
    scale: float = 1.0,
) -> CfgNode:
    """Return the configuration that a method is trained by.

    Data, sampler, optimizer, schedule, epochs, batch size, distance and protocol are those of
    ``config`` for every method. Its own are the network, the loss, the number of frames of a clip
    and how they are drawn, the way of testing, and the size of the frames, times ``scale``.

    Args:
        method: the method.
        seed: the seed of the training.
        config: a shipped name or a YAML file, as for :func:`nr3d.config.load_config`.
        out: the folder of all runs.
        changes: keys and values in turn, which change the configuration of every method.
        small: whether to train the method's smaller network.
        scale: factor of the method's frame size, above 0 and at most 1.

    Raises:
        ConfigError: if the configuration cannot be loaded, the scale is out of range, or there is
            no smaller network.
    """
    if not 0 < scale <= 1:
        raise ConfigError(f"scale is {scale:g}, expected a factor above 0 and at most 1")
    network = method.small if small else method.network
    if not network:
        raise ConfigError(f"{method.title} has no smaller network: leave out --small")
    recipe = method.recipe
    values = dict(leaves(recipe))
    words = [word for key in _OF_METHOD for word in (key, str(values[key]))]
    size = [
        max(16, round(side * scale / 16) * 16) for side in (recipe.data.height, recipe.data.width)
    ]
    own = [
        *("model.name", network, "data.height", str(size[0]), "data.width", str(size[1])),
        *("train.seed", str(seed), "data.save_dir", str(out / method.key / f"seed{seed}")),
        *("not3d.attention", recipe.not3d.attention, "test.eval_freq", "-1"),
    ]
    return load_config(config, [*words, *own, *changes])


def train_all(
    chosen: Sequence[Method],
    seeds: Sequence[int],
    config: str | Path,
    out: Path,
    changes: Sequence[str] = (),
    *,
    small: bool = False,
    scale: float = 1.0,
) -> list[Trained]:
    """Train and test every method with every seed, all methods of a seed before the next seed.

    All configurations are loaded before the hours that the first training may take. A finished run
    is not repeated, and an interrupted one is resumed, so that the same call goes on where it
    stopped. The figures are those of the last epoch's weights.

    Args:
        chosen: the methods.
        seeds: the seeds.
        config, out, changes, small, scale: as for :func:`plan_of`.

    Returns:
        list of Trained: the figures of every method on every dataset.

    Raises:
        Nr3dError: for every failure that the user can fix; the message says how.
    """
    plans = [
        (seed, method.key, plan_of(method, seed, config, out, changes, small=small, scale=scale))
        for seed in seeds
        for method in chosen
    ]
    found: dict[tuple[str, str], list[tuple[int, float, float, str | None]]] = {}
    for seed, key, cfg in plans:
        for dataset, result in _results(cfg):
            row = (seed, result["rank-1"], result["mAP"], result.get("tracklets"))
            found.setdefault((key, dataset), []).append(row)
    return [_over_seeds(key, dataset, rows) for (key, dataset), rows in found.items()]


def _results(cfg: CfgNode) -> list[tuple[str, dict[str, Any]]]:
    """Return the figures of a run by dataset, after training it if it is not finished."""
    result, cfg = standing(cfg)
    if result is None:
        result = train_plan(Plan(cfg), anew=True).summary()
    return list(result["results"].items())


def _over_seeds(
    method: str, dataset: str, rows: Sequence[tuple[int, float, float, str | None]]
) -> Trained:
    seeds, rank1, mAP, tracklets = zip(*rows, strict=True)
    return Trained(method, dataset, rank1, mAP, seeds, tracklets[0])
