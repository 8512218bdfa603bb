"""Eventing: Broker, Trigger, EventType, Channel, Subscription."""

from __future__ import annotations

from typing import Any

from ._arguments import anything, either, list_of, mapping_of, of, optional, takes
from ._arguments import text as _text
from .events import Filter
from .objects import Fields, Object


class Broker(Object):
    API_VERSION = "eventing.knative.dev/v1"
    KIND = "Broker"


def _destination(name: str, value: object) -> None:
    either((str, _text), (Object, anything))(name, value)


@takes(target=_destination)
def destination(target: str | Object) -> dict[str, Any]:
    """A URI, or an object that has an address."""
    if isinstance(target, Object):
        reference = {"apiVersion": target["apiVersion"], "kind": target["kind"],
                     "name": target.name}
        if target.metadata.namespace:
            reference["namespace"] = target.metadata.namespace
        return {"ref": reference}
    return {"uri": target}


class Trigger(Object):
    """Events of `broker` whose attributes equal `filter`, and that all `filters` let through, go
    to `subscriber`."""

    API_VERSION = "eventing.knative.dev/v1"
    KIND = "Trigger"

    @takes(filter=optional(mapping_of(anything)), filters=optional(list_of(of(Filter, dict))),
           subscriber=optional(_destination), delivery=optional(of(dict, Fields)))
    def __init__(self, name: str = "", *, broker: str = "default",
                 filter: dict[str, str] | None = None,
                 filters: list[Filter] | list[dict[str, Any]] | None = None,
                 subscriber: str | Object | None = None,
                 delivery: dict[str, Any] | None = None, **more: Any) -> None:
        super().__init__(name, **more)
        self.spec.broker = broker
        if filter is not None:
            self.spec.filter = Fields({"attributes": dict(filter)})
        if filters is not None:
            self.spec.filters = [each.spec if isinstance(each, Filter) else each
                                 for each in filters]
        if subscriber is not None:
            self.spec.subscriber = Fields(destination(subscriber))
        if delivery is not None:
            self.spec.delivery = delivery


class EventType(Object):
    API_VERSION = "eventing.knative.dev/v1"
    KIND = "EventType"


class Channel(Object):
    API_VERSION = "messaging.knative.dev/v1"
    KIND = "Channel"


class Subscription(Object):
    """Everything that `channel` accepts goes to `subscriber`, replies to `reply`."""

    API_VERSION = "messaging.knative.dev/v1"
    KIND = "Subscription"

    @takes(subscriber=optional(_destination), reply=optional(_destination))
    def __init__(self, name: str = "", *, channel: str = "",
                 subscriber: str | Object | None = None, reply: str | Object | None = None,
                 **more: Any) -> None:
        super().__init__(name, **more)
        self.spec.channel = Fields({"apiVersion": Channel.API_VERSION, "kind": Channel.KIND,
                                    "name": channel})
        if subscriber is not None:
            self.spec.subscriber = Fields(destination(subscriber))
        if reply is not None:
            self.spec.reply = Fields(destination(reply))
