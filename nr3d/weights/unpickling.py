"""Pickles of ``torch.save`` read without running anything that they name.

A pickle is a program. The few instructions that a checkpoint needs are done here on plain values:
no class is looked up, no function is called but those of the table below, and neither the time nor
the memory that a hostile one takes grows beyond its own size.
"""

from __future__ import annotations

import re
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sized
from typing import Any, Protocol

import torch

from nr3d.errors import shown

_MOST_INSTRUCTIONS = 2_000_000
"""Of one pickle. A checkpoint of a hundred-layer network has some ten thousand."""

_MOST_SPENT = 16 << 20
"""Bytes that are handed to what a pickle calls, a value in a list counted as 32."""

_DEEPEST = 100
_MOST_VALUES = 1_000_000
"""How deep a pickle's values may lie in each other, and how many a walk through them may meet."""

_LONGEST_KEY = 64
_LONGEST_INTEGER = 512
_LONGEST_NAME = 1000


class UnreadableError(ValueError):
    """A file that is not what ``torch.save`` writes."""


class AsksForCodeError(UnreadableError):
    """A pickle names something that only running it could give.

    Args:
        name: what it asks for.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"it asks for {name}")
        self.name = name


class ForeignError(UnreadableError):
    """A file is one of another kind: the message is what it is, and what to do."""


class Unusable:
    """Stands for a tensor that holds no plain numbers.

    Args:
        kind: what it is, such as ``"a sparse tensor"``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return self.kind


class Storage:
    """Numbers that tensors are views of.

    Args:
        numbers: their bytes.
        dtype: of one number.
        length: how many.
    """

    def __init__(self, numbers: torch.UntypedStorage, dtype: torch.dtype, length: int) -> None:
        self.numbers, self.dtype, self.length = numbers, dtype, length


class Stream(Protocol):
    """Bytes that are read in order and never beyond their end."""

    def take(self, count: int) -> bytes:
        """Read exactly that many."""

    def line(self) -> bytes:
        """Read up to the end of the line, without it."""


class Bytes:
    """A stream of bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def take(self, count: int) -> bytes:
        """Read exactly that many."""
        end = self.place + count
        if end > len(self.data):
            raise UnreadableError("it ends in the middle of its pickle")
        taken, self.place = self.data[self.place : end], end
        return taken

    def line(self) -> bytes:
        """Read up to the end of the line, without it."""
        end = self.data.find(b"\n", self.place, self.place + _LONGEST_NAME)
        if end < 0:
            raise UnreadableError("its pickle has a name without an end")
        taken, self.place = self.data[self.place : end], end + 1
        return taken


class _Known:
    """A class or function that a pickle may name.

    Args:
        name: its full name.
        make: what is done in its place; None if it is only named.
    """

    def __init__(self, name: str, make: Callable[..., Any] | None = None) -> None:
        self.name, self.make = name, make

    def __call__(self, arguments: object) -> Any:
        if self.make is None or type(arguments) not in (tuple, torch.Size):
            raise UnreadableError(f"its pickle calls {self.name} as nothing does that torch saves")
        return self.make(*arguments)  # type: ignore[misc]

    @property
    def makes_tensor(self) -> bool:
        """Whether tensors are made by it alone."""
        return self.name.startswith("torch._utils._rebuild")


# What is done in the place of the functions that a pickle names


def _tensor(
    storage: object, offset: object, size: object, stride: object, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """Make a view of a storage, within it."""
    numbers = (offset, *_whole(size), *_whole(stride))
    if not isinstance(storage, Storage) or not all(type(n) is int and n >= 0 for n in numbers):
        raise UnreadableError("it has a tensor of no storage, size or stride")
    shape, steps = _whole(size), _whole(stride)
    if len(shape) != len(steps) or len(shape) > 64:
        raise UnreadableError("it has a tensor whose size and stride do not fit each other")
    dtype = dtype or storage.dtype
    length = storage.numbers.nbytes() // dtype.itemsize
    values, last = 1, int(offset)  # type: ignore[call-overload]
    for side, step in zip(shape, steps, strict=True):
        values *= side
        last += (side - 1) * step
    # A tensor that was expanded before it was saved has fewer numbers than values.
    if values and (last >= length or values > max(length, 1 << 20)):
        raise UnreadableError(
            f"it has a tensor of {shown(values, 25)} values in {length} stored numbers, beyond them"
        )
    if not values:
        if max(shape) > 1 << 31:
            raise UnreadableError(f"it has a tensor of the size {shown(shape)}")
        return torch.empty(shape, dtype=dtype)
    return torch.empty(0, dtype=dtype).set_(storage.numbers, offset, shape, steps)  # type: ignore[call-overload, no-any-return]


def _whole(numbers: object) -> tuple[Any, ...]:
    return tuple(numbers) if isinstance(numbers, tuple | list) else (None,)


def _tensor_v3(
    storage: object, offset: object, size: object, stride: object, *rest: object
) -> torch.Tensor:
    dtype = rest[2] if len(rest) > 2 else None
    if not isinstance(dtype, torch.dtype):
        raise UnreadableError("it has a tensor of no type")
    return _tensor(storage, offset, size, stride, dtype)


def _of_type(make: object, _: object, arguments: object, *__: object) -> Any:
    """Make a tensor that has attributes of its own, without them."""
    if not isinstance(make, _Known) or not make.makes_tensor:
        raise UnreadableError("it has a tensor of no known kind")
    return make(arguments)


def _mapping(pairs: object = ()) -> OrderedDict[Any, Any]:
    made: OrderedDict[Any, Any] = OrderedDict()
    for pair in pairs.items() if isinstance(pairs, Mapping) else _whole(pairs):
        key, value = _whole(pair)
        made[_key(key)] = value
    return made


def _bytes(text: object = "", encoding: object = "latin1") -> bytes:
    """Stand for the codec by which a pickle of torch's protocol writes bytes as text."""
    if not isinstance(text, str) or encoding != "latin1":
        raise UnreadableError("it has bytes in another encoding than a pickle's own")
    return text.encode("latin1")


