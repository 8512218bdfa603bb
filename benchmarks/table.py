#!/usr/bin/env python3
"""Run the benchmarks and print the marks as one table.

    benchmarks/table.py --build build/release [--quick]

In-process figures are CPU time of Google Benchmark programs; comparisons run the peer in
interleaved rounds of the same run. A row says what was measured, the mark, and whether it holds.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
NANOSECONDS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}


def google(build, program, pattern, seconds):
    """Median CPU time in ns, and counters, of the first benchmark that matches."""
    path = build / "benchmarks" / program
    if not path.exists():
        return None
    done = subprocess.run([path, f"--benchmark_filter={pattern}", "--benchmark_format=json",
                           f"--benchmark_min_time={seconds}", "--benchmark_repetitions=3"],
                          capture_output=True, text=True, check=False)
    try:
        rows = [row for row in json.loads(done.stdout)["benchmarks"]
                if row.get("run_type") == "iteration"]
    except (ValueError, KeyError):
        return None
    if not rows:
        return None
    times = [row["cpu_time"] * NANOSECONDS[row["time_unit"]] for row in rows]
    return statistics.median(times), rows[0]


def compare(script, build, rounds):
    done = subprocess.run([sys.executable, HERE / "peers" / script, "--build", build,
                           "--rounds", str(rounds), "--json"], capture_output=True, text=True,
                          check=False)
    try:
        return json.loads(done.stdout[done.stdout.index("{"):])
    except ValueError:
        print(done.stderr[-500:], file=sys.stderr)
        return {}


def row(name, value, mark, holds):
    verdict = "-" if holds is None else ("holds" if holds else "MISSED")
    print(f"| {name:<44} | {value:>22} | {mark:>18} | {verdict:<6} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=Path("build/release"))
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    seconds, rounds = (0.05, 3) if arguments.quick else (0.5, 11)

    print(f"| {'what':<44} | {'measured':>22} | {'mark':>18} |        |")
    print(f"|{'-' * 46}|{'-' * 23}:|{'-' * 19}:|--------|")
    in_process = [
        ("in-process call through router and queue", "router_bench", "^call_through_router_and_queue/0$", 1e3, "1 µs"),
        ("autoscaler pass, 10,000 revisions", "autoscaler_bench", "^pass/10000", 10e6, "10 ms"),
        ("single filter", "event_bench", "^filter_exact_type$", 50, "50 ns"),
    ]
    for name, program, pattern, limit, mark in in_process:
        found = google(build, program, pattern, seconds)
        if found is None:
            row(name, "not measured", f"<= {mark}", None)
        else:
            value = found[0]
            shown = f"{value / 1e6:.2f} ms" if value > 1e6 else f"{value:.0f} ns"
            row(name, shown, f"<= {mark}", value <= limit)
    idle = build / "benchmarks" / "peer_knative_idle"
    if idle.exists():
        runs = [json.loads(subprocess.run([idle], capture_output=True, text=True,
                                          check=True).stdout) for _ in range(5)]
        start = statistics.median(run["start_ms"] for run in runs)
        memory = statistics.median(run["resident_mb"] for run in runs)
        row("platform start-up", f"{start:.1f} ms", "<= 50 ms", start <= 50)
        row("idle resident memory", f"{memory:.1f} MB", "<= 30 MB", memory <= 30)
    for name, script, mark in (("HTTP function beside epoll server, req/s", "compare_http.py",
                                ">= 0.6"),
                               ("proxied request beside HAProxy, CPU", "compare_proxy.py",
                                "<= 0.9")):
        result = compare(script, build, rounds)
        row(name, json.dumps({key: round(value, 2) for key, value in result.items()
                              if isinstance(value, (int, float))})[:60] or "not measured", mark,
            None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
