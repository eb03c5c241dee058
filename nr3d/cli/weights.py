"""``nr3d weights``: list, fetch, verify, add and export weights."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from nr3d import weights
from nr3d.cli.output import add_json_option, write_json
from nr3d.errors import WeightsError
from nr3d.files.home import expanded
from nr3d.weights import Source, WeightsEntry
from nr3d.weights.index import SHIPPED, read_index

_MANIFESTS = (".yaml", ".yml", ".json")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="list the weights, and which are on this machine")
    listing.add_argument(
        "--markdown", action="store_true", help="print the shipped weights as a table"
    )
    add_json_option(listing)
    listing.set_defaults(action=_list)

    fetching = actions.add_parser("fetch", help="download weights and verify them")
    fetching.add_argument("names", nargs="+", metavar="NAME")
    fetching.set_defaults(action=_fetch)

    verifying = actions.add_parser("verify", help="verify the files that were fetched")
    verifying.add_argument("names", nargs="*", metavar="NAME", help="default: all on this machine")
    verifying.set_defaults(action=_verify)

    adding = actions.add_parser("add", help="add weights to your index")
    adding.add_argument(
        "file", metavar="FILE", help="a manifest (YAML), or a weights file on this machine"
    )
    adding.add_argument(
        "--name",
        metavar="ARCHITECTURE.TAG",
        help="name for a weights file, such as nr3d_resnet50.mars",
    )
    adding.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="address of the file: https://…, drive:ID, https://….zip#MEMBER or a path; may be "
        "given several times, the addresses are tried in order",
    )
    _add_facts(adding)
    adding.set_defaults(action=_add)

    exporting = actions.add_parser(
        "export", help="write weights for others: safetensors, manifest and model card"
    )
    exporting.add_argument(
        "checkpoint", metavar="CHECKPOINT", type=Path, help="checkpoint of a training run"
    )
    exporting.add_argument(
        "--name",
        required=True,
        metavar="ARCHITECTURE.TAG",
        help="name to publish under, such as nr3d_resnet50_ibn.mars",
    )
    exporting.add_argument(
        "--out",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="folder to write to (default: the current folder)",
    )
    _add_facts(exporting)
    exporting.set_defaults(action=_export)
    for action in actions.choices.values():
        action.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )


def _add_facts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--licence", metavar="SPDX", help="licence, such as MIT or CC-BY-NC-4.0")
    parser.add_argument("--origin", metavar="TEXT", help="paper or page that the weights come from")
    parser.add_argument("--replace", action="store_true", help="overwrite what exists already")


def run(args: argparse.Namespace) -> None:
    """Run the action."""
    args.action(args)


def _list(args: argparse.Namespace) -> None:
    if args.markdown:
        print(markdown_table(read_index(SHIPPED)))
        return
    entries = weights.available()
    rows = [("name", "trained on", "figures", "licence", "here")]
    for entry in entries.values():
        path = weights.cached(entry)
        rows.append(
            (
                entry.name,
                ", ".join(entry.trained_on) or "-",
                _figures(entry),
                entry.licence or "-",
                "yes" if path else "no",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).strip())
    print("\nFetch one: nr3d weights fetch NAME. Yours are in", weights.user_index())
    write_json(args.json, {name: entry.to_mapping() for name, entry in entries.items()})


def _figures(entry: WeightsEntry) -> str:
    """Return the figures on one line, each with its dataset and how it was measured."""
    return (
        "; ".join(
            ", ".join(f"{name} {share:.2%}" for name, share in metric.values.items())
            + f" ({metric.dataset}, {metric.protocol}, {metric.kind}"
            + (f", {metric.tracklets})" if metric.tracklets else ")")
            for metric in entry.metrics
        )
        or "-"
    )


def markdown_table(entries: dict[str, WeightsEntry]) -> str:
    """Format entries as a Markdown table."""
    lines = [
        "| name | trained on | input | figures | SHA-256 | licence | first source |",
        "|---|---|---|---|---|---|---|",
    ]
    for entry in entries.values():
        source = entry.sources[0] if entry.sources else None
        digest = (entry.hash_of(source) if source else entry.sha256) or ""
        size = "×".join(map(str, entry.input_size)) if entry.input_size else "-"
        cells = (
            f"`{entry.name}`",
            ", ".join(entry.trained_on) or "-",
            f"{size}, {entry.frames} frames" if entry.frames else size,
            _figures(entry),
            f"`{digest}`" if digest else "not published",
            entry.licence or "-",
            _link(source),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _link(source: Source | None) -> str:
    address = (source.url or source.zip) if source else None
    return f"[{urlsplit(address).hostname}]({address})" if address else str(source or "-")


def _fetch(args: argparse.Namespace) -> None:
    for name in args.names:
        print(f"{name}: {weights.fetch(name)}")


def _verify(args: argparse.Namespace) -> None:
    names = args.names or list(weights.available())
    results = [weights.verify(name) for name in names]
    if not args.names:
        results = [result for result in results if result.state != "missing"]
    for result in results:
        print(f"{result.name}: {result.state}: {result.detail}")
    if not results:
        print("No weights have been fetched to this machine.")
    wrong = [result.name for result in results if result.state != "ok"]
    if wrong:
        raise WeightsError(
            f"{len(wrong)} of {len(results)} files are wrong or missing: {', '.join(wrong)}. Fetch "
            f"again: nr3d weights fetch {' '.join(wrong)}"
        )


def _add(args: argparse.Namespace) -> None:
    path = expanded(args.file, WeightsError)
    if not path.is_file():
        raise WeightsError(f"There is no file {path}: give a manifest or a weights file.")
    sources = tuple(parse_address(address) for address in args.source)
    if path.suffix in _MANIFESTS:
        if args.name:
            raise WeightsError(f"{path} is a manifest and holds its name: leave --name out.")
        entries = [_of_manifest(entry, path, sources) for entry in read_index(path).values()]
    else:
        if not args.name:
            raise WeightsError(
                f"{path} needs a name: give --name ARCHITECTURE.TAG, such as nr3d_resnet50_ibn.mars"
            )
        entry = weights.entry_of_file(path, args.name, licence=args.licence, origin=args.origin)
        entries = [replace(entry, sources=(*entry.sources, *sources))]
    for entry in entries:
        index = weights.add(entry, replace=args.replace)
        print(f"{entry.name}: in {index}")
        call = weights.how_to_build(entry.architecture, pretrained=entry.tag)
        print("Use it:", call.replace('"', "'"))


def _of_manifest(entry: WeightsEntry, manifest: Path, sources: tuple[Source, ...]) -> WeightsEntry:
    """Return a manifest's entry with its addresses, or with the file beside the manifest."""
    found = (*sources, *entry.sources)
    beside = manifest.absolute().with_name(entry.file) if entry.file else None
    if not found and beside is not None and beside.is_file():
        found = (Source(path=str(beside)),)
    if not found:
        raise WeightsError(
            f"{manifest} names no address of {entry.file or 'its file'}: give --source ADDRESS, or "
            "put the file beside the manifest."
        )
    return replace(entry, sources=found)


def parse_address(address: str) -> Source:
    """Parse an address from the command line."""
    if address.startswith("drive:"):
        return Source(drive=address.removeprefix("drive:"))
    if "://" in address:
        archive, _, member = address.partition("#")
        return Source(zip=archive, member=member) if member else Source(url=address)
    return Source(path=str(expanded(address, WeightsError).absolute()))


def _export(args: argparse.Namespace) -> None:
    exported = weights.export(
        args.checkpoint,
        args.name,
        args.out,
        licence=args.licence,
        origin=args.origin,
        replace_files=args.replace,
    )
    unknown = [
        name
        for name in ("trained_on", "input_size", "frames", "metrics", "licence", "origin")
        if not getattr(exported.entry, name)
    ]
    print(f"Weights:  {exported.weights} ({exported.entry.size:,} bytes)")
    print(f"Manifest: {exported.manifest}")
    print(f"Card:     {exported.card}")
    if unknown:
        print(f"Not known, fill in the manifest where you can: {', '.join(unknown)}")
    print(f"Elsewhere: nr3d weights add {exported.manifest.name} --source ADDRESS")
