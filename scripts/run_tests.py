#!/usr/bin/env python3
"""Build one preset and run its test programs, the examples and the Python tests.

Each lane prints how many tests ran; the last line is "N passed, N failed, N skipped".
The names of failed and skipped tests are listed before it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUTPUT_BYTES_MAX = 20000
FUZZ_SECONDS = 5
PYTHON_THREADS = ("test_aio.py", "test_loops.py", "test_platform.py", "test_trials.py")
LONGEST = ("workload_test", "platform_test", "churn_test", "base_test")  # begun first, so that nothing waits for them


class Totals:
    """What ran so far, and the names of what did not pass."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.notes = []
        self.lock = threading.Lock()  # lanes run side by side

    def add(self, lane, counts, seconds):
        passed, failed, skipped = counts
        self.passed += passed
        self.failed += failed
        self.skipped += skipped
        print(f"lane {lane}: {passed} passed, {failed} failed, {skipped} skipped "
              f"({seconds:.1f} s)", flush=True)

    def close(self, lane, counts, code, output, seconds):
        """Add a lane; an unsuccessful end without a failed test counts as one failure."""
        passed, failed, skipped = counts
        with self.lock:
            if code != 0:
                sys.stdout.write(output.decode(errors="replace")[-OUTPUT_BYTES_MAX:])
                if failed == 0:
                    failed = 1
                    self.notes.append(f"FAILED {lane}: ended with code {code}")
            self.add(lane, (passed, failed, skipped), seconds)


def run(command, limit_seconds, environment=None):
    """Run to the end or the limit. Returns (code, output, seconds)."""
    started = time.monotonic()
    try:
        done = subprocess.run([str(part) for part in command], cwd=ROOT, env=environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=limit_seconds)
        code, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as expired:
        code, output = -1, (expired.stdout or b"") + b"\nno end within the limit\n"
    return code, output, time.monotonic() - started


def build(preset, options, jobs, targets):
    started = time.monotonic()
    subprocess.run(["cmake", "--preset", preset, *options], cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL)
    environment = dict(os.environ, NINJA_STATUS="[%f/%t %es] ")
    subprocess.run(["ninja", "-C", str(ROOT / "build" / preset), f"-j{jobs}", *targets],
                   check=True, env=environment)
    print(f"build: preset {preset}, {time.monotonic() - started:.0f} s", flush=True)


def gtest_lane(totals, program, gtest_filter, limit_seconds):
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        command = [program, f"--gtest_output=json:{report}", "--gtest_brief=1"]
        if gtest_filter:
            command.append(f"--gtest_filter={gtest_filter}")
        code, output, seconds = run(command, limit_seconds)
        passed = failed = skipped = 0
        suites = json.loads(report.read_text())["testsuites"] if report.exists() else []
        for case in (case for suite in suites for case in suite["testsuite"]):
            name = f"{program.name}: {case['classname']}.{case['name']}"
            if case.get("result") == "SKIPPED":
                skipped += 1
                reasons = [entry.get("message", "") for entry in case.get("skipped", [])]
                totals.notes.append(f"skipped {name} {' '.join(reasons).strip()}")
            elif case.get("failures"):
                failed += 1
                totals.notes.append(f"FAILED {name}")
            elif case.get("status") == "RUN":
                passed += 1
        totals.close(program.name, (passed, failed, skipped), code, output, seconds)


def junit_counts(totals, lane, report):
    """Count a JUnit file as ctest or pytest writes it."""
    passed = failed = skipped = 0
    if report.exists():
        for case in ElementTree.parse(report).getroot().iter("testcase"):
            name = f"{lane}: {case.get('classname')}.{case.get('name')}"
            if (case.find("failure") is not None or case.find("error") is not None
                    or case.get("status") == "fail"):
                failed += 1
                totals.notes.append(f"FAILED {name}")
            elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
                skipped += 1
                node = case.find("skipped")
                reason = node.get("message", "") if node is not None else ""
                totals.notes.append(f"skipped {name} {reason}")
            else:
                passed += 1
    return passed, failed, skipped


def extra_lane(totals, binary, limit_seconds):
    """Examples and compile checks: the tests that ctest knows by the label extra."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        code, output, seconds = run(["ctest", "--test-dir", binary, "-L", "^extra$",
                                     "--output-on-failure", "--output-junit", report],
                                    limit_seconds)
        counts = junit_counts(totals, "extra", report)
        totals.close("extra (examples, compile checks)", counts, code, output, seconds)


def fuzz_lane(totals, program, limit_seconds):
    """Every input of the corpus, and what a few seconds make of them: the targets still work."""
    with tempfile.TemporaryDirectory() as scratch:
        found, seeds = Path(scratch) / "found", Path(scratch) / "seeds"
        found.mkdir()
        seeds.mkdir()
        name = program.name.removesuffix("_fuzz")
        corpora = [folder for folder in [ROOT / "tests/corpus" / name] if folder.is_dir()]
        seeder = ROOT / "tests/fuzz" / f"seed_{name}_corpus.py"
        if seeder.exists():
            subprocess.run(["/usr/bin/python3", seeder, seeds], check=True,
                           stdout=subprocess.DEVNULL)
            corpora.append(seeds)
        code, output, seconds = run([program, f"-max_total_time={FUZZ_SECONDS}",
                                     f"-artifact_prefix={found}/", found, *corpora],
                                    limit_seconds)
        for crash in found.glob("*-*"):
            totals.notes.append(f"FAILED {program.name}: {crash.name}: {crash.read_bytes()[:300]}")
        totals.close(program.name, (1 if code == 0 else 0, 0, 0), code, output, seconds)


def shortened(report, line_max=200):
    """A sanitizer's report without the ends of its lines: names of templates fill pages."""
    return b"".join(line[:line_max] + b"\n" for line in report.splitlines())


