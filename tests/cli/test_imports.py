"""What the commands import before they compute anything, and what they know without it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from nr3d.cli import SUBCOMMANDS
from nr3d.config import as_mapping, default_config
from tests.conftest import finished

HEAVY = {
    *("torch", "torchreid", "torchvision", "numpy", "scipy", "cv2", "tensorboard", "h5py"),
    *("requests", "gdown", "PIL"),
}

CODE = """
import sys
from nr3d.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as ended:
    code = ended.code
print("imported", *sorted({name.split(".")[0] for name in sys.modules}))
sys.exit(code)
"""


def run(*words: str | Path, **environment: str | Path) -> tuple[str, set[str]]:
    """Run a command in a process of its own; return what it printed and imported."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {name: str(value) for name, value in environment.items()},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    printed, imported = done.stdout.rsplit("imported ", 1)
    return printed, set(imported.split())


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_help_imports_nothing_that_computes(name: str) -> None:
    printed, imported = run(name, "--help")
    assert printed.startswith(f"usage: nr3d {name} ")
    assert not imported & HEAVY


def test_the_help_of_the_command_lists_all_commands() -> None:
    printed, imported = run("--help")
    assert not imported & HEAVY
    for name, subcommand in SUBCOMMANDS.items():
        assert f"    {name}" in printed
        assert subcommand.help[:20] in " ".join(printed.split())


def test_reading_commands_import_nothing_that_computes(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(finished(as_mapping(default_config()))))
    for words, told in (
        (["--version"], "nr3d 0."),
        (["config"], "train.lr: 0.0003"),
        (["config", "--config", "mars"], "height: 224"),
        (["weights", "list"], "nr3d_resnet50_ibn.imagenet"),
        (["weights", "list", "--markdown"], "| `vkd_resnet50.mars` |"),
        (["table", tmp_path], "| 50.00 (50.00) |"),
    ):
        printed, imported = run(*words)
        assert told in printed
        assert not imported & HEAVY, words


def test_weights_in_an_index_and_in_torch_hubs_folder_are_listed_without_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TORCH_HOME", raising=False)
    hub = Path(torch.hub.get_dir()) / "checkpoints"
    assert hub.is_relative_to(tmp_path)
    hub.mkdir(parents=True)
    (hub / "there.pth").write_bytes(b"x")
    sources = {name: [f"https://example.org/{name}.pth"] for name in ("there", "gone")}
    index = {
        f"nr3d_resnet50_ibn.{name}": {"sources": source, "sha256": "0" * 64}
        for name, source in sources.items()
    }
    (tmp_path / "index.yaml").write_text(json.dumps(index))
    printed, imported = run(
        *("weights", "list"), NR3D_WEIGHTS_INDEX=tmp_path / "index.yaml", NR3D_HOME=tmp_path
    )
    lines = {line.split()[0]: line.split()[-1] for line in printed.splitlines() if line}
    assert lines["nr3d_resnet50_ibn.there"] == "yes"
    assert lines["nr3d_resnet50_ibn.gone"] == "no"
    assert not imported & HEAVY


@pytest.mark.parametrize(("name", "what"), [("SIGINT", "interrupted"), ("SIGTERM", "ended by")])
def test_a_signal_during_the_imports_ends_in_one_line(name: str, what: str, tmp_path: Path) -> None:
    slow = tmp_path / "torch" / "__init__.py"
    slow.parent.mkdir()
    begun = tmp_path / "begun"
    slow.write_text(f"import time, pathlib; pathlib.Path({str(begun)!r}).touch(); time.sleep(60)")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    child = subprocess.Popen(
        [sys.executable, "-m", "nr3d", "models"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    until = time.monotonic() + 60
    while not begun.exists():
        assert child.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    child.send_signal(signal.Signals[name])
    out, err = child.communicate(timeout=30)
    assert child.returncode == 128 + signal.Signals[name]
    assert out == ""
    assert err == f"nr3d: {what}{'' if name == 'SIGINT' else f' {name}'}\n"
