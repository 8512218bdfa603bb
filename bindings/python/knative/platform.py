"""`Platform`: Build, Serving and Eventing in this process, on a thread of its own."""

from __future__ import annotations

import asyncio
import inspect
import os
from datetime import timedelta
from typing import Any, Callable, Union

from . import _native
from .build import Build, BuildResult
from .events import CloudEvent, Filter
from .functions import Functions
from .http import Request, Response
from .objects import Object

Seconds = Union[float, timedelta]
Ref = tuple  # (api_version, kind, namespace, name)


def seconds(value: Seconds) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


class Applied:
    """An object that was applied: wait for it, read it, delete it."""

    def __init__(self, platform: Platform, ref: Ref) -> None:
        self._platform = platform
        self.ref = ref

    def wait_ready(self, timeout: Seconds = 60.0) -> Applied:
        """Wait until it is ready; `FailedPrecondition` says why it cannot be."""
        self._platform._native.ready(self.ref, seconds(timeout))
        return self

    def wait_durable(self) -> Applied:
        """Wait until it would survive a crash."""
        self._platform._native.durable(self.ref)
        return self

    @property
    def url(self) -> str:
        return str(self._platform._native.url(self.ref))

    def get(self) -> Object:
        return Object.from_dict(self._platform._native.get(self.ref))

    def delete(self) -> None:
        self._platform._native.remove(self.ref)

    def __repr__(self) -> str:
        return f"<{self.ref[1]} {self.ref[2]}/{self.ref[3]}>"


class Subscription:
    """A running subscription; `cancel()` ends it."""

    def __init__(self, native: _native.NativeSubscription) -> None:
        self._native: _native.NativeSubscription | None = native
        self._trigger = str(native.trigger)

    @property
    def trigger(self) -> str:
        return self._trigger

    def cancel(self) -> None:
        native, self._native = self._native, None
        if native is not None:
            native.cancel()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


class _Closed:
    """Stands for a platform that was closed."""

    def __getattr__(self, name: str) -> Any:
        raise _native.FailedPrecondition("the platform is closed")


class _Builder:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def run(self, build: Build) -> BuildResult:
        """Build now and wait; raises with the reason when it fails."""
        return BuildResult(self._platform._native.build(build.to_dict()))


class Platform:
    """Owns its loop on its own thread; every method may be called from any thread.

    `data_directory` keeps objects, images and events over a restart. `listen` is "host:port"
    (port 0: any free one) or None for in-process calls only; addresses that strangers can reach
    need `listen_beyond_loopback`.
    """

    def __init__(self, *, functions: Functions | None = None, env: Any = None,
                 data_directory: str | os.PathLike[str] = "",
                 listen: str | None = "127.0.0.1:0", listen_beyond_loopback: bool = False,
                 domain: str = "localhost", log_level: str = "error",
                 scale_to_zero_grace: Seconds = 30.0) -> None:
        self._functions = functions if functions is not None else Functions()
        self._closed = False
        self._subscriptions: list[Subscription] = []
        self._native: Any
        if env is not None:
            self._native = env._platform(self._functions)
        else:
            self._native = _native.PlatformThread(
                self._functions._native, os.fspath(data_directory), listen or "",
                listen_beyond_loopback, domain, log_level, seconds(scale_to_zero_grace))
            self._native.start()

    def __enter__(self) -> Platform:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self, grace: Seconds = 5.0) -> None:
        """Stop everything; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        for subscription in self._subscriptions:
            subscription.cancel()
        self._subscriptions.clear()
        self._native.stop(seconds(grace))
        self._native = _Closed()  # lets go of the data directory

    # objects

    def apply(self, thing: Object | dict[str, Any]) -> Applied:
        """Create or change an object. `InvalidArgument` lists everything that is wrong."""
        fields = thing.to_dict() if isinstance(thing, Object) else thing
        return Applied(self, self._native.apply(fields))

    def apply_text(self, text: str, file_name: str = "manifest") -> list[Applied]:
        """Apply every document of a YAML or JSON text."""
        return [Applied(self, ref) for ref in self._native.apply_text(text, file_name)]

    def apply_path(self, path: str | os.PathLike[str]) -> list[Applied]:
        """Apply a file or a directory."""
        return [Applied(self, ref) for ref in self._native.apply_path(os.fspath(path))]

    def get(self, kind: type[Object], name: str, namespace: str = "default") -> Object:
        return Object.from_dict(self._native.get((kind.API_VERSION, kind.KIND, namespace, name)))

    def list(self, kind: type[Object], namespace: str = "") -> list[Object]:
        return [Object.from_dict(fields)
                for fields in self._native.list(kind.API_VERSION, kind.KIND, namespace)]

    def delete(self, kind: type[Object], name: str, namespace: str = "default") -> None:
        self._native.remove((kind.API_VERSION, kind.KIND, namespace, name))

    # traffic

    def invoke(self, service: str, request: Request | None = None) -> Response:
        """Send a request through router, queue and function."""
        request = request if request is not None else Request()
        return Response._from_native(self._native.invoke(service, request._to_native()))

    def publish(self, broker: str, event: CloudEvent) -> int:
        """Accept an event into a Broker or Channel; durable when it returns."""
        return int(self._native.publish(broker, event._to_native()))

    def subscribe(self, broker: str, function: Callable[[CloudEvent], Any] | None = None, *,
                  filter: Filter | None = None) -> Any:
        """Receive events; also a decorator. A returned event is the reply."""

        def register(receive: Callable[[CloudEvent], Any]) -> Subscription:
            def call(native: _native.NativeEvent) -> _native.NativeEvent | None:
                result = receive(CloudEvent._from_native(native))
                if inspect.isawaitable(result):
                    result = asyncio.run(result)  # type: ignore[arg-type]
                return None if result is None else result._to_native()

            native = self._native.subscribe(broker, filter if filter is not None else Filter(),
                                            call)
            subscription = Subscription(native)
            self._subscriptions.append(subscription)
            return subscription

        return register if function is None else register(function)

    # looking inside

    @property
    def builder(self) -> _Builder:
        return _Builder(self)

    @property
    def endpoint(self) -> str:
        """Where HTTP is served, "127.0.0.1:43210"."""
        return str(self._native.endpoint())

    def url(self, applied: Applied) -> str:
        return applied.url

    def scale(self, service: str) -> int:
        """Ready instances of a Service."""
        return int(self._native.scale(service))

    def metrics_text(self) -> str:
        return str(self._native.metrics_text())
