"""`Platform`: Build, Serving and Eventing in this process, on a thread of its own."""

from __future__ import annotations

import atexit
import dataclasses
import os
from datetime import timedelta
from types import MappingProxyType
from typing import (TYPE_CHECKING, Any, Callable, List, Mapping, Protocol, Sequence, Tuple,
                    Union, overload)

from . import _native
from ._arguments import (Check, duration, flag, integer, list_of, mapping_of, of, optional,
                         path, subclass_of, takes, text, wrong_type)
from ._arguments import function as a_function
from .build import Build, BuildResult
from .events import CloudEvent, Filter
from .functions import Calls, Functions, as_reply, logger, refuse_in_handler, run
from .http import Request, Response
from .objects import Kind, Object, say, whole

if TYPE_CHECKING:
    from .simulation import Simulation

Seconds = Union[float, timedelta]
Ref = Tuple[str, str, str, str]  # (api_version, kind, namespace, name)
Receive = Callable[[CloudEvent], Any]


def seconds(value: Seconds) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def fields_of(thing: Object | dict[str, Any]) -> dict[str, Any]:
    if isinstance(thing, Object):
        return thing.to_dict()
    fields: dict[str, Any] = whole(thing)
    return fields


THREADS_MAX = 4096
COUNT_MAX = 2**31
OFFSET_MAX = 2**63 - 1
# Which parked events are meant.
CHOICE: dict[str, Check] = {"trigger": text, "id": text, "source": text,
                            "offset": optional(integer(0, OFFSET_MAX))}
LOG_LEVELS = ("debug", "info", "warning", "error")


def _log_level(name: str, value: object) -> None:
    text(name, value)
    if value not in LOG_LEVELS:
        raise ValueError(f"{name}: debug, info, warning or error, not {value!r}")


def archive_format(name: str, value: object) -> None:
    text(name, value)
    if value not in ("docker", "oci"):
        raise ValueError(f"{name}: docker or oci, not {value!r}")


def a_ref(name: str, value: object) -> None:
    """(api_version, kind, namespace, name)"""
    if not isinstance(value, tuple) or len(value) != 4:
        raise wrong_type(name, "(api_version, kind, namespace, name)", value)
    for index, part in enumerate(value):
        text(f"{name}[{index}]", part)


def _simulation(name: str, value: object) -> None:
    if not hasattr(value, "_begin"):
        raise wrong_type(name, "Simulation", value)


@dataclasses.dataclass(frozen=True)
class Tls:
    """TLS of a platform's listener: PEM files of the certificate (its issuers after it) and its
    key. With `clients`, authorities in a PEM file, who connects must show a certificate of theirs.
    New content of the files is taken up while the platform runs. Without files the platform is its
    own authority, see `Platform.authority`."""

    certificates: str | os.PathLike[str] = ""
    private_key: str | os.PathLike[str] = ""
    clients: str | os.PathLike[str] = ""

    def __post_init__(self) -> None:
        for name in ("certificates", "private_key", "clients"):
            path(name, getattr(self, name))

    def _files(self) -> list[str]:
        return [os.fspath(file) for file in (self.certificates, self.private_key, self.clients)]


IMAGE_BYTES_MAX = 2 ** 63


@dataclasses.dataclass(frozen=True)
class Parked:
    """An event that could not be delivered and that no dead letter sink took: whom it was for, how
    often that failed (`letters`: at the dead letter sink), the last status and cause, since when
    it is parked (seconds since 1970). `trigger` and `offset` name it."""

    trigger: str
    offset: int
    parked_at: float
    attempts: int
    letters: int
    status: int
    cause: str
    destination: str
    event: CloudEvent

    @classmethod
    def _from_native(cls, fields: dict[str, Any]) -> Parked:
        values: dict[str, Any] = dict(fields)
        values["event"] = CloudEvent._from_native(fields["event"])
        return cls(**values)


