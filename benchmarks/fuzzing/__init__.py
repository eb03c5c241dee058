"""Fuzzers: damaged and hostile inputs, each of which must lead to the right result or be refused.

Each module of this package is a target. The first line of its docstring says what is damaged, and
it defines::

    def make(folder: Path) -> Callable[[np.random.Generator], str]: ...

``make`` prepares good inputs in an empty folder, once, and returns a function that makes one bad
input from the generator, passes it to nr3d, and returns the outcome:

``RIGHT``      the damage does not matter or was repaired: the result is the right one
``REFUSED``    an error of nr3d, which according to :func:`refusal` is one readable line
``UNCHECKED``  other content was read from a file that has no checksums

It raises :class:`WrongError` for any other outcome. Other exceptions, a process that dies, an input
that takes longer than ``SECONDS`` (default 10) and one that takes more memory than ``MEBIBYTES``
(default 512) count as wrong as well; a module may set these two limits.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from types import ModuleType

import numpy as np

from nr3d.errors import Nr3dError

RIGHT, REFUSED, UNCHECKED = "right", "refused", "unchecked"

_LONGEST_MESSAGE = 2000


class WrongError(AssertionError):
    """An input neither led to the right result nor was refused."""


def refusal(error: Nr3dError, *names: str) -> str:
    """Check that a user can act on an error, and return ``REFUSED``.

    Args:
        error: error that nr3d raised.
        *names: texts that the message must contain, such as the name of the file.

    Raises:
        WrongError: if the message is empty, too long, has control characters or lacks a name.
    """
    message = str(error)
    if len(message.split()) < 3 or "( )" in message or len(message) > _LONGEST_MESSAGE:
        raise WrongError(f"a message of {len(message)} characters: {message[:200]!r}")
    if bad := sorted({c for c in message if not c.isprintable() and c != "\n"}):
        raise WrongError(f"a message with {bad!r}: {message[:200]!r}")
    for name in names:
        if name not in message:
            raise WrongError(f"a message without {name!r}: {message[:300]!r}")
    return REFUSED


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a copy of some bytes with one to three random edits."""
    edited = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        _EDITS[int(rng.integers(len(_EDITS)))](edited, rng)
    if bytes(edited) == data:
        _flip(edited, rng)
    return bytes(edited)


def _flip(data: bytearray, rng: np.random.Generator) -> None:
    if data:
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))


def _overwrite(data: bytearray, rng: np.random.Generator) -> None:
    start, stop = _span(data, rng)
    data[start:stop] = rng.bytes(stop - start)


def _clear(data: bytearray, rng: np.random.Generator) -> None:
    start, stop = _span(data, rng)
    data[start:stop] = bytes(stop - start)


def _cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[int(rng.integers(len(data) + 1)) :]


def _take_out(data: bytearray, rng: np.random.Generator) -> None:
    start, stop = _span(data, rng)
    del data[start:stop]


def _repeat(data: bytearray, rng: np.random.Generator) -> None:
    start, stop = _span(data, rng)
    data[start:start] = data[start:stop]


def _extreme(data: bytearray, rng: np.random.Generator) -> None:
    """Replace some bytes by a number at the limit of its type."""
    size = int(rng.choice([1, 2, 4, 8]))
    if len(data) >= size:
        start = int(rng.integers(len(data) - size + 1))
        edge = [0, 1, 2 ** (8 * size) - 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 1)]
        order = "little" if rng.integers(2) else "big"
        data[start : start + size] = edge[int(rng.integers(5))].to_bytes(size, order)


def _span(data: bytearray, rng: np.random.Generator) -> tuple[int, int]:
    start = int(rng.integers(len(data) + 1))
    return start, min(len(data), start + int(2 ** rng.uniform(0, 9)))


_EDITS: Sequence[Callable[[bytearray, np.random.Generator], None]] = (
    *(_flip, _flip, _flip),
    *(_overwrite, _clear, _cut, _take_out, _repeat, _extreme, _extreme),
)


def with_blocks_wrong(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a copy of some bytes in which a disk block is cleared or two are swapped."""
    size = int(rng.choice([512, 4096]))
    blocks = [bytearray(data[start : start + size]) for start in range(0, len(data), size)]
    one, other = (int(n) for n in rng.integers(len(blocks), size=2))
    if one == other:
        blocks[one] = bytearray(len(blocks[one]))
    else:
        blocks[one], blocks[other] = blocks[other], blocks[one]
    return b"".join(blocks)


def targets() -> dict[str, ModuleType]:
    """Return the modules of this package, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}") for name in names}
