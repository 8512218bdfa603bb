"""Objects as Kubernetes users know them: `metadata`, `spec`, `status`.

An `Object` keeps its fields as the JSON names of the API; attributes may be spelled in snake_case
(`svc.spec.container_concurrency` is the field "containerConcurrency"). Nothing is checked here:
`apply` checks everything at once, with Knative's messages.
"""

from __future__ import annotations

import copy
from typing import Any, Callable

from . import _native


def camel(name: str) -> str:
    """container_concurrency -> containerConcurrency; template_ -> template."""
    head, *rest = name.rstrip("_").split("_")
    return head + "".join(part.capitalize() for part in rest)


def plain(value: Any) -> Any:
    """Fields all the way down to dict, list and scalars; None members are left out."""
    if isinstance(value, Fields):
        return plain(value._fields)
    if isinstance(value, dict):
        return {key: plain(member) for key, member in value.items() if member is not None}
    if isinstance(value, (list, tuple)):
        return [plain(member) for member in value]
    return value


class Fields:
    """A mapping with attribute access in snake_case."""

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
        return copy.deepcopy(plain(self))

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
    def from_dict(cls, fields: dict[str, Any]) -> Object:
        made = cls.__new__(cls)
        object.__setattr__(made, "_fields", copy.deepcopy(fields))
        return made

    @property
    def name(self) -> str:
        return str(self.metadata.name)

    def checked(self) -> Object:
        """The object with defaults filled in; `InvalidArgument` lists every error."""
        return Object.from_dict(_native.checked(self.to_dict()))

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
    after an exception.
    """

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
            status = reconcile(self.type.from_dict(fields))
            return None if status is None else plain(status)

        return (self.type.API_VERSION, self.type.KIND, self.plural, self.namespaced,
                None if reconcile is None else call)

    def __repr__(self) -> str:
        return f"<Kind {self.type.KIND} of {self.type.API_VERSION}>"


def parse_manifest(text: str, file_name: str = "manifest") -> list[Object]:
    """Read YAML or JSON, any number of documents; errors begin with file:line:column."""
    return [Object.from_dict(fields) for fields in _native.parse_manifest(text, file_name)]


def print_manifest(thing: Object) -> str:
    """The object as YAML."""
    return str(_native.print_manifest(thing.to_dict()))
