"""Requests and responses: what functions receive and return, and what `invoke` sends."""

from __future__ import annotations

import json as _json
from typing import Any, Iterable, Mapping, Union, cast
from urllib.parse import parse_qsl, urlsplit

from . import _native
from ._arguments import body as _body
from ._arguments import integer, json_bytes, optional, takes, wrong_type
from ._arguments import text as _text

Fields = Union[Mapping[str, str], Iterable["tuple[str, str]"]]


HOPS = "Knative-Serving-Hops"


def _field_part(name: str, value: object) -> None:
    _text(name, value)
    if any(character in cast(str, value) for character in "\r\n\0"):
        raise ValueError(f"{name}: no line break and no NUL in a header field")


def _fields(headers: Fields | None) -> list[tuple[str, str]]:
    if headers is None:
        return []
    if isinstance(headers, (str, bytes)) or not isinstance(headers, Iterable):
        raise wrong_type("headers", "a mapping or pairs of str", headers)
    pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
    for index, pair in enumerate(pairs):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise wrong_type(f"headers[{index}]", "a pair of str", pair)
        _field_part(f"headers[{index}]", pair[0])
        _field_part(f"headers[{pair[0]!r}]", pair[1])
    return [(name, value) for name, value in pairs]


_status = integer(100, 999)


class Headers:
    """Header fields in order; names compare without case."""

    def __init__(self, fields: Fields | None = None) -> None:
        self._fields = _fields(fields)

    @takes(name=_text, default=optional(_text))
    def get(self, name: str, default: str | None = None) -> str | None:
        for key, value in self._fields:
            if key.lower() == name.lower():
                return value
        return default

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def items(self) -> list[tuple[str, str]]:
        return list(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._folded() == other._folded()

    def _folded(self) -> list[tuple[str, str]]:
        return [(name.lower(), value) for name, value in self._fields]

    def __repr__(self) -> str:
        return f"Headers({self._fields!r})"


class _Message:
    headers: Headers
    body: bytes

    @property
    def text(self) -> str:
        """The body as UTF-8 text."""
        return self.body.decode("utf-8")

    def json(self) -> Any:
        """The body as JSON."""
        return _json.loads(self.body)


class Request(_Message):
    """An HTTP request. `target` is path and query; `query` the decoded parameters."""

    @takes(method=_text, target=_text, body=_body)
    def __init__(self, method: str = "GET", target: str = "/", headers: Fields | None = None,
                 body: bytes | str = b"") -> None:
        self.method = method
        self.target = target
        self.headers = Headers(headers)
        self.body = body.encode() if isinstance(body, str) else bytes(body)

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    def _to_native(self) -> _native.Request:
        _field_part("method", self.method)
        _field_part("target", self.target)
        _body("body", self.body)
        return _native.Request(self.method, self.target, self.headers.items(), self.body)

    @classmethod
    def _from_native(cls, native: _native.Request) -> Request:
        return cls(native.method, native.target, native.headers, native.body)

    def __eq__(self, other: object) -> bool:
        return (isinstance(other, Request) and self.method == other.method
                and self.target == other.target and self.headers == other.headers
                and self.body == other.body)

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target} {len(self.body)} bytes>"


class Response(_Message):
    """An HTTP response."""

    @takes(status=_status, body=_body)
    def __init__(self, status: int = 200, headers: Fields | None = None,
                 body: bytes | str = b"") -> None:
        self.status = status
        self.headers = Headers(headers)
        self.body = body.encode() if isinstance(body, str) else bytes(body)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def _to_native(self) -> _native.Response:
        _status("status", self.status)
        _body("body", self.body)
        return _native.Response(self.status, self.headers.items(), self.body)

    @classmethod
    def _from_native(cls, native: _native.Response) -> Response:
        return cls(native.status, native.headers, native.body)

    def __eq__(self, other: object) -> bool:
        return (isinstance(other, Response) and self.status == other.status
                and self.headers == other.headers and self.body == other.body)

    def __repr__(self) -> str:
        return f"<Response {self.status} {len(self.body)} bytes>"


@takes(target=_text)
def get(target: str, headers: Fields | None = None) -> Request:
    return Request("GET", target, headers)


@takes(target=_text, body=_body, content_type=_text)
def post(target: str, body: bytes | str, content_type: str = "application/octet-stream",
         headers: Fields | None = None) -> Request:
    return Request("POST", target, [*_fields(headers), ("Content-Type", content_type)], body)


@takes(body=_text, status=_status)
def text(body: str, status: int = 200) -> Response:
    return Response(status, {"Content-Type": "text/plain; charset=utf-8"}, body)


@takes(status=_status)
def json(value: Any, status: int = 200) -> Response:
    return Response(status, {"Content-Type": "application/json"}, json_bytes("value", value))


def onward_headers() -> dict[str, str]:
    """What a function adds to a request that it sends by a client of its own, so that services that
    call each other without end are found: `platform.invoke` and `publish` do it by themselves. A
    thread that the function starts knows it when it runs in a copy of the context."""
    hops = _native.hops.get()
    return {HOPS: str(hops)} if hops else {}


def as_response(result: Any) -> Response:
    """What a function returned, as a response: Response, str, bytes, None, or a JSON value."""
    if isinstance(result, Response):
        return result
    if result is None:
        return Response(204)
    if isinstance(result, str):
        return text(result)
    if isinstance(result, (bytes, bytearray, memoryview)):
        return Response(200, {"Content-Type": "application/octet-stream"}, bytes(result))
    if isinstance(result, (dict, list)):
        return json(result)
    raise TypeError(f"a function returned {type(result).__name__}; "
                    "expected Response, str, bytes, dict, list or None")
