"""CloudEvents and filters."""

from __future__ import annotations

import json as _json
import uuid
from typing import Any, Iterable, Mapping
from urllib.parse import quote, unquote

from . import _native

Filter = _native.Filter
_KNOWN = ("id", "source", "type", "specversion", "subject", "time", "dataschema")


def exact(**attributes: str) -> Filter:
    """Every attribute equals its value."""
    return Filter._from("exact", attributes)


def prefix(**attributes: str) -> Filter:
    """Every attribute begins with its value."""
    return Filter._from("prefix", attributes)


def suffix(**attributes: str) -> Filter:
    """Every attribute ends with its value."""
    return Filter._from("suffix", attributes)


class CloudEvent:
    """A CloudEvent 1.0. `data` is a JSON value, text or bytes; other attributes are keywords.

    An event without `id` gets a random one.
    """

    def __init__(self, type: str, source: str, data: Any = None, *, id: str | None = None,
                 datacontenttype: str | None = None, **attributes: str) -> None:
        self.attributes: dict[str, str] = {"id": id if id is not None else str(uuid.uuid4()),
                                           "source": source, "type": type, "specversion": "1.0",
                                           **{k: str(v) for k, v in attributes.items()}}
        self.data = data
        if datacontenttype is None:
            if isinstance(data, (bytes, bytearray)):
                datacontenttype = "application/octet-stream"
            elif data is not None:
                datacontenttype = "application/json"
        self.datacontenttype = datacontenttype

    @property
    def id(self) -> str:
        return self.attributes["id"]

    @property
    def source(self) -> str:
        return self.attributes["source"]

    @property
    def type(self) -> str:
        return self.attributes["type"]

    @property
    def subject(self) -> str | None:
        return self.attributes.get("subject")

    @property
    def time(self) -> str | None:
        return self.attributes.get("time")

    def __getitem__(self, name: str) -> str:
        return self.attributes[name]

    def get(self, name: str, default: str | None = None) -> str | None:
        return self.attributes.get(name, default)

    def _payload(self) -> bytes:
        if self.data is None:
            return b""
        if isinstance(self.data, (bytes, bytearray)):
            return bytes(self.data)
        return _json.dumps(self.data).encode()

    def _to_native(self) -> _native.NativeEvent:
        attributes = dict(self.attributes)
        if self.datacontenttype:
            attributes["datacontenttype"] = self.datacontenttype
        if isinstance(self.data, (bytes, bytearray)):
            return _native.NativeEvent(attributes, bytes(self.data), True)
        return _native.NativeEvent(attributes, self.data, False)

    @classmethod
    def _from_native(cls, native: _native.NativeEvent) -> CloudEvent:
        attributes = dict(native.attributes)
        return cls._make(attributes, native.data_bytes)

    @classmethod
    def _make(cls, attributes: dict[str, str], body: bytes) -> CloudEvent:
        content = attributes.pop("datacontenttype", None)
        data: Any = None
        if body:
            is_json = content is None or "json" in content
            data = _json.loads(body) if is_json else body
        event = cls.__new__(cls)
        event.attributes = attributes
        event.data = data
        event.datacontenttype = content
        return event

    def to_http(self) -> tuple[list[tuple[str, str]], bytes]:
        """Headers and body in binary mode (CloudEvents HTTP binding, section 3.1)."""
        headers = [("ce-" + name, quote(value, safe=" !#$&'()*+,/:;=?@[]~-._"))
                   for name, value in self.attributes.items()]
        if self.datacontenttype:
            headers.append(("Content-Type", self.datacontenttype))
        return headers, self._payload()

    @classmethod
    def from_http(cls, headers: Iterable[tuple[str, str]] | Mapping[str, str],
                  body: bytes) -> CloudEvent:
        """Read binary or structured mode; ValueError names what is missing."""
        fields = dict(headers.items() if isinstance(headers, Mapping) else headers)
        lower = {name.lower(): value for name, value in fields.items()}
        content = lower.get("content-type", "")
        if content.startswith("application/cloudevents+json"):
            document = _json.loads(body)
            data = document.pop("data", None)
            attributes = {name: str(value) for name, value in document.items()
                          if name != "data_base64"}
            content_type = attributes.pop("datacontenttype", "application/json")
            event = cls._make(attributes, b"")
            event.data, event.datacontenttype = data, content_type
        else:
            attributes = {name[3:]: unquote(value) for name, value in lower.items()
                          if name.startswith("ce-")}
            if content:
                attributes["datacontenttype"] = content
            event = cls._make(attributes, body)
        for name in ("id", "source", "type", "specversion"):
            if not event.attributes.get(name):
                raise ValueError(f"missing attribute {name}")
        return event

    def __eq__(self, other: object) -> bool:
        return (isinstance(other, CloudEvent) and self.attributes == other.attributes
                and self.data == other.data)

    def __repr__(self) -> str:
        return f"<CloudEvent {self.type} {self.id} from {self.source}>"
