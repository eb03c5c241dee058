"""Names that a checkpoint's pickle may use, and what stands for each of them.

No class is looked up and no function is called except those of the table below.
"""

from __future__ import annotations

import re
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch

from nr3d.errors import shown

_LONGEST_KEY = 4


class UnreadableError(ValueError):
    """A file is damaged, or ``torch.save`` did not write it."""


class AsksForCodeError(UnreadableError):
    """A pickle names something that only running code could provide.

    Args:
        name: full name of what it asks for.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"it asks for {name}")
        self.name = name


class ForeignError(UnreadableError):
    """A file is of another kind; the message is what it is and what to do."""


class Unusable:
    """Stand-in for a tensor that does not hold plain numbers.

    Args:
        kind: phrase for the kind of tensor, such as ``"a sparse tensor"``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return self.kind


class Storage:
    """Numbers that tensors are views of.

    Args:
        numbers: bytes of the numbers.
        dtype: type of one number.
        length: number of numbers.
    """

    def __init__(self, numbers: torch.UntypedStorage, dtype: torch.dtype, length: int) -> None:
        self.numbers, self.dtype, self.length = numbers, dtype, length


class Known:
    """Class or function that a pickle may name.

    Args:
        name: full name.
        make: function that is called in its place; None for a name that may not be called.
    """

    def __init__(self, name: str, make: Callable[..., Any] | None = None) -> None:
        self.name, self.make = name, make

    def __call__(self, arguments: object) -> Any:
        """Call the function in its place with the arguments in a tuple."""
        if self.make is None or type(arguments) not in (tuple, torch.Size):
            raise UnreadableError(f"its pickle calls {self.name} in a way that torch never does")
        return self.make(*arguments)  # type: ignore[misc]

    @property
    def makes_tensor(self) -> bool:
        """Whether it is one of the functions that make tensors."""
        return self.name.startswith("torch._utils._rebuild")


# What is done in the place of the functions that a pickle names


