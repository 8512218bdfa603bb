"""The platform for programs that run on asyncio: what takes time is awaited.

    import knative as kn
    import knative.aio

    async def main():
        async with kn.aio.Platform(functions=functions) as platform:
            service = await platform.apply(kn.serving.Service("hello", image="fn:hello"))
            await service.wait_ready()
            reply = await platform.invoke("hello", kn.http.get("/?name=ada"))

`async def` functions and subscribers run as tasks of the event loop that the platform was opened
on; a `def` runs on a worker thread. Cancelling what is awaited drops the call in the platform, and
a request that nobody waits for cancels the task of its function.
"""

from __future__ import annotations

import asyncio
import os
from types import MappingProxyType
from typing import Any, Callable, List, Mapping, Sequence, TypeVar

from . import _native
from ._arguments import duration, integer, list_of, of, optional, takes, text
from ._arguments import function as a_function
from ._arguments import path as a_path
from .build import Build, BuildResult
from .errors import FailedPrecondition
from .events import CloudEvent, Filter
from .functions import (Calls, Functions, as_reply, is_async, logger, run_later, soon)
from .http import Request, Response
from .objects import Kind, Object, say
from .platform import (A_KIND, A_THING, CHOICE, COUNT_MAX, PLATFORM, Images, Parked, Receive, Ref,
                       Seconds, Subscription, Tls, _running, a_ref, archive_format, fields_of,
                       make_native, seconds, subscriber)

__all__ = ["Applied", "Platform"]

T = TypeVar("T")


