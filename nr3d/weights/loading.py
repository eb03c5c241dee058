"""Loading of weights into a model, with an account of every key of the file and of the model."""

from __future__ import annotations

import logging
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nr3d.config.aggregation import ATTENTION_FORMS, keys_of
from nr3d.errors import WeightsError, shown
from nr3d.files.home import expanded
from nr3d.weights.checkpoint import read_checkpoint
from nr3d.weights.entry import IMAGENET_TAG, WeightsEntry
from nr3d.weights.fetch import fetch
from nr3d.weights.index import available, describe_user_index, find
from nr3d.weights.layouts import LAYOUTS, Layout, network_in, recognise
from nr3d.weights.manifest import check_beside, entry_in
from nr3d.weights.states import check_numbers, is_counter, tensors_of

logger = logging.getLogger(__name__)

_CLASSIFIER = "classifier.weight"
_AGGREGATION = "aggregation."


@dataclass(frozen=True)
class LoadReport:
    """Account of every tensor of a file and of a model.

    Args:
        path: the file.
        layout: the layout of its keys, one of :data:`LAYOUTS`; None for the model's own names.
        loaded: the model's keys that were loaded.
        left: the model's keys that keep their initial value, each with the reason.
        unused: the file's keys that were not loaded, each with the reason.
        entry: the index entry of the file; None for a path.
        differs: reason why the model's features differ from those of the file's network although
            all of its weights were loaded; empty if they do not differ.
        needless: the model's parts that its features do not depend on.
    """

    path: Path
    layout: str | None
    loaded: tuple[str, ...]
    left: Mapping[str, str]
    unused: Mapping[str, str]
    entry: WeightsEntry | None = None
    differs: str = ""
    needless: tuple[str, ...] = ("classifier",)

    @property
    def whole(self) -> bool:
        """Whether the model computes the file's features: only needless parts were not loaded."""
        left = (key for key in self.left if key.split(".")[0] not in self.needless)
        return not self.differs and all(map(is_counter, left))

    def __str__(self) -> str:
        """Return a summary, with one sentence per outcome and parts instead of keys."""
        name = f"{self.entry.name} ({self.path})" if self.entry else str(self.path)
        named = f", layout {self.layout}" if self.layout else ""
        lines = [f"Loaded {_parts(self.loaded)} from {name}{named}."]
        for what, keys in (("Left at its initial value", self.left), ("Not used", self.unused)):
            for reason in dict.fromkeys(keys.values()):
                of_it = [key for key, why in keys.items() if why == reason]
                lines.append(f"{what}: {_parts(of_it)}: {reason}.")
        if self.differs:
            lines.append(f"Only a starting point, with different features: {self.differs}.")
        return " ".join(lines)


def _parts(keys: tuple[str, ...] | list[str]) -> str:
    """Return the names of the parts that keys belong to, and the number of tensors."""
    parts = list(dict.fromkeys(key.split(".")[0] for key in keys))
    named = ", ".join(map(_name, parts[:6]))
    more = f" and {len(parts) - 6} more" if len(parts) > 6 else ""
    return f"{named}{more} ({len(keys)} tensor{'s' if len(keys) != 1 else ''})"


def named_pretrained(name: str, pretrained: bool | str | Path) -> str | None:
    """Return the weights that the argument ``pretrained`` of ``build_model`` names.

    Args:
        name: the registered name of the network.
        pretrained: ``False`` for none; ``True`` for the trunk's ImageNet weights; a tag such as
            ``'mars'``, a full name such as ``'vkd_resnet50.mars'``, or a path.

    Returns:
        str | None: a name in the index or the path of a file, as :func:`load` takes it; None for
        none.

    Raises:
        WeightsError: if there is no such name; the message says how to get such weights.
    """
    if pretrained is False:
        return None
    wanted = IMAGENET_TAG if pretrained is True else str(pretrained)
    if "/" not in wanted and "\\" not in wanted:
        entries = available()
        if f"{name}.{wanted}" in entries:
            return f"{name}.{wanted}"
        if "." not in wanted and not Path(wanted).is_file():
            raise WeightsError(_no_such_tag(name, wanted, entries))
        _refuse_misnamed(wanted, entries)
    return wanted


