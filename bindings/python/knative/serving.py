"""Serving: Service, Configuration, Revision, Route."""

from __future__ import annotations

from typing import Any

from ._arguments import anything, integer, mapping_of, optional, takes
from .objects import Fields, Object


class TrafficTarget(Fields):
    """One entry of a traffic split."""

    def __init__(self, *, revision_name: str | None = None, configuration_name: str | None = None,
                 latest_revision: bool | None = None, percent: int | None = None,
                 tag: str | None = None) -> None:
        super().__init__(revision_name=revision_name, configuration_name=configuration_name,
                         latest_revision=latest_revision, percent=percent, tag=tag)


class Service(Object):
    """A Service that runs one container of `image`; "fn:NAME" is a registered function."""

    API_VERSION = "serving.knative.dev/v1"
    KIND = "Service"

    @takes(env=optional(mapping_of(anything)), template_annotations=optional(mapping_of(anything)),
           min_scale=optional(integer(0, 2**31 - 1)), max_scale=optional(integer(0, 2**31 - 1)))
    def __init__(self, name: str = "", *, image: str | None = None,
                 container_concurrency: int | None = None, timeout_seconds: int | None = None,
                 env: dict[str, str] | None = None, command: list[str] | None = None,
                 args: list[str] | None = None, traffic: list[TrafficTarget] | None = None,
                 min_scale: int | None = None, max_scale: int | None = None,
                 template_annotations: dict[str, str] | None = None, **more: Any) -> None:
        super().__init__(name, **more)
        annotations = dict(template_annotations or {})
        if min_scale is not None:
            annotations["autoscaling.knative.dev/min-scale"] = str(min_scale)
        if max_scale is not None:
            annotations["autoscaling.knative.dev/max-scale"] = str(max_scale)
        if image is not None:
            container = Fields(image=image, command=command, args=args)
            if env:
                container.env = [{"name": key, "value": value} for key, value in env.items()]
            template = Fields(spec=Fields(containers=[container],
                                          container_concurrency=container_concurrency,
                                          timeout_seconds=timeout_seconds))
            if annotations:
                template.metadata = Fields(annotations=annotations)
            self.spec.template = template
        if traffic is not None:
            self.spec.traffic = traffic


class Configuration(Object):
    API_VERSION = "serving.knative.dev/v1"
    KIND = "Configuration"


class Revision(Object):
    API_VERSION = "serving.knative.dev/v1"
    KIND = "Revision"


class Route(Object):
    API_VERSION = "serving.knative.dev/v1"
    KIND = "Route"
