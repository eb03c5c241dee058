"""``nr3d config``: the table of keys, and whole configurations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nr3d.cli import main
from nr3d.config import KEYS, Command, as_mapping, default_config, load_config, shipped_configs


def test_the_table_has_every_key_with_what_is_known_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "--json", str(tmp_path / "keys.json")]) == 0
    printed = capsys.readouterr().out
    text = " ".join(printed.split())
    for name, key in KEYS.items():
        assert f"\n{name}: " in f"\n{printed}"
        assert f" {key.about[0].upper()}{key.about[1:]} (" in text
    assert (
        "data.height: 256 Height of the frames, in pixels (int). Used by train, test, extract; "
        "changes the training steps, the features."
    ) in text
    assert "(one of adam, amsgrad, sgd, rmsprop, radam)" in text
    assert "Used by train, test, extract, features; changes no result." in text
    facts = json.loads((tmp_path / "keys.json").read_text())
    assert list(facts) == list(KEYS)
    assert facts["test.ranks"] == {
        "default": [1, 5, 10, 20],
        "about": KEYS["test.ranks"].about,
        "values": "a list of int",
        "commands": ["train", "test", "features"],
        "changes": ["figures"],
    }


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main(["config", *words]) == 0
    lines = capsys.readouterr().out.split("\n\n")[0].splitlines()
    return [line.split(":")[0] for line in lines if not line.startswith(" ")]


def test_some_keys_are_listed_by_name_beginning_and_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert listed(capsys, "train.lr") == ["train.lr", "train.lr_scheduler"]
    assert listed(capsys, "sgd", "model.resume")[0] == "model.resume"
    assert len(listed(capsys, "sgd", "model.resume")) == 4
    assert listed(capsys, "train.seed", "--for", "test") == []
    for command in Command:
        used = [name for name, key in KEYS.items() if key.commands & command]
        assert listed(capsys, "--for", (command.name or "").lower()) == used


@pytest.mark.parametrize("name", shipped_configs())
def test_a_printed_configuration_reads_back_the_same(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = ["train.lr", "1e-05", "data.save_dir", "2024", "data.root", "é\u202e/12:30"]
    changes += ["model.pretrained", "yes #1", "data.transforms", "[]", "transfer.save_dir", "no"]
    options = ["--config", name, "--json", str(tmp_path / "made.json")]
    assert main(["config", *changes[:2], *options, *changes[2:]]) == 0
    (tmp_path / "made.yaml").write_text(capsys.readouterr().out)
    made = load_config(name, changes)
    assert load_config(tmp_path / "made.yaml") == made
    assert json.loads((tmp_path / "made.json").read_text()) == as_mapping(made)
    assert made != default_config()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train.lrr"], "No configuration key begins with 'train.lrr'. Did you mean train.lr?"),
        (["lr"], "Did you mean train.lr?"),
        (["nonsense"], "Sections: use_gpu, "),
        (["--config", "mars", "--for", "test"], "give one of the two"),
        (["--config", "mars", "train.lr"], "The last key has no value"),
        (["--config", "mars", "train.lr", "0"], "train.lr is 0.0, expected a number"),
        (["--config", "mars", "train.lrr", "0"], "Unknown key 'train.lrr' in the command line"),
        (["--config", "nothing"], "No configuration 'nothing': give one of"),
    ],
)
def test_what_cannot_be_printed_is_one_line(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", *words]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    assert told in error
