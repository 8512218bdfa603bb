"""Requests and responses: what functions receive and return, and what `invoke` sends."""

from __future__ import annotations

import json as _json
from typing import Any, Iterable, Mapping, Union
from urllib.parse import parse_qsl, urlsplit

from . import _native

Fields = Union[Mapping[str, str], Iterable["tuple[str, str]"]]


def _fields(headers: Fields | None) -> list[tuple[str, str]]:
    if headers is None:
        return []
    return list(headers.items()) if isinstance(headers, Mapping) else list(headers)


class Headers:
    """Header fields in order; names compare without case."""

    def __init__(self, fields: Fields | None = None) -> None:
        self._fields = _fields(fields)

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

    def __init__(self, status: int = 200, headers: Fields | None = None,
                 body: bytes | str = b"") -> None:
        self.status = status
        self.headers = Headers(headers)
        self.body = body.encode() if isinstance(body, str) else bytes(body)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def _to_native(self) -> _native.Response:
        return _native.Response(self.status, self.headers.items(), self.body)

    @classmethod
    def _from_native(cls, native: _native.Response) -> Response:
        return cls(native.status, native.headers, native.body)

    def __eq__(self, other: object) -> bool:
        return (isinstance(other, Response) and self.status == other.status
                and self.headers == other.headers and self.body == other.body)

    def __repr__(self) -> str:
        return f"<Response {self.status} {len(self.body)} bytes>"


def get(target: str, headers: Fields | None = None) -> Request:
    return Request("GET", target, headers)


def post(target: str, body: bytes | str, content_type: str = "application/octet-stream",
         headers: Fields | None = None) -> Request:
    return Request("POST", target, [*_fields(headers), ("Content-Type", content_type)], body)


def text(body: str, status: int = 200) -> Response:
    return Response(status, {"Content-Type": "text/plain; charset=utf-8"}, body)


def json(value: Any, status: int = 200) -> Response:
    return Response(status, {"Content-Type": "application/json"}, _json.dumps(value))


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
