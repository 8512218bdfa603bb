"""`Platform`: Build, Serving and Eventing in this process, on a thread of its own."""

from __future__ import annotations

import atexit
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Callable, Protocol, Sequence, Tuple, Union, overload

from . import _native
from .build import Build, BuildResult
from .events import CloudEvent, Filter
from .functions import Calls, Functions, as_reply, logger, refuse_in_handler, run
from .http import Request, Response
from .objects import Kind, Object

if TYPE_CHECKING:
    from .simulation import Simulation

Seconds = Union[float, timedelta]
Ref = Tuple[str, str, str, str]  # (api_version, kind, namespace, name)
Receive = Callable[[CloudEvent], Any]


def seconds(value: Seconds) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def fields_of(thing: Object | dict[str, Any]) -> dict[str, Any]:
    return thing.to_dict() if isinstance(thing, Object) else thing


class _Closes(Protocol):
    def _close_at_exit(self) -> None: ...


# A platform runs until it is closed, referenced or not: its thread could not be joined by a
# garbage collection that happens on one of its own threads.
_running: set[_Closes] = set()


def _forget_parents() -> None:
    """In a forked child: the platforms are the parent's, which has their threads."""
    _running.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parents)


@atexit.register
def _close_all() -> None:
    for platform in list(_running):
        try:
            platform._close_at_exit()
        except Exception:
            logger.exception("%r could not be closed", platform)


def make_native(functions: list[_native.NamedFunction], *,
                data_directory: str | os.PathLike[str], listen: str | None,
                listen_beyond_loopback: bool, domain: str, log_level: str,
                scale_to_zero_grace: Seconds, function_threads: int,
                disk_threads: int, kinds: Sequence[Kind]) -> _native.Platform:
    if function_threads < 1 or disk_threads < 1:
        raise ValueError("function_threads and disk_threads are at least 1")
    if log_level not in ("debug", "info", "warning", "error"):
        raise ValueError(f"log_level is debug, info, warning or error, not {log_level!r}")
    return _native.Platform(functions, os.fspath(data_directory), listen or "",
                            listen_beyond_loopback, domain, log_level,
                            seconds(scale_to_zero_grace), function_threads, disk_threads,
                            [kind._row() for kind in kinds])


def subscriber(receive: Receive, calls: Calls) -> Callable[[_native.CloudEvent], _native.CloudEvent | None]:
    """What the platform calls for a `def` that receives events."""

    def call(native: _native.CloudEvent) -> _native.CloudEvent | None:
        try:
            with calls.running(getattr(receive, "__name__", repr(receive))):
                reply = as_reply(run(receive, CloudEvent._from_native(native)))
            return None if reply is None else reply._to_native()
        except Exception:
            logger.exception("subscriber %r failed", getattr(receive, "__name__", receive))
            raise

    return call


class Applied:
    """An object that was applied: wait for it, read it, delete it."""

    def __init__(self, platform: Platform, ref: Ref) -> None:
        self._platform = platform
        self.ref = ref

    def wait_ready(self, timeout: Seconds = 60.0) -> Applied:
        """Wait until it is ready; `FailedPrecondition` says why it cannot be."""
        self._platform._native.ready(self.ref, seconds(timeout)).result()
        return self

    def wait_durable(self) -> Applied:
        """Wait until it would survive a crash."""
        self._platform._native.durable(self.ref).result()
        return self

    @property
    def url(self) -> str:
        return self._platform._native.url(self.ref).result()

    def get(self) -> Object:
        return Object.from_dict(self._platform._native.get(self.ref).result())

    def delete(self) -> None:
        self._platform._native.remove(self.ref).result()

    def __repr__(self) -> str:
        return f"<{self.ref[1]} {self.ref[2]}/{self.ref[3]}>"


class Subscription:
    """A running subscription; `cancel()` ends it."""

    def __init__(self, native: _native.Subscription) -> None:
        self._native = native

    @property
    def trigger(self) -> str:
        """Name of the Trigger behind it."""
        return self._native.trigger

    def cancel(self) -> None:
        self._native.cancel()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def __repr__(self) -> str:
        return f"<Subscription {self.trigger}>"


class _Builder:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def run(self, build: Build) -> BuildResult:
        """Build now and wait; raises with the reason when it fails."""
        return BuildResult(**self._platform._native.build(build.to_dict()).result())


