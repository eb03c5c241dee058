"""Weights into a model: every key of the file and of the model is accounted for."""

from __future__ import annotations

import logging
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nr3d.errors import WeightsError, shown
from nr3d.files.home import expanded
from nr3d.weights.checkpoint import read_checkpoint
from nr3d.weights.entry import IMAGENET_TAG, WeightsEntry
from nr3d.weights.fetch import fetch
from nr3d.weights.index import available, describe_user_index, find
from nr3d.weights.layouts import LAYOUTS, Layout, network_in, recognise
from nr3d.weights.manifest import check_beside, entry_in
from nr3d.weights.states import check_numbers, tensors_of

logger = logging.getLogger(__name__)

_CLASSIFIER = "classifier.weight"
_AGGREGATION = "aggregation."


@dataclass(frozen=True)
class LoadReport:
    """What became of every tensor of a file and of a model.

    Args:
        path: the file.
        layout: naming of its keys, one of :data:`LAYOUTS`; None for the model's own names.
        loaded: the model's keys that were loaded.
        left: the model's keys that keep their start value, each with the reason.
        unused: the file's keys that were not loaded, each with the reason.
        entry: the index entry of the file, None for a path.
        differs: reason why the model computes other features than the file's network although it
            starts from all of its weights; empty if it does not.
    """

    path: Path
    layout: str | None
    loaded: tuple[str, ...]
    left: Mapping[str, str]
    unused: Mapping[str, str]
    entry: WeightsEntry | None = None
    differs: str = ""

    @property
    def whole(self) -> bool:
        """Whether the model computes the file's features: at most its classifier was left."""
        left = (key for key in self.left if not key.startswith("classifier."))
        return not self.differs and all(map(_is_counter, left))

    def __str__(self) -> str:
        """Return a sentence for each kind, with parts instead of keys."""
        name = f"{self.entry.name} ({self.path})" if self.entry else str(self.path)
        named = f", layout {self.layout}" if self.layout else ""
        lines = [f"Loaded {_parts(self.loaded)} from {name}{named}."]
        for what, keys in (("Left at its start value", self.left), ("Not used", self.unused)):
            for reason in dict.fromkeys(keys.values()):
                of_it = [key for key, why in keys.items() if why == reason]
                lines.append(f"{what}: {_parts(of_it)}: {reason}.")
        if self.differs:
            lines.append(f"Only a start, its features are others: {self.differs}.")
        return " ".join(lines)


def _parts(keys: tuple[str, ...] | list[str]) -> str:
    """Return the names of the parts that keys belong to, with the number of tensors."""
    parts = list(dict.fromkeys(key.split(".")[0] for key in keys))
    named = ", ".join(map(_name, parts[:6]))
    more = f" and {len(parts) - 6} more" if len(parts) > 6 else ""
    return f"{named}{more} ({len(keys)} tensor{'s' if len(keys) != 1 else ''})"


def _is_counter(key: str) -> bool:
    return key.endswith("num_batches_tracked")


def load_pretrained(model: nn.Module, name: str, pretrained: bool | str | Path) -> None:
    """Load the weights that the argument ``pretrained`` of ``build_model`` names.

    Args:
        model: a network with a ``backbone``.
        name: the registered name of the network.
        pretrained: ``False`` for nothing; ``True`` for the trunk's ImageNet weights; a tag such as
            ``'mars'``, a whole name such as ``'vkd_resnet50.mars'``, or a path.

    Raises:
        WeightsError: if the weights cannot be found, downloaded, verified or loaded.
    """
    if pretrained is False:
        return
    wanted = IMAGENET_TAG if pretrained is True else str(pretrained)
    if "/" not in wanted and "\\" not in wanted:
        entries = available()
        if f"{name}.{wanted}" in entries:
            wanted = f"{name}.{wanted}"
        elif "." not in wanted and not Path(wanted).is_file():
            raise WeightsError(_no_such_tag(name, wanted, entries))
    load(model, wanted)