def _no_such_tag(name: str, tag: str, entries: Mapping[str, WeightsEntry]) -> str:
    """Return a message about an unknown tag: the alternatives, and how to get them."""
    own = describe_user_index()
    add = f"add a file that you have, `nr3d weights add FILE --name {name}.{tag}`"
    others = [entry.name for entry in entries.values() if tag in entry.trained_on]
    if tag == IMAGENET_TAG:
        return (
            f"There are no ImageNet weights for {name}, neither shipped nor in {own}: train it "
            f"from scratch with pretrained=False (model.pretrained False), or {add}."
        )
    if not others:
        tags = [entry.tag for entry in entries.values() if entry.architecture == name]
        return (
            f"There are no weights {name}.{tag}, neither shipped nor in {own}. Choose "
            f"one of {', '.join(tags) or 'none'} (`nr3d weights list`), or {add}."
        )
    other = entries[others[0]]
    return (
        f"No public weights {name}.{tag} are known, and {own} has none. You can "
        f"train them, `nr3d train --config {tag} --root DIR model.name {name}`; {add}; or use "
        f"a network trained on {tag} that can be downloaded now ({', '.join(others)}): "
        f"build_model('{other.architecture}', pretrained='{other.tag}')."
    )


def load(model: nn.Module, name_or_path: str | Path, *, whole: bool = False) -> LoadReport:
    """Load weights into a model and account for every key.

    The file may be a state dict of nr3d's, a training checkpoint, safetensors, a checkpoint of
    torchreid's, or a file in one of the :data:`LAYOUTS`, with or without the prefixes that wrappers
    add to keys (``module.``, ``_orig_mod.``, ``model.``, …).

    A classifier with another number of identities keeps its initial value. From a network with
    another aggregation only the trunk is loaded, or everything that fits if the model's aggregation
    may start from that one. Aggregations are compared by their names in the entry or the file, or
    by their tensors if neither states a name. The report, which is also logged, lists what was not
    loaded. What the index or the file states about the use of the weights becomes the model's
    ``entry`` and ``feature``.

    Args:
        model: a network of nr3d's, or any other, whose own names the file must then have.
        name_or_path: a name in the index, which is fetched, or a file.
        whole: whether to refuse a file that leaves more than the classifier at its initial value,
            so that the features would be meaningless.

    Returns:
        LoadReport: what was loaded, what was left and what was not used, and why.

    Raises:
        WeightsError: if the weights cannot be found, fetched, verified or read, a key of the
            file or the model is not accounted for, or a tensor has values other than finite real
            numbers; the model is then unchanged.

    Examples:
        >>> import torch, nr3d
        >>> model = nr3d.models.VideoReID(depth=18, num_classes=5)
        >>> torch.save(model.state_dict(), "weights.pth")
        >>> report = nr3d.weights.load(model, "weights.pth")
        >>> print(report.layout, len(report.loaded), dict(report.left))
        nr3d 142 {}
    """
    entry, path = _locate(name_or_path)
    return load_content(model, read_checkpoint(path), path, entry, whole=whole)


