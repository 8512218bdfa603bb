#!/usr/bin/env python3
"""Measure the marks and print them as one table beside the floors.

    benchmarks/table.py --build build/release [--quick] [--only WORD] [--record] [--strict]

In-process figures are CPU time of Google Benchmark programs. Comparisons run the peer in
interleaved rounds, the order reversed every round: the median of the rounds' ratios counts, the
range is given. A row that cannot be measured says why. Floors are the best that was measured or
computed for any program on a machine of 2 cores; they are not promises of ours.
"""

import argparse
import datetime
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

HERE = Path(__file__).resolve().parent
NANOSECONDS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}


class NotMeasured(Exception):
    """Why a row has no figure."""


@dataclass
class Figure:
    value: float  # the median
    unit: str
    least: float
    greatest: float
    note: str = ""


@dataclass
class Row:
    name: str
    measure: Callable
    floor: str
    unit: str = ""  # of the mark
    at_most: float | None = None
    at_least: float | None = None


class Bench:
    """The programs of one build."""

    def __init__(self, build, quick, disk):
        self.build = build
        self.programs = build / "benchmarks"
        self.quick = quick
        self.disk = disk
        self.rounds = 3 if quick else 11
        # Many short rounds: what both sides of a ratio see must be the same minute's noise.
        self.load_rounds = 3 if quick else 21
        self.load_seconds = 0.3 if quick else 0.4
        self.found = {}  # what a comparison printed; some have several rows

    def run(self, command, **how):
        if not Path(command[0]).exists():
            raise NotMeasured(f"{command[0]} is not built")
        try:
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                                  check=False, timeout=900, **how)
        except subprocess.TimeoutExpired as error:
            raise NotMeasured(f"{command[0]} did not end") from error
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise NotMeasured(f"{Path(command[0]).name}: {lines[-1]}")
        return done.stdout

    def google(self, program, name, repetitions=None, **how):
        """The repetitions of one benchmark."""
        text = self.run([self.programs / program, f"--benchmark_filter=^{name}$",
                         "--benchmark_format=json",
                         f"--benchmark_min_time={0.05 if self.quick else 0.3}",
                         f"--benchmark_repetitions={repetitions or self.rounds}"], **how)
        try:
            rows = [row for row in json.loads(text[text.index("{"):])["benchmarks"]
                    if row.get("run_type") == "iteration"]
        except (ValueError, KeyError) as error:
            raise NotMeasured(f"{program} printed no JSON") from error
        failed = [row["error_message"] for row in rows if row.get("error_occurred")]
        if failed or not rows:
            raise NotMeasured(failed[0] if failed else f"{program} has no {name}")
        return rows

    def script(self, name):
        if name not in self.found:
            text = self.run([sys.executable, HERE / "peers" / name, "--build", self.build,
                             "--rounds", self.load_rounds, "--seconds", self.load_seconds,
                             "--json"])
            self.found[name] = json.loads(text[text.index("{"):])
        return self.found[name]


def figure(values, unit, note=""):
    return Figure(statistics.median(values), unit, min(values), max(values), note)


def cpu_times(rows, scale):
    return [row["cpu_time"] * NANOSECONDS[row["time_unit"]] / scale for row in rows]


# ---------------------------------------------------------------------------- rows

def in_process_call(bench):
    rows = bench.google("router_bench", "call_through_router_and_queue/0")
    calls_per_iteration = 1000
    return figure(cpu_times(rows, calls_per_iteration), "ns",
                  f"{rows[0]['allocations_per_call']:.0f} allocations")


def http_function(bench):
    found = bench.script("compare_http.py")
    return Figure(found["ratio"], "x req/s", found["least"], found["greatest"],
                  f"{found['ours']['requests_per_second']:.0f}/s, "
                  f"{found['ours']['cpu_us_per_request']:.1f} us CPU")


def proxied_request(bench):
    found = bench.script("compare_proxy.py")
    return Figure(found["ratio"], "x CPU", found["least"], found["greatest"],
                  f"{found['ours']['cpu_us_per_request']:.1f} against "
                  f"{found['base']['cpu_us_per_request']:.1f} us")


def over_tls(bench, what):
    found = bench.script("compare_tls.py")[what]
    per_second = 1e6 / found["ours"]["cpu_us_per_request"]
    base = 1e6 / found["base"]["cpu_us_per_request"]
    return Figure(found["ratio"], "x CPU", found["least"], found["greatest"],
                  f"{per_second:,.0f} against {base:,.0f} per CPU second")