def _no_such_tag(name: str, tag: str, entries: Mapping[str, WeightsEntry]) -> str:
    """Return what there is instead of a tag, and how to get it."""
    own = describe_user_index()
    add = f"take in a file that you have, `nr3d weights add FILE --name {name}.{tag}`"
    others = [entry.name for entry in entries.values() if tag in entry.trained_on]
    if tag == IMAGENET_TAG:
        return (
            f"There are no ImageNet weights for {name}, neither shipped nor in {own}: train it "
            f"from its start values with pretrained=False (model.pretrained False), or {add}."
        )
    if not others:
        tags = [entry.tag for entry in entries.values() if entry.architecture == name]
        return (
            f"There are no weights {name}.{tag}, neither shipped nor in {own}. Choose "
            f"one of {', '.join(tags) or 'none'} (`nr3d weights list`), or {add}."
        )
    other = entries[others[0]]
    return (
        f"No public weights {name}.{tag} are known, and {own} has none. Three ways "
        f"on: train them, `nr3d train --config {tag} --root DIR model.name {name}`; {add}; or use "
        f"a network trained on {tag} that can be downloaded now ({', '.join(others)}): "
        f"build_model('{other.architecture}', pretrained='{other.tag}')."
    )


def load(model: nn.Module, name_or_path: str | Path, *, whole: bool = False) -> LoadReport:
    """Load weights into a model and account for every key.

    The file may be a checkpoint of ours, bare or in a training checkpoint, safetensors, a
    checkpoint of torchreid's, or have one of the :data:`LAYOUTS`; with what wrappers put before its
    keys (``module.``, ``_orig_mod.``, ``model.``, …) or without. A classifier of another number of
    identities is left at its start value. Of a network with another aggregation only the trunk is
    loaded, or all that fits where the model's aggregation may start from that one: aggregations
    are compared by the name that the entry or the file has, and where neither has one by their
    tensors. What was left is in the report and logged. What the index or the file says of the use
    of the weights becomes the model's ``entry`` and ``feature``.

    Args:
        model: a network of ours; or any other, whose own names the file must then have.
        name_or_path: a name in the index, which is fetched, or a file.
        whole: whether to refuse a file that leaves more than the classifier at its start value,
            whose features would mean nothing.

    Returns:
        LoadReport: what was loaded, what was left and what was not used, and why.

    Raises:
        WeightsError: if the weights cannot be found, fetched, verified or read, a key of the
            file or the model is not explained, or a tensor is not of finite real numbers; the
            model is then as it was.

    Examples:
        >>> import torch, nr3d
        >>> model = nr3d.models.VideoReID(depth=18, num_classes=5)
        >>> torch.save(model.state_dict(), "weights.pth")
        >>> report = nr3d.weights.load(model, "weights.pth")
        >>> print(report.layout, len(report.loaded), dict(report.left))
        nr3d 142 {}
    """
    entry, path = _locate(name_or_path)
    content = read_checkpoint(path)
    if entry is None:
        check_beside(path)
    state = tensors_of(content, path)
    own = model.state_dict()
    ours = isinstance(getattr(model, "backbone", None), nn.Module)
    state, outside = network_in(state, None if ours else own, path)
    layout = recognise(state) if ours else None
    _check_layout(layout, entry, state, own, path)

    renamed, unused = _rename(state, layout, path)
    unused |= outside
    said = entry or entry_in(content, path)
    match = _match(model, layout, _named_aggregation(said, content, path), renamed, own)
    left = {key: match.why for key in own if match.leaves(key, renamed.values())}
    unused |= {key: match.why for key, name in renamed.items() if match.leaves(name, own)}
    theirs = {name: key for key, name in renamed.items()}.get(_CLASSIFIER)
    if theirs is not None and theirs not in unused and _CLASSIFIER in own:
        identities, here = len(state[theirs]), len(own[_CLASSIFIER])
        if identities != here:
            why = f"{identities} identities in the file, {here} here"
            heads = [key for key in own if key.startswith("classifier.")]
            left |= dict.fromkeys(heads, why)
            unused |= {key: why for key, name in renamed.items() if name in heads}
    for key in own:
        if key not in left and key not in renamed.values() and _is_counter(key):
            left[key] = "a file from before batches were counted; nothing is computed from it"
    used = {name: state[key] for key, name in renamed.items() if key not in unused}
    _check(own, used, left, path)
    of_own = {key: own[name] for key, name in renamed.items() if name in own}
    check_numbers({key: state[key] for key in renamed}, of_own, path)

    named = layout.name if layout else None
    differs = match.why if match.starts else ""
    report = LoadReport(path, named, tuple(used), left, unused, entry, differs)
    if whole and not report.whole:
        raise WeightsError(
            f"{path} does not give this model its features. {report} Build the network that it "
            "was trained as: the same model.name and not3d.aggregation."
        )
    model.load_state_dict(used, strict=False)  # checked above
    if said is not None and report.whole and ours:
        model.entry = said  # type: ignore[assignment]
        if said.feature is not None:
            model.feature = said.feature  # type: ignore[assignment]
    logger.info("%s", report)
    return report


