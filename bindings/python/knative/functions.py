"""Functions by name: the images "fn:NAME" of a platform."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import warnings
from contextlib import contextmanager
from typing import Any, Callable, Coroutine, Iterator, TypeVar

from . import _native
from ._arguments import function as _function
from ._arguments import takes, text
from .errors import Cancelled, FailedPrecondition, InvalidArgument, Unimplemented
from .events import CloudEvent
from .http import Request, Response, as_response

F = TypeVar("F", bound=Callable[..., Any])
N = TypeVar("N")
T = TypeVar("T")

logger = logging.getLogger("knative")


class _Handling(threading.local):
    active = False


_handling = _Handling()


@contextmanager
def _handler() -> Iterator[None]:
    """Marks that this thread runs a handler, which may not end its own platform."""
    before, _handling.active = _handling.active, True
    try:
        yield
    finally:
        _handling.active = before


def refuse_in_handler(what: str) -> None:
    if _handling.active:
        raise FailedPrecondition(f"{what} from a handler would wait for itself")


class Calls:
    """The `def`s of one platform that run just now. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: list[str] = []

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        with self._lock:
            self._names.append(name)
        try:
            yield
        finally:
            with self._lock:
                self._names.remove(name)

    def warn(self) -> None:
        """Name what goes on although its platform was closed."""
        with self._lock:
            names = sorted(set(self._names))
        if names:
            warnings.warn(f"the platform is closed, but still running: {', '.join(names)}",
                          RuntimeWarning, stacklevel=4)


def is_async(function: Callable[..., Any]) -> bool:
    return (inspect.iscoroutinefunction(function)
            or inspect.iscoroutinefunction(getattr(function, "__call__", None)))


def run(function: Callable[..., Any], argument: Any) -> Any:
    """Call it, and wait for an `async def` on an event loop of its own."""

    async def wait(awaitable: Any) -> Any:
        return await awaitable

    with _handler():
        result = function(argument)
        return asyncio.run(wait(result)) if inspect.isawaitable(result) else result


# What lies between the platform and a function: reading the argument, writing the answer.


def _failed(name: str) -> Response:
    logger.exception("function %r failed", name)
    return Response(500, {"Content-Type": "text/plain; charset=utf-8"},
                    "Internal Server Error: the function failed\n")


def _read_event(native: _native.Request) -> CloudEvent | Response:
    request = Request._from_native(native)
    try:
        return CloudEvent.from_http(request.headers.items(), request.body)
    except (InvalidArgument, Unimplemented) as problem:
        return Response(400, {"Content-Type": "text/plain; charset=utf-8"},
                        f"Bad Request: {problem.detail}\n")


def as_reply(result: Any) -> CloudEvent | None:
    if result is None or isinstance(result, CloudEvent):
        return result
    raise TypeError(f"a function of events returned {type(result).__name__}; "
                    "expected CloudEvent or None")


def _write_reply(result: Any) -> Response:
    reply = as_reply(result)
    if reply is None:
        return Response(202)
    reply.validate()
    return Response(200, *reply.to_http())


def run_later(loop: asyncio.AbstractEventLoop,
              answered: Callable[[N], Coroutine[Any, Any, T]]) -> Callable[..., None]:
    """The call of an `async def`: starts `answered(argument)` as a task of the user's event loop,
    which puts its value into the answer. Nobody waits: the task is cancelled."""
    tasks: set[asyncio.Task[None]] = set()

    async def work(argument: N, answer: Any) -> None:
        try:
            answer.finish(await answered(argument))
        except asyncio.CancelledError:
            answer.fail(Cancelled("the function was cancelled"))
            raise
        except Exception as error:
            answer.fail(error)
        except BaseException as error:  # Ctrl-C and the like end the loop, and the call with it
            answer.fail(error)
            raise

    def begin(argument: N, answer: Any) -> None:
        task = loop.create_task(work(argument, answer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        answer.on_cancel(lambda: soon(loop, task.cancel))

    def start(argument: N, answer: Any) -> None:
        loop.call_soon_threadsafe(begin, argument, answer)

    return start


def soon(loop: asyncio.AbstractEventLoop, call: Callable[..., Any], *arguments: Any) -> None:
    """Call it on the event loop, unless that has ended."""
    try:
        loop.call_soon_threadsafe(call, *arguments)
    except RuntimeError:
        if not loop.is_closed():
            raise


class Functions:
    """Functions by name, to be run by any number of platforms.

    A platform takes those that are there when it starts. A `def` runs on a worker thread and may
    block. An `async def` runs on the event loop of a `knative.aio.Platform`; a plain `Platform`
    gives each call an event loop of its own, on a worker thread.
    """

    def __init__(self) -> None:
        self._by_name: dict[str, tuple[str, Callable[..., Any]]] = {}

    @takes(name=text)
    def http(self, name: str) -> Callable[[F], F]:
        """Register a function that takes a `Request` and returns a `Response`, str, bytes, dict,
        list or None."""

        @takes(function=_function)
        def register(function: F) -> F:
            self._by_name[name] = ("http", function)
            return function

        return register

    @takes(name=text)
    def event(self, name: str) -> Callable[[F], F]:
        """Register a function that takes a `CloudEvent` and may return another one."""

        @takes(function=_function)
        def register(function: F) -> F:
            self._by_name[name] = ("event", function)
            return function

        return register

    @property
    def names(self) -> list[str]:
        return sorted(self._by_name)

    def _table(self, loop: asyncio.AbstractEventLoop | None,
               calls: Calls) -> list[_native.NamedFunction]:
        """What a platform is made of; `loop` runs the asynchronous ones."""
        table: list[_native.NamedFunction] = []
        for name, (kind, function) in self._by_name.items():
            if loop is not None and is_async(function):
                table.append((name, run_later(loop, _async_call(name, kind, function)), True))
            else:
                table.append((name, _call(name, kind, function, calls), False))
        return table

    def __repr__(self) -> str:
        return f"<Functions {', '.join(self.names)}>"


def _call(name: str, kind: str, function: Callable[..., Any],
          calls: Calls) -> Callable[[_native.Request], _native.Response]:
    def call_http(native: _native.Request) -> Response:
        return as_response(run(function, Request._from_native(native)))

    def call_event(native: _native.Request) -> Response:
        event = _read_event(native)
        return event if isinstance(event, Response) else _write_reply(run(function, event))

    inner = call_http if kind == "http" else call_event

    def call(native: _native.Request) -> _native.Response:
        try:
            with calls.running(name):
                return inner(native)._to_native()
        except BaseException:  # of this call alone: the thread is the platform's
            return _failed(name)._to_native()

    return call


def _async_call(name: str, kind: str, function: Callable[..., Any]) -> Callable[
        [_native.Request], Coroutine[Any, Any, _native.Response]]:
    async def call_http(native: _native.Request) -> Response:
        return as_response(await function(Request._from_native(native)))

    async def call_event(native: _native.Request) -> Response:
        event = _read_event(native)
        return event if isinstance(event, Response) else _write_reply(await function(event))

    inner = call_http if kind == "http" else call_event

    async def call(native: _native.Request) -> _native.Response:
        try:
            return (await inner(native))._to_native()
        except Exception:
            return _failed(name)._to_native()

    return call
