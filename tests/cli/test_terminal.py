"""What the commands print, on outputs of any kind."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tqdm import tqdm

from nr3d.cli import main
from nr3d.cli.terminal import Output, escaped, outputs


def stream(encoding: str = "utf-8") -> io.TextIOWrapper:
    """A text stream that shows nothing it does not hold."""
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")


def held(text: Any) -> str:
    text.flush()
    found: str = text.buffer.getvalue().decode(text.encoding)
    return found


# Shown, not obeyed


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("over\rwritten\x08\x7f", r"over\rwritten\x08\x7f"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202egpj.exe\u2066\u200f", r"\u202egpj.exe\u2066\u200f"),
        ("two\u2028lines", r"two\u2028lines"),
        ("Zoë × 3 – größer", "Zoë × 3 – größer"),
    ],
)
def test_what_a_terminal_would_act_on_is_shown(text: str, safe: str) -> None:
    assert escaped(text) == safe
    plain = stream()
    print(text, end="", file=Output(plain))
    assert held(plain) == safe


def test_names_in_errors_and_reports_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--config", "no\x1b[31m\u202e"]) == 2
    tree = tmp_path / "shop\x1b[2J"
    tree.mkdir()
    assert main(["data", "convert", str(tree)]) == 2
    with pytest.raises(SystemExit):
        main(["models", "--\x1b[31m"])
    told = capsys.readouterr()
    assert r"No configuration 'no\x1b[31m\u202e'" in told.err
    assert r"shop\x1b[2J" in told.err
    assert r"--\x1b[31m" in told.err
    assert not set("\x1b\u202e\r") & set(told.out + told.err)


def test_progress_bars_keep_their_line(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = stream(), stream()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with outputs():
        for _ in tqdm(range(2), desc="outer\x1b[31m", position=0, ascii=True):
            for _ in tqdm(range(2), desc="inner", position=1, ascii=True, leave=False):
                tqdm.write("a line")
    assert held(out) == "a line\n" * 4
    bars = held(err)
    assert r"outer\x1b[31m: 100%|" in bars
    assert "\x1b[A" in bars
    assert "\x1b" not in bars.replace("\x1b[A", "")
    assert "\r" in bars


# Encodings


def test_ascii_output_takes_everything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = stream("ascii"), stream("ascii")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    assert main(["weights", "list", "--markdown"]) == 0
    assert "256x128, 8 frames" in held(out), "the sign of a size has a plain form"
    # A name that is not UTF-8, as the operating system hands it over.
    name = os.fsdecode(b"gr\xfc\xdfe-\xe2\x82\xac")
    assert main(["train", "--config", name + "€"]) == 2
    assert r"'gr\udcfc\udcdfe-\u20ac\u20ac'" in held(err)


# Closed and full outputs


@pytest.fixture
def unread() -> Any:
    """Standard output whose reader has gone."""
    into, out_of = os.pipe()
    os.close(into)
    with os.fdopen(out_of, "w", encoding="utf-8", buffering=1) as output:
        yield output


def test_a_listing_that_nobody_reads_ends_in_silence(
    unread: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", unread)
    assert main(["models"]) == 141
    assert capsys.readouterr().err == ""


def test_work_that_nobody_reads_of_is_done(
    unread: Any,
    mars_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdout", unread)
    words = ["train", "--config", "synthetic", "--root", str(mars_root), "data.height", "32"]
    words += ["data.width", "16", "train.batch_size", "8", "sampler.num_instances", "2"]
    words += ["video.seq_len", "2", "data.workers", "0", "train.max_epoch", "1"]
    words += ["model.aggregation", "mean", "train.print_freq", "1"]
    assert main([*words, "data.save_dir", str(tmp_path / "log")]) == 0
    assert capsys.readouterr().err == (
        "nr3d: nobody reads standard output; the rest was not printed\n"
    )
    assert (tmp_path / "log" / "result.json").is_file()


def test_a_full_disk_below_standard_output_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["models"]) == 2
    assert capsys.readouterr().err == (
        "nr3d: error: standard output cannot be written (No space left on device): the command "
        "ran to its end without it\n"
    )


@pytest.mark.parametrize("missing", ["stdout", "stderr"])
def test_an_output_that_is_not_there(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, missing, None)
    assert main(["models"]) == 0
    assert main(["train", "--config", "nothing"]) == 2
    told = capsys.readouterr()
    # An error does not turn up among the results.
    assert (told.out, told.err)[missing == "stdout"] != ""
    assert "nothing" not in told.out
    assert getattr(sys, missing) is None


def test_the_interpreter_ends_in_silence_too() -> None:
    """It flushes once more, and reports what is left in a stream of its own."""
    into, out_of = os.pipe()
    os.close(into)
    code = "import os; os.close(0)\nimport sys, nr3d.cli; sys.exit(nr3d.cli.main(['models']))"
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=out_of, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(out_of)
    assert (done.returncode, done.stderr) == (141, "")
