"""Objects as Kubernetes users know them: `metadata`, `spec`, `status`.

An `Object` keeps its fields as the JSON names of the API; attributes may be spelled in snake_case
(`svc.spec.container_concurrency` is the field "containerConcurrency"). Nothing is checked here:
`apply` checks everything at once, with Knative's messages.
"""

from __future__ import annotations

import warnings
from typing import Any, Callable, Iterable

from . import _native
from ._arguments import flag, function, of, optional, subclass_of, takes, text
from .errors import ManifestWarning
from .functions import run


def camel(name: str) -> str:
    """container_concurrency -> containerConcurrency; template_ -> template."""
    head, *rest = name.rstrip("_").split("_")
    return head + "".join(part.capitalize() for part in rest)


DEPTH_MAX = 64
VALUES_MAX = 1_000_000


class _Plain:
    """Copies a value down to its scalars; what contains itself ends with an error."""

    def __init__(self, keep_none: bool) -> None:
        self._keep_none = keep_none
        self._way: list[object] = []
        self._left = VALUES_MAX

    def copy(self, value: Any, place: str) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"{place}: more than {VALUES_MAX} values")
        if isinstance(value, Fields):
            value = value._fields
        if not isinstance(value, (dict, list, tuple)):
            return value
        if any(value is outer for outer in self._way):
            raise ValueError(f"{place}: contains itself")
        if len(self._way) >= DEPTH_MAX:
            raise ValueError(f"{place}: nested deeper than {DEPTH_MAX}")
        self._way.append(value)
        made: Any
        if isinstance(value, dict):
            made = {key: self.copy(member, f"{place}.{key}") for key, member in value.items()
                    if self._keep_none or member is not None}
        else:
            made = [self.copy(member, f"{place}[{index}]") for index, member in enumerate(value)]
        self._way.pop()
        return made


def plain(value: Any, name: str = "object") -> Any:
    """Fields all the way down to dict, list and scalars; None members are left out."""
    return _Plain(keep_none=False).copy(value, name)


def whole(value: Any, name: str = "object") -> Any:
    """The same, with None members."""
    return _Plain(keep_none=True).copy(value, name)


def say(found: Iterable[str], stacklevel: int) -> None:
    """Warn of what has no effect; at the caller so many levels above."""
    for sentence in found:
        warnings.warn(sentence, ManifestWarning, stacklevel=stacklevel + 1)


class Fields:
    """A mapping with attribute access in snake_case."""

    @takes(fields=optional(of(dict)))
    def __init__(self, fields: dict[str, Any] | None = None, **members: Any) -> None:
        object.__setattr__(self, "_fields", dict(fields or {}))
        for name, value in members.items():
            if value is not None:
                setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = self._fields.get(camel(name))
        if isinstance(value, dict):
            value = Fields(value)
            self._fields[camel(name)] = value
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        self._fields[camel(name)] = value

    def __getitem__(self, key: str) -> Any:
        return self._fields[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._fields[key] = value

    def __contains__(self, key: object) -> bool:
        return key in self._fields

    def to_dict(self) -> dict[str, Any]:
        copy: dict[str, Any] = plain(self)
        return copy

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fields) and self.to_dict() == other.to_dict()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.to_dict()!r})"

    def __getstate__(self) -> dict[str, Any]:
        return self.to_dict()

    def __setstate__(self, state: dict[str, Any]) -> None:
        object.__setattr__(self, "_fields", state)


class Object(Fields):
    """Any kind of object. Subclasses say `api_version` and `kind`."""

    API_VERSION = ""
    KIND = ""

    @takes(name=text, namespace=optional(text), labels=optional(of(dict)),
           annotations=optional(of(dict)), spec=optional(of(dict, Fields)))
    def __init__(self, name: str = "", *, namespace: str | None = None,
                 labels: dict[str, str] | None = None,
                 annotations: dict[str, str] | None = None,
                 spec: dict[str, Any] | Fields | None = None) -> None:
        super().__init__({"apiVersion": self.API_VERSION, "kind": self.KIND,
                          "metadata": Fields({"name": name}), "spec": Fields(plain(spec or {}))})
        self.metadata.namespace = namespace
        self.metadata.labels = labels
        self.metadata.annotations = annotations

    @classmethod
    @takes(fields=of(dict))
    def from_dict(cls, fields: dict[str, Any]) -> Object:
        made = cls.__new__(cls)
        object.__setattr__(made, "_fields", whole(fields, "fields"))
        return made

    @property
    def name(self) -> str:
        return str(self.metadata.name)

    def checked(self) -> Object:
        """The object with defaults filled in; `InvalidArgument` lists every error, and what has no
        effect is a `ManifestWarning`."""
        fields, found = _native.checked(self.to_dict())
        say(found, 2)
        return Object.from_dict(fields)

    @takes(type=text)
    def condition(self, type: str) -> dict[str, Any] | None:
        """A condition of the status, by type."""
        for condition in (self.to_dict().get("status") or {}).get("conditions", []):
            if condition.get("type") == type:
                return dict(condition)
        return None


class Kind:
    """A kind of objects of this program's own, for `Platform(kinds=[...])`.

        class Widget(kn.Object):
            API_VERSION = "shop.example.dev/v1"
            KIND = "Widget"

        def reconcile(widget):
            ...
            return {"observedGeneration": widget.metadata.generation,
                    "conditions": [{"type": "Ready", "status": "True"}]}

        kn.Platform(kinds=[kn.Kind(Widget, "widgets", reconcile)])

    Its objects are kept as they are. `reconcile` is called with an object whenever it, or an object
    that it owns, may have changed, on a worker thread; what it returns becomes the status, None
    leaves it. It may be called again for the same state, and is called again, ever more rarely,
    after an exception. It may be an `async def`, which runs on an event loop of its own.
    """

    @takes(type=subclass_of(Object), plural=text, reconcile=optional(function), namespaced=flag)
    def __init__(self, type: type[Object], plural: str,
                 reconcile: Callable[[Any], Any] | None = None, *,
                 namespaced: bool = True) -> None:
        self.type = type
        self.plural = plural
        self.reconcile = reconcile
        self.namespaced = namespaced

    def _row(self) -> tuple[str, str, str, bool, Callable[[dict[str, Any]], Any] | None]:
        reconcile = self.reconcile

        def call(fields: dict[str, Any]) -> Any:
            assert reconcile is not None
            status = run(reconcile, self.type.from_dict(fields))
            return None if status is None else plain(status, "status")

        return (self.type.API_VERSION, self.type.KIND, self.plural, self.namespaced,
                None if reconcile is None else call)

    def __repr__(self) -> str:
        return f"<Kind {self.type.KIND} of {self.type.API_VERSION}>"


@takes(text=text, file_name=text)
def parse_manifest(text: str, file_name: str = "manifest") -> list[Object]:
    """Read YAML or JSON, any number of documents; errors begin with file:line:column, and so do
    `ManifestWarning`s of what has no effect."""
    objects, found = _native.parse_manifest(text, file_name)
    say(found, 3)
    return [Object.from_dict(fields) for fields in objects]


@takes(thing=of(Object))
def print_manifest(thing: Object) -> str:
    """The object as YAML."""
    return str(_native.print_manifest(thing.to_dict()))
