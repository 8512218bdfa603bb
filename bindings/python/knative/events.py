"""CloudEvents and filters."""

from __future__ import annotations

import json as _json
import uuid
from typing import Any, Iterable, Mapping

from . import _native
from ._arguments import anything as _any
from ._arguments import binary, flag, json_bytes, mapping_of, optional, takes, text, wrong_type
from .http import _fields


def _is_json(content_type: str) -> bool:
    media = content_type.partition(";")[0].strip().lower()
    return media.endswith("/json") or media.endswith("+json")


def _text(value: object) -> str:
    """The canonical text of an attribute's value."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _attribute(name: str, value: object) -> None:
    if isinstance(value, str):
        text(name, value)
    elif not isinstance(value, int):
        raise wrong_type(name, "str, int or bool", value)


class CloudEvent:
    """A CloudEvent 1.0. `data` is a JSON value, text or bytes; other attributes are keywords.

    An event without `id` gets a random one. Text is text when `datacontenttype` says so
    ("text/plain"), and JSON otherwise. `has_data` tells JSON's null (data that is None) from no
    data. What arrives and cannot be read as its content type says, or has none and is no JSON, is
    given as bytes.
    """

    @takes(type=text, source=text, id=optional(text), datacontenttype=optional(text),
           kwargs_=_attribute)
    def __init__(self, type: str, source: str, data: Any = None, *, id: str | None = None,
                 datacontenttype: str | None = None, **attributes: str | int | bool) -> None:
        self.attributes: dict[str, str] = {"id": id if id is not None else str(uuid.uuid4()),
                                           "source": source, "type": type, "specversion": "1.0",
                                           **{k: _text(v) for k, v in attributes.items()}}
        self.data = data
        self._null = data is None and datacontenttype is not None and _is_json(datacontenttype)
        if datacontenttype is None:
            if isinstance(data, (bytes, bytearray, memoryview)):
                datacontenttype = "application/octet-stream"
            elif data is not None:
                datacontenttype = "application/json"
        self.datacontenttype = datacontenttype

    @property
    def has_data(self) -> bool:
        """Whether there is data; JSON's null is data."""
        return self.data is not None or self._null

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

    @takes(name=text, default=optional(text))
    def get(self, name: str, default: str | None = None) -> str | None:
        return self.attributes.get(name, default)

    def validate(self) -> None:
        """`InvalidArgument` names the attribute that breaks a rule of the specification."""
        self._to_native().validate()

    @takes(structured=flag)
    def to_http(self, *, structured: bool = False) -> tuple[list[tuple[str, str]], bytes]:
        """Headers and body, in binary or structured mode."""
        request = self._to_native().to_http(structured)
        return list(request.headers), request.body

    @classmethod
    @takes(body=binary)
    def from_http(cls, headers: Iterable[tuple[str, str]] | Mapping[str, str],
                  body: bytes) -> CloudEvent:
        """Read binary or structured mode; `InvalidArgument` names what is wrong."""
        return cls._from_native(_native.CloudEvent.from_http(_fields(headers), bytes(body)))

    def _payload(self) -> bytes | None:
        if self.data is None:
            return b"null" if self._null else None
        if isinstance(self.data, (bytes, bytearray, memoryview)):
            return bytes(self.data)
        if isinstance(self.data, str) and not _is_json(self.datacontenttype or "text/json"):
            text("data", self.data)
            return self.data.encode()
        return json_bytes("data", self.data)

    def _to_native(self) -> _native.CloudEvent:
        attributes = dict(self.attributes)
        mapping_of(text)("attributes", attributes)
        optional(text)("datacontenttype", self.datacontenttype)
        if self.datacontenttype:
            attributes["datacontenttype"] = self.datacontenttype
        return _native.CloudEvent(attributes, self._payload())

    @classmethod
    def _from_native(cls, native: _native.CloudEvent) -> CloudEvent:
        event = cls.__new__(cls)
        event.attributes = dict(native.attributes)
        event.datacontenttype = event.attributes.pop("datacontenttype", None)
        content = (event.datacontenttype or "application/json").lower()
        data: Any = native.data
        try:
            if data and _is_json(content):
                data = _json.loads(data)
            elif data is not None and content.startswith("text/"):
                data = data.decode()
        except ValueError:
            pass  # said to be JSON or text, and is not: bytes
        event.data = data
        event._null = native.data is not None and data is None
        return event

    def __eq__(self, other: object) -> bool:
        return (isinstance(other, CloudEvent) and self.attributes == other.attributes
                and self.data == other.data and self.has_data == other.has_data
                and self.datacontenttype == other.datacontenttype)

    def __repr__(self) -> str:
        more = {name: value for name, value in self.attributes.items()
                if name not in ("id", "type", "source", "specversion")}
        rest = "".join(f", {name}={value!r}" for name, value in more.items())
        data = "" if self.data is None else f", {self.data!r}"
        return f"CloudEvent({self.type!r}, {self.source!r}{data}, id={self.id!r}{rest})"


