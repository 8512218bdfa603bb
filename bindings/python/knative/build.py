"""Build: from source to image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ._arguments import anything, mapping_of, optional, takes
from .objects import Fields, Object


class Step(Fields):
    """One step: a command (or "fn:NAME") that runs in the workspace."""

    @takes(env=optional(mapping_of(anything)))
    def __init__(self, name: str | None = None, *, image: str = "host",
                 command: list[str] | None = None, args: list[str] | None = None,
                 env: dict[str, str] | None = None, working_dir: str | None = None) -> None:
        super().__init__(name=name, image=image, command=command, args=args,
                         working_dir=working_dir)
        if env:
            self.env = [{"name": key, "value": value} for key, value in env.items()]


class Build(Object):
    """Fetch `git` at `revision`, run `steps` (none: recognise the source), pack `image`."""

    API_VERSION = "build.knative.dev/v1alpha1"
    KIND = "Build"

    def __init__(self, name: str = "", *, git: str | None = None, revision: str | None = None,
                 steps: list[Step] | None = None, image: str | None = None,
                 image_config: dict[str, Any] | None = None, timeout: str | None = None,
                 **more: Any) -> None:
        super().__init__(name, **more)
        if git is not None:
            self.spec.source = Fields(git=Fields(url=git, revision=revision or ""))
        self.spec.steps = steps
        self.spec.image = image
        self.spec.image_config = image_config
        self.spec.timeout = timeout


class BuildTemplate(Object):
    API_VERSION = "build.knative.dev/v1alpha1"
    KIND = "BuildTemplate"


@dataclass(frozen=True)
class BuildResult:
    """A build that succeeded: `image` is "name@sha256:…"."""

    image: str
    digest: str
    status: dict[str, Any] = field(repr=False)