def autoscaler_pass(bench):
    times = cpu_times(bench.google("autoscaler_bench", "pass/10000"), 1e6)
    return figure(times, "ms", f"{10.0 / statistics.median(times):.1f} M decisions/s")


def durable(bench, program, name):
    kind = subprocess.run(["stat", "-f", "-c", "%T", bench.disk], capture_output=True, text=True,
                          check=False).stdout.strip()
    if kind in ("tmpfs", "ramfs"):
        raise NotMeasured(f"{bench.disk} is {kind}, not a disk (--disk)")
    rows = bench.google(program, f"{name}/manual_time", cwd=bench.disk)
    rates = [row["events_per_second"] for row in rows]
    raw = [row["raw_per_second"] for row in rows]
    return figure([row["of_raw"] for row in rows], "x raw",
                  f"{statistics.median(rates) / 1e3:.1f} k/s of {statistics.median(raw) / 1e3:.1f}")


def publish_over_http(bench):
    found = bench.script("run_broker.py")
    return Figure(found["events_per_second"], "/s", found["least"], found["greatest"],
                  f"{found['cpu_us_per_event']:.1f} us CPU, "
                  f"{100 * found['delivered'] / found['accepted']:.0f} % delivered meanwhile")


def fan_out(bench):
    rows = bench.google("event_broker_bench", "fan_out/5")
    return figure([row["items_per_second"] for row in rows], "/s", "1 KB; 5 of 10 triggers match")


def single_filter(bench):
    return figure(cpu_times(bench.google("event_bench", "filter_exact_type"), 1), "ns",
                  "exact on one attribute")


def store_growth(bench):
    rows = bench.google("store_bench", "create_100000/iterations:1", 3 if bench.quick else 5)
    figures = {key: statistics.median(row[key] for row in rows)
               for key in ("first_us", "last_us", "bytes_each")}
    return figure([row["last_to_first"] for row in rows], "x",
                  f"{figures['first_us']:.1f} us, then {figures['last_us']:.1f} us; "
                  f"{figures['bytes_each'] / 1e3:.1f} KB each")


def store_list(bench):
    times = cpu_times(bench.google("store_bench", "list_10_by_label", 3), 1e3)
    return figure(times, "us", "10 of 100,000")


def store_change(bench):
    times = cpu_times(bench.google("store_bench", "change_one_of_100000", 3), 1e3)
    return figure(times, "us", "1,100 watches of others")


def packing(bench):
    name = "pack_layer/gzip:1/real_time"
    rows = bench.google("builder_bench", name, 1 if bench.quick else 3)
    return figure([row["bytes_per_second"] / 1e6 for row in rows], "MB/s", "gzip level 1")


def layers(bench, what, base):
    if not shutil.which("umoci"):
        raise NotMeasured("umoci is not installed")
    name = "compare_layers.py"
    if name not in bench.found:
        text = bench.run([sys.executable, HERE / "peers" / name, "--program",
                          bench.programs / "peer_knative_layer", "--disk", bench.disk,
                          "--rounds", bench.rounds, "--mb", 40 if bench.quick else 200, "--json"])
        bench.found[name] = json.loads(text[text.index("{"):])
    found = bench.found[name][what]
    return Figure(found["ratio"], "x", found["least"], found["greatest"],
                  f"{found['ours']:.2f} against {found['base']:.2f} s of {base}")


def idle(bench, key, unit):
    runs = []
    for _ in range(bench.rounds):
        with tempfile.TemporaryDirectory(dir=bench.disk) as folder:
            runs.append(json.loads(bench.run([bench.programs / "peer_knative_idle",
                                              Path(folder) / "data"])))
    note = f"all ready {statistics.median(run['all_ready_ms'] for run in runs):.0f} ms"
    return figure([run[key] for run in runs], unit, note)


def scale(bench, name, counter):
    """A counter of scale_bench; a world of ten thousand is filled once per figure."""
    return bench.google("scale_bench", name, 1)[0][counter]


def to_ready(bench, kind):
    few, some, many = (scale(bench, f"to_ready<{kind}>/{there}/iterations:2", "cpu_us_each")
                       for there in (100, 1000, 10000))
    return Figure(many / few, "x", many / few, many / few,
                  f"{few:.0f}, {some:.0f}, {many:.0f} us CPU with 100, 1 k, 10 k there")


