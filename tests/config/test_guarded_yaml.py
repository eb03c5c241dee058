"""YAML that stands for more than it is, or says a thing twice."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from nr3d.config import config_of, load_config, read_yaml
from nr3d.config.guarded_yaml import load_yaml
from nr3d.errors import ConfigError
from nr3d.runs import configuration


def powers(levels: int, width: int = 9) -> str:
    """Anchors each of which repeats the one before, so that the last is width^levels values."""
    lines = [f"a0: &a0 [{', '.join(['1'] * width)}]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (powers(10), "more than 100,000 values, repeated ones counted"),
        ("train: &a\n  lr: *a\n", "the value of the anchor 'a' stands within itself"),
        ("data:\n  sources: &a [mars, *a]\n", "the value of the anchor 'a' stands within itself"),
        ("x: &a {y: 1}\nz: {<<: [" + "*a, " * 60_000 + "]}\n", "more than 100,000 values"),
        ("a: " + "[" * 500 + "]" * 500 + "\n", "more than 32 deep"),
        ("train:\n  lr: 1\ntrain:\n  lr: 2\n", "'train' stands twice in the same place"),
        ("train: {lr: 1, lr: 2}\n", "'lr' stands twice in the same place"),
        ("? [1, 2]\n: 3\n", "unhashable"),
        ("a: !!python/object:os.system x\n", "could not determine a constructor"),
        ("a: !!timestamp 2026-31-12\n", "month must be in 1..12"),
        ("a: !!float x\n", "could not convert"),
        ("a: \x07\n", "is not YAML"),
        ("a: 1\n---\nb: 2\n", "single document"),
        ("\ud800", "is not YAML"),
        ("# " + "x" * (1 << 20), "more than 1,048,576 bytes"),
    ],
)
def test_hostile_yaml_is_one_short_line_at_once(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    started = time.perf_counter()
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert time.perf_counter() - started < 20
    assert "mine.yaml" in str(caught.value)
    assert told in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 300
    assert str(caught.value).isprintable()


def test_a_billion_values_do_not_get_into_a_message(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(powers(4) + "data:\n  height: *a3\n")
    with pytest.raises(ConfigError, match="Unknown key 'a0'"):
        load_config(path)
    path.write_text("data:\n  width: &w [[1, 2], [3, 4]]\n  height: [*w, *w, *w, *w, *w, *w]\n")
    with pytest.raises(ConfigError, match=r"data.width in .* is \[\[1, 2\], \[3, 4\]\], expected"):
        load_config(path)
    path.write_text(f"data:\n  height: [{', '.join(['7'] * 50_000)}]\n")
    with pytest.raises(ConfigError, match=r"7, 7, 7") as caught:
        load_config(path)
    assert len(str(caught.value)) < len(str(path)) + 250


def test_aliases_within_bounds_are_values(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "data: &d\n  height: 64\n  sources: &s [prid2011]\n  targets: *s\n"
        "transfer: {config: ''}\ntest: {ranks: [1]}\n"
    )
    cfg = load_config(path)
    assert (cfg.data.sources, cfg.data.targets, cfg.data.height) == (["prid2011"], ["prid2011"], 64)
    assert load_yaml("x: &a {y: 1}\nz: {<<: *a, w: 2}") == {"x": {"y": 1}, "z": {"y": 1, "w": 2}}
    # A key of one's own goes before a merged one, and is not said twice.
    assert load_yaml("x: &a {y: 1}\nz: {<<: *a, y: 2}")["z"] == {"y": 2}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-12-31", "2026-12-31"),
        ("2026-31-12", "2026-31-12"),
        ("2001-12-14T21:59:43Z", "2001-12-14T21:59:43Z"),
        ("0x_", "0x_"),
        ("12:30:45", "12:30:45"),
        ("2024", "2024"),
        ("!!timestamp 2026-12-31", "2026-12-31"),
        ("1" * 2000, "1" * 2000),
    ],
)
def test_a_text_is_what_stands_in_the_file(written: str, read: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"data:\n  save_dir: {written}\n  sources: [{written}, mars]\n")
    cfg = load_config(path)
    assert cfg.data.save_dir == read
    assert cfg.data.sources == [read, "mars"]


@pytest.mark.parametrize(
    "text",
    [
        *("2026-31-12", "2026-12-31", "0x_", "0x10", "007", "1_000", "1e3", "yes", "True", "null"),
        *("None", "~", "1.0", "nan", "[a]", "{a: 1}", "a: b", "&a", "*a", "!!int", "'", "a#b"),
    ],
)
def test_a_text_is_what_was_typed(text: str) -> None:
    cfg = load_config(
        "mars", ["data.save_dir", text, "data.root", text, "model.load_weights", text]
    )
    assert cfg.data.save_dir == cfg.data.root == cfg.model.load_weights == text


def test_names_in_a_list_are_what_was_typed() -> None:
    cfg = load_config("mars", ["data.sources", "[2024, yes, 2026-12-31, mars]"])
    assert cfg.data.sources == ["2024", "yes", "2026-12-31", "mars"]
    assert load_config("mars", ["data.sources", "2024"]).data.sources == ["2024"]
    assert load_config("mars", ["data.save_dir", "'a b'"]).data.save_dir == "a b"


def test_nothing_is_no_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("model: {resume: , load_weights: null}\ntrain: {lr_scheduler: null}\n")
    cfg = load_config(path)
    assert (cfg.model.resume, cfg.model.load_weights, cfg.train.lr_scheduler) == ("", "", "none")
    path.write_text("data: {save_dir: null}\n")
    with pytest.raises(ConfigError, match=r"data.save_dir in .* is None, expected text such as"):
        load_config(path)


@pytest.mark.parametrize(
    "text",
    ["-" * 4000 + "1", "(" * 4000, "[" * 4000, "1+" * 1000 + "1", "1" * 4000, "0x" + "f" * 4000],
)
def test_long_values_of_the_command_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"train\.max_epoch") as caught:
        configuration.check(load_config("mars", ["train.max_epoch", text]))
    assert len(str(caught.value)) < 300
    with pytest.raises(ConfigError, match="has a value of 5000 characters"):
        load_config("mars", ["data.root", "x" * 5000])


def test_a_chain_of_bases_ends(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"base: ../{tmp_path.name}/a.yaml\n")
    with pytest.raises(ConfigError, match="is its own base"):
        load_config(tmp_path / "a.yaml")
    for base in ("x" * 5000, "[1, 2]", "''", '"\\0"', "~nobody-of-that-name/x"):
        (tmp_path / "b.yaml").write_text(f"base: {base}\n")
        with pytest.raises(ConfigError, match=r"No configuration|no home folder") as caught:
            load_config(tmp_path / "b.yaml")
        assert len(str(caught.value)) < 1000


def test_a_key_said_in_two_ways_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("train: {lr: 1}\ntrain.lr: 2\n")
    with pytest.raises(ConfigError, match=r"'train\.lr' stands twice in .*a\.yaml"):
        load_config(tmp_path / "a.yaml")


def test_a_stored_configuration_may_be_anything() -> None:
    wrong: list[Any] = [[], "x", None, 3, {"train": 1}, {1: 2}, {"train": {"lr": {}}, "x": 1}]
    for content in wrong:
        with pytest.raises(ConfigError):
            config_of(content)
