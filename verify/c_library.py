"""Functions of the C library that Python lacks, given the types of their arguments."""

import ctypes
import os
from collections.abc import Callable
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)


def function(name: str, *arguments: type[Any], result: type[Any] = ctypes.c_int) -> Callable[..., int]:
    """The function `name`. A call releases the GIL, and raises OSError with its errno when it returns -1."""
    found = _libc[name]  # each time another one
    found.argtypes, found.restype, found.errcheck = arguments, result, _checked
    return found


def _checked(result: Any, _function: object, _arguments: object) -> Any:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
