#!/usr/bin/env python3
"""Build the wheel as `pip install .` does, install it elsewhere, and run a program with it.

    tests/install/wheel.py [PYTHON]    PYTHON defaults to Debian's

The build gets scikit-build-core and pybind11 from pip's isolated environment; where the network
does not offer them it uses those that PYTHON has, and without them the check is skipped. Prints
"N passed, N failed, N skipped".
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FACE = ROOT / "bindings/python/knative"
BACKEND = ("scikit-build-core>=0.10", "pybind11>=2.10")
# As deep in the tree and with the flags of the release preset: with ccache, the library is not
# compiled once more.
BUILD = ROOT / "build/wheel"
SETTINGS = [f"build-dir={BUILD}", "cmake.define.KNATIVE_WERROR=ON",
            "cmake.define.KNATIVE_UNITY=ON",
            # By this name the compiler is known to ccache.
            f"cmake.define.CMAKE_CXX_COMPILER={shutil.which('c++')}"]
# The bindings neither, where the release preset has found the system's pybind11.
SYSTEM_PYBIND11 = Path("/usr/lib/cmake/pybind11")
if SYSTEM_PYBIND11.is_dir():
    SETTINGS.append(f"cmake.define.pybind11_DIR={SYSTEM_PYBIND11}")

PROGRAM = """
import threading
import knative as kn

functions = kn.Functions()
functions.http("hello")(lambda request: "hello " + request.query["name"])
received = []
arrived = threading.Event()

with kn.Platform(functions=functions) as platform:
    platform.apply(kn.serving.Service("hello", image="fn:hello")).wait_ready(30)
    reply = platform.invoke("hello", kn.http.get("/?name=wheel"))
    platform.apply(kn.eventing.Broker("default"))

    @platform.subscribe("default", filter=kn.Filter.exact(type="greeting"))
    def receive(event):
        received.append(event)
        arrived.set()

    platform.publish("default", kn.CloudEvent("greeting", "/wheel", {"text": reply.text}))
    assert arrived.wait(30)
print(kn.__version__, reply.status, reply.text, received[0].data["text"], kn.__file__)
"""


class Skipped(Exception):
    pass


def run(*command, **more):
    return subprocess.run([str(part) for part in command], check=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more).stdout


def clean_environment():
    """Nothing of the checkout, nothing that would keep ccache from being used again."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    return environment


def isolation(pip, work, python):
    """The pip arguments that give the build its backend."""
    try:
        run(*pip, "download", "--quiet", "--no-deps", "--dest", work / "backend", *BACKEND,
            env=clean_environment(), timeout=120)
        return ()
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        have = subprocess.run([python, "-c", "import scikit_build_core, pybind11"],
                              capture_output=True).returncode == 0
        if have:
            return ("--no-build-isolation",)
        raise Skipped("neither the network nor this Python offers scikit-build-core") from None


def build(work, python):
    environment = work / "build-environment"
    run(python, "-m", "venv", "--system-site-packages", environment)
    pip = (environment / "bin/python", "-m", "pip")
    extra = isolation(pip, work, python)
    settings = [f"--config-settings={setting}" for setting in SETTINGS]
    shutil.rmtree(BUILD, ignore_errors=True)
    started = time.monotonic()
    run(*pip, "wheel", "--no-deps", "--wheel-dir", work / "dist", *extra, *settings, ROOT, cwd=work,
        env=clean_environment())
    (wheel,) = (work / "dist").glob("*.whl")
    print(f"wheel: {wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB, "
          f"built in {time.monotonic() - started:.0f} s", flush=True)
    return wheel


def check_contents(wheel):
    """The package, its stub and marker, the module; no headers, libraries or CMake files."""
    names = zipfile.ZipFile(wheel).namelist()
    package = {name for name in names if name.startswith("knative/")}
    others = [name for name in names if name not in package and ".dist-info/" not in name]
    assert not others, f"in the wheel, but not of the package: {others}"
    wanted = {f"knative/{path.name}" for path in FACE.iterdir() if path.is_file()}
    assert {"knative/py.typed", "knative/_native.pyi", "knative/aio.py"} <= wanted
    assert wanted <= package, f"missing: {wanted - package}"
    (module,) = package - wanted
    assert module.startswith("knative/_native.") and module.endswith(".so"), module


def check_program(work, python, wheel):
    environment = work / "environment"
    run(python, "-m", "venv", environment)
    run(environment / "bin/python", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps",
        wheel, env=clean_environment())
    line = run(environment / "bin/python", "-c", PROGRAM, cwd=work, env=clean_environment(),
               timeout=120).strip()
    version, status, rest = line.split(" ", 2)
    assert f"-{version}-" in wheel.name, line
    assert (status, rest.rpartition(" ")[0]) == ("200", "hello wheel hello wheel"), line
    assert rest.rpartition(" ")[2].startswith(str(environment)), line
    print(f"wheel: {line}", flush=True)


def main():
    python = sys.argv[1] if len(sys.argv) > 1 else "/usr/bin/python3"
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch).resolve()
        try:
            wheel = build(work, python)
            check_contents(wheel)
            check_program(work, python, wheel)
        except Skipped as reason:
            print(f"wheel: SKIPPED: {reason}")
            print("0 passed, 0 failed, 1 skipped")
            return 0
        except (subprocess.SubprocessError, AssertionError) as error:
            output = getattr(error, "output", None) or ""
            print(output[-20000:] if isinstance(output, str) else "")
            print(f"wheel: FAILED: {error}")
            print("0 passed, 1 failed, 0 skipped")
            return 1
    print("1 passed, 0 failed, 0 skipped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