@dataclasses.dataclass(frozen=True)
class Images:
    """Images of containers, and what runs them. `runtime` is "auto", "process", "zygote",
    "sandbox" or "sandbox-host-network". With `registry` the platform is one itself, at its
    listener's address.
    `registry_config` is who we are at others, the text of a docker config.json; those of
    `insecure_registries` ("host:port") are spoken to in http. Without `pull` a registry is never
    asked, without `push` builds send nothing. `bytes_max` bounds all images; 0: the disk does."""

    runtime: str = "auto"
    registry: bool = False
    registry_config: str = dataclasses.field(default="", repr=False)
    insecure_registries: Sequence[str] = ()
    pull: bool = True
    push: bool = True
    bytes_max: int = 0

    def __post_init__(self) -> None:
        for name in ("runtime", "registry_config"):
            text(name, getattr(self, name))
        for name in ("registry", "pull", "push"):
            flag(name, getattr(self, name))
        list_of(text)("insecure_registries", self.insecure_registries)
        integer(0, IMAGE_BYTES_MAX)("bytes_max", self.bytes_max)

    def _to_native(self) -> _native.Images:
        return _native.Images(self.runtime, self.registry, self.registry_config,
                              list(self.insecure_registries), self.pull, self.push, self.bytes_max)


def proxy_variables(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items()
            if str(name).lower().endswith("_proxy")}


def _proxies(name: str, value: object) -> None:
    if not isinstance(value, Mapping):
        raise wrong_type(name, "dict", value)
    mapping_of(text)(name, proxy_variables(value))


# What both platforms are made with.
PLATFORM: dict[str, Check] = {
    "functions": optional(of(Functions)), "data_directory": path, "listen": optional(text),
    "listen_beyond_loopback": flag, "domain": text, "log_level": _log_level,
    "scale_to_zero_grace": duration, "allow_zero_initial_scale": flag,
    "function_threads": integer(1, THREADS_MAX),
    "disk_threads": integer(1, THREADS_MAX), "kinds": list_of(of(Kind)),
    "tls": optional(of(Tls)), "trust": text, "proxies": _proxies, "images": of(Images)}
A_THING = of(Object, dict)
A_KIND = subclass_of(Object)


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
                scale_to_zero_grace: Seconds, allow_zero_initial_scale: bool, function_threads: int,
                disk_threads: int, kinds: Sequence[Kind], tls: Tls | None, trust: str,
                proxies: Mapping[str, str], images: Images) -> _native.Platform:
    return _native.Platform(functions, os.fsencode(data_directory), listen or "",
                            listen_beyond_loopback, domain, log_level,
                            seconds(scale_to_zero_grace), allow_zero_initial_scale,
                            function_threads, disk_threads, [kind._row() for kind in kinds],
                            None if tls is None else tls._files(), trust,
                            proxy_variables(proxies), images._to_native())


def subscriber(receive: Receive, calls: Calls) -> Callable[[_native.CloudEvent],
                                                           _native.CloudEvent | None]:
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

    @takes(timeout=duration)
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

    @takes(build=of(Build))
    def run(self, build: Build) -> BuildResult:
        """Build now and wait; raises with the reason when it fails."""
        return BuildResult(**self._platform._native.build(build.to_dict()).result())