def load_content(
    model: nn.Module,
    content: Mapping[str, Any],
    path: Path,
    entry: WeightsEntry | None = None,
    *,
    whole: bool = False,
) -> LoadReport:
    """Load what a weights file holds into a model, as :func:`load` does with the file.

    Args:
        model: a network of nr3d's, or any other, whose own names the file must then have.
        content: the content of the file from :func:`nr3d.weights.read_checkpoint`.
        path: the file.
        entry: the index entry of the file; None for a path.
        whole: whether to refuse a file that leaves more than the classifier at its initial value.

    Returns:
        LoadReport: what was loaded, what was left and what was not used, and why.

    Raises:
        WeightsError: if a key of the file or the model is not accounted for, or a tensor has
            values other than finite real numbers; the model is then unchanged.
    """
    if entry is None:
        check_beside(path)
    state = tensors_of(content, path)
    own = model.state_dict()
    ours = isinstance(getattr(model, "backbone", None), nn.Module)
    of_trunk: Layout | None = getattr(getattr(model, "backbone", None), "layout", None)
    state, outside = network_in(state, None if ours else own, path, of_trunk)
    layout = recognise(state, of_trunk) if ours else None
    _check_layout(layout, entry, state, own, path, of_trunk)
    state = state if layout is None else layout.arrange(state)

    renamed, unused = _rename(state, layout, path)
    unused |= outside
    said = entry or entry_in(content, path)
    named_aggregation = _named_aggregation(said, content, path)
    match = _match(model, layout, named_aggregation, renamed, own)
    keys = {name: key for key, name in renamed.items()}
    left = {key: match.why for key in own if match.leaves(key, keys)}
    left |= _added(model, match, keys)
    unused |= {key: match.why for key, name in renamed.items() if match.leaves(name, own)}
    theirs = keys.get(_CLASSIFIER)
    if theirs is not None and theirs not in unused and _CLASSIFIER in own:
        identities, here = len(state[theirs]), len(own[_CLASSIFIER])
        if identities != here:
            why = f"{identities} identities in the file, {here} here"
            heads = [key for key in own if key.startswith("classifier.")]
            left |= dict.fromkeys(heads, why)
            unused |= {key: why for key, name in renamed.items() if name in heads}
    for key in own:
        if key not in left and key not in keys and is_counter(key):
            left[key] = "a file from before batches were counted; nothing is computed from it"
    used = {name: state[key] for key, name in renamed.items() if key not in unused}
    _check(own, used, left, path)
    of_own = {key: own[name] for key, name in renamed.items() if name in own}
    check_numbers({key: state[key] for key in renamed}, of_own, path)

    named = layout.name if layout else None
    differs = match.why if match.starts else ""
    needless = _needless(model, said) if layout is not None and layout is of_trunk else ()
    report = LoadReport(
        path, named, tuple(used), left, unused, entry, differs, ("classifier", *needless)
    )
    if whole and not report.whole:
        raise WeightsError(
            f"{path} does not give this model its features. {report} Build the network that it "
            "was trained as: the same model.name, model.aggregation and not3d.attention."
        )
    model.load_state_dict(used, strict=False)  # checked above
    if said is not None and report.whole and ours:
        model.entry = said  # type: ignore[assignment]
        if said.feature is not None:
            model.feature = said.feature  # type: ignore[assignment]
    logger.info("%s", report)
    if layout is not None and not (layout.aggregation or named_aggregation) and report.whole:
        _tell_form(model, path)
    return report


def _needless(model: nn.Module, said: WeightsEntry | None) -> tuple[str, ...]:
    """Return the parts after the trunk that a clip's feature does not depend on.

    Files of the trunk's own network have none of them.
    """
    place = getattr(model, "feature", None)
    if said is not None and said.feature is not None:
        place = said.feature
    return ("bottleneck",) if place == "before" else ()


def _tell_form(model: nn.Module, path: Path) -> None:
    """Warn that nothing in a file tells which form of the attention its network was trained with.

    All forms have the same tensors.
    """
    form = keys_of(str(getattr(model, "aggregation_name", None))).get("not3d.attention")
    if form is not None:
        others = " or ".join(other for other in ATTENTION_FORMS if other != form)
        logger.warning(
            "%s does not tell the form of its attention and is read as not3d.attention %s: if it "
            "was trained as %s, build that form.",
            path,
            form,
            others,
        )


def _locate(name_or_path: str | Path) -> tuple[WeightsEntry | None, Path]:
    """Return the file, fetched if a name in the index was given, and in that case its entry."""
    text = str(name_or_path)
    path = expanded(text, WeightsError)
    if isinstance(name_or_path, str) and "/" not in text and "." in text:
        entries = available()
        if text in entries:
            return entries[text], fetch(entries[text])
        _refuse_misnamed(text, entries)
    return None, path


def _refuse_misnamed(text: str, entries: Mapping[str, WeightsEntry]) -> None:
    """Raise an error that lists the known names for one that looks like them but is not there."""
    known = {entry.architecture for entry in entries.values()}
    looks_so = "." in text and text.split(".")[0] in known
    if looks_so and text not in entries and not expanded(text, WeightsError).is_file():
        find(text)


