#!/usr/bin/env python3
"""Consume the library as users do: installed package, pkg-config, add_subdirectory, FetchContent.

    tests/install/check.py BUILD_DIR    BUILD_DIR is a finished release build

Prints "N passed, N failed, N skipped".
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = ROOT / "tests/install"
BUILDS = ROOT / "build"
# Three ways compile the library for themselves: once for all of them, since they put it at the same
# place below folders that are as deep in the tree; without optimisation; and as a shared object,
# since the installed package, the tests and the examples have the static one.
LAUNCHER = ("-DCMAKE_CXX_COMPILER_LAUNCHER=env;CCACHE_SLOPPINESS=pch_defines,time_macros;"
            f"CCACHE_BASEDIR={ROOT};CCACHE_NOHASHDIR=1;ccache")
QUICK = (LAUNCHER, "-DCMAKE_CXX_FLAGS_RELEASE=-O0", "-DKNATIVE_PCH=ON", "-DKNATIVE_UNITY=ON",
         "-DKNATIVE_SHARED=ON", f"-DKNATIVE_SOURCE={ROOT}")


def run(*command, **more):
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL, **more)


def fresh(name):
    """A build folder that ccache takes for any other of this checkout."""
    folder = BUILDS / f"consumer-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def cmake_project(folder, build, *options):
    run("cmake", "-S", HERE / folder, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
        *options)
    run("ninja", "-C", build, "consumer")
    run(build / "consumer")


def package(work, prefix):
    cmake_project("package", work / "package", f"-DCMAKE_PREFIX_PATH={prefix}")


def third_party(work, prefix):
    """A kind with its controller, from public headers alone, on the installed library."""
    build = work / "package"
    run("ninja", "-C", build, "widget")
    done = subprocess.run([build / "widget"], check=True, capture_output=True, text=True)
    expected = (ROOT / "examples/05_widget/expected.txt").read_text()
    assert done.stdout == expected, done.stdout
    assert not list(prefix.rglob("_native*")), "the Python module is no part of the C++ package"


def missing_component(work, prefix):
    """An unknown component is refused by name."""
    source = work / "missing-source"
    source.mkdir()
    (source / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.22)\nproject(x LANGUAGES CXX)\n"
        "find_package(knative CONFIG REQUIRED COMPONENTS nonsense)\n")
    done = subprocess.run(["cmake", "-S", source, "-B", work / "missing",
                           f"-DCMAKE_PREFIX_PATH={prefix}"], capture_output=True, text=True)
    assert done.returncode != 0 and "nonsense" in done.stderr, done.stderr


def pkg_config(work, prefix):
    environment = dict(os.environ, PKG_CONFIG_PATH=str(next(prefix.glob("lib*/**/pkgconfig"))))
    flags = subprocess.run(["pkg-config", "--static", "--cflags", "--libs", "knative-serving"],
                           check=True, capture_output=True, text=True, env=environment)
    run("g++", "-std=c++20", "-O1", HERE / "consumer.cpp", "-o", work / "by-pkg-config",
        *flags.stdout.split())
    run(work / "by-pkg-config")


def subdirectory(work, prefix):
    del work, prefix
    cmake_project("subdirectory", fresh("subdirectory"), *QUICK)


def fetchcontent(work, prefix):
    del work, prefix
    cmake_project("fetchcontent", fresh("fetchcontent"), *QUICK)


def shared(work, prefix):
    """A project installs it with itself; it has a soname and hides what is not for export."""
    del prefix
    build, root = fresh("shared"), work / "shared"
    cmake_project("subdirectory", build, "-DKNATIVE_INSTALL=ON",
                  f"-DCMAKE_INSTALL_PREFIX={root}", *QUICK)
    run("cmake", "--install", build)
    library = next(root.glob("lib*/**/libknative.so"))
    dynamic = subprocess.run(["readelf", "-d", library], capture_output=True, text=True).stdout
    assert "SONAME" in dynamic and "libknative.so.0.1" in dynamic, dynamic
    symbols = subprocess.run(["nm", "-DC", "--defined-only", library], capture_output=True,
                             text=True).stdout.splitlines()
    leaked = [line for line in symbols if " T " in line and "boost::" in line.split(" T ")[1][:8]]
    assert not leaked, leaked[:5]
    cmake_project("package", work / "package-shared", f"-DCMAKE_PREFIX_PATH={root}")


def main():
    build = Path(sys.argv[1]).resolve()
    passed, failed = 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        prefix = work / "prefix"
        run("cmake", "--install", build, "--prefix", prefix)
        for check in (package, third_party, missing_component, pkg_config, subdirectory,
                      fetchcontent, shared):
            try:
                check(work, prefix)
                passed += 1
                print(f"install: {check.__name__} ok", flush=True)
            except (subprocess.CalledProcessError, AssertionError) as error:
                failed += 1
                print(f"install: {check.__name__} FAILED: {error}", flush=True)
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