def _tensor(
    storage: object, offset: object, size: object, stride: object, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """Return a tensor that is a view of a storage and lies within it."""
    numbers = (offset, *items_of(size), *items_of(stride))
    if not isinstance(storage, Storage) or not all(type(n) is int and n >= 0 for n in numbers):
        raise UnreadableError("it has a tensor with no storage, size or stride")
    shape, steps = items_of(size), items_of(stride)
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


def items_of(numbers: object) -> tuple[Any, ...]:
    """Return the items of a tuple or list; of anything else a single None, which is no number.

    Args:
        numbers: any value of a pickle.
    """
    return tuple(numbers) if isinstance(numbers, tuple | list) else (None,)


def _tensor_v3(
    storage: object, offset: object, size: object, stride: object, *rest: object
) -> torch.Tensor:
    dtype = rest[2] if len(rest) > 2 else None
    if not isinstance(dtype, torch.dtype):
        raise UnreadableError("it has a tensor without a type")
    return _tensor(storage, offset, size, stride, dtype)


def _of_type(make: object, _: object, arguments: object, *__: object) -> Any:
    """Return a tensor that was saved with attributes of its own, without them."""
    if not isinstance(make, Known) or not make.makes_tensor:
        raise UnreadableError("it has a tensor of an unknown kind")
    return make(arguments)


def _mapping(pairs: object = ()) -> OrderedDict[Any, Any]:
    made: OrderedDict[Any, Any] = OrderedDict()
    for pair in pairs.items() if isinstance(pairs, Mapping) else items_of(pairs):
        key, value = items_of(pair)
        made[key_of(key)] = value
    return made


def _bytes(text: object = "", encoding: object = "latin1") -> bytes:
    """Stand in for the codec by which a pickle of torch's protocol writes bytes as text."""
    if not isinstance(text, str) or encoding != "latin1":
        raise UnreadableError("it has bytes in another encoding than a pickle's own")
    return text.encode("latin1")


class NumpyType:
    """Stand-in for ``numpy.dtype``: a kind and a size, nothing more.

    Args:
        code: NumPy's code of the type, such as ``"f8"``.
    """

    def __init__(self, code: object = "", *_: object) -> None:
        self.code = _text(code)
        self.order = "<"

    def set(self, state: object) -> None:
        """Set the byte order from NumPy's own state of a type."""
        self.order = ">" if items_of(state)[1:2] == (">",) else "<"


_CODES = {"f2": "e", "f4": "f", "f8": "d", "b1": "?"} | {
    f"{kind}{size}": code.upper() if kind == "u" else code
    for size, code in ((1, "b"), (2, "h"), (4, "i"), (8, "q"))
    for kind in "iu"
}


def _number(dtype: object, data: object = b"") -> float | int | bool | str:
    """Stand in for NumPy's scalar, and return the plain number or text."""
    if isinstance(dtype, NumpyType) and isinstance(data, bytes):
        if dtype.code in _CODES:
            (value,) = struct.unpack(dtype.order + _CODES[dtype.code], data)
            return value  # type: ignore[no-any-return]
        if dtype.code[:1] == "U" and len(data) % 4 == 0:
            return data.decode("utf-32-le" if dtype.order == "<" else "utf-32-be").rstrip("\0")
    raise UnreadableError("it has a NumPy scalar that is neither a number nor a text")


def _device(kind: object = "cpu", *_: object) -> str:
    return _text(kind)


def _unusable(kind: str) -> Callable[..., Unusable]:
    return lambda *_: Unusable(kind)


def _first(value: object = None, *_: object) -> object:
    return value


def _set(values: object = ()) -> set[Any]:
    return {key_of(value) for value in items_of(values)}


def _text(value: object = "", *_: object) -> str:
    if not isinstance(value, str):
        raise UnreadableError(f"it has a {type(value).__name__}, expected a text")
    return value


def _complex(real: object = 0.0, imaginary: object = 0.0) -> complex:
    if not isinstance(real, float | int) or not isinstance(imaginary, float | int):
        raise UnreadableError("it has a complex number whose parts are not numbers")
    return complex(real, imaginary)


_MADE: dict[str, Callable[..., Any] | None] = {
    "collections.OrderedDict": _mapping,
    "collections.Counter": lambda pairs=(): dict(_mapping(pairs)),
    "builtins.set": _set,
    "builtins.bytearray": lambda *a: bytearray(_bytes(*a) if len(a) != 1 else _plain_bytes(a[0])),
    "builtins.complex": _complex,
    "_codecs.encode": _bytes,
    "numpy.dtype": NumpyType,
    # NumPy 1 and 2 keep it in different places.
    "numpy.core.multiarray.scalar": _number,
    "numpy._core.multiarray.scalar": _number,
    "torch.Size": lambda numbers=(): tuple(items_of(numbers)),
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
"""Full names that a checkpoint may use, and the function that stands for each."""

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
"""Modules in which Python 2 and earlier versions of torch kept the same names."""


def _plain_bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise UnreadableError(f"it has a {type(value).__name__}, expected bytes")
    return value


def find(module: str, name: str) -> Any:
    """Return what stands for a name in a pickle.

    Args:
        module: module that the pickle names.
        name: name in that module.

    Raises:
        AsksForCodeError: if a checkpoint may not use the name.
    """
    full = f"{_OLD_MODULES.get(module, module)}.{name}"
    if full in _MADE:
        return Known(full, _MADE[full])
    if full in _STORAGES:
        return _STORAGES[full]
    found = vars(torch).get(name) if module == "torch" else None
    if isinstance(found, torch.dtype):
        return found
    if isinstance(found, torch.layout | torch.qscheme):
        return name
    raise AsksForCodeError(full if re.fullmatch(r"[\w.<>-]{1,100}", full) else shown(full))


def key_of(value: object) -> Any:
    """Return a value that may be a key, because hashing it takes no time.

    Args:
        value: any value of a pickle.

    Raises:
        UnreadableError: if it is not a plain value or a short tuple of such.
    """
    parts = value if type(value) is tuple else (value,)
    if len(parts) > _LONGEST_KEY or not all(map(_is_plain, parts)):
        raise UnreadableError(f"it has a key that is a {type(value).__name__}")
    return value


def _is_plain(value: object) -> bool:
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 63
    return isinstance(value, str | float | bytes | None)
