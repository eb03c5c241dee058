"""The page on adding a method, followed to the letter."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import nr3d

PAGE = Path(nr3d.__file__).parents[1] / "examples" / "add_a_method.md"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_it_fits_on_a_screen() -> None:
    assert PAGE.read_text(encoding="utf-8").count("\n") <= 75


def test_it_is_followed_to_the_letter(tmp_path: Path) -> None:
    (code,), (config,) = blocks("py"), blocks("yaml")
    (tmp_path / "my_method.py").write_text(code)
    (tmp_path / "my_method.yaml").write_text(config)
    for line in "".join(blocks("sh")).splitlines():
        python, *words = shlex.split(line)
        assert python == "python"
        if words[1] == "train":
            words += ["train.max_epoch", "1", "data.height", "32", "data.width", "16"]
        done = subprocess.run(
            [sys.executable, *words],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=os.environ | {"NR3D_HOME": str(tmp_path / "home")},
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        if words[1] == "train":
            assert "loss_size" in done.stdout
        if words[1] == "zoo":
            assert "| my_method | my_method | 4 × 64×32 |" in done.stdout
            assert "| Not 3D Re-ID |" in done.stdout
    assert (tmp_path / "my_method.h5").is_file()
    assert (tmp_path / "my_method.first.safetensors").is_file()