def _check_layout(
    layout: Layout | None,
    entry: WeightsEntry | None,
    state: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    path: Path,
    of_trunk: Layout | None,
) -> None:
    if entry is not None and entry.layout and layout and entry.layout != layout.name:
        raise WeightsError(
            f"{path} has the layout {layout.name}, its entry {entry.name} in {entry.where} says "
            f"{entry.layout}: correct the entry."
        )
    if layout is None and not set(state) & set(own):
        layouts = [*LAYOUTS.values(), *([of_trunk] if of_trunk else [])]
        known = "; ".join(f"{known.name} ({known.of})" for known in layouts)
        raise WeightsError(
            f"{path} has no key of this model and no known layout: its first keys are "
            f"{_some(list(state))}. Known layouts are {known}. Rename its keys to the model's."
        )


def _rename(
    state: Mapping[str, Tensor], layout: Layout | None, path: Path
) -> tuple[dict[str, str], dict[str, str]]:
    """Return our name for each key of the file, and the reason for each key without one."""
    if layout is None:
        return {key: key for key in state}, {}
    renamed: dict[str, str] = {}
    unused: dict[str, str] = {}
    unexplained = []
    for key in state:
        # A trunk's file may use our names for its own parts, such as a classifier.
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
            f"{_some(unexplained)}. Remove them from the file if they are not needed, or build "
            "the model that has them."
        )
    return renamed, unused


@dataclass(frozen=True)
class _Match:
    """How well a file's network matches the model.

    Args:
        why: reason why the networks differ; empty if they match.
        starts: whether the model may start from more than the file's trunk.
    """

    why: str = ""
    starts: bool = False

    def leaves(self, key: str, others: Container[str]) -> bool:
        """Return whether a tensor is left out; ``others`` are the names on the other side."""
        if self.starts:
            return key.startswith(_AGGREGATION) and key not in others
        return bool(self.why) and not key.startswith("backbone.")


def _named_aggregation(
    said: WeightsEntry | None, content: Mapping[str, Any], path: Path
) -> str | None:
    """Return the name of a file's aggregation from its entry, or else from the file itself."""
    if said is not None and said.aggregation is None and said.sources:
        said = entry_in(content, path)  # an index entry may state less than the file
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
        layout: the layout of the file.
        named: the name of the file's aggregation; None if unknown.
        renamed: our names by the file's keys.
        own: the model's state dict.
    """
    if layout is None:
        return _Match()
    if layout.trunk_only:
        return _Match("the file holds a trunk only")
    mine = getattr(model, "aggregation_name", None)
    theirs = named or aggregation_in(renamed.values(), layout, model)
    # Without both names, compare whether each has any tensors; later, each tensor is checked.
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
    """Return the name of the aggregation whose tensors a file has; None if unknown.

    Args:
        names: our names for the file's tensors.
        layout: the layout of the file.
        model: the network to load; its own aggregation is preferred.
    """
    if layout.aggregation is not None:
        return layout.aggregation
    tensors = _in_aggregation(names)
    if tensors == _in_aggregation(model.state_dict()):
        mine: str | None = getattr(model, "aggregation_name", None)
        return mine
    known = getattr(model, "aggregation_with", None)
    return None if known is None else known(tensors)


def _in_aggregation(names: Iterable[str]) -> set[str]:
    """Return the names of the aggregation's tensors among a network's, without their prefix."""
    return {name.removeprefix(_AGGREGATION) for name in names if name.startswith(_AGGREGATION)}


def _added(model: nn.Module, match: _Match, others: Container[str]) -> Mapping[str, str]:
    """Return the tensors that a trunk has beside those of another network's, with the reason."""
    added = getattr(getattr(model, "backbone", None), "added", None)
    if added is None or not match.why:
        return {}
    why = f"the file's trunk has no {added}"
    return {
        key: why
        for key in model.state_dict()
        if key.startswith(f"backbone.{added}.") and key not in others
    }


def _name(key: str) -> str:
    """Return a key unchanged if it is a plain name, else shortened and in quotes."""
    return key if re.fullmatch(r"[\w.-]{1,100}", key) else shown(key)


def _some(keys: list[str]) -> str:
    return ", ".join(_name(key) for key in keys[:4]) + (
        f" and {len(keys) - 4} more" if len(keys) > 4 else ""
    )


def _check(
    own: Mapping[str, Tensor], used: Mapping[str, Tensor], left: Mapping[str, str], path: Path
) -> None:
    """Raise an error if the tensors do not match the model's, apart from those left out."""
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