def _locate(name_or_path: str | Path) -> tuple[WeightsEntry | None, Path]:
    """Return the entry, if a name in the index was given, and the file, which is fetched."""
    text = str(name_or_path)
    path = expanded(text, WeightsError)
    if isinstance(name_or_path, str) and "/" not in text and "." in text:
        entries = available()
        if text in entries:
            return entries[text], fetch(entries[text])
        if not path.is_file() and text.split(".")[0] in {e.architecture for e in entries.values()}:
            find(text)  # its error lists what there is
    return None, path


def _check_layout(
    layout: Layout | None,
    entry: WeightsEntry | None,
    state: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    path: Path,
) -> None:
    if entry is not None and entry.layout and layout and entry.layout != layout.name:
        raise WeightsError(
            f"{path} has the layout {layout.name}, its entry {entry.name} in {entry.where} says "
            f"{entry.layout}: correct the entry."
        )
    if layout is None and not set(state) & set(own):
        known = "; ".join(f"{known.name} ({known.of})" for known in LAYOUTS.values())
        raise WeightsError(
            f"{path} has no key of this model and no layout that is known: it starts with "
            f"{_some(list(state))}. Known are {known}. Rename its keys to the model's."
        )


def _rename(
    state: Mapping[str, Tensor], layout: Layout | None, path: Path
) -> tuple[dict[str, str], dict[str, str]]:
    """Return our name of each key of the file, and the reason for those that have none."""
    if layout is None:
        return {key: key for key in state}, {}
    renamed: dict[str, str] = {}
    unused: dict[str, str] = {}
    unexplained = []
    for key in state:
        # A trunk's file may have our names for parts of its own, such as a classifier.
        reason, name = layout.reason_unused(key), layout.rename(key)
        if reason is not None:
            unused[key] = reason
        elif name is not None:
            renamed[key] = name
        else:
            unexplained.append(key)
    if unexplained:
        raise WeightsError(
            f"{path} has keys that the layout {layout.name} ({layout.of}) does not explain: "
            f"{_some(unexplained)}. Take them out of the file if they are not needed, or build "
            "the model that has them."
        )
    return renamed, unused


@dataclass(frozen=True)
class _Match:
    """How far a file's network is the model's.

    Args:
        why: reason why it is another; empty if it is the same.
        starts: whether the model may start from more of it than the trunk.
    """

    why: str = ""
    starts: bool = False

    def leaves(self, key: str, others: Container[str]) -> bool:
        """Tell whether a tensor remains without its counterpart among the others' names."""
        if self.starts:
            return key.startswith(_AGGREGATION) and key not in others
        return bool(self.why) and not key.startswith("backbone.")