def at_rest(bench, kind, counter, unit):
    value = scale(bench, f"at_rest<{kind}>/10000/iterations:1", counter)
    return Figure(value, unit, value, value)


def change_one(bench, kind):
    value = scale(bench, f"change_one<{kind}>/10000/iterations:4", "cpu_us_each")
    return Figure(value, "us", value, value, "from apply until it acts, all controllers")


def change_route(bench):
    return figure(cpu_times(bench.google("router_bench", "change_one_route/10000"), 1e3), "us",
                  "four hosts each; table and router")


def rows_of_scale():
    found = [Row("change of a Route among 10,000", change_route, "-", "us", at_most=100)]
    for kind, what in (("Services", "Service"), ("Brokers", "Broker with Trigger")):
        found += [
            Row(f"{what} to Ready, 10 k to 100", lambda bench, k=kind: to_ready(bench, k),
                "1.0 x: each costs the same", "x", at_most=1.5),
            Row(f"memory, 10,000 x {what}",
                lambda bench, k=kind: at_rest(bench, k, "resident_mb", "MB"), "-", "MB",
                at_most=1024),
            Row(f"idle CPU, 10,000 x {what}",
                lambda bench, k=kind: at_rest(bench, k, "idle_cpu_percent", "%"), "0 %", "%",
                at_most=1),
            Row(f"apply a change to a {what}", lambda bench, k=kind: change_one(bench, k), "-"),
        ]
    return found


def release_build(minutes):
    if minutes is None:
        raise NotMeasured("see the log of .ci/run, or give --build-minutes")
    return Figure(minutes, "min", minutes, minutes, "given by hand")


def rows(minutes):
    return [
        Row("in-process call, router and queue", in_process_call,
            "20-40 ns bookkeeping", "ns", at_most=1000),
        Row("HTTP request to a C++ function", http_function,
            "1.0 x: the epoll server itself, 6.6 us CPU", "x", at_least=0.6),
        Row("proxied request to a process", proxied_request,
            "0.51-0.61 x HAProxy: epoll by hand", "x", at_most=0.9),
        Row("TLS handshake and one request", lambda bench: over_tls(bench, "handshakes"),
            "1.0 x nginx: OpenSSL's own cost", "x", at_most=1.1),
        Row("request over TLS", lambda bench: over_tls(bench, "requests"),
            "1.0 x nginx", "x", at_most=1.1),
        Row("autoscaler pass, 10,000 revisions", autoscaler_pass,
            "0.16 ms: 16 ns a decision", "ms", at_most=10),
        Row("durable publish, 256 in flight",
            lambda bench: durable(bench, "event_broker_bench", "durable_publish/256"),
            "1.0 x raw fdatasync: 70 k/s to 1.02 M/s", "x", at_least=0.5),
        Row("log append, 256 in flight",
            lambda bench: durable(bench, "log_bench", "durable_append/256"),
            "1.0 x raw fdatasync: 70 k/s to 1.02 M/s", "x", at_least=0.5),
        Row("publish by HTTP, on disk, delivered", publish_over_http,
            "16.7 us CPU: epoll hop, no disk (Go broker 514)"),
        Row("fan-out in memory", fan_out, "(Go broker, 5 triggers: 552/s)"),
        Row("single filter", single_filter, "4 ns", "ns", at_most=50),
        Row("store, last 1,000 of 100,000 objects", store_growth,
            "1.0 x the first 1,000", "x", at_most=1.5),
        Row("store, list by label", store_list, "-", "us", at_most=20),
        Row("store, change among 100,000", store_change, "-", "us", at_most=100),
        Row("image packing", packing, "105 MB/s one thread (umoci 87 MB/s)"),
        Row("packing text into an image", lambda bench: layers(bench, "text", "umoci"),
            "0.32 x umoci: two processors busy", "x", at_most=0.4),
        Row("packing noise into an image", lambda bench: layers(bench, "noise", "umoci"),
            "0.3 x umoci: two digests", "x", at_most=1.1),
        Row("unpacking a layer", lambda bench: layers(bench, "unpack", "tar"),
            "1.0 x tar -xzf, which checks nothing", "x", at_most=1.1),
        Row("platform start-up", lambda bench: idle(bench, "start_ms", "ms"),
            "1.3 ms: a dynamic program answers", "ms", at_most=50),
        Row("idle resident memory", lambda bench: idle(bench, "resident_mb", "MB"), "-",
            "MB", at_most=30),
        *rows_of_scale(),
        Row("clean release build and tests", lambda bench: release_build(minutes),
            "5 min (goal)", "min", at_most=10),
    ]


