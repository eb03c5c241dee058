"""The table of the methods, as Markdown, HTML and plain values."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from yacs.config import CfgNode

from nr3d.models import architecture_of
from nr3d.runs.configuration import aggregation_in
from nr3d.version import versions
from nr3d.zoo.costs import Costs, costs_of
from nr3d.zoo.measuring import Measured
from nr3d.zoo.methods import Method, Reported
from nr3d.zoo.trainings import Trained

DATASETS = {"mars": "MARS", "prid2011": "PRID2011", "ilidsvid": "iLIDS-VID"}

_ARTEFACTS = (
    "Estimate: forward and backward memory as in the paper's table, by torchsummary: 8 bytes for "
    "each value that a layer or block puts out, where a batch of a clip's frames counts as one "
    "frame, but M3D's five-dimensional clips with all of their frames (+1000.00). VPRT's is less "
    "by 9.77, since the sizes of its classifier's two outputs are multiplied and subtracted; Not "
    "3D's is more by 1.53, since its trunk is a module of its own whose output is counted twice. "
    "Activations: the same for all frames of the clip, without these artefacts."
)


@dataclass(frozen=True)
class Row:
    """A method with the costs of its network, and its measurements if there are any."""

    method: Method
    network: str
    frames: int
    height: int
    width: int
    costs: Costs
    measured: Measured | None = None

    @property
    def clip(self) -> str:
        """The clip length and frame size, in words."""
        return f"{self.frames} × {self.height}×{self.width}"


Section = tuple[str, list[str], list[list[str]], str]
"""Title, column titles, lines and the text below a table."""


def rows_of(chosen: Sequence[Method], plans: Sequence[CfgNode] = ()) -> list[Row]:
    """Return the rows of methods.

    Args:
        chosen: the methods.
        plans: the configurations that they were trained by, whose networks, clip lengths and frame
            sizes count. Default is each method's own recipe.
    """
    rows = []
    for method, cfg in zip(chosen, plans or [each.recipe for each in chosen], strict=True):
        size = (cfg.video.seq_len, cfg.data.height, cfg.data.width)
        network = architecture_of(cfg.model.name)
        costs = costs_of(network, *size, aggregation=aggregation_in(cfg), counts=method.counts)
        rows.append(Row(method, network.name, *size, costs))
    return rows


def as_markdown(rows: Sequence[Row], trained: Sequence[Trained] = ()) -> str:
    """Return the tables as Markdown.

    Args:
        rows: the methods.
        trained: figures of trainings under the same rules.
    """
    return "\n\n".join(map(_in_markdown, _sections(rows, trained))) + "\n"


def trained_as_markdown(rows: Sequence[Row], trained: Sequence[Trained]) -> str:
    """Return the table of the trainings alone, as Markdown.

    Args:
        rows: the methods, by the plans of the trainings.
        trained: their figures.
    """
    return _in_markdown(_trained(rows, trained)) + "\n"


def _in_markdown(section: Section) -> str:
    title, head, lines, below = section
    table = [head, ["---"] * len(head), *lines]
    cells = "\n".join(f"| {' | '.join(map(_plain, line))} |" for line in table)
    return f"### {title}\n\n{cells}\n\n{below}"


def as_html(rows: Sequence[Row], trained: Sequence[Trained] = (), picture: str = "") -> str:
    """Return the tables as a page of HTML that needs no other file.

    Args:
        rows: the methods.
        trained: figures of trainings under the same rules.
        picture: an SVG picture to show, as text.
    """
    parts = []
    for title, head, lines, below in _sections(rows, trained):
        titles = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>"
            for line in lines
        )
        parts.append(
            f"<h2>{html.escape(title)}</h2><table><thead><tr>{titles}</tr></thead>"
            f"<tbody>{body}</tbody></table><p>{html.escape(below)}</p>"
        )
    return _PAGE.format(body="".join(parts) + picture)


def as_mapping(rows: Sequence[Row], trained: Sequence[Trained] = ()) -> dict[str, Any]:
    """Return rows and figures as plain values."""
    return {
        "methods": [
            {
                "method": row.method.key,
                "title": row.method.title,
                "network": row.network,
                "venue": row.method.venue,
                "note": row.method.note,
                "weights": row.method.weights,
                "frames": row.frames,
                "height": row.height,
                "width": row.width,
                "costs": asdict(row.costs),
                "estimate_mib": row.costs.estimate_mib,
                "activations_mib": row.costs.activations_mib,
                "measured": None if row.measured is None else asdict(row.measured),
                "reported": [asdict(each) for each in row.method.reported],
            }
            for row in rows
        ],
        "trained": [asdict(each) for each in trained],
        "versions": versions(),
    }


def _plain(cell: str) -> str:
    return cell.replace("|", "\\|")


def _sections(rows: Sequence[Row], trained: Sequence[Trained]) -> list[Section]:
    sections = [_costs(rows)]
    if any(row.measured for row in rows):
        sections.append(_measured(rows))
    if any(row.method.reported or row.method.venue for row in rows):
        sections.append(_reported(rows))
    if trained:
        sections.append(_trained(rows, trained))
    return sections


def _costs(rows: Sequence[Row]) -> Section:
    head = ["method", "network", "clip", "parameters, MB", "estimate, MB"]
    head += ["activations, MB", "multiply-adds, G"]
    lines = [
        [
            row.method.title,
            row.network,
            row.clip,
            f"{row.costs.parameters_mib:.2f}",
            f"{row.costs.estimate_mib:.2f}",
            f"{row.costs.activations_mib:.1f}",
            f"{row.costs.multiply_adds / 1e9:.1f}",
        ]
        for row in rows
    ]
    return (
        "Costs of one clip",
        head,
        lines,
        f"With 625 identities; MB of 2^20 bytes. {_ARTEFACTS}",
    )


def _measured(rows: Sequence[Row]) -> Section:
    head = ["method", "clips a second", "inference, MiB", "training step, MiB"]
    lines, said = [], set()
    for row in rows:
        if row.measured is not None:
            found = row.measured
            lines.append(
                [
                    row.method.title,
                    f"{found.clips_a_second:.2f}",
                    _mib(found.inference_mib),
                    _mib(found.training_mib),
                ]
            )
            said.add(
                f"batches of {found.clips} clips on {found.device} with {found.threads} threads, "
                f"trunk in {found.precision}"
            )
    below = (
        f"Measured on this machine: {'; '.join(sorted(said))}. Memory at its peak, with the "
        "network itself, in training with gradients and Adam's moments."
    )
    return "Measured on this machine", head, lines, below


def _mib(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _reported(rows: Sequence[Row]) -> Section:
    head = ["method", "venue", *DATASETS.values(), "what differs here", "weights"]
    lines = [
        [
            row.method.title,
            row.method.venue or "-",
            *(_figures(row.method.reported, dataset) for dataset in DATASETS),
            row.method.note or "-",
            row.method.weights,
        ]
        for row in rows
    ]
    below = (
        "Reported by the authors: rank-1 (mAP) in percent. Protocols: [t] torchreid's, queries not "
        "in the gallery; [m] the dataset's own, with the queries in the gallery and precision "
        "by trapezoids. All networks are implemented anew here; none of these figures was measured "
        "with them. Figures of different protocols do not compare: the same features differ by "
        "half a point and more."
    )
    return "Reported", head, lines, below


def _figures(reported: Iterable[Reported], dataset: str) -> str:
    signs = {"torchreid": "t", "mars-official": "m", "ap3d": "a"}
    found = [
        f"{100 * each.rank1:.4g}"
        + (f" ({100 * each.mAP:.4g})" if each.mAP is not None else "")
        + f" [{signs[each.protocol]}]"
        + (f" {each.remark}" if each.remark else "")
        for each in reported
        if each.dataset == dataset
    ]
    return "; ".join(found) or "-"


def _trained(rows: Sequence[Row], trained: Sequence[Trained]) -> Section:
    known = {row.method.key: row for row in rows}
    head = ["method", "network", "clip", "multiply-adds, G", "dataset", "rank-1", "mAP", "seeds"]
    lines = [
        [
            *_of_network(known.get(each.method), each.method),
            each.dataset + (f" ({each.tracklets})" if each.tracklets else ""),
            each.text(each.rank1),
            each.text(each.mAP),
            ", ".join(map(str, each.seeds)),
        ]
        for each in trained
    ]
    below = (
        "Trained here by the same rules: the same data, sampler, optimizer, schedule, batch size, "
        "distance and protocol for all; each method with its own network, loss, clip length and "
        "test; the last epoch's weights, never the best on the test set. Mean ± sample "
        "standard deviation over the seeds, in percent. The ranking holds for these data, this "
        "size and this schedule; it says nothing of MARS, or of what a method reaches by its own "
        "recipe."
    )
    return "Measured by one set of rules", head, lines, below


def _of_network(row: Row | None, key: str) -> list[str]:
    """Return a method's title, network, clip and multiply-adds; only its key if it is not known."""
    if row is None:
        return [key, "-", "-", "-"]
    return [row.method.title, row.network, row.clip, f"{row.costs.multiply_adds / 1e9:.2f}"]


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>nr3d zoo</title><style>
body {{ font: 15px/1.5 sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem }}
table {{ border-collapse: collapse; font-size: 14px }}
th, td {{ border-bottom: 1px solid #ddd; padding: .35rem .6rem; text-align: left }}
td {{ vertical-align: top }}
th {{ border-bottom: 2px solid #888 }}
p {{ color: #555; max-width: 60rem }}
</style></head>
<body><h1>Video re-identification: the methods side by side</h1>{body}</body></html>
"""
