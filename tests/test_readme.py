"""Every command and example of the README and of examples/, run as it stands."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nr3d.cli import main
from nr3d.config import Command
from nr3d.features import FeatureWriter, Origin, Row
from nr3d.host import torchreid
from tests.conftest import market_names, used, write_images, write_tree

build_model = torchreid.models.build_model

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

RESULTS = ROOT / "benchmarks" / "results"

# What makes the paper's recipe small enough for a test; appended to the README's words.
SMALL = [
    *("model.name", "nr3d_resnet18_ibn", "model.pretrained", "False", "data.height", "32"),
    *("data.width", "16", "train.batch_size", "4", "sampler.num_instances", "2"),
    *("video.seq_len", "2", "data.workers", "0", "train.max_epoch", "1"),
    *("model.aggregation", "mean"),  # half of the parameters to write
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands(start: str) -> list[str]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [line.split("  #")[0].strip() for line in lines if line.startswith(start)]


@pytest.fixture
def reid_data(tmp_path: Path, mars_root: Path, prid_root: Path) -> Path:
    """A folder in which ``reid-data`` holds MARS, and PRID2011 with four splits."""
    folder = tmp_path / "work"
    (folder / "reid-data").mkdir(parents=True)
    (folder / "reid-data" / "mars").symlink_to(mars_root / "mars")
    (folder / "reid-data" / "prid2011").symlink_to(prid_root / "prid2011")
    splits = prid_root / "prid2011" / "splits_prid2011.json"
    splits.write_text(json.dumps(json.loads(splits.read_text()) * 4))
    return folder


@pytest.fixture
def stand_ins(tmp_path: Path) -> dict[str, str]:
    """An environment in which weights that the README fetches lie on this machine."""
    index = {}
    for name in ("nr3d_resnet50_ibn.imagenet", "vkd_resnet50.mars"):
        path = tmp_path / f"{name}.pth"
        model = build_model(name.split(".")[0], 8, pretrained=False)
        torch.save((model.backbone if "imagenet" in name else model).state_dict(), path)
        index[name] = {"sources": [str(path)]}
    (tmp_path / "weights.yaml").write_text(json.dumps(index))
    return {
        "NR3D_WEIGHTS_INDEX": str(tmp_path / "weights.yaml"),
        "NR3D_HOME": str(tmp_path / "home"),
        "NR3D_OFFLINE": "1",
    }


def small(line: str, folder: Path) -> list[str]:
    """Give a command's words on a small scale, and make what it needs or may not find."""
    # What was trained above is the small network.
    words = shlex.split(line.replace("nr3d_resnet50_ibn.mars", "nr3d_resnet18_ibn.mars"))
    if words[1] in ("train", "extract") or "--weights" in words:
        small_words = SMALL if "vkd" not in line and "osnet" not in line else SMALL[2:]
        words += used(Command[words[1].upper()], small_words)
    if "--measure" in words:
        words[words.index("--methods") + 1] = "nr3d_resnet18,gltr_resnet18"
    if words[1:3] == ["zoo", "--train"]:
        words[words.index("--scale") + 1] = "0.125"
        words += ["train.max_epoch", "1", "train.batch_size", "8", "sampler.num_instances", "2"]
    if words[1:3] == ["data", "splits"]:
        (folder / "reid-data" / "prid2011" / "splits_prid2011.json").unlink()
        words += ["--min-frames", "10"]
    if "--pattern" in words:
        write_images(folder / words[3], market_names(range(2, 6)))
    elif words[1:3] == ["data", "convert"]:
        write_tree(folder / words[3], {f"p{n}": {"door": 1, "till": 1} for n in range(4)})
    return words


