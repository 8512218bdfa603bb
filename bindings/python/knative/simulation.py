"""`Simulation`: the same platform in virtual time, reproducible from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import _native
from ._arguments import duration as _duration
from ._arguments import integer, number, of, takes, text
from .platform import Seconds, seconds


@dataclass(frozen=True)
class Load:
    """When requests arrive. A value; the same seed gives the same times.

        kn.Load.ramp(1, 200, seconds=300).then(kn.Load.silence(600))
    """

    phases: tuple[tuple[str, tuple[float, ...]], ...] = ()

    @classmethod
    @takes(rps=number, seconds=_duration)
    def poisson(cls, rps: float, seconds: Seconds) -> Load:
        """Independent arrivals with this mean rate."""
        return cls._one("poisson", rps, seconds)

    @classmethod
    @takes(rps=number, seconds=_duration)
    def constant(cls, rps: float, seconds: Seconds) -> Load:
        """Evenly spaced; the first at once."""
        return cls._one("constant", rps, seconds)

    @classmethod
    @takes(from_rps=number, to_rps=number, seconds=_duration)
    def ramp(cls, from_rps: float, to_rps: float, seconds: Seconds) -> Load:
        """Independent arrivals whose mean rate goes linearly from one to the other."""
        return cls._one("ramp", from_rps, to_rps, seconds)

    @classmethod
    @takes(count=integer(0, 10**9), every=_duration, seconds=_duration)
    def burst(cls, count: int, every: Seconds, seconds: Seconds) -> Load:
        """`count` at once every so often, the first at once."""
        return cls._one("burst", count, every, seconds)

    @classmethod
    @takes(seconds=_duration)
    def silence(cls, seconds: Seconds) -> Load:
        """Nobody comes."""
        return cls._one("silence", seconds)

    def then(self, following: Load) -> Load:
        """This one, and the other after its end."""
        of(Load)("following", following)
        return Load(self.phases + following.phases)

    @classmethod
    def _one(cls, shape: str, *arguments: Seconds) -> Load:
        return cls(((shape, tuple(seconds(argument) for argument in arguments)),))

    def _to_native(self) -> _native.Load:
        made: _native.Load | None = None
        for shape, numbers in self.phases:
            exact = (int(numbers[0]), *numbers[1:]) if shape == "burst" else numbers
            phase: _native.Load = getattr(_native.Load, shape)(*exact)
            made = phase if made is None else made.then(phase)
        return made if made is not None else _native.Load.silence(0.0)


@dataclass(frozen=True)
class LoadReport:
    """How a load went so far; latencies are virtual seconds."""

    started: int
    finished: int
    skipped: int
    in_flight_max: int
    by_status: dict[int, int]
    latency_mean: float
    latency_p50: float
    latency_p99: float
    latency_max: float


class LoadRun:
    """A load that is being driven by `Simulation.run_for`."""

    def __init__(self, native: _native.LoadRun) -> None:
        self._native = native

    @property
    def report(self) -> LoadReport:
        fields: dict[str, Any] = self._native.report()
        return LoadReport(**fields)

    @property
    def done(self) -> bool:
        """Whether every arrival was answered."""
        return self._native.done()

    def __repr__(self) -> str:
        report = self.report
        return f"<LoadRun {report.finished} of {report.started} answered>"


class Simulation:
    """A world with a virtual clock; hours pass in milliseconds.

        sim = kn.Simulation(seed=42)
        with kn.Platform(env=sim.env, functions=functions) as twin:
            twin.apply(kn.serving.Service("hello", image="fn:hello"))
            sim.load("hello", kn.Load.poisson(rps=200, seconds=300))
            sim.run_for(seconds=900)
            assert twin.scale("hello") == 0

    It belongs to the thread that made it, which also runs the functions.
    """

    @takes(seed=integer(0, 2**64 - 1))
    def __init__(self, seed: int = 0) -> None:
        self._native = _native.Simulation(seed)

    @property
    def env(self) -> Simulation:
        return self

    @property
    def seed(self) -> int:
        return self._native.seed

    def _begin(self, functions: list[_native.NamedFunction]) -> _native.Platform:
        return self._native.platform(functions)

    @takes(seconds=_duration)
    def run_for(self, seconds: Seconds) -> None:
        """Let exactly this much virtual time go by."""
        self._native.run_for(_seconds(seconds))

    @takes(service=text, load=of(Load), name=text, in_flight_max=integer(1, 10**9))
    def load(self, service: str, load: Load, *, name: str = "load",
             in_flight_max: int = 100_000) -> LoadRun:
        """Begin to send GET / to a Service, over the simulated network to the platform that
        listens first; `run_for` lets it happen. Loads of one `name` arrive alike."""
        return LoadRun(self._native.load(service, load._to_native(), name, in_flight_max))

    @property
    def now(self) -> float:
        """Virtual seconds since the world began."""
        return self._native.now()

    @property
    def trace_hash(self) -> int:
        """Equal for equal histories."""
        return self._native.trace_hash()

    def __repr__(self) -> str:
        return f"<Simulation seed={self.seed} now={self.now:g}>"


_seconds = seconds