class Filter:
    """An immutable predicate on events; what does not parse is an error, never an open filter.

        kn.Filter.exact(type="order.created")
        kn.Filter.cesql("type = 'order.created' AND total > 100")
        kn.Filter.all(kn.Filter.prefix(type="order."), kn.Filter.not_(kn.Filter.exact(source="/x")))

    `spec` is the filter as a Trigger's `filters` hold it. `Filter()` matches every event.
    """

    __slots__ = ("_spec", "_native")

    def __init__(self, spec: Mapping[str, Any] | None = None) -> None:
        optional(mapping_of(_any))("spec", spec)
        self._native = _Compiler().compile(spec or {}, "spec")
        self._spec: dict[str, Any] = _json.loads(json_bytes("spec", dict(spec or {})))

    @classmethod
    @takes(kwargs_=_attribute)
    def exact(cls, **attributes: str) -> Filter:
        """Every attribute equals its value."""
        return cls({"exact": attributes})

    @classmethod
    @takes(kwargs_=_attribute)
    def prefix(cls, **attributes: str) -> Filter:
        """Every attribute begins with its value."""
        return cls({"prefix": attributes})

    @classmethod
    @takes(kwargs_=_attribute)
    def suffix(cls, **attributes: str) -> Filter:
        """Every attribute ends with its value."""
        return cls({"suffix": attributes})

    @classmethod
    def all(cls, *filters: Filter) -> Filter:
        """Every filter matches."""
        return cls({"all": [_filter("filters", each).spec for each in filters]})

    @classmethod
    def any(cls, *filters: Filter) -> Filter:
        """At least one filter matches."""
        return cls({"any": [_filter("filters", each).spec for each in filters]})

    @classmethod
    def not_(cls, other: Filter) -> Filter:
        """The other filter does not match."""
        return cls({"not": _filter("other", other).spec})

    @classmethod
    @takes(expression=text)
    def cesql(cls, expression: str) -> Filter:
        """A CloudEvents SQL 1.0 expression; one that fails on an event does not match it."""
        return cls({"cesql": expression})

    @property
    def spec(self) -> dict[str, Any]:
        copy: dict[str, Any] = _json.loads(_json.dumps(self._spec))
        return copy

    def matches(self, event: CloudEvent) -> bool:
        if not isinstance(event, CloudEvent):
            raise wrong_type("event", "CloudEvent", event)
        return self._native.matches(event._to_native())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Filter) and self._spec == other._spec

    def __hash__(self) -> int:
        return hash(_json.dumps(self._spec, sort_keys=True))

    def __repr__(self) -> str:
        return f"Filter({self._spec!r})" if self._spec else "Filter()"

    def __reduce__(self) -> tuple[type[Filter], tuple[dict[str, Any]]]:
        return (Filter, (self._spec,))


def _filter(name: str, value: object) -> Filter:
    if not isinstance(value, Filter):
        raise wrong_type(name, "Filter", value)
    return value


class _Compiler:
    """Makes the native filter of a spec; bounded in depth and number."""

    DEPTH_MAX = 64
    FILTERS_MAX = 10_000

    def __init__(self) -> None:
        self._depth = 0
        self._left = self.FILTERS_MAX

    def compile(self, spec: object, place: str) -> _native.Filter:
        if not isinstance(spec, Mapping):
            raise wrong_type(place, "dict", spec)
        if not spec:
            return _native.Filter()
        if len(spec) != 1:
            raise ValueError(f"{place}: a filter has one dialect, not {sorted(map(str, spec))}")
        dialect, wanted = next(iter(spec.items()))
        inner = f"{place}.{dialect}"
        if dialect in ("exact", "prefix", "suffix"):
            mapping_of(_attribute)(inner, wanted)
            make = getattr(_native.Filter, dialect)
            parts: list[_native.Filter] = [make(name, _text(value))
                                           for name, value in wanted.items()]
            return parts[0] if len(parts) == 1 else _native.Filter.all(parts)
        if dialect in ("all", "any"):
            filters = self._inner(wanted, inner)
            return _native.Filter.all(filters) if dialect == "all" else _native.Filter.any(filters)
        if dialect == "not":
            return _native.Filter.not_(self._inner([wanted], inner)[0])
        if dialect == "cesql":
            text(inner, wanted)
            return _native.Filter.cesql(wanted)
        raise ValueError(f"{place}: there is no filter dialect {dialect!r}")

    def _inner(self, wanted: object, place: str) -> list[_native.Filter]:
        if not isinstance(wanted, (list, tuple)):
            raise wrong_type(place, "list", wanted)
        self._depth += 1
        self._left -= len(wanted)
        if self._depth > self.DEPTH_MAX:
            raise ValueError(f"spec: nested deeper than {self.DEPTH_MAX}")
        if self._left < 0:
            raise ValueError(f"spec: more than {self.FILTERS_MAX} filters")
        made = [self.compile(each, f"{place}[{index}]") for index, each in enumerate(wanted)]
        self._depth -= 1
        return made
