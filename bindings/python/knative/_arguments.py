"""What the public methods take: each argument is checked where it comes in, and named.

A check gets the argument's name and value, and raises TypeError (of another type) or ValueError (of
the right type, but no such value).
"""

from __future__ import annotations

import functools
import inspect
import json as _json
import math
import os
from datetime import timedelta
from typing import Any, Callable, Dict, Mapping, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])
Check = Callable[[str, Any], None]

SECONDS_MAX = 1e9  # some thirty years


def wrong_type(name: str, expected: str, value: object) -> TypeError:
    return TypeError(f"{name}: expected {expected}, got {type(value).__name__}")


def text(name: str, value: object) -> None:
    """A str that can be written as UTF-8."""
    if not isinstance(value, str):
        raise wrong_type(name, "str", value)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name}: a lone surrogate at {error.start} cannot be written as "
                         "UTF-8") from None


def body(name: str, value: object) -> None:
    if isinstance(value, str):
        text(name, value)
    elif not isinstance(value, (bytes, bytearray, memoryview)):
        raise wrong_type(name, "bytes or str", value)


def binary(name: str, value: object) -> None:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise wrong_type(name, "bytes", value)


def flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise wrong_type(name, "bool", value)


def anything(name: str, value: object) -> None:
    """Checked elsewhere, or meant for the user."""


def integer(low: int, high: int) -> Check:
    def check(name: str, value: object) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise wrong_type(name, "int", value)
        if not low <= value <= high:
            raise ValueError(f"{name}: expected {low} to {high}, got {value}")

    return check


def number(name: str, value: object) -> None:
    """A number that is not negative."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise wrong_type(name, "a number", value)
    if not math.isfinite(value):
        raise ValueError(f"{name}: expected a finite number, got {value}")
    if value < 0:
        raise ValueError(f"{name}: not negative, got {value}")


def duration(name: str, value: object) -> None:
    """Seconds, or a timedelta; not negative."""
    if not isinstance(value, (int, float, timedelta)) or isinstance(value, bool):
        raise wrong_type(name, "seconds or timedelta", value)
    amount = value.total_seconds() if isinstance(value, timedelta) else value
    if not 0 <= amount <= SECONDS_MAX:  # NaN is not
        what = "not negative" if amount < 0 else f"at most {SECONDS_MAX:.0f} seconds"
        raise ValueError(f"{name}: {what}, got {value}")


def path(name: str, value: object) -> None:
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str):
        raise wrong_type(name, "str or os.PathLike[str]", value)
    if "\0" in os.fspath(value):
        raise ValueError(f"{name}: a path holds no NUL")
    try:
        os.fsencode(value)
    except UnicodeEncodeError as error:
        raise ValueError(f"{name}: a lone surrogate at {error.start} cannot be a file's") from None


def function(name: str, value: object) -> None:
    if not callable(value):
        raise wrong_type(name, "a function", value)


def optional(inner: Check) -> Check:
    def check(name: str, value: object) -> None:
        if value is not None:
            inner(name, value)

    return check


def of(*types: type) -> Check:
    expected = " or ".join(each.__name__ for each in types)

    def check(name: str, value: object) -> None:
        if not isinstance(value, types):
            raise wrong_type(name, expected, value)

    return check


def subclass_of(base: type) -> Check:
    def check(name: str, value: object) -> None:
        if not isinstance(value, type) or not issubclass(value, base):
            shown = value.__name__ if isinstance(value, type) else f"a {type(value).__name__}"
            raise TypeError(f"{name}: expected a class of {base.__name__}, got {shown}")

    return check


def list_of(inner: Check) -> Check:
    def check(name: str, value: object) -> None:
        if not isinstance(value, (list, tuple)):
            raise wrong_type(name, "list", value)
        for index, each in enumerate(value):
            inner(f"{name}[{index}]", each)

    return check


def mapping_of(inner: Check) -> Check:
    """Text to something."""

    def check(name: str, value: object) -> None:
        if not isinstance(value, Mapping):
            raise wrong_type(name, "dict", value)
        for key, each in value.items():
            text(f"{name}: a key", key)
            inner(f"{name}[{key!r}]", each)

    return check


def either(*checks: tuple[type, Check]) -> Check:
    """The check of the first type that the value has."""
    expected = " or ".join(each.__name__ for each, _ in checks)

    def check(name: str, value: object) -> None:
        for each, inner in checks:
            if isinstance(value, each):
                inner(name, value)
                return
        raise wrong_type(name, expected, value)

    return check


def takes(**checks: Check) -> Callable[[F], F]:
    """Check the arguments of a function by name; `args_` and `kwargs_` stand for those of `*` and
    `**`. A parameter without a check is not checked."""

    def decorate(function: F) -> F:
        code = function.__code__
        names = code.co_varnames[:code.co_argcount]
        own = frozenset(code.co_varnames[:code.co_argcount + code.co_kwonlyargcount])
        positional = [(name, checks.get(name, anything)) for name in names]
        others = checks.get("args_", anything)
        keywords = checks.get("kwargs_", anything)

        def check(args: tuple[Any, ...], kwargs: Dict[str, Any]) -> None:
            for (name, inner), value in zip(positional, args):
                inner(name, value)
            for value in args[len(positional):]:
                others("an argument", value)
            for name, value in kwargs.items():
                checks.get(name, anything if name in own else keywords)(name, value)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            check(args, kwargs)
            return function(*args, **kwargs)

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            check(args, kwargs)
            return await function(*args, **kwargs)

        made = call_async if inspect.iscoroutinefunction(function) else call
        made._takes = frozenset(checks)  # type: ignore[attr-defined]
        return cast(F, made)

    return decorate


def json_bytes(name: str, value: object) -> bytes:
    """JSON of a value; what is none is an error that names the argument."""
    try:
        return _json.dumps(value, ensure_ascii=False, separators=(",", ":"),
                           allow_nan=False).encode()
    except RecursionError:
        raise ValueError(f"{name}: nested too deeply") from None
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name}: {error}") from None
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None
