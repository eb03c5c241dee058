"""Keys on the command line that a command would ignore."""

from __future__ import annotations

from pathlib import Path

import pytest

from nr3d.cli import main
from nr3d.config import KEYS, Command, refuse_unused
from nr3d.errors import ConfigError

CONFIG = ["--config", "mars"]
WEIGHTS = [*CONFIG, "--weights", "x.pth"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["test", *WEIGHTS, "train.lr", "1"],
            "nr3d test does not use train.lr (learning rate), which nr3d train would: leave",
        ),
        (
            ["extract", *WEIGHTS, "--out", "f.h5", "test.rerank", "True"],
            "nr3d extract does not use test.rerank (whether to re-rank by k-reciprocal "
            "neighbours), which nr3d test and nr3d test --features would",
        ),
        (
            ["test", "--features", "f.h5", "data.height", "999"],
            "nr3d test --features does not use data.height (height of the frames, in pixels), "
            "which nr3d train, nr3d test and nr3d extract would",
        ),
        (["train", *CONFIG, "test.visrank", "True"], "nr3d train does not use test.visrank"),
        (["train", *CONFIG, "test.rerank", "True"], "nr3d train does not use test.rerank"),
        (["test", *WEIGHTS, "model.load_weights", "y"], "does not use model.load_weights"),
        (["test", *WEIGHTS, "model.resume", "y"], "does not use model.resume"),
        (["test", "--features", "f.h5", "data.root", "x"], "does not use data.root"),
    ],
)
def test_a_key_that_a_command_ignores_is_refused_by_name(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


COMMANDS = {
    Command.TRAIN: ["train", *CONFIG],
    Command.TEST: ["test", *WEIGHTS],
    Command.EXTRACT: ["extract", *WEIGHTS, "--out", "f.h5"],
    Command.FEATURES: ["test", "--features", "f.h5"],
}


@pytest.mark.parametrize("command", Command)
def test_every_key_that_a_command_ignores_is_refused(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    ignored = [key for key in KEYS.values() if not key.commands & command]
    assert ignored
    for key in ignored:
        assert main([*COMMANDS[command], key.name, "1"]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"nr3d: error: {command} does not use {key.name} ({key.about}), ")


@pytest.mark.parametrize(
    "words",
    [
        ["demo"],
        ["models"],
        ["weights", "list"],
        ["data", "check", "mars"],
        ["data", "splits", "prid2011"],
        ["pack", "--dataset", "mars", "--out", "mars.h5"],
        ["synthesize", "--out", "drawn"],
    ],
)
def test_a_command_without_configuration_takes_no_key(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main([*words, "train.lr", "1"])
    assert caught.value.code == 2
    assert "unrecognized arguments: train.lr 1" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_help_lists_the_keys_that_the_command_uses(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (Command.TRAIN, Command.TEST, Command.EXTRACT):
        with pytest.raises(SystemExit):
            main([COMMANDS[command][0], "--help"])
        printed = capsys.readouterr().out.split(" describes them):\n")[1]
        told = [line.strip() for line in printed.replace("\n    ", " ").splitlines()]
        names = []
        for line in told:
            section, _, rest = line.partition(": ")
            names += [f"{section}.{name}" for name in rest.split(", ")] if rest else [section]
        assert names == [name for name, key in KEYS.items() if key.commands & command]


@pytest.mark.parametrize("command", Command)
def test_a_command_takes_the_keys_that_it_uses(command: Command) -> None:
    refused = set()
    for name in KEYS:
        try:
            refuse_unused([name, "1"], command)
        except ConfigError:
            refused.add(name)
    assert refused == {name for name, key in KEYS.items() if command not in key.commands}
    refuse_unused(["train.unknown", "1", "odd"], command)  # load_config tells it better


def test_a_file_may_hold_all_sections(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text("train: {lr: 1}\ntest: {visrank: true}\ndata: {root: x}\n")
    words = ["--config", str(tmp_path / "mine.yaml"), "--weights", str(tmp_path / "gone.pth")]
    assert main(["test", *words]) == 2
    assert "gone.pth" in capsys.readouterr().err