def _named_aggregation(
    said: WeightsEntry | None, content: Mapping[str, Any], path: Path
) -> str | None:
    """Return the name of a file's aggregation, as its entry or else the file itself has it."""
    if said is not None and said.aggregation is None and said.sources:
        said = entry_in(content, path)  # an entry of the index may say less than the file
    return None if said is None else said.aggregation


def _match(
    model: nn.Module,
    layout: Layout | None,
    named: str | None,
    renamed: Mapping[str, str],
    own: Mapping[str, Tensor],
) -> _Match:
    """Compare the network of a file with a model.

    Args:
        model: the network.
        layout: the file's.
        named: the name of the file's aggregation, None if it is not known.
        renamed: the file's keys to our names of them.
        own: the model's state dict.
    """
    if layout is None:
        return _Match()
    if layout.trunk_only:
        return _Match("the file holds a trunk only")
    mine = getattr(model, "aggregation_name", None)
    theirs = named or aggregation_in(renamed.values(), layout, model)
    # Where one of them has no name, what they have is compared, and later each tensor.
    has, wants = (bool(_in_aggregation(names)) for names in (renamed.values(), own))
    same = theirs == mine if theirs and mine else has == wants
    if not same:
        unknown = "an aggregation without a name"
        return _Match(
            f"the file's network aggregates by {theirs or unknown}, the model by {mine or unknown}",
            starts=theirs in getattr(model, "starts_from", ()),
        )
    if getattr(model.backbone, "last_relu", True) and not layout.last_relu:
        return _Match("the last block of the file's trunk is linear, the model's is not")
    return _Match()


def aggregation_in(names: Iterable[str], layout: Layout, model: nn.Module) -> str | None:
    """Return the name of the aggregation that a file has tensors of; None if none is known.

    Args:
        names: our names of the file's tensors.
        layout: the file's.
        model: the network that it is for, whose own aggregation is preferred.
    """
    tensors = _in_aggregation(names)
    if not tensors and layout.aggregation is not None:
        return layout.aggregation
    if tensors == _in_aggregation(model.state_dict()):
        mine: str | None = getattr(model, "aggregation_name", None)
        return mine
    known = getattr(model, "aggregation_with", None)
    return None if known is None else known(tensors)


def _in_aggregation(names: Iterable[str]) -> set[str]:
    """Return those of a network's names that lie in its aggregation, as they are called there."""
    return {name.removeprefix(_AGGREGATION) for name in names if name.startswith(_AGGREGATION)}


def _name(key: str) -> str:
    """Return a key as it is, or short and in quotes where it is not a plain name."""
    return key if re.fullmatch(r"[\w.-]{1,100}", key) else shown(key)


def _some(keys: list[str]) -> str:
    return ", ".join(_name(key) for key in keys[:4]) + (
        f" and {len(keys) - 4} more" if len(keys) > 4 else ""
    )


def _check(
    own: Mapping[str, Tensor], used: Mapping[str, Tensor], left: Mapping[str, str], path: Path
) -> None:
    """Refuse tensors that are not those of the model, apart from what is left."""
    missing = [key for key in own if key not in used and key not in left]
    unexpected = [key for key in used if key not in own]
    shapes = [
        f"{_name(key)} is {tuple(tensor.shape)}, the model's {tuple(own[key].shape)}"
        for key, tensor in used.items()
        if key in own and tensor.shape != own[key].shape
    ]
    problems = [
        f"{what}: {_some(keys)}"
        for what, keys in (
            ("missing in the file", missing),
            ("unknown to the model", unexpected),
        )
        if keys
    ]
    if shapes:
        more = f" and {len(shapes) - 4} more" if len(shapes) > 4 else ""
        problems.append(f"another shape: {', '.join(shapes[:4])}{more}")
    if problems:
        raise WeightsError(
            f"{path} does not fit this model ({'; '.join(problems)}). Build the model that it was "
            "trained as: the same name and aggregation."
        )