async def _value(operation: _native.Operation[T]) -> T:
    """The value of a call in progress; cancelling this drops the call."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def finish() -> None:
        if not future.done():
            future.set_result(None)

    operation.on_done(lambda: soon(loop, finish))
    try:
        await future
    except asyncio.CancelledError:
        operation.cancel()
        raise
    return operation.result()


def _async_subscriber(receive: Receive) -> Any:
    async def call(native: _native.CloudEvent) -> _native.CloudEvent | None:
        try:
            reply = as_reply(await receive(CloudEvent._from_native(native)))
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

    @takes(timeout=duration)
    async def wait_ready(self, timeout: Seconds = 60.0) -> Applied:
        """Wait until it is ready; `FailedPrecondition` says why it cannot be."""
        await self._platform.wait_ready(self, timeout)
        return self

    async def durable(self) -> Applied:
        """Wait until it would survive a crash."""
        await _value(self._platform._running.durable(self.ref))
        return self

    async def url(self) -> str:
        return await _value(self._platform._running.url(self.ref))

    async def get(self) -> Object:
        return Object.from_dict(await _value(self._platform._running.get(self.ref)))

    async def delete(self) -> None:
        await _value(self._platform._running.remove(self.ref))

    def __repr__(self) -> str:
        return f"<{self.ref[1]} {self.ref[2]}/{self.ref[3]}>"


def _what(name: str, value: object) -> None:
    if not isinstance(value, Applied):
        a_ref(name, value)


class Platform:
    """As `knative.Platform`, with coroutines. Open it with `async with` or `start()`; from then on
    it belongs to that event loop."""

    @takes(**PLATFORM)
    def __init__(self, *, functions: Functions | None = None,
                 data_directory: str | os.PathLike[str] = "",
                 listen: str | None = "127.0.0.1:0", listen_beyond_loopback: bool = False,
                 domain: str = "localhost", log_level: str = "error",
                 scale_to_zero_grace: Seconds = 30.0, allow_zero_initial_scale: bool = False,
                 function_threads: int = 16,
                 disk_threads: int = 4, kinds: Sequence[Kind] = (), tls: Tls | None = None,
                 trust: str = "", proxies: Mapping[str, str] = MappingProxyType({}),
                 images: Images = Images()) -> None:
        self._functions = functions if functions is not None else Functions()
        self._options: dict[str, Any] = {
            "data_directory": data_directory, "listen": listen,
            "listen_beyond_loopback": listen_beyond_loopback, "domain": domain,
            "log_level": log_level, "scale_to_zero_grace": scale_to_zero_grace,
            "allow_zero_initial_scale": allow_zero_initial_scale,
            "function_threads": function_threads, "disk_threads": disk_threads, "kinds": kinds,
            "tls": tls, "trust": trust, "proxies": proxies, "images": images}
        self._calls = Calls()
        self._native: _native.Platform | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._subscriptions: list[Subscription] = []
        self._endpoint = ""
        self._authority = ""
        self._process = os.getpid()

    @property
    def _running(self) -> _native.Platform:
        if self._native is None:
            raise FailedPrecondition("the platform is not open")
        return self._native

    async def start(self) -> None:
        """Open the data directory and the listener."""
        if self._native is not None:
            raise FailedPrecondition("the platform is open")
        self._loop = asyncio.get_running_loop()
        native = make_native(self._functions._table(self._loop, self._calls), **self._options)
        try:
            await _value(native.start())
            self._endpoint = await _value(native.endpoint())
            self._authority = await _value(native.authority())
        except BaseException:
            native.close()
            raise
        self._native = native
        _running.add(self)

    async def __aenter__(self) -> Platform:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @takes(grace=duration)
    async def close(self, grace: Seconds = 5.0) -> None:
        """Stop everything; a second call does nothing. What still waits ends with `Cancelled`."""
        native = self._let_go()
        if native is not None:
            loop = asyncio.get_running_loop()
            await asyncio.shield(loop.run_in_executor(None, _end, native, seconds(grace)))
            self._calls.warn()

    def _let_go(self) -> _native.Platform | None:
        native, self._native = self._native, None
        if native is not None and self._process != os.getpid():  # it is the parent's
            native.close()
            return None
        if native is not None:
            _running.discard(self)
            for subscription in self._subscriptions:
                subscription.cancel()
            self._subscriptions.clear()
        return native

    def _close_at_exit(self) -> None:
        native = self._let_go()
        if native is not None:
            _end(native, 0.0)

    # objects

    @takes(thing=A_THING)
    async def apply(self, thing: Object | dict[str, Any]) -> Applied:
        """Create or change an object. `InvalidArgument` lists everything that is wrong, and a
        `ManifestWarning` each says what has no effect."""
        ref, found = await _value(self._running.apply(fields_of(thing)))
        say(found, 3)
        return Applied(self, ref)

    @takes(text=text, file_name=text)
    async def apply_text(self, text: str, file_name: str = "manifest") -> list[Applied]:
        """Apply every document of a YAML or JSON text."""
        refs, found = await _value(self._running.apply_text(text, file_name))
        say(found, 3)
        return [Applied(self, ref) for ref in refs]

    @takes(path=a_path)
    async def apply_path(self, path: str | os.PathLike[str]) -> list[Applied]:
        """Apply a file or a directory."""
        refs, found = await _value(self._running.apply_path(os.fsencode(path)))
        say(found, 3)
        return [Applied(self, ref) for ref in refs]

    @takes(what=_what, timeout=duration)
    async def wait_ready(self, what: Applied | Ref, timeout: Seconds = 60.0) -> None:
        """Wait until it is ready; `FailedPrecondition` says why it cannot be."""
        ref = what.ref if isinstance(what, Applied) else what
        await _value(self._running.ready(ref, seconds(timeout)))

    @takes(kind=A_KIND, name=text, namespace=text)
    async def get(self, kind: type[Object], name: str, namespace: str = "default") -> Object:
        ref = (kind.API_VERSION, kind.KIND, namespace, name)
        return Object.from_dict(await _value(self._running.get(ref)))

    @takes(kind=A_KIND, namespace=text)
    async def list(self, kind: type[Object], namespace: str = "") -> list[Object]:
        found = await _value(self._running.list(kind.API_VERSION, kind.KIND, namespace))
        return [Object.from_dict(fields) for fields in found]

    @takes(kind=A_KIND, name=text, namespace=text)
    async def delete(self, kind: type[Object], name: str, namespace: str = "default") -> None:
        await _value(self._running.remove((kind.API_VERSION, kind.KIND, namespace, name)))

    # traffic

    @takes(service=text, request=optional(of(Request)))
    async def invoke(self, service: str, request: Request | None = None) -> Response:
        """Send a request through router, queue and function."""
        native = (request if request is not None else Request())._to_native()
        return Response._from_native(await _value(self._running.invoke(service, native)))

    @takes(broker=text, event=of(CloudEvent))
    async def publish(self, broker: str, event: CloudEvent) -> int:
        """Accept an event into a Broker or Channel; durable when it returns."""
        return await _value(self._running.publish(broker, event._to_native()))

    @takes(broker=text, function=a_function, filter=optional(of(Filter)))
    async def subscribe(self, broker: str, function: Receive, *,
                        filter: Filter | None = None) -> Subscription:
        """Receive events with a `def` or an `async def`. A returned event is the reply."""
        native, loop = self._running, self._loop
        assert loop is not None
        asynchronous = is_async(function)
        call: Callable[..., Any]
        if asynchronous:
            call = run_later(loop, _async_subscriber(function))
        else:
            call = subscriber(function, self._calls)
        wanted = filter if filter is not None else Filter()
        subscription = Subscription(
            await _value(native.subscribe(broker, wanted._native, call, asynchronous)))
        self._subscriptions.append(subscription)
        return subscription

    @takes(broker=text, **CHOICE, count_max=integer(0, COUNT_MAX))
    async def parked(self, broker: str, *, trigger: str = "", id: str = "", source: str = "",
                     offset: int | None = None, count_max: int = 1000) -> List[Parked]:
        """What a Broker or Channel could not deliver and no dead letter sink took; of one trigger,
        event id, source or offset, where these are given."""
        found = await _value(self._running.parked(broker, trigger, id, source, offset, count_max))
        return [Parked._from_native(one) for one in found]

    @takes(broker=text, **CHOICE)
    async def redrive(self, broker: str, *, trigger: str = "", id: str = "", source: str = "",
                      offset: int | None = None) -> int:
        """Deliver parked events anew, with all attempts; how many. They are chosen as `parked` has
        it: without a choice it is all of them."""
        return await _value(self._running.redrive(broker, trigger, id, source, offset))

    @takes(broker=text, **CHOICE)
    async def discard(self, broker: str, *, trigger: str = "", id: str = "", source: str = "",
                      offset: int | None = None) -> int:
        """Throw parked events away; how many. The same."""
        return await _value(self._running.discard(broker, trigger, id, source, offset))

    @takes(build=of(Build))
    async def build(self, build: Build) -> BuildResult:
        """Build now; raises with the reason when it fails."""
        return BuildResult(**await _value(self._running.build(build.to_dict())))

    # images

    @takes(path=a_path, name=text)
    async def import_images(self, path: str | os.PathLike[str], name: str = "") -> List[str]:
        """Take the images of an archive (`docker save`, an OCI layout in a tar, also compressed) or
        of the folder of a layout; "NAME@DIGEST" of each. With `name` its one image is called so."""
        return await _value(self._running.import_images(os.fsencode(path), name))

    @takes(path=a_path, names=list_of(text), format=archive_format)
    async def export_images(self, path: str | os.PathLike[str], names: Sequence[str],
                            format: str = "docker") -> None:
        """Write images into an archive that `docker load` reads, or into an OCI layout in a tar."""
        await _value(self._running.export_images(os.fsencode(path), [*names], format))

    # looking inside

    @property
    def endpoint(self) -> str:
        """Where HTTP is served, "127.0.0.1:43210"."""
        return self._endpoint

    @property
    def authority(self) -> str:
        """The certificate of the platform's own authority as PEM text, for clients to trust; empty
        unless it was made with `Tls()`."""
        return self._authority

    @takes(service=text)
    async def scale(self, service: str) -> int:
        """Ready instances of a Service or Route. Raises NotFound when there is none."""
        return await _value(self._running.scale(service))

    async def metrics_text(self) -> str:
        """Prometheus text of all metrics."""
        return await _value(self._running.metrics_text())

    def __repr__(self) -> str:
        return f"<aio.Platform {'closed' if self._native is None else 'running'}>"


def _end(native: _native.Platform, grace: float) -> None:
    try:
        native.stop(grace).result()
    finally:
        native.close()