class _Dtype:
    """Stands for ``numpy.dtype``: a kind and a size, nothing more."""

    def __init__(self, code: object = "", *_: object) -> None:
        self.code = str(code)
        self.order = "<"

    def set(self, state: object) -> None:
        self.order = ">" if _whole(state)[1:2] == (">",) else "<"


_CODES = {"f2": "e", "f4": "f", "f8": "d", "b1": "?"} | {
    f"{kind}{size}": code.upper() if kind == "u" else code
    for size, code in ((1, "b"), (2, "h"), (4, "i"), (8, "q"))
    for kind in "iu"
}


def _number(dtype: object, data: object = b"") -> float | int | bool | str:
    """Stand for NumPy's scalar; gives the plain number or text."""
    if isinstance(dtype, _Dtype) and isinstance(data, bytes):
        if dtype.code in _CODES:
            (value,) = struct.unpack(dtype.order + _CODES[dtype.code], data)
            return value  # type: ignore[no-any-return]
        if dtype.code[:1] == "U" and len(data) % 4 == 0:
            return data.decode("utf-32-le" if dtype.order == "<" else "utf-32-be").rstrip("\0")
    raise UnreadableError("it has a NumPy scalar that is no number and no text")


def _device(kind: object = "cpu", *_: object) -> str:
    return str(kind)[:_LONGEST_NAME]


def _unusable(kind: str) -> Callable[..., Unusable]:
    return lambda *_: Unusable(kind)


def _first(value: object = None, *_: object) -> object:
    return value


def _set(values: object = ()) -> set[Any]:
    return {_key(value) for value in _whole(values)}


def _text(value: object = "", *_: object) -> str:
    if not isinstance(value, str):
        raise UnreadableError("it has a version that is no text")
    return value


def _complex(real: object = 0.0, imaginary: object = 0.0) -> complex:
    if not isinstance(real, float | int) or not isinstance(imaginary, float | int):
        raise UnreadableError("it has a complex number without numbers")
    return complex(real, imaginary)


_MADE: dict[str, Callable[..., Any] | None] = {
    "collections.OrderedDict": _mapping,
    "collections.Counter": lambda pairs=(): dict(_mapping(pairs)),
    "builtins.set": _set,
    "builtins.bytearray": lambda *a: bytearray(_bytes(*a) if len(a) != 1 else _plain_bytes(a[0])),
    "builtins.complex": _complex,
    "_codecs.encode": _bytes,
    "numpy.dtype": _Dtype,
    # NumPy 1 and 2 keep it in different places.
    "numpy.core.multiarray.scalar": _number,
    "numpy._core.multiarray.scalar": _number,
    "torch.Size": lambda numbers=(): tuple(_whole(numbers)),
    "torch.device": _device,
    "torch.torch_version.TorchVersion": _text,
    "torch.serialization._get_layout": _first,
    "torch.Tensor": None,
    "torch.nn.parameter.Parameter": _first,
    "torch.nn.parameter.Buffer": _first,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": lambda s, o, n, st, *_: _tensor(s, o, n, st),
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._tensor._rebuild_from_type_v2": _of_type,
    "torch._utils._rebuild_qtensor": _unusable("a quantised tensor"),
    "torch._utils._rebuild_sparse_tensor": _unusable("a sparse tensor"),
    "torch._utils._rebuild_sparse_csr_tensor": _unusable("a sparse tensor"),
    "torch._utils._rebuild_nested_tensor": _unusable("a nested tensor"),
    "torch._utils._rebuild_meta_tensor_no_storage": _unusable("a meta tensor, without numbers"),
    "torch._utils._rebuild_device_tensor_from_numpy": _unusable("a device's own tensor"),
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _unusable("a device's own tensor"),
    "torch._utils._rebuild_wrapper_subclass": _unusable("a wrapped tensor"),
}
"""What a checkpoint may name, and what is done in its place."""