# ---------------------------------------------------------------------------- table

def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def judge(row, found):
    """(mark, verdict)"""
    if row.at_most is not None:
        holds = None if found is None else found.value <= row.at_most
        return f"<= {row.at_most:g} {row.unit}", holds
    if row.at_least is not None:
        holds = None if found is None else found.value >= row.at_least
        return f">= {row.at_least:g} {row.unit}", holds
    return "-", None


def show(*columns):
    widths = (35, 12, 15, 36, 47, 10, 7)
    print("| " + " | ".join(f"{text:<{width}}" for text, width in zip(columns, widths)) + " |",
          flush=True)


def measure_row(row, bench):
    """Print the row; yields what history keeps of it."""
    kept = {"name": row.name}
    found = None
    try:
        found = row.measure(bench)
    except NotMeasured as why:
        kept["not_measured"] = str(why)
    except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
        kept["not_measured"] = f"{type(error).__name__}: {error}"
    mark, holds = judge(row, found)
    kept |= {"mark": mark, "holds": holds}
    if found is None:
        show(row.name, "-", "-", f"not measured: {kept['not_measured']}", row.floor, mark, "-")
        return kept
    kept |= {"value": found.value, "unit": found.unit, "least": found.least,
             "greatest": found.greatest, "note": found.note}
    verdict = "-" if holds is None else "holds" if holds else "MISSED"
    show(row.name, f"{number(found.value)} {found.unit}",
         f"{number(found.least)} - {number(found.greatest)}", found.note, row.floor, mark, verdict)
    return kept


def describe(build):
    """(commit, build type, cores, load)"""
    commit = subprocess.run(["git", "-C", HERE, "describe", "--always", "--dirty"],
                            capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    kind = "unknown"
    cache = build / "CMakeCache.txt"
    if cache.exists():
        kind = next((line.split("=", 1)[1].strip() for line in cache.read_text().splitlines()
                     if line.startswith("CMAKE_BUILD_TYPE:")), kind)
    return commit, kind, os.cpu_count(), os.getloadavg()[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=Path("build/release"))
    parser.add_argument("--disk", type=Path, help="directory on a real disk (default: the build)")
    parser.add_argument("--quick", action="store_true", help="a smoke test of every row")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--build-minutes", type=float, help="of a clean release build")
    parser.add_argument("--record", action="store_true", help="append to benchmarks/history.jsonl")
    parser.add_argument("--strict", action="store_true", help="fail on a missed or missing mark")
    options = parser.parse_args()
    build = options.build.resolve()
    commit, kind, cores, load = describe(build)
    print(f"commit {commit}, {kind} build, {cores} cores, load {load:.1f} before, "
          f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC"
          f"{', quick' if options.quick else ''}\n")
    if kind != "Release":
        print(f"these figures say nothing: the build is {kind}, not Release\n")
    bench = Bench(build, options.quick, (options.disk or build).resolve())
    show("what", "measured", "range", "", "floor", "mark", "verdict")
    show(*("-" * width for width in (35, 12, 15, 36, 47, 10, 7)))
    kept = [measure_row(row, bench) for row in rows(options.build_minutes)
            if options.only in row.name]
    marks = [one for one in kept if one["mark"] != "-"]
    held = sum(one["holds"] is True for one in marks)
    missed = sum(one["holds"] is False for one in marks)
    print(f"\n{held} marks hold, {missed} missed, {len(marks) - held - missed} not measured; "
          f"load {os.getloadavg()[0]:.1f} after")
    if options.record:
        line = {"commit": commit, "time": datetime.datetime.now(datetime.timezone.utc).isoformat(
            timespec="seconds"), "build": kind, "cores": cores, "load": load,
                "quick": options.quick, "rows": kept}
        with (HERE / "history.jsonl").open("a") as history:
            history.write(json.dumps(line) + "\n")
    return 1 if options.strict and held < len(marks) else 0


if __name__ == "__main__":
    sys.exit(main())
