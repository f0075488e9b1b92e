"""Reads the pickle inside a PyTorch file as plain data: nothing is imported, nothing is called.

A machine for the pickle opcodes that torch.save uses (protocol 2), over pickletools' parser. The only global names
it knows are OrderedDict (a dict here), torch's tensor rebuilding (a `TensorRef` here) and torch's storage types; all
others, and all other opcodes, are refused by name.
"""

from __future__ import annotations

import pickletools
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from codegen.errors import BakeError, shown

# Lists torch's storage classes: (encoding of codegen.formats.stored or None, bytes an item).
STORAGES: dict[str, tuple[str | None, int]] = {
    "FloatStorage": ("F32", 4), "HalfStorage": ("F16", 2), "BFloat16Storage": ("BF16", 2), "DoubleStorage": (None, 8),
    "LongStorage": (None, 8), "IntStorage": (None, 4), "ShortStorage": (None, 2), "CharStorage": (None, 1),
    "ByteStorage": (None, 1), "BoolStorage": (None, 1),
}  # fmt: skip
GLOBALS = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"} | {
    f"torch {storage}" for storage in STORAGES
}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT")
EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}


@dataclass(frozen=True)
class Global:
    """Stands for a name that the pickle refers to; it is never looked up."""

    name: str


@dataclass(frozen=True)
class StorageRef:
    """Stands for a storage beside the pickle: its class, key (the record `data/<key>`) and number of items."""

    kind: str
    key: str
    items: int


@dataclass(frozen=True)
class TensorRef:
    """Stands for a view of a storage: offset in items, shape, stride in items."""

    storage: StorageRef
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _Mark:
    pass


def load(data: bytes, source: str) -> Any:
    """Builds the object that a pickle describes, of dicts, lists, tuples, text, numbers, TensorRef and StorageRef.

    Raises BakeError for all that isn't data.
    """
    machine = _Machine(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd escapes are in old opcodes alone, which are refused anyway
            for opcode, argument, _ in pickletools.genops(data):
                if opcode.name == "STOP":
                    break
                machine.step(opcode.name, argument)
    except (ValueError, IndexError, OverflowError) as error:
        raise BakeError(f"{source}: expected a pickle, found a damaged one: {shown(str(error))}") from error
    if len(machine.stack) != 1:
        raise BakeError(f"{source}: expected a pickle of one object, found {len(machine.stack)}; save the model again")
    return machine.stack[0]


class _Machine:
    def __init__(self, source: str) -> None:
        self.source = source
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in NUMBERS or name == "BINUNICODE":
            stack.append(argument)
        elif name in EMPTY:
            stack.append(EMPTY[name]())
        elif name == "MARK":
            stack.append(_Mark())
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            if argument not in self.memo:
                raise self.refuse(f"memo {argument}", "one that was stored")
            stack.append(self.memo[argument])
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            items = tuple(stack[-count:])
            if len(items) < count:
                raise IndexError("the stack is empty")
            stack[-count:] = [items]
        elif name == "TUPLE":
            stack.append(tuple(self.since_mark()))
        elif name in ("APPEND", "APPENDS"):
            added = [stack.pop()] if name == "APPEND" else self.since_mark()
            self.top(list).extend(added)
        elif name in ("SETITEM", "SETITEMS"):
            self.set_items([stack.pop(-2), stack.pop()] if name == "SETITEM" else self.since_mark())
        elif name == "GLOBAL":
            if argument not in GLOBALS:
                raise self.refuse(shown(argument), "tensors, numbers and text only (no code is run)")
            stack.append(Global(argument))
        elif name == "BINPERSID":
            stack.append(self.storage(stack.pop()))
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(self.reduce(function, arguments))
        elif name == "BUILD":  # torch hangs _metadata on its OrderedDicts
            stack.pop()
            self.top(dict)
        elif name != "PROTO":
            raise self.refuse(f"opcode {name}", "tensors, numbers and text only (no code is run)")

    def refuse(self, found: str, expected: str) -> BakeError:
        return BakeError(f"{self.source}: found {found}, expected {expected}; save the model with llama2.c's train.py")

    def since_mark(self) -> list[Any]:
        for at in range(len(self.stack) - 1, -1, -1):
            if isinstance(self.stack[at], _Mark):
                items = self.stack[at + 1 :]
                del self.stack[at:]
                return items
        raise IndexError("no mark on the stack")

    def top(self, kind: type) -> Any:
        value = self.stack[-1]
        if type(value) is not kind:
            raise self.refuse(type(value).__name__, f"a {kind.__name__} to add to")
        return value

    def set_items(self, items: list[Any]) -> None:
        target = self.top(dict)
        if len(items) % 2:
            raise self.refuse(f"{len(items)} keys and values", "an even number")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in (str, int):
                raise self.refuse(f"a key of type {type(key).__name__}", "text or a number")
            target[key] = value

    def storage(self, reference: Any) -> StorageRef:
        if type(reference) is tuple and len(reference) == 5 and reference[0] == "storage":
            _, kind, key, _, items = reference
            name = kind.name.removeprefix("torch ") if isinstance(kind, Global) else ""
            if name in STORAGES and type(key) is str and re.fullmatch(r"[0-9A-Za-z]{1,20}", key) and _is_size(items):
                return StorageRef(name, key, items)
        raise self.refuse(f"storage {shown(reference)}", "torch's description of one")

    def reduce(self, function: Any, arguments: Any) -> Any:
        name = function.name if isinstance(function, Global) else ""
        if name == "collections OrderedDict" and arguments == ():
            return {}
        if name == "torch._utils _rebuild_tensor_v2" and type(arguments) is tuple and len(arguments) >= 4:
            storage, offset, shape, stride = arguments[:4]
            if isinstance(storage, StorageRef) and type(shape) is tuple and type(stride) is tuple and len(shape) < 9:
                if len(stride) == len(shape) and all(_is_size(n) for n in (offset, *shape, *stride)):
                    return TensorRef(storage, offset, shape, stride)
        if name == "torch._utils _rebuild_parameter" and type(arguments) is tuple and arguments:
            if isinstance(arguments[0], TensorRef):
                return arguments[0]
        raise self.refuse(f"a call of {shown(name)} with other arguments", "torch's own way to save a tensor")


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 48
