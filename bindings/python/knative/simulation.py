"""`Simulation`: the same platform in virtual time, reproducible from a seed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Union

from . import _native
from .functions import Functions


class _Simulated:
    """Gives a simulated platform the calls of one that has a thread."""

    def __init__(self, simulation: Simulation, functions: Functions) -> None:
        self._inner = _native.SimulatedPlatform(simulation._native, functions._native)

    def apply(self, fields: dict[str, Any]) -> tuple[str, str, str, str]:
        return tuple(self._inner.apply(fields))  # type: ignore[return-value]

    def get(self, ref: tuple[str, str, str, str]) -> dict[str, Any]:
        return dict(self._inner.get(*ref))

    def ready(self, ref: tuple[str, str, str, str], timeout: float) -> None:
        self._inner.ready(*ref, timeout)

    def invoke(self, service: str, request: _native.Request) -> _native.Response:
        return self._inner.invoke(service, request)

    def scale(self, service: str) -> int:
        return int(self._inner.scale(service))

    def stop(self, grace: float) -> None:
        del grace


class Simulation:
    """A world with a virtual clock; hours pass in milliseconds.

        sim = kn.Simulation(seed=42)
        with kn.Platform(env=sim.env, functions=functions) as twin:
            twin.apply(kn.serving.Service("hello", image="fn:hello")).wait_ready()
            sim.run_for(seconds=900)
            assert twin.scale("hello") == 0
    """

    def __init__(self, seed: int = 0) -> None:
        self._native = _native.NativeSimulation(seed)

    @property
    def env(self) -> Simulation:
        return self

    def _platform(self, functions: Functions) -> _Simulated:
        return _Simulated(self, functions)

    def run_for(self, seconds: Union[float, timedelta]) -> None:
        value = seconds.total_seconds() if isinstance(seconds, timedelta) else float(seconds)
        self._native.run_for(value)

    @property
    def now(self) -> float:
        """Virtual seconds since the world began."""
        return float(self._native.now())

    @property
    def trace_hash(self) -> int:
        """Equal for equal histories."""
        return int(self._native.trace_hash())