_STORAGES = {
    f"torch.{name}Storage": dtype
    for name, dtype in {
        "Float": torch.float32,
        "Double": torch.float64,
        "Half": torch.float16,
        "BFloat16": torch.bfloat16,
        "Long": torch.int64,
        "Int": torch.int32,
        "Short": torch.int16,
        "Char": torch.int8,
        "Byte": torch.uint8,
        "Bool": torch.bool,
        "ComplexFloat": torch.complex64,
        "ComplexDouble": torch.complex128,
        "QInt8": torch.qint8,
        "QUInt8": torch.quint8,
        "QInt32": torch.qint32,
    }.items()
} | {
    "torch.storage.UntypedStorage": torch.uint8,
    "torch.UntypedStorage": torch.uint8,
}

_OLD_MODULES = {
    "__builtin__": "builtins",
    "torch.tensor": "torch._tensor",
    "torch.cuda": "torch",
}
"""Where Python 2, and torch before, kept the same."""


def _plain_bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise UnreadableError("it has bytes that are none")
    return value


def _cost(argument: object) -> int:
    if isinstance(argument, str | bytes):
        return len(argument)
    return 32 * len(argument) if isinstance(argument, Sized) else 0


def _find(module: str, name: str) -> Any:
    full = f"{_OLD_MODULES.get(module, module)}.{name}"
    if full in _MADE:
        return _Known(full, _MADE[full])
    if full in _STORAGES:
        return _STORAGES[full]
    found = vars(torch).get(name) if module == "torch" else None
    if isinstance(found, torch.dtype):
        return found
    if isinstance(found, torch.layout | torch.qscheme):
        return name
    raise AsksForCodeError(full if re.fullmatch(r"[\w.<>-]{1,100}", full) else shown(full))


def _key(value: object) -> Any:
    """Let only keys be hashed that this is done with at once."""
    plain = (str, int, float, bool, bytes, type(None))
    parts = value if type(value) is tuple else (value,)
    if len(parts) > _LONGEST_KEY or not all(isinstance(part, plain) for part in parts):
        raise UnreadableError(f"it has a key that is a {type(value).__name__}")
    return value


# The instructions


class _Mark:
    """Where on the stack a list of values begins."""


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
    """Read one pickle.

    Args:
        stream: what it is read from.
        storage_of: gives the storage of a persistent id.

    Raises:
        AsksForCodeError: if it names what is not a part of a checkpoint.
        UnreadableError: if it is not what ``torch.save`` writes.
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
            target.update(_key(value) for value in values)
        else:
            raise UnreadableError("its pickle adds to what is no list")

    def put(pairs: list[Any]) -> None:
        target = stack[-1]
        if not isinstance(target, dict) or len(pairs) % 2:
            raise UnreadableError("its pickle sets keys of what has none")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            target[_key(key)] = value

    for _ in range(_MOST_INSTRUCTIONS):
        code = stream.take(1)[0]
        if code == 0x80:  # the protocol
            if number("<B") > 5:
                raise UnreadableError("its pickle is of a protocol that is not known")
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
            stack.append(_find(module, name))
        elif code == 0x93:
            name, module = stack.pop(), stack.pop()
            if type(name) is not str or type(module) is not str:
                raise UnreadableError("its pickle asks for a name that is no text")
            stack.append(_find(module[:_LONGEST_NAME], name[:_LONGEST_NAME]))
        elif code in (ord("R"), 0x81):  # a call, or a new object
            arguments, known = stack.pop(), stack.pop()
            if not isinstance(known, _Known):
                raise UnreadableError("its pickle calls what is no function")
            spent += sum(map(_cost, _whole(arguments)))
            if spent > _MOST_SPENT:
                raise UnreadableError("its pickle copies the same values again and again")
            stack.append(known(arguments))
        elif code == ord("b"):
            state, target = stack.pop(), stack[-1]
            if isinstance(target, _Dtype):
                target.set(state)
            elif type(target) is OrderedDict and isinstance(state, dict):
                # What a module needs to know of the version that saved its state dict.
                if isinstance(state.get("_metadata"), dict):
                    target._metadata = state["_metadata"]  # type: ignore[attr-defined]
            elif state:
                raise UnreadableError("its pickle gives a state to what has none")
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
    """Refuse values that hold themselves, or so many of each other that no walk would end."""
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
