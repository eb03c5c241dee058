"""Train every method of the zoo on drawn people by the same rules; write the table and a plot.

    python benchmarks/zoo.py --machine "2 cores" --out benchmarks/results/zoo

The people are those of `nr3d synthesize --occlusion heavy`. Each method trains its smaller network
at a quarter of its own frame size. Runs are kept in OUT.work, so that the same command continues an
interrupted benchmark. It is `nr3d zoo --train` with the data drawn first.
"""

from __future__ import annotations

from pathlib import Path

from reporting import parser_of, write

from nr3d import zoo
from nr3d.files.atomic import write_text
from nr3d.synthetic import write_mars
from nr3d.zoo.plot import draw


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--identities", type=int, default=64, help="people to draw")
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--scale", type=float, default=0.25, help="factor of the frame sizes")
    args = parser.parse_args()
    out: Path = args.out
    work = out.with_suffix(".work")
    root = work / "data"
    if not (root / "mars").is_dir():
        write_mars(root, identities=args.identities, occlusion="heavy")
    changes = [
        *("data.root", str(root), "train.max_epoch", str(args.epochs)),
        *("train.batch_size", "32", "data.transforms", "[random_flip, random_crop, random_erase]"),
    ]
    chosen = zoo.methods()
    rules = ("synthetic", work / "runs", changes)
    small = {"small": True, "scale": args.scale}
    plans = [zoo.plan_of(method, args.seeds[0], *rules, **small) for method in chosen]
    trained = zoo.train_all(chosen, args.seeds, *rules, **small)
    rows = zoo.rows_of(chosen, plans)
    figures = zoo.as_mapping(rows, trained)
    write(out, args.machine, zoo.trained_as_markdown(rows, trained).rstrip(), figures)
    write_text(out.with_suffix(".svg"), draw(rows, trained))


if __name__ == "__main__":
    main()
