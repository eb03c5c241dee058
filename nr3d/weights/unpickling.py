"""Reading of ``torch.save``'s pickles without running anything that they name.

A pickle is a program. The few instructions that a checkpoint needs are carried out here on plain
values, and a hostile pickle can take no more time and memory than its own size allows.

``torch.load(weights_only=True)`` is not sufficient: what it accepts differs between versions of
torch, it refuses NumPy's scalars (unless they are allowed for the whole process) and pickles of
protocols above 3, and a small hostile file can make it copy a text over and over without a bound.
The tests compare the two.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable, Sized
from typing import Any, Protocol

from nr3d.weights.pickled import Known, NumpyType, Storage, UnreadableError, find, items_of, key_of

_MOST_INSTRUCTIONS = 2_000_000
"""Most instructions of one pickle. That of a hundred-layer network has some ten thousand."""

_MOST_SPENT = 16 << 20
"""Most bytes handed to what a pickle calls, where a value in a list counts as 32."""

_DEEPEST = 100
_MOST_VALUES = 1_000_000
"""Deepest nesting of a pickle's values, and most values that a walk through them may meet."""

_LONGEST_INTEGER = 512
_LONGEST_NAME = 1000


class Stream(Protocol):
    """Bytes that are read in order and never beyond their end."""

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes."""

    def line(self) -> bytes:
        """Return the bytes up to the end of the line, without the line break."""


def _cost(argument: object) -> int:
    if isinstance(argument, str | bytes):
        return len(argument)
    return 32 * len(argument) if isinstance(argument, Sized) else 0


# The instructions


class _Mark:
    """Place on the stack where a list of values begins."""


_MARK = _Mark()

_VALUES: dict[int, object] = {ord("N"): None, 0x88: True, 0x89: False, ord(")"): ()}
_EMPTY: dict[int, Callable[[], Any]] = {ord("]"): list, ord("}"): dict, 0x8F: set}
_NUMBERS = {ord("J"): "<i", ord("K"): "<B", ord("M"): "<H", ord("G"): ">d"}
_TEXTS = {ord("X"): "<I", 0x8C: "<B", 0x8D: "<Q", ord("U"): "<B", ord("T"): "<I"}
_BYTES = {ord("C"): "<B", ord("B"): "<I", 0x8E: "<Q"}
_LONG = {0x8A: "<B", 0x8B: "<I"}
_GET = {ord("h"): "<B", ord("j"): "<I"}
_PUT = {ord("q"): "<B", ord("r"): "<I"}
_TUPLES = {0x85: 1, 0x86: 2, 0x87: 3}


def unpickle(stream: Stream, storage_of: Callable[[object], Storage]) -> Any:
    """Return the value of one pickle.

    Args:
        stream: stream that the pickle is read from.
        storage_of: function that returns the storage of a persistent id.

    Raises:
        AsksForCodeError: if the pickle names something that is not part of a checkpoint.
        UnreadableError: if ``torch.save`` did not write it.
    """
    try:
        value = _run(stream, storage_of)
    except (IndexError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise UnreadableError(f"its pickle is damaged, {type(error).__name__}") from error
    _check_depth(value)
    return value


def _run(stream: Stream, storage_of: Callable[[object], Storage]) -> Any:
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    spent = 0

    def number(form: str) -> Any:
        return struct.unpack(form, stream.take(struct.calcsize(form)))[0]

    def marked() -> list[Any]:
        start = len(stack) - 1
        while stack[start] is not _MARK:
            start -= 1
            if start < 0:
                raise UnreadableError("its pickle is damaged, a list without a beginning")
        taken = stack[start + 1 :]
        del stack[start:]
        return taken

    def extend(values: list[Any]) -> None:
        target = stack[-1]
        if type(target) is list:
            target.extend(values)
        elif type(target) is set:
            target.update(key_of(value) for value in values)
        else:
            raise UnreadableError("its pickle adds items to something other than a list")

    def put(pairs: list[Any]) -> None:
        target = stack[-1]
        if not isinstance(target, dict) or len(pairs) % 2:
            raise UnreadableError("its pickle sets keys of something that has none")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            target[key_of(key)] = value

    for _ in range(_MOST_INSTRUCTIONS):
        code = stream.take(1)[0]
        if code == 0x80:  # the protocol
            if number("<B") > 5:
                raise UnreadableError("its pickle is of an unknown protocol")
        elif code == 0x95:  # a frame, of a length that is not needed
            stream.take(8)
        elif code == ord("."):
            value = stack.pop()
            if stack or value is _MARK:
                raise UnreadableError("its pickle is damaged, values are left over")
            return value
        elif code in _VALUES:
            stack.append(_VALUES[code])
        elif code in _EMPTY:
            stack.append(_EMPTY[code]())
        elif code in _NUMBERS:
            stack.append(number(_NUMBERS[code]))
        elif code in _TEXTS:
            stack.append(stream.take(number(_TEXTS[code])).decode("utf-8"))
        elif code in _BYTES:
            stack.append(stream.take(number(_BYTES[code])))
        elif code in _LONG:
            length = number(_LONG[code])
            if length > _LONGEST_INTEGER:
                raise UnreadableError(f"it has a whole number of {length} bytes")
            stack.append(int.from_bytes(stream.take(length), "little", signed=True))
        elif code in _GET:
            stack.append(memo[number(_GET[code])])
        elif code in _PUT:
            memo[number(_PUT[code])] = stack[-1]
        elif code == 0x94:
            memo[len(memo)] = stack[-1]
        elif code == ord("("):
            stack.append(_MARK)
        elif code == ord("t"):
            stack.append(tuple(marked()))
        elif code in _TUPLES:
            count = _TUPLES[code]
            if len(stack) < count:
                raise UnreadableError("its pickle is damaged, a tuple without values")
            values = tuple(stack[-count:])
            del stack[-count:]
            stack.append(values)
        elif code == ord("l"):
            stack.append(marked())
        elif code == ord("a"):
            extend([stack.pop()])
        elif code in (ord("e"), 0x90):
            extend(marked())
        elif code == ord("s"):
            value, key = stack.pop(), stack.pop()
            put([key, value])
        elif code == ord("u"):
            put(marked())
        elif code == ord("c"):
            module, name = stream.line().decode("utf-8"), stream.line().decode("utf-8")
            stack.append(find(module, name))
        elif code == 0x93:
            name, module = stack.pop(), stack.pop()
            if type(name) is not str or type(module) is not str:
                raise UnreadableError("its pickle asks for a name that is not a text")
            stack.append(find(module[:_LONGEST_NAME], name[:_LONGEST_NAME]))
        elif code in (ord("R"), 0x81):  # a call, or a new object
            arguments, known = stack.pop(), stack.pop()
            if not isinstance(known, Known):
                raise UnreadableError("its pickle calls something other than a function")
            spent += sum(map(_cost, items_of(arguments)))
            if spent > _MOST_SPENT:
                raise UnreadableError("its pickle copies the same values again and again")
            stack.append(known(arguments))
        elif code == ord("b"):
            state, target = stack.pop(), stack[-1]
            if isinstance(target, NumpyType):
                target.set(state)
            elif type(target) is OrderedDict and isinstance(state, dict):
                # What a module needs to know of the version that saved its state dict.
                if isinstance(state.get("_metadata"), dict):
                    target._metadata = state["_metadata"]  # type: ignore[attr-defined]
            elif state:
                raise UnreadableError("its pickle sets the state of something that has none")
        elif code == ord("Q"):
            stack.append(storage_of(stack.pop()))
        elif code == ord("0"):
            stack.pop()
        elif code == ord("2"):
            stack.append(stack[-1])
        else:
            raise UnreadableError(
                f"its pickle has an instruction 0x{code:02x}, unlike torch.save's"
            )
    raise UnreadableError(f"its pickle has more than {_MOST_INSTRUCTIONS:,} instructions")


def _check_depth(value: object) -> None:
    """Refuse values that contain themselves, or each other so often that no walk would end."""
    level, count = [value], 0
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                inner.extend(each.values())
            elif isinstance(each, list | tuple):
                inner.extend(each)
            if count + len(inner) > _MOST_VALUES:
                raise UnreadableError(f"it holds more than {_MOST_VALUES:,} values")
        count += len(inner)
        if not inner:
            return
        level = inner
    raise UnreadableError(f"its values are nested deeper than {_DEEPEST}")
