"""Publish weights: a safetensors file, its manifest and a model card."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from nr3d.atomic import replacing
from nr3d.config import write_text, yaml_text
from nr3d.errors import WeightsError
from nr3d.home import expanded
from nr3d.host import torchreid
from nr3d.registry import registered_models
from nr3d.weights.cache import sha256_of
from nr3d.weights.checkpoint import read_checkpoint, tensors_of
from nr3d.weights.entry import Metric, Source, WeightsEntry
from nr3d.weights.layouts import recognise
from nr3d.weights.loading import LoadReport, load
from nr3d.weights.manifest import ENTRY_KEY, entry_of, entry_of_checkpoint
from nr3d.weights.parsing import parse_entry


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Args:
        weights: the safetensors file.
        manifest: the index entry as YAML, which ``nr3d weights add`` takes.
        card: the model card, Markdown.
        entry: what the manifest holds.
        report: what of the checkpoint is in the weights.
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
    """Write weights for others: no optimizer state, and everything that using them needs.

    Args:
        checkpoint: a training checkpoint, or any file that :func:`nr3d.weights.load` takes.
        name: ``architecture.tag`` of the entry.
        out: folder for ``name.safetensors``, ``name.yaml`` (manifest) and ``name.md`` (card).
        licence: SPDX name.
        origin: paper or page.
        replace_files: write over files of these names.

    Returns:
        Exported: the files, and the entry in the manifest. What the checkpoint does not tell is
        None in it.

    Raises:
        WeightsError: if the checkpoint does not give the named model its features, or a file is
            there already; nothing is then written.

    Examples::
        exported = nr3d.weights.export("log/mars/model-best.pth.tar", "nr3d_resnet50_ibn.mars")
    """
    path, folder = expanded(checkpoint, WeightsError), expanded(out, WeightsError)
    weights, manifest, card = (folder / f"{name}.{end}" for end in ("safetensors", "yaml", "md"))
    content = read_checkpoint(path)
    known = entry_of_checkpoint(content, path, name) or WeightsEntry(name)
    parse_entry(name, {}, "--name")  # the name alone
    trained_as = content.get("facts", {}).get("architecture")
    if trained_as not in (None, known.architecture):
        raise WeightsError(
            f"{path} was trained as {trained_as}, not as {known.architecture}: name it "
            f"{trained_as}.{known.tag}."
        )
    model, aggregation, report = _rebuild(path, known.architecture)
    present = [file for file in (weights, manifest, card) if file.exists()]
    if present and not replace_files:
        raise WeightsError(
            f"{present[0]} is there already: choose another folder or name, or replace it by "
            "--replace."
        )
    entry = replace(
        known,
        layout="nr3d",
        identities=len(model.state_dict()["classifier.weight"]),
        aggregation=known.aggregation or aggregation,
        feature=known.feature or getattr(model, "feature", None),
        licence=licence,
        origin=origin,
        file=weights.name,
        where=str(manifest),
    )
    _write_safetensors(model, entry, weights)
    entry = replace(entry, sha256=sha256_of(weights), size=weights.stat().st_size)
    write_text(card, _card(entry))
    write_text(manifest, _MANIFEST_HEADER + yaml_text({name: entry.to_mapping()}))
    return Exported(weights, manifest, card, entry, report)


def entry_of_file(
    path: str | Path, name: str, *, licence: str | None = None, origin: str | None = None
) -> WeightsEntry:
    """Make the entry of a weights file on this machine, for :func:`nr3d.weights.add`.

    Args:
        path: any file that :func:`nr3d.weights.load` takes.
        name: ``architecture.tag``.
        licence: SPDX name.
        origin: paper or page.

    Raises:
        WeightsError: if the file does not fit the named model.
    """
    path = expanded(path, WeightsError).absolute()
    parse_entry(name, {}, "--name")
    known = entry_of(path) or WeightsEntry(name)
    architecture = name.split(".")[0]
    model, aggregation, report = _rebuild(path, architecture)
    classifier = model.state_dict().get("classifier.weight")
    return replace(
        known,
        name=name,
        sources=(Source(path=str(path)),),
        sha256=sha256_of(path),
        size=path.stat().st_size,
        layout=report.layout,
        aggregation=known.aggregation or aggregation,
        identities=None if classifier is None or not report.whole else len(classifier),
        licence=licence or known.licence,
        origin=origin or known.origin,
        file=None,
        where="",
    )


def _rebuild(path: Path, architecture: str) -> tuple[nn.Module, str | None, LoadReport]:
    """Build the network that a file was trained as and load it; with its aggregation's name."""
    if architecture not in registered_models():
        raise WeightsError(
            f"There is no model {architecture}: the name starts with one of `nr3d models`."
        )
    state = tensors_of(read_checkpoint(path), path)
    layout = recognise(state)
    names = {key: (layout.rename(key) if layout else key) or key for key in state}
    heads = [key for key, name in names.items() if name == "classifier.weight"]
    options: dict[str, Any] = {"pretrained": False, "use_gpu": False}
    if layout is not None and not layout.trunk_only:
        attends = any(name.startswith("aggregation.") for name in names.values())
        options["aggregation"] = "attention" if attends else "mean"
    identities = len(state[heads[0]]) if heads else 1
    model: nn.Module = torchreid.models.build_model(architecture, identities, **options)
    report = load(model, path, whole=layout is None or not layout.trunk_only)
    return model, options.get("aggregation"), report


def _write_safetensors(model: nn.Module, entry: WeightsEntry, path: Path) -> None:
    from safetensors.torch import save_file

    state = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
    held = json.dumps({entry.name: entry.to_mapping()}, sort_keys=True)
    with replacing(path) as partial:
        save_file(state, partial, metadata={"format": "pt", ENTRY_KEY: held})


_MANIFEST_HEADER = (
    "# Manifest of weights for nr3d. To use them: nr3d weights add THIS_FILE --source ADDRESS\n"
)


def _card(entry: WeightsEntry) -> str:
    """Write the model card: what it is, how to use it, how good it is, where it comes from."""

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
        "import torchreid",
        "",
        f'model = torchreid.models.build_model("{entry.architecture}", pretrained="{entry.tag}")',
        "```",
        "",
        "| | |",
        "|---|---|",
        f"| trained on | {said(', '.join(entry.trained_on))} |",
        f"| identities | {said(entry.identities)} |",
        f"| input | {said(size)}, clips of {said(entry.frames)} frames |",
        f"| normalisation | mean {said(entry.mean)}, std {said(entry.std)} |",
        f"| aggregation | {said(entry.aggregation)} |",
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


def _figures(metrics: tuple[Metric, ...]) -> list[str]:
    names = list(dict.fromkeys(name for metric in metrics for name in metric.values))
    rows = [f"| dataset | protocol | | {' | '.join(names)} |", "|---|---|---" + "|---" * len(names)]
    rows[1] += "|"
    for metric in metrics:
        figures = [f"{metric.values[n]:.2%}" if n in metric.values else "-" for n in names]
        rows.append(
            f"| {metric.dataset} | {metric.protocol} | {metric.kind} | {' | '.join(figures)} |"
        )
    return rows
