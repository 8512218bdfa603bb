"""Functions by name: the images "fn:NAME" of a platform."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, Callable, TypeVar

from . import _native
from .events import CloudEvent
from .http import Request, Response, as_response

F = TypeVar("F", bound=Callable[..., Any])


def _run(function: Callable[..., Any], argument: Any) -> Any:
    result = function(argument)
    return asyncio.run(result) if inspect.isawaitable(result) else result


class Functions:
    """Fill it before the platform starts. Functions run on worker threads and may block.

    Both `def` and `async def` work.
    """

    def __init__(self) -> None:
        self._native = _native.FunctionTable()

    def http(self, name: str) -> Callable[[F], F]:
        """Register a function that takes a `Request` and returns a `Response`, str, bytes, dict,
        list or None."""

        def register(function: F) -> F:
            def call(native: _native.Request) -> _native.Response:
                request = Request._from_native(native)
                return as_response(_run(function, request))._to_native()

            self._native.http(name, call)
            return function

        return register

    def event(self, name: str) -> Callable[[F], F]:
        """Register a function that takes a `CloudEvent` and may return another one."""

        def register(function: F) -> F:
            def call(native: _native.Request) -> _native.Response:
                request = Request._from_native(native)
                try:
                    event = CloudEvent.from_http(request.headers.items(), request.body)
                except ValueError as problem:
                    return Response(400, {"Content-Type": "text/plain"},
                                    f"{problem}\n")._to_native()
                reply = _run(function, event)
                if reply is None:
                    return Response(202)._to_native()
                headers, body = reply.to_http()
                return Response(200, headers, body)._to_native()

            self._native.http(name, call)
            return function

        return register

    @property
    def names(self) -> list[str]:
        return list(self._native.names())
