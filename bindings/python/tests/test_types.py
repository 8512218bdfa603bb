"""mypy agrees: the package strictly, tests and examples against its types."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
# Programs need no annotations of their own, but what they call must be there and take that.
LENIENT = ("--check-untyped-defs", "--disable-error-code=var-annotated")
ROOT = HERE.parent.parent.parent


def check(cache, *arguments):
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed (scripts/bootstrap --tests)")
    done = subprocess.run([sys.executable, "-m", "mypy", "--cache-dir", str(cache),
                           *map(str, arguments)], cwd=HERE.parent, capture_output=True, text=True,
                          timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("mypy")


def test_the_package_is_strictly_typed(cache):
    check(cache, "--strict", "--python-version", "3.9", "knative")


def test_the_tests_use_the_package_as_typed(cache):
    check(cache, *LENIENT, "--ignore-missing-imports", "knative", "tests")


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*/*.py")),
                         ids=lambda path: path.stem)
def test_the_examples_use_the_package_as_typed(cache, example):
    check(cache, *LENIENT, "knative", example)
