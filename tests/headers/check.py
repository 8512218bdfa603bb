#!/usr/bin/env python3
"""Compile every public header alone, within its budgets, and all of them with clang; check fwd.hpp's
names.

Budgets: 1.3 s of CPU for one header, 2.2 s for those that compose everything (knative.hpp,
platform.hpp, platform_thread.hpp), 100,000 preprocessed lines for knative.hpp; asio.hpp costs
what Boost costs. The best of three runs counts. Machines are shared: a run that takes longer stands
beside one of a fixed set of standard headers, and the budget grows with what that takes longer than
on the machine where the budgets were made. Prints "N passed, N failed, N skipped".
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FLAGS = ["-std=c++20", "-Wall", "-Wextra", "-Wconversion", "-Werror",
         "-Wno-missing-field-initializers", "-I", str(ROOT / "include")]
SECONDS_MAX, UMBRELLA_SECONDS_MAX, UMBRELLA_LINES_MAX = 1.3, 2.2, 100_000
UMBRELLAS = ("knative.hpp", "platform.hpp", "platform_thread.hpp")
OPT_IN = ("asio.hpp",)
STANDARD = ("chrono", "coroutine", "functional", "map", "memory", "optional", "string", "variant",
            "vector")
STANDARD_SECONDS = 0.5  # what STANDARD took where the budgets were made


def cpu_seconds(command):
    """(exit code, what it said, CPU seconds of this one command)"""
    with tempfile.TemporaryFile("w+") as said:
        started = subprocess.Popen(command, stdout=said, stderr=said)
        _, status, used = os.wait4(started.pid, 0)
        started.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        return started.returncode, said.read(), used.ru_utime + used.ru_stime


def standard_seconds(source):
    """What the fixed set of standard headers takes just now."""
    source.write_text("".join(f"#include <{name}>\n" for name in STANDARD))
    return cpu_seconds(["g++", *FLAGS, "-fsyntax-only", str(source)])[2]


def check(header, source, standard):
    umbrella = header.name == "knative.hpp"
    source.write_text(f"#include <knative/{header.name}>\n#include <knative/{header.name}>\n")
    limit = (float("inf") if header.name in OPT_IN
             else UMBRELLA_SECONDS_MAX if header.name in UMBRELLAS else SECONDS_MAX)
    best = None
    for _ in range(3):
        code, said, seconds = cpu_seconds(["g++", *FLAGS, "-fsyntax-only", str(source)])
        if code != 0:
            return said[:2000]
        if seconds > limit:
            seconds /= max(1.0, standard_seconds(standard) / STANDARD_SECONDS)
        best = seconds if best is None else min(best, seconds)
        if best <= limit:
            break
    if best > limit:
        return f"{best:.2f} s of CPU, at most {limit:.2f}"
    if umbrella:
        text = subprocess.run(["g++", *FLAGS, "-E", "-P", str(source)], capture_output=True,
                              text=True, check=True).stdout
        lines = text.count("\n")
        if lines > UMBRELLA_LINES_MAX:
            return f"{lines} preprocessed lines, at most {UMBRELLA_LINES_MAX}"
        print(f"headers: knative.hpp {best:.2f} s, {lines} preprocessed lines")
    return None


def forward_names(source):
    """Every name of fwd.hpp is that of a type which a public header defines, class or struct."""
    names, namespace = [], ""
    for line in (ROOT / "include/knative/fwd.hpp").read_text().splitlines():
        if match := re.match(r"namespace (\w+) \{", line):
            namespace = "" if match[1] == "knative" else match[1] + "::"
        elif line.startswith("}"):
            namespace = ""
        elif match := re.match(r"(?:class|struct) (\w+);", line):
            template = "<int>" if match[1] in ("Result", "Task") else ""
            names.append(f"knative::{namespace}{match[1]}{template}")
    headers = sorted(path.name for path in (ROOT / "include/knative").glob("*.hpp")
                     if path.name not in OPT_IN)
    source.write_text("#include <knative/fwd.hpp>\n"
                      + "".join(f"#include <knative/{header}>\n" for header in headers)
                      + "".join(f"static_assert(sizeof({name}) > 0);\n" for name in names))
    clang = shutil.which("clang++-14")
    command = [clang or "g++", *FLAGS, "-fsyntax-only", str(source)]
    done = subprocess.run(command + (["-Wmismatched-tags"] if clang else []),
                          capture_output=True, text=True)
    return done.stderr[:2000] if done.returncode != 0 else None


def main():
    passed = failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        headers = sorted((ROOT / "include/knative").glob("*.hpp"))

        def alone(header):
            return check(header, Path(scratch) / f"{header.stem}_alone.cpp",
                         Path(scratch) / f"{header.stem}_standard.cpp")

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            problems = list(pool.map(alone, headers))
        for header, problem in zip(headers, problems):
            if problem:
                failed += 1
                print(f"headers: {header.name} FAILED: {problem}")
            else:
                passed += 1
        problem = forward_names(Path(scratch) / "names.cpp")
        if problem:
            failed += 1
            print(f"headers: the names of fwd.hpp FAILED: {problem}")
        else:
            passed += 1
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
