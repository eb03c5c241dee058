"""Damaged configuration files, and odd values of keys on the command line.

An accepted configuration must be complete, each of its values must be valid for its key, and it
must be the same when it is read again from its stored form.
"""

from __future__ import annotations

import json
import string
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing import RIGHT, WrongError, damaged, refusal
from nr3d.config import KEYS, as_mapping, config_of, default_config, load_config, shipped_configs
from nr3d.config import loading as shipped
from nr3d.errors import ConfigError
from nr3d.runs import configuration

MOST_SECONDS = 1.0
"""CPU seconds allowed for one input; a busy machine takes longer by the clock."""

MEBIBYTES = 200

_SCALARS = (
    *("~", "null", "yes", "off", "True", "0x_", "0x1F", "0o7", "017", "1_0", "-0", "+1", "1e400"),
    *(
        ".nan",
        "-.inf",
        "nan",
        "inf",
        "1e-320",
        "5e-4",
        "2026-31-12",
        "2026-12-31",
        "12:30:45",
        "''",
    ),
    *('""', '"\\0"', '"\\ud800"', '"\\x07"', "'", '"', "[", "]", "{}", "[]", "{a: 1}", "[[1]]"),
    *("[1, 1]", "[a, 1, null]", "!!int x", "!!binary x", "!!set {a}", "!!timestamp 2026-31-12"),
    *("!!python/object:os.system x", "&a 1", "*a", "<<", "|", ">", "- 1", "? 1", "%", "@", "`"),
    *("-1", "0", "1", "2", "50", "51", "4294967296", "99999999999999999999", "0.5", "1.5", "-0.0"),
    *("mars", "[mars, mars]", "[mars]", "none", "avg", "adam", "[random_flip]", "[0.5, 0.5, 0.5]"),
    *("x" * 5000, "1" * 5000, "-" * 4000 + "1", "[" * 2000, "(" * 300, "1+" * 900 + "1"),
    *("[" + "7, " * 1300 + "7]", "9" * 4000, "0x" + "f" * 4000, "e" * 200, "\x00", "\x1b[2J", "\n"),
    *("é", "\uff11", "٣", "\ud800", "\u202e", "\ufeff", "a: b", "a#b", "# a", "a\tb"),
)
"""Texts of values, for files and the command line."""


def make(folder: Path) -> Callable[[np.random.Generator], str]:
    """Return the function that loads one odd configuration."""
    files = [(Path(shipped.__file__).parent / f"{n}.yaml").read_bytes() for n in shipped_configs()]
    files.append(_whole().encode())
    path = folder / "odd.yaml"

    def one(rng: np.random.Generator) -> str:
        kind = int(rng.integers(4))
        text = files[int(rng.integers(len(files)))]
        name: str | Path = path
        if kind == 0:
            name = shipped_configs()[int(rng.integers(len(shipped_configs())))]
        elif kind == 1:
            path.write_bytes(damaged(text, rng))
        else:
            path.write_bytes(_edited(text.decode(), rng).encode("utf-8", "surrogatepass"))
        changes = _pairs(rng) if kind in (0, 3) else []
        begun = time.process_time()
        try:
            cfg = load_config(name, changes)
            configuration.check(cfg)
        except ConfigError as error:
            outcome = refusal(error)
        else:
            _require_whole(cfg)
            outcome = RIGHT
        if time.process_time() - begun > MOST_SECONDS:
            raise WrongError(f"took {time.process_time() - begun:.1f} s")
        return outcome

    return one


def _whole() -> str:
    """Return a configuration file with the default of every key."""
    config = as_mapping(default_config())
    return "".join(f"{section}: {json.dumps(values)}\n" for section, values in config.items())


def _pairs(rng: np.random.Generator) -> list[str]:
    """Sample keys and values for the command line."""
    names, words = list(KEYS), []
    for _ in range(int(rng.integers(1, 4))):
        name = names[int(rng.integers(len(names)))]
        if rng.random() < 0.1:
            name = damaged(name.encode(), rng).decode("utf-8", "surrogateescape")
        words += [name, _value(rng) if rng.random() < 0.7 or name not in KEYS else _usual(name)]
    return words if rng.random() < 0.95 else words[:-1]


def _usual(name: str) -> str:
    default = KEYS[name].default
    return default if isinstance(default, str) else repr(default)


def _value(rng: np.random.Generator) -> str:
    if rng.random() < 0.8:
        return _SCALARS[int(rng.integers(len(_SCALARS)))]
    letters = list(string.printable)
    return "".join(letters[i] for i in rng.integers(len(letters), size=int(rng.integers(1, 30))))


def _edited(text: str, rng: np.random.Generator) -> str:
    """Edit some lines of a file, as a careless or hostile person would."""
    lines = text.splitlines()
    for _ in range(int(rng.integers(1, 3))):
        at = int(rng.integers(len(lines)))
        before, colon, _ = lines[at].partition(":")
        edit = int(rng.integers(9))
        if edit == 0:
            lines.insert(int(rng.integers(len(lines) + 1)), lines[at])
        elif edit == 1:
            lines[at] = lines[int(rng.integers(len(lines)))]
        elif edit == 2:
            lines[at] = " " * int(rng.integers(5)) + lines[at].strip()
        elif edit == 3:
            lines.insert(at, _powers(rng))
        elif edit == 4:
            depth = int(rng.integers(1, 3000))
            opening, closing = ("[", "]") if rng.integers(2) else ("{a: ", "}")
            lines[at] = f"{before}: {opening * depth}{closing * depth}"
        elif edit == 5:
            lines[at] = f"{before}: &x {{<<: *x}}" if rng.integers(2) else f"{before}: &x [*x]"
        else:
            lines[at] = f"{before}{colon} {_value(rng)}"
    return "\n".join(lines) + "\n"


def _powers(rng: np.random.Generator) -> str:
    """Return anchors, each of which repeats the previous one several times."""
    width, levels = int(rng.integers(2, 12)), int(rng.integers(1, 40))
    lines = ["b0: &b0 [1, 2]"]
    for level in range(1, levels):
        repeated = ", ".join([f"*b{level - 1}"] * width)
        lines.append(f"b{level}: &b{level} [{repeated}]")
    return "\n".join(lines)


def _require_whole(cfg: Any) -> None:
    """Check that every value of a configuration is valid and survives storage."""
    for key in KEYS.values():
        value = cfg
        for part in key.name.split("."):
            value = value[part]
        if type(value) is not type(key.default) and key.name != "model.pretrained":
            raise WrongError(f"{key.name} is {value!r:.100}")
    stored = json.loads(json.dumps(as_mapping(cfg)))
    if config_of(stored) != cfg:
        raise WrongError("the configuration differs when it is read again")