class Platform:
    """Owns its loop on its own thread; every method may be called from any thread.

    `functions` are those registered by now; at most `function_threads` calls of a `def` run at
    once, beside `disk_threads` for files. `kinds` are kinds of objects of this program's own. `data_directory` keeps objects, images and events
    over a restart. `listen` is "host:port" (port 0: any free one) or None for in-process calls
    only; addresses that strangers can reach need `listen_beyond_loopback`. With `env` the platform
    lives in the virtual time of a `Simulation`.

    Close it, or use `with`: a platform runs until it is closed or the program ends. Ctrl-C
    interrupts every call that waits.
    """

    def __init__(self, *, functions: Functions | None = None, env: Simulation | None = None,
                 data_directory: str | os.PathLike[str] = "",
                 listen: str | None = "127.0.0.1:0", listen_beyond_loopback: bool = False,
                 domain: str = "localhost", log_level: str = "error",
                 scale_to_zero_grace: Seconds = 30.0, function_threads: int = 16,
                 disk_threads: int = 4, kinds: Sequence[Kind] = ()) -> None:
        self._calls = Calls()
        table = (functions if functions is not None else Functions())._table(None, self._calls)
        self._closed = False
        self._subscriptions: list[Subscription] = []
        self._env = env
        if env is not None:
            if kinds:
                raise ValueError("a platform in a Simulation has the library's kinds only")
            self._native = env._begin(table)
        else:
            self._native = make_native(
                table, data_directory=data_directory, listen=listen,
                listen_beyond_loopback=listen_beyond_loopback, domain=domain,
                log_level=log_level, scale_to_zero_grace=scale_to_zero_grace,
                function_threads=function_threads, disk_threads=disk_threads, kinds=kinds)
        try:
            self._native.start().result()
        except BaseException:
            self._native.close()
            raise
        _running.add(self)

    def __enter__(self) -> Platform:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self, grace: Seconds = 5.0) -> None:
        """Stop everything; a second call does nothing. What still waits ends with `Cancelled`. A
        `def` that goes on after `grace` seconds is left to itself, with a RuntimeWarning."""
        if self._closed:
            return
        refuse_in_handler("close()")
        self._closed = True
        _running.discard(self)
        for subscription in self._subscriptions:
            subscription.cancel()
        self._subscriptions.clear()
        try:
            self._native.stop(seconds(grace))
        finally:
            self._native.close()  # lets go of the data directory
            self._calls.warn()

    def _close_at_exit(self) -> None:
        self.close(0.0)

    # objects

    def apply(self, thing: Object | dict[str, Any]) -> Applied:
        """Create or change an object. `InvalidArgument` lists everything that is wrong."""
        return Applied(self, self._native.apply(fields_of(thing)).result())

    def apply_text(self, text: str, file_name: str = "manifest") -> list[Applied]:
        """Apply every document of a YAML or JSON text."""
        return [Applied(self, ref) for ref in self._native.apply_text(text, file_name).result()]

    def apply_path(self, path: str | os.PathLike[str]) -> list[Applied]:
        """Apply a file or a directory."""
        return [Applied(self, ref) for ref in self._native.apply_path(os.fspath(path)).result()]

    def get(self, kind: type[Object], name: str, namespace: str = "default") -> Object:
        ref = (kind.API_VERSION, kind.KIND, namespace, name)
        return Object.from_dict(self._native.get(ref).result())

    def list(self, kind: type[Object], namespace: str = "") -> list[Object]:
        found = self._native.list(kind.API_VERSION, kind.KIND, namespace).result()
        return [Object.from_dict(fields) for fields in found]

    def delete(self, kind: type[Object], name: str, namespace: str = "default") -> None:
        self._native.remove((kind.API_VERSION, kind.KIND, namespace, name)).result()

    # traffic

    def invoke(self, service: str, request: Request | None = None) -> Response:
        """Send a request through router, queue and function."""
        native = (request if request is not None else Request())._to_native()
        return Response._from_native(self._native.invoke(service, native).result())

    def publish(self, broker: str, event: CloudEvent) -> int:
        """Accept an event into a Broker or Channel; durable when it returns."""
        return self._native.publish(broker, event._to_native()).result()

    @overload
    def subscribe(self, broker: str, function: Receive, *,
                  filter: Filter | None = None) -> Subscription: ...

    @overload
    def subscribe(self, broker: str, function: None = None, *,
                  filter: Filter | None = None) -> Callable[[Receive], Subscription]: ...

    def subscribe(self, broker: str, function: Receive | None = None, *,
                  filter: Filter | None = None) -> Subscription | Callable[[Receive],
                                                                           Subscription]:
        """Receive events; also a decorator. A returned event is the reply."""

        def register(receive: Receive) -> Subscription:
            wanted = filter if filter is not None else Filter()
            subscription = Subscription(self._native.subscribe(
                broker, wanted._native, subscriber(receive, self._calls), False).result())
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
        return self._native.endpoint().result()

    def url(self, applied: Applied) -> str:
        return applied.url

    def scale(self, service: str) -> int:
        """Ready instances of a Service."""
        return self._native.scale(service).result()

    def metrics_text(self) -> str:
        """Prometheus text of all metrics."""
        return self._native.metrics_text().result()

    def __repr__(self) -> str:
        return f"<Platform {'closed' if self._closed else 'running'}>"