def test_commands_run_one_after_the_other(reid_data: Path, stand_ins: dict[str, str]) -> None:
    found = commands("nr3d ")
    assert len(found) == 36
    # Only standard tools and nr3d itself on the path, as in an activated environment.
    environment = (
        os.environ
        | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        | stand_ins
    )
    for line in found:
        words = small(line, reid_data)
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, cwd=reid_data, env=environment
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        if words[1] in ("train", "test") and "--dry-run" not in words:
            assert "rank-1" in done.stdout, line
    index = Path(stand_ins["NR3D_WEIGHTS_INDEX"]).read_text()
    assert "nr3d_resnet18_ibn.mars" in index
    assert (reid_data / "log" / "mars" / "visrank_mars" / "ranking_001.png").is_file()
    assert (reid_data / "log" / "prid-3" / "metrics.jsonl").is_file()
    table = (reid_data / "table.md").read_text()
    for row in ("the dataset itself", "MARS first"):
        assert re.search(rf"{row} .*, 4 splits, split 0: ", table)
    assert len(list((reid_data / "log" / "prid2011_from_mars").glob("split?/result.json"))) == 4
    assert (reid_data / "reid-data" / "ilids-vid" / "splits.json").is_file()
    figures = json.loads((reid_data / "figures.json").read_text())["results"]["mars"]
    assert list(figures["protocols"]) == ["torchreid", "mars-official", "ap3d"]
    assert (reid_data / "log" / "mars-packed" / "result.json").is_file()


def test_the_command_of_several_processes_runs(reid_data: Path) -> None:
    (line,) = commands("torchrun ")
    torchrun, *words = shlex.split(line)
    done = subprocess.run(
        [str(Path(sys.executable).parent / torchrun), *words, *SMALL],
        capture_output=True,
        text=True,
        check=False,
        cwd=reid_data,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("** Results **") == 1


def test_the_two_commands_of_the_first_screen() -> None:
    demo, check = commands("python3 ")
    assert README.index(check) < 1500, "not on the first screen"
    assert demo == (
        "python3 -m venv nr3d-env && nr3d-env/bin/pip install . && nr3d-env/bin/nr3d demo"
    )
    assert check.startswith("python3 -m venv nr3d-test && nr3d-test/bin/pip install -e '.[test]'")
    assert check.endswith("nr3d-test/bin/python -m pytest")


def test_python_blocks_run(reid_data: Path) -> None:
    code = "\n".join(blocks("python"))
    tracklets = {"train": 0, "query": 1, "gallery": 0}
    origin = Origin("mars", "model.pth", "", {}, {}, {}, tracklets)
    with FeatureWriter(reid_data / "made.h5", origin) as writer:
        one = np.ones(4, np.float32)
        writer.append(Row("query", 0, 2, 0, "0002/0002C1T0001F001.jpg", one, 1, one / 4))
        writer.finish()
    for paper, small in (
        ('sources="mars")', 'sources="mars", height=32, width=16, batch_size_train=8, workers=0)'),
        ('"nr3d_resnet50_ibn", datamanager', '"nr3d_resnet18_ibn", datamanager'),
        ('loss="not3d")', 'loss="not3d", pretrained=False)'),
        ("max_epoch=200", "max_epoch=1"),
        ("features.h5", "made.h5"),
    ):
        assert paper in code
        code = code.replace(paper, small)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=reid_data
    )
    assert done.returncode == 0, done.stderr
    assert "** Results **" in done.stdout


def test_the_example_runs(tmp_path: Path) -> None:
    code = (
        "import runpy, sys; module = runpy.run_path(sys.argv[1]);"
        "print('rank-1', module['main'](sys.argv[2], identities=16, max_epoch=1))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT / "examples" / "train_synthetic.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "attention weights of the first tracklet's frames: [" in done.stdout
    assert re.search(r"^rank-1 0\.\d+|^rank-1 1\.0", done.stdout, flags=re.MULTILINE)


def test_the_weights_table_is_the_indexs(capsys: pytest.CaptureFixture[str]) -> None:
    """The README's table is what the command prints of the shipped entries."""
    assert main(["weights", "list", "--markdown"]) == 0
    table = capsys.readouterr().out
    assert table.count("\n") > 10
    assert table in README


@pytest.mark.parametrize("name", sorted(p.stem for p in RESULTS.glob("*.md")))
def test_figures_are_those_that_the_benchmarks_wrote(name: str) -> None:
    table = (RESULTS / f"{name}.md").read_text(encoding="utf-8")
    assert table.strip() in README
    assert (ROOT / "benchmarks" / f"{name.removesuffix('_people')}.py").is_file()