def pytest_lane(totals, lane, tests, variables, limit_seconds):
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", **variables)
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        sanitizer = Path(scratch) / "sanitizer"
        if "TSAN_OPTIONS" in environment:  # pytest keeps what passing tests write to stderr
            environment["TSAN_OPTIONS"] += f" log_path={sanitizer}"
        code, output, seconds = run(["/usr/bin/python3", "-m", "pytest", "-q", "-p",
                                     "no:cacheprovider", f"--junitxml={report}", *tests],
                                    limit_seconds, environment)
        counts = junit_counts(totals, lane, report)
        for found in sorted(Path(scratch).glob("sanitizer.*")):
            output += shortened(found.read_bytes())
        totals.close(lane, counts, code, output, seconds)


def sanitized_python(totals, binary, limit_seconds):
    """The tests of the Python module that have threads, under the thread sanitizer."""
    library = subprocess.run(["g++", "-print-file-name=libtsan.so"], capture_output=True, text=True,
                             check=True).stdout.strip()
    variables = {"PYTHONPATH": str(binary / "python"), "KNATIVE_SOURCE_DIR": str(ROOT),
                 "LD_PRELOAD": os.path.realpath(library),
                 "TSAN_OPTIONS": f"suppressions={ROOT}/tests/support/tsan_python.supp"}
    # The sanitizer lets no forked child begin threads, as the one does that makes a platform.
    tests = ["-k", "not (forked and makes)",
             *(f"bindings/python/tests/{name}" for name in PYTHON_THREADS)]
    return (pytest_lane, totals, "python, tsan", tests, variables, limit_seconds)


def lanes(totals, binary, arguments):
    """What is to be run, the longest first: (function, arguments...)."""
    if arguments.sanitized_python:
        yield sanitized_python(totals, binary, arguments.limit)
        return
    chosen, _, one_filter = arguments.filter.rpartition("=")
    programs = [program for program in (binary / "tests").glob("*_test")
                if not arguments.only or program.name in arguments.only]
    for program in sorted(programs, key=lambda one: (one.name not in LONGEST, one.name)):
        concerned = not chosen or chosen == program.name
        yield (gtest_lane, totals, program, one_filter if concerned else "", arguments.limit)
    if arguments.only:
        return
    for program in sorted((binary / "fuzz").glob("*_fuzz")):
        yield (fuzz_lane, totals, program, arguments.limit)
    if arguments.units:
        return
    yield (extra_lane, totals, binary, arguments.limit)
    yield (pytest_lane, totals, "command", ["tests/tools"],
           {"KNATIVE_COMMAND": str(binary / "knative")}, arguments.limit)
    if not arguments.no_python:
        yield (pytest_lane, totals, "python", ["bindings/python/tests"],
               {"PYTHONPATH": str(binary / "python"), "KNATIVE_SOURCE_DIR": str(ROOT)},
               arguments.limit)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="release")
    parser.add_argument("--only", nargs="*", help="test programs to run, e.g. base_test")
    parser.add_argument("--filter", default="",
                        help="gtest filter for every program, or PROGRAM=FILTER for one of them")
    parser.add_argument("--no-python", action="store_true", help="leave out the Python module")
    parser.add_argument("--units", action="store_true",
                        help="only the test programs, and build nothing else")
    parser.add_argument("--sanitized-python", action="store_true",
                        help="only the tests of the Python module, for the preset tsan")
    parser.add_argument("--no-build", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(),
                        help="compilers, and lanes, at a time")
    parser.add_argument("--limit", type=int, default=900, help="seconds per lane")
    arguments = parser.parse_args()

    binary = ROOT / "build" / arguments.preset
    if not arguments.no_build:
        python = "OFF" if arguments.no_python else "ON"
        targets = (["knative-python"] if arguments.sanitized_python
                   else ["all"] if not arguments.units else arguments.only or ["unit_tests"])
        build(arguments.preset, [f"-DKNATIVE_PYTHON={python}",
                                 "-DPython_EXECUTABLE=/usr/bin/python3"], arguments.jobs, targets)
    totals = Totals()
    with ThreadPoolExecutor(max(1, arguments.jobs)) as pool:
        for done in [pool.submit(*lane) for lane in lanes(totals, binary, arguments)]:
            done.result()
    for note in sorted(totals.notes):
        print(note)
    print(f"{totals.passed} passed, {totals.failed} failed, {totals.skipped} skipped", flush=True)
    return 1 if totals.failed or not totals.passed else 0


if __name__ == "__main__":
    sys.exit(main())
