"""``nr3d data`` as its users meet it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from nr3d.cli import main
from nr3d.cli.data import training_command
from nr3d.config import Command, load_config
from nr3d.data import convert
from nr3d.data.converted.index import INDEX
from tests.conftest import used

Output = pytest.CaptureFixture[str]

SMALL = [
    *("data.height", "32", "data.width", "16", "train.max_epoch", "1", "train.batch_size", "8"),
    *("sampler.num_instances", "2", "video.seq_len", "2"),
]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Train without waiting for a second processor, where others use it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_good_set_ends_with_status_0(own_mars_root: Path, capsys: Output) -> None:
    assert main(["data", "check", "mars", "--root", str(own_mars_root)]) == 0
    out, err = capsys.readouterr()
    assert err == "", "no terminal: no progress bar"
    assert out.startswith(f"mars in {own_mars_root}/mars\n")
    assert "\n  train tracklets          16  published     8,298\n" in out
    assert "\n  120 frames decoded\n" in out
    assert "\nwarning, 6 places: Counts of" in out
    assert out.endswith("\n\n1 warning\n")


def test_errors_end_with_status_2_and_one_line(
    own_mars_root: Path, tmp_path: Path, capsys: Output
) -> None:
    mars = own_mars_root / "mars"
    for path in (mars / "bbox_train").glob("0001/*"):
        path.unlink()
    broken = mars / "bbox_test" / "0002" / "0002C1T0001F003.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    file = tmp_path / "out" / "report.json"
    words = ["data", "check", "mars", "--root", str(own_mars_root), "--json", str(file)]
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert err == (
        "nr3d: error: mars has 2 errors, first: Frames of tracklets that are not in bbox_train. "
        "Fix it as described and check again.\n"
    )
    first, second = out.index("error, 20 places: Frames of"), out.index("error, 1 place: Frames th")
    assert first < second < out.index("warning, 6 places")
    shown = out[first:second].splitlines()
    assert shown[1] == "    bbox_train/0001/0001C1T0001F001.jpg"
    assert shown[7] == "    and 14 more"
    assert shown[8].startswith("  remedy: Unpack bbox_train.zip")
    assert "    bbox_test/0002/0002C1T0001F003.jpg\n  remedy: Unpack these files again" in out
    assert out.endswith("\n\n2 errors, 1 warning\n")

    content = json.loads(file.read_text())
    assert (content["dataset"], content["folder"]) == ("mars", str(mars))
    assert (content["errors"], content["warnings"], content["notes"]) == (2, 1, 0)
    assert content["counts"]["train frames"] == 80
    assert content["published"]["train frames"] == 509_914
    assert content["decoded"] == 100
    gone = content["findings"][0]
    assert (gone["level"], len(gone["places"])) == ("error", 20)
    assert set(gone) == {"level", "what", "mend", "places"}


def test_quick_decodes_nothing(own_mars_root: Path, capsys: Output) -> None:
    for path in (own_mars_root / "mars").glob("bbox_*/*/*.jpg"):
        path.write_bytes(b"")
    assert main(["data", "check", "mars", "--root", str(own_mars_root), "--quick"]) == 0
    out = capsys.readouterr().out
    assert "note: 120 frames were not decoded\n  remedy: Leave --quick out" in out
    assert "frames decoded" not in out


def test_missing_splits_are_made_by_the_command_that_the_check_gives(
    prid_root: Path, capsys: Output
) -> None:
    (prid_root / "prid2011" / "splits_prid2011.json").unlink()
    check = ["data", "check", "prid2011", "--root", str(prid_root)]
    assert main(check) == 2
    out, err = capsys.readouterr()
    remedy = f"  remedy: Make it: nr3d data splits prid2011 --root {prid_root} --seed 0"
    assert remedy in out.splitlines()
    assert err.count("\n") == 1
    command = shlex.split(remedy.partition("nr3d ")[2])
    assert main(command) == 2, "ten frames are fewer than the protocol asks for"
    assert "--min-frames" in capsys.readouterr().err
    assert main([*command, "--min-frames", "10"]) == 0
    assert capsys.readouterr().out == (
        f"{prid_root}/prid2011/splits_prid2011.json: 10 splits of 4 people, 2 to train and 2 to "
        "test each\nDrawn with seed 0: figures on them are not those on the published splits.\n"
    )
    assert main(check) == 0
    assert main([*command, "--min-frames", "10"]) == 2
    assert "keep it, or write over it by --replace" in capsys.readouterr().err
    file = prid_root / "prid2011" / "splits_prid2011.json"
    before = file.read_text()
    others = [*command[: command.index("--seed")], "--seed", "3"]
    assert main([*others, "--min-frames", "10", "--replace"]) == 0
    assert "Drawn with seed 3: " in capsys.readouterr().out
    assert file.read_text() != before


def test_splits_are_of_prid2011_only(capsys: Output) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["data", "splits", "ilidsvid"])
    assert caught.value.code == 2
    assert "prid2011" in capsys.readouterr().err


def test_what_convert_prints_checks_trains_and_tests(
    shop: Path,
    tmp_path: Path,
    one_thread: None,
    capsys: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", "convert", "shop", "--seed", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        f"{shop / INDEX}: 5 identities to train (17 tracklets), 5 others to test (8 query and 9 "
        "gallery tracklets), 2 cameras, 102 frames"
    )
    assert "1 appear under one camera only" in lines[1]
    check, train = (shlex.split(line.partition(": ")[2])[1:] for line in lines[2:])
    assert main(check) == 0
    assert capsys.readouterr().out.endswith("\n\nNothing is wrong with it.\n")

    assert train[-2:] == ["train.batch_size", "20"], "the recipe's 8 identities are not there"
    log = ["data.save_dir", str(tmp_path / "log")]
    assert main([*train[:-2], *SMALL, *log, "--json", "train.json"]) == 0
    weights = ["--weights", "log/model-best.pth.tar"]
    assert (
        main(
            [
                "test",
                *train[1:-2],
                *used(Command.TEST, SMALL),
                *log,
                *weights,
                "--json",
                "test.json",
            ]
        )
        == 0
    )
    trained, tested = (
        json.loads(Path(name).read_text())["results"]["shop"]
        for name in ("train.json", "test.json")
    )
    assert (trained["query"], trained["gallery"], trained["frames"]) == (8, 9, 51)
    assert tested["mAP"] == trained["mAP"]


@pytest.mark.parametrize("name", ["shop", "2024", "null", "a b", "x,y", "it's", "[1]", "$HOME"])
def test_the_printed_command_is_right_for_any_name(
    name: str, tmp_path: Path, plain_tree: Callable[..., Path]
) -> None:
    people = {f"p{number}": {"a": 1, "b": 1} for number in range(20)}
    made = convert(plain_tree(tmp_path / name, people, frames=1))
    words = shlex.split(training_command(made, shlex.quote(str(tmp_path))).replace("$", "\\$"))
    assert words[:6] == ["nr3d", "train", "--config", "synthetic", "--root", str(tmp_path)]
    cfg = load_config("synthetic", [word.replace("\\$", "$") for word in words[6:]])
    assert cfg.data.sources == cfg.data.targets == [name]
    assert cfg.train.batch_size == 32


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "mars", "--root", "/nowhere"], "There is no folder /nowhere"),
        (["check", "mrs", "--root", "{base}"], "There is no check for dataset 'mrs'"),
        (["check", "mars", "--root", "{base}"], "mars has 1 error: There is no folder {base}/mars"),
        (
            ["check", "shop", "--root", "{base}"],
            f"shop has 1 error: There is no {{base}}/shop/{INDEX}",
        ),
        (["convert", "{base}/gone"], "There is no folder {base}/gone"),
        (["convert", "{base}"], "folders in the place of a frame: {base}/shop/once1/door/take1"),
        (["convert", "{base}/shop", "--train-share", "1"], "train_share is 1.0, expected"),
        (["convert", "{base}/shop", "--seed", "-1"], "seed is -1, expected at least 0"),
        (["splits", "prid2011", "--root", "{base}"], "There is no {base}/prid2011/prid_2011"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_status_2(
    words: list[str], message: str, shop: Path, capsys: Output
) -> None:
    base = str(shop.parent)
    assert main(["data", *(word.format(base=base) for word in words)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert err.startswith("nr3d: error: ")
    assert message.format(base=base) in err


def test_a_name_of_torchreids_is_refused(shop: Path, capsys: Output) -> None:
    taken = shop.rename(shop.with_name("prid2011"))
    assert main(["data", "convert", str(taken)]) == 2
    assert "already holds the name 'prid2011'" in capsys.readouterr().err


def test_debug_shows_the_traceback(shop: Path) -> None:
    with pytest.raises(Exception, match="There is no folder"):
        main(["data", "check", "mars", "--debug", "--root", str(shop.parent)])
