"""Publishing of weights: a safetensors file, its manifest and a model card."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from nr3d.config import yaml_text
from nr3d.data.datasets.parts import KINDS, NO_VIDEO
from nr3d.errors import WeightsError, reason_of, shown, writing
from nr3d.files.atomic import flush_to_disk, replacing, sole_writer
from nr3d.files.home import expanded
from nr3d.registry import image_networks, registered_models, video_model
from nr3d.weights.checkpoint import existing, read_checkpoint
from nr3d.weights.entry import Metric, Source, WeightsEntry
from nr3d.weights.hashing import sha256_of
from nr3d.weights.layouts import network_in, recognise
from nr3d.weights.loading import LoadReport, aggregation_in, load_content
from nr3d.weights.manifest import ENTRY_KEY, entry_in, entry_of_checkpoint, facts_in
from nr3d.weights.parsing import parse_entry
from nr3d.weights.safetensors_file import write_safetensors
from nr3d.weights.states import tensors_of


@dataclass(frozen=True)
class Exported:
    """The files of an export.

    Args:
        weights: the safetensors file.
        manifest: the index entry as YAML, for ``nr3d weights add``.
        card: the model card, in Markdown.
        entry: the entry in the manifest.
        report: account of which parts of the checkpoint are in the weights.
    """

    weights: Path
    manifest: Path
    card: Path
    entry: WeightsEntry
    report: LoadReport


def export(
    checkpoint: str | Path,
    name: str,
    out: str | Path = ".",
    *,
    licence: str | None = None,
    origin: str | None = None,
    replace_files: bool = False,
) -> Exported:
    """Write weights for others to use, with all that they need and without optimizer state.

    Args:
        checkpoint: a training checkpoint, or any file that :func:`nr3d.weights.load` takes.
        name: the entry's ``architecture.tag``.
        out: the folder for ``name.safetensors``, ``name.yaml`` (manifest) and ``name.md`` (card).
        licence: the SPDX name of the licence.
        origin: the paper or page that the weights come from.
        replace_files: whether to overwrite existing files of these names.

    Returns:
        Exported: the files, and the entry in the manifest, in which anything that the checkpoint
        does not state is None.

    Raises:
        WeightsError: if the checkpoint does not give the named model its features, or a file
            already exists; nothing is then written.
        OutputError: if the files cannot be written; existing files are then unchanged.

    Examples:
        >>> import torch, nr3d
        >>> torch.save(nr3d.models.VideoReID(18, 5).state_dict(), "model.pth")
        >>> nr3d.weights.export("model.pth", "nr3d_resnet18_ibn.mine").weights.name
        'nr3d_resnet18_ibn.mine.safetensors'
    """
    path, folder = existing(checkpoint), expanded(out, WeightsError)
    weights, manifest, card = (folder / f"{name}.{end}" for end in ("safetensors", "yaml", "md"))
    content = read_checkpoint(path)
    known = entry_of_checkpoint(content, path, name) or WeightsEntry(name)
    parse_entry(name, {}, "--name")  # checks only the name
    trained_as = facts_in(content, path).get("architecture")
    if trained_as not in (None, known.architecture):
        theirs = shown(trained_as).strip("'")
        raise WeightsError(
            f"{path} was trained as {theirs}, not as {known.architecture}: name it "
            f"{theirs}.{known.tag}."
        )
    model, report, option = _rebuild(path, content, known.architecture, known)
    for file in (weights, manifest, card):
        if file.is_dir():
            raise WeightsError(f"{file} is a folder: choose another folder or name.")
    _keep((weights, manifest, card), replace_files)
    entry = replace(
        known,
        layout="nr3d",
        identities=_identities(model, report),
        aggregation=known.aggregation or getattr(model, "aggregation_name", None),
        feature=known.feature or getattr(model, "feature", None),
        licence=licence,
        origin=origin,
        file=weights.name,
        where=str(manifest),
    )
    with (
        sole_writer(weights, manifest, card),
        _all_or_none(weights, manifest, card) as (of_weights, of_manifest, of_card),
    ):
        _keep((weights, manifest, card), replace_files)  # another process may have written them
        with writing(weights, of_weights):
            _write_safetensors(model, entry, of_weights)
        digest, size = sha256_of(of_weights), of_weights.stat().st_size
        entry = replace(entry, sha256=digest, size=size)
        with writing(card, of_card):
            of_card.write_text(_card(entry, option), encoding="utf-8")
        with writing(manifest, of_manifest):
            text = _MANIFEST_HEADER + yaml_text({name: entry.to_mapping()})
            of_manifest.write_text(text, encoding="utf-8")
    return Exported(weights, manifest, card, entry, report)


def entry_of_file(
    path: str | Path, name: str, *, licence: str | None = None, origin: str | None = None
) -> WeightsEntry:
    """Return an entry for a weights file on this machine, for :func:`nr3d.weights.add`.

    Args:
        path: any file that :func:`nr3d.weights.load` takes.
        name: the entry's ``architecture.tag``.
        licence: the SPDX name of the licence.
        origin: the paper or page that the weights come from.

    Raises:
        WeightsError: if the file does not fit the named model.
    """
    path = existing(path).absolute()
    named = parse_entry(name, {}, "--name")
    content = read_checkpoint(path)
    known = entry_in(content, path) or named
    architecture = name.split(".")[0]
    model, report, _ = _rebuild(path, content, architecture, known)
    # A trunk's file does not state the aggregation of the network that it starts.
    found = getattr(model, "aggregation_name", None) if report.whole else None
    return replace(
        known,
        name=name,
        sources=(Source(path=str(path)),),
        sha256=sha256_of(path),
        size=path.stat().st_size,
        layout=report.layout,
        aggregation=known.aggregation or found,
        identities=_identities(model, report) if report.whole else None,
        licence=licence or known.licence,
        origin=origin or known.origin,
        file=None,
        where="",
    )


def _identities(model: nn.Module, report: LoadReport) -> int | None:
    """Return the number of identities of a loaded classifier; None if the file has none."""
    key = "classifier.weight"
    return len(model.state_dict()[key]) if key in report.loaded else None


def _rebuild(
    path: Path, content: Mapping[str, Any], architecture: str, known: WeightsEntry
) -> tuple[nn.Module, LoadReport, str | None]:
    """Build the network that a file was trained as, and load the file.

    Args:
        path: the file.
        content: the content of the file.
        architecture: the registered name of the network.
        known: the facts that the file states of its use, such as the name of its aggregation.

    Returns:
        tuple: the network, the load report, and the name of the aggregation that it had to be
        built with; None if that is the network's default.
    """
    if architecture not in registered_models():
        raise WeightsError(
            f"There is no model {architecture}: the name starts with one of `nr3d models`."
        )
    try:
        build = functools.partial(
            video_model(architecture),
            pretrained=False,
            use_gpu=False,
            frames=known.frames,
            frame_size=known.input_size,
        )
    except KeyError as error:
        raise WeightsError(f"{path} cannot be one of {architecture}: {error.args[0]}.") from error
    state, _ = network_in(tensors_of(content, path), None, path)
    layout = recognise(state)
    names = {key: (layout.rename(key) if layout else key) or key for key in state}
    heads = [key for key, name in names.items() if name == "classifier.weight"]
    identities = len(state[heads[0]]) if heads else 1
    whole = layout is None or not layout.trunk_only

    model, option = build(identities), None
    mine = getattr(model, "aggregation_name", None)
    if mine is not None and layout is not None and whole:
        theirs = known.aggregation or aggregation_in(names.values(), layout, model)
        if theirs not in (None, mine):
            option = theirs
            try:
                model = build(identities, aggregation=theirs)
            except KeyError as error:
                raise WeightsError(
                    f"{path} is of a network that aggregates by {shown(theirs)}, which is not "
                    f"known here: {reason_of(error)}. Import the module that registers it first."
                ) from error
    return model, load_content(model, content, path, whole=whole), option


def _write_safetensors(model: nn.Module, entry: WeightsEntry, path: Path) -> None:
    state = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
    held = json.dumps({entry.name: entry.to_mapping()}, sort_keys=True)
    write_safetensors(state, {"format": "pt", ENTRY_KEY: held}, path)


def _keep(files: Sequence[Path], replace: bool) -> None:
    """Raise an error if a file exists and must not be replaced."""
    present = [file for file in files if file.exists()]
    if present and not replace:
        raise WeightsError(
            f"{present[0]} is there already: choose another folder or name, or overwrite it with "
            "--replace."
        )


@contextlib.contextmanager
def _all_or_none(*paths: Path) -> Iterator[list[Path]]:
    """Write several files so that either all or none of them replace the old ones."""
    with contextlib.ExitStack() as stack:
        partials = [stack.enter_context(replacing(path)) for path in paths]
        yield partials
        # All are on the disk before the first takes its place, so that nothing can fail any more.
        for path, partial in zip(paths, partials, strict=True):
            with writing(path, partial):
                flush_to_disk(partial)


_MANIFEST_HEADER = (
    "# Manifest of weights for nr3d. To use them: nr3d weights add THIS_FILE --source ADDRESS\n"
)


def _card(entry: WeightsEntry, aggregation: str | None) -> str:
    """Return the model card: what the model is, how to use it, its results and its origin.

    Args:
        entry: the entry in the manifest.
        aggregation: the aggregation to build the network with; None for its default.
    """
    options = {"pretrained": entry.tag}
    if aggregation is not None:
        options["aggregation"] = aggregation
    call = how_to_build(entry.architecture, **options)

    def said(value: object) -> str:
        return "not known" if value in (None, (), {}, "") else str(value)

    size = f"{entry.input_size[0]}×{entry.input_size[1]} pixels" if entry.input_size else None
    config = entry.config if isinstance(entry.config, str) else None
    lines = [
        f"# {entry.name}",
        "",
        f"A video person re-identification network, `{entry.architecture}`, for "
        "nr3d and torchreid.",
        "",
        "```sh",
        f"nr3d weights add {entry.name}.yaml --source ADDRESS_OF_{entry.file}",
        "```",
        "",
        "```python",
        "import nr3d",
        *(["import torchreid"] if call.startswith("torchreid.") else []),
        "",
        f"model = {call}",
        "```",
        "",
        "| | |",
        "|---|---|",
        f"| trained on | {said(', '.join(entry.trained_on))} |",
        f"| identities | {said(entry.identities)} |",
        f"| input | {said(size)}, clips of {said(entry.frames)} frames |",
        f"| normalisation | mean {said(entry.mean)}, std {said(entry.std)} |",
        f"| aggregation | {said(entry.aggregation)} |",
        *([f"| attention | {_ATTENTION[entry.attention]} |"] if entry.attention else []),
        f"| feature | {said(entry.feature)} the neck, compared by {said(entry.dist_metric)} "
        "distance |",
        f"| licence | {said(entry.licence)} |",
        f"| origin | {said(entry.origin)} |",
        f"| SHA-256 | `{entry.sha256}` |",
        f"| size | {entry.size:,} bytes |",
        *([f"| configuration | {config} |"] if config else []),
        f"| made with | {said(', '.join(f'{k} {v}' for k, v in entry.versions.items()))} |",
        "",
        "## Results",
        "",
    ]
    if not entry.metrics:
        lines.append("Not measured.")
    else:
        lines += _figures(entry.metrics)
    return "\n".join(lines) + "\n"


def how_to_build(architecture: str, **options: str) -> str:
    """Return the Python call that builds a network.

    Examples:
        >>> how_to_build("nr3d_resnet50", pretrained="mars")
        'torchreid.models.build_model("nr3d_resnet50", pretrained="mars")'
        >>> how_to_build("osnet_x1_0", pretrained="mars")
        'nr3d.models.architecture_of("osnet_x1_0")(pretrained="mars")'
    """
    arguments = ", ".join(f'{name}="{value}"' for name, value in options.items())
    if architecture in image_networks():  # by such a name, torchreid builds its own
        return f'nr3d.models.architecture_of("{architecture}")({arguments})'
    return f'torchreid.models.build_model("{architecture}", {arguments})'


_ATTENTION = {
    "flat": "flat: all frames of a clip have the same weight, as with aggregation `mean`",
    "alive": "alive",
}
"""What a card says of the states of an attention."""


def _figures(metrics: tuple[Metric, ...]) -> list[str]:
    names = list(dict.fromkeys(name for metric in metrics for name in metric.values))
    rows = [f"| dataset | protocol | | {' | '.join(names)} |", "|---|---|---" + "|---" * len(names)]
    rows[1] += "|"
    for metric in metrics:
        figures = [f"{metric.values[n]:.2%}" if n in metric.values else "-" for n in names]
        dataset = f"{metric.dataset} ({metric.tracklets})" if metric.tracklets else metric.dataset
        rows.append(f"| {dataset} | {metric.protocol} | {metric.kind} | {' | '.join(figures)} |")
    for kind in dict.fromkeys(metric.tracklets for metric in metrics if metric.tracklets):
        what = f" ({KINDS[kind]})" if kind in KINDS else ""
        rows += ["", f"Of {kind}{what}: {NO_VIDEO}."]
    return rows
