"""Users without a home folder, who get one line that says what to set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nr3d import weights
from nr3d.cli import main
from nr3d.errors import ConfigError, Nr3dError, WeightsError
from nr3d.files.home import expanded
from nr3d.weights.cache import weights_folder
from nr3d.weights.index import user_index

pwd = pytest.importorskip("pwd")
VARIABLES = ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "NR3D_HOME")


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Simulate a user that the system does not know, without HOME."""

    def unknown(user: object) -> None:
        raise KeyError(user)

    for variable in (*VARIABLES, "NR3D_WEIGHTS_INDEX"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(pwd, "getpwnam", unknown)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


@pytest.mark.parametrize(
    ("find", "variable"), [(weights_folder, "NR3D_HOME"), (user_index, "NR3D_WEIGHTS_INDEX")]
)
def test_folders_of_the_platform(
    find: Callable[[], Path], variable: str, nobody: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match=f"no home folder .* set {variable}, or HOME"):
        find()
    nobody.setenv(variable, "~/there")
    with pytest.raises(WeightsError, match=r"^~/there: there is no home folder for ~\. Write"):
        find()
    nobody.setenv(variable, str(tmp_path / "there"))
    assert find().is_relative_to(tmp_path / "there")
    nobody.delenv(variable)
    nobody.setenv("HOME", str(tmp_path / "home"))
    assert find().is_relative_to(tmp_path / "home")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        *(["weights", "list"], ["weights", "fetch", "nr3d_resnet50_ibn.imagenet"]),
        *(["train", "--config", "~/mine.yaml"], ["data", "check", "mars", "--root", "~/data"]),
        ["train", "--config", "mars", "--root", "~/data"],
        ["train", "--config", "mars", "--root", "~/data", "--dry-run"],
        ["extract", "--config", "mars", "--root", "~/data", "--weights", "~/w", "--out", "f.h5"],
        ["pack", "--dataset", "mars", "--root", "~/data", "--out", "mars.h5"],
        ["pack", "--dataset", "mars", "--out", "~/mars.h5"],
    ],
)
def test_commands_say_so_in_a_line(
    words: list[str], nobody: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no home folder for" in line


def test_another_user_and_a_home() -> None:
    with pytest.raises(ConfigError, match=r"^~no-such-user/a: .* for ~no-such-user\. Write the"):
        expanded("~no-such-user/a", ConfigError)
    assert expanded("~/a").is_absolute()
    assert expanded("a/~") == Path("a/~")
    with pytest.raises(Nr3dError):
        weights.find("~no-such-user/x")