class Platform:
    """Owns its loop on its own thread; every method may be called from any thread.

    `functions` are those registered by now; at most `function_threads` calls of a `def` run at
    once (and as many of those that other functions wait for, at each depth of calls), beside
    `disk_threads` for files. `kinds` are kinds of objects of this program's own. `data_directory`
    keeps objects, images and events over a restart. `listen` is "host:port" (port 0: any free one)
    or None for in-process calls only; addresses that strangers can reach need
    `listen_beyond_loopback`. With `tls` it serves https alone. What goes out over https trusts the
    system's authorities and those of the PEM text `trust`, and takes the proxies of http_proxy,
    https_proxy and no_proxy in `proxies` (`os.environ`, for instance; by default none). `images`
    says what runs images and where they come from. With `env` the platform lives in the virtual time of a `Simulation`. With `allow_zero_initial_scale` a
    Service may begin without instances (initial-scale "0").

    Close it, or use `with`: a platform runs until it is closed or the program ends. Ctrl-C
    interrupts every call that waits. Functions that call each other without end get 508, and
    events that go round a dead letter: how many calls led to a function is in its context
    (contextvars). A thread does not inherit that: one that a function starts goes on from it with
    `threading.Thread(target=contextvars.copy_context().run, args=(work,))`, or begins anew.
    """

    @takes(env=optional(_simulation), **PLATFORM)
    def __init__(self, *, functions: Functions | None = None, env: Simulation | None = None,
                 data_directory: str | os.PathLike[str] = "",
                 listen: str | None = "127.0.0.1:0", listen_beyond_loopback: bool = False,
                 domain: str = "localhost", log_level: str = "error",
                 scale_to_zero_grace: Seconds = 30.0, allow_zero_initial_scale: bool = False,
                 function_threads: int = 16,
                 disk_threads: int = 4, kinds: Sequence[Kind] = (), tls: Tls | None = None,
                 trust: str = "", proxies: Mapping[str, str] = MappingProxyType({}),
                 images: Images = Images()) -> None:
        self._calls = Calls()
        table = (functions if functions is not None else Functions())._table(None, self._calls)
        self._closed = False
        self._process = os.getpid()
        self._subscriptions: list[Subscription] = []
        self._env = env
        if env is not None:
            if kinds:
                raise ValueError("a platform in a Simulation has the library's kinds only")
            if tls is not None or trust or proxies:
                raise ValueError("a platform in a Simulation speaks no TLS and takes no proxies")
            if images != Images():
                raise ValueError("a platform in a Simulation has images by default")
            self._native = env._begin(table)
        else:
            self._native = make_native(
                table, data_directory=data_directory, listen=listen,
                listen_beyond_loopback=listen_beyond_loopback, domain=domain,
                log_level=log_level, scale_to_zero_grace=scale_to_zero_grace,
                allow_zero_initial_scale=allow_zero_initial_scale,
                function_threads=function_threads, disk_threads=disk_threads, kinds=kinds,
                tls=tls, trust=trust, proxies=proxies, images=images)
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

    @takes(grace=duration)
    def close(self, grace: Seconds = 5.0) -> None:
        """Stop everything; a second call does nothing. What still waits ends with `Cancelled`. A
        `def` that goes on after `grace` seconds is left to itself, with a RuntimeWarning."""
        if self._closed:
            return
        if self._process != os.getpid():  # it is the parent's, and goes on there
            self._closed = True
            self._native.close()
            return
        refuse_in_handler("close()")
        self._closed = True
        _running.discard(self)
        for subscription in self._subscriptions:
            subscription.cancel()
        self._subscriptions.clear()
        try:
            self._native.stop(seconds(grace)).result()
        finally:
            self._native.close()  # lets go of the data directory
            self._calls.warn()

    def _close_at_exit(self) -> None:
        self.close(0.0)

    # objects

    @takes(thing=A_THING)
    def apply(self, thing: Object | dict[str, Any]) -> Applied:
        """Create or change an object. `InvalidArgument` lists everything that is wrong, and a
        `ManifestWarning` each says what has no effect."""
        ref, found = self._native.apply(fields_of(thing)).result()
        say(found, 3)
        return Applied(self, ref)

    @takes(text=text, file_name=text)
    def apply_text(self, text: str, file_name: str = "manifest") -> list[Applied]:
        """Apply every document of a YAML or JSON text."""
        refs, found = self._native.apply_text(text, file_name).result()
        say(found, 3)
        return [Applied(self, ref) for ref in refs]

    @takes(path=path)
    def apply_path(self, path: str | os.PathLike[str]) -> list[Applied]:
        """Apply a file or a directory."""
        refs, found = self._native.apply_path(os.fsencode(path)).result()
        say(found, 3)
        return [Applied(self, ref) for ref in refs]

    @takes(kind=A_KIND, name=text, namespace=text)
    def get(self, kind: type[Object], name: str, namespace: str = "default") -> Object:
        ref = (kind.API_VERSION, kind.KIND, namespace, name)
        return Object.from_dict(self._native.get(ref).result())

    @takes(kind=A_KIND, namespace=text)
    def list(self, kind: type[Object], namespace: str = "") -> list[Object]:
        found = self._native.list(kind.API_VERSION, kind.KIND, namespace).result()
        return [Object.from_dict(fields) for fields in found]

    @takes(kind=A_KIND, name=text, namespace=text)
    def delete(self, kind: type[Object], name: str, namespace: str = "default") -> None:
        self._native.remove((kind.API_VERSION, kind.KIND, namespace, name)).result()

    # traffic

    @takes(service=text, request=optional(of(Request)))
    def invoke(self, service: str, request: Request | None = None) -> Response:
        """Send a request through router, queue and function."""
        native = (request if request is not None else Request())._to_native()
        return Response._from_native(self._native.invoke(service, native).result())

    @takes(broker=text, event=of(CloudEvent))
    def publish(self, broker: str, event: CloudEvent) -> int:
        """Accept an event into a Broker or Channel; durable when it returns."""
        return self._native.publish(broker, event._to_native()).result()

    @overload
    def subscribe(self, broker: str, function: Receive, *,
                  filter: Filter | None = None) -> Subscription: ...

    @overload
    def subscribe(self, broker: str, function: None = None, *,
                  filter: Filter | None = None) -> Callable[[Receive], Subscription]: ...

    @takes(broker=text, function=optional(a_function), filter=optional(of(Filter)))
    def subscribe(self, broker: str, function: Receive | None = None, *,
                  filter: Filter | None = None) -> Subscription | Callable[[Receive],
                                                                           Subscription]:
        """Receive events; also a decorator. A returned event is the reply."""

        @takes(receive=a_function)
        def register(receive: Receive) -> Subscription:
            wanted = filter if filter is not None else Filter()
            subscription = Subscription(self._native.subscribe(
                broker, wanted._native, subscriber(receive, self._calls), False).result())
            self._subscriptions.append(subscription)
            return subscription

        return register if function is None else register(function)

    @takes(broker=text, **CHOICE, count_max=integer(0, COUNT_MAX))
    def parked(self, broker: str, *, trigger: str = "", id: str = "", source: str = "",
               offset: int | None = None, count_max: int = 1000) -> List[Parked]:
        """What a Broker or Channel could not deliver and no dead letter sink took; of one trigger,
        event id, source or offset, where these are given."""
        found = self._native.parked(broker, trigger, id, source, offset, count_max).result()
        return [Parked._from_native(one) for one in found]

    @takes(broker=text, **CHOICE)
    def redrive(self, broker: str, *, trigger: str = "", id: str = "", source: str = "",
                offset: int | None = None) -> int:
        """Deliver parked events anew, with all attempts; how many. They are chosen as `parked` has
        it: without a choice it is all of them."""
        return self._native.redrive(broker, trigger, id, source, offset).result()

    @takes(broker=text, **CHOICE)
    def discard(self, broker: str, *, trigger: str = "", id: str = "", source: str = "",
                offset: int | None = None) -> int:
        """Throw parked events away; how many. The same."""
        return self._native.discard(broker, trigger, id, source, offset).result()

    # looking inside

    @property
    def builder(self) -> _Builder:
        return _Builder(self)

    # images

    @takes(path=path, name=text)
    def import_images(self, path: str | os.PathLike[str], name: str = "") -> List[str]:
        """Take the images of an archive (`docker save`, an OCI layout in a tar, also compressed) or
        of the folder of a layout; "NAME@DIGEST" of each. With `name` its one image is called so."""
        return self._native.import_images(os.fsencode(path), name).result()

    @takes(path=path, names=list_of(text), format=archive_format)
    def export_images(self, path: str | os.PathLike[str], names: Sequence[str],
                      format: str = "docker") -> None:
        """Write images into an archive that `docker load` reads, or into an OCI layout in a tar."""
        self._native.export_images(os.fsencode(path), [*names], format).result()

    @property
    def endpoint(self) -> str:
        """Where HTTP is served, "127.0.0.1:43210"."""
        return self._native.endpoint().result()

    @property
    def authority(self) -> str:
        """The certificate of the platform's own authority as PEM text, for clients to trust; empty
        unless it was made with `Tls()`."""
        return self._native.authority().result()

    @takes(applied=of(Applied))
    def url(self, applied: Applied) -> str:
        return applied.url

    @takes(service=text)
    def scale(self, service: str) -> int:
        """Ready instances of a Service or Route. Raises NotFound when there is none."""
        return self._native.scale(service).result()

    def metrics_text(self) -> str:
        """Prometheus text of all metrics."""
        return self._native.metrics_text().result()

    def __repr__(self) -> str:
        return f"<Platform {'closed' if self._closed else 'running'}>"
