"""`knative image` as a user runs it."""

import hashlib
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

COMMAND = os.environ["KNATIVE_COMMAND"]


def image(*arguments, data=None, **options):
    command = [COMMAND, "image", *map(str, arguments)]
    if data is not None:
        command += ["--data-dir", str(data)]
    return subprocess.run(command, capture_output=True, timeout=60,
                          **({"stdin": subprocess.DEVNULL} | options))


def done(*arguments, **options):
    ran = image(*arguments, **options)
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout.decode()


@pytest.fixture
def saved(tmp_path):
    """What an old `docker save` wrote."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("hello"), io.BytesIO())
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/hello"]},
                         "rootfs": {"type": "layers", "diff_ids": [
                             "sha256:" + hashlib.sha256(layer.getvalue()).hexdigest()]}}).encode()
    names = {"layer.tar": layer.getvalue(), "config.json": config, "manifest.json": json.dumps([
        {"Config": "config.json", "RepoTags": ["local/shop:v1"],
         "Layers": ["layer.tar"]}]).encode()}
    path = tmp_path / "saved.tar"
    with tarfile.open(path, "w") as tar:
        for name, content in names.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def test_images_come_in_are_named_and_go_out(tmp_path, saved):
    data = tmp_path / "data"
    name, digest = done("import", saved, data=data).strip().split("@")
    assert name == "local/shop:v1"
    done("tag", "local/shop:v1", "tea:v2", data=data)
    listed = done("list", data=data).splitlines()
    assert [line.split()[:2] for line in listed] == [["local/shop:v1", digest], ["tea:v2", digest]]
    shown = json.loads(done("inspect", "tea:v2", data=data))
    assert shown["digest"] == digest and shown["config"]["config"]["Cmd"] == ["/hello"]
    done("export", "tea:v2", "local/shop:v1", "-o", tmp_path / "out.tar", data=data)
    other = tmp_path / "other"
    with open(tmp_path / "out.tar", "rb") as archive:
        assert len(done("import", "-", data=other, stdin=archive).splitlines()) == 2
    done("import", tmp_path / "data" / "images", data=other)
    layout = image("export", "tea:v2", "--format", "oci", data=other)
    assert layout.returncode == 0
    with tarfile.open(fileobj=io.BytesIO(layout.stdout)) as tar:
        assert "manifest.json" not in tar.getnames() and "index.json" in tar.getnames()
    done("remove", "tea:v2", "local/shop:v1", data=other)
    assert done("list", data=other) == ""


def test_one_image_takes_the_given_name(tmp_path, saved):
    data = tmp_path / "data"
    assert done("import", saved, "--name", "mine", data=data).startswith("mine:latest@sha256:")


@pytest.mark.parametrize("arguments, complaint", [
    ([], "which command"), (["fly"], 'unknown command "fly"'), (["import"], "needs more words"),
    (["list", "x"], "unexpected argument x"), (["list", "--name", "x"], "no option --name"),
    (["tag", "UPPER", "x"], "UPPER"), (["list"], "--data-dir"),
    (["list", "--wrong"], "unknown option --wrong")])
def test_what_is_wrong_with_the_line_is_said(tmp_path, arguments, complaint):
    data = None if arguments == ["list"] else tmp_path
    ran = image(*arguments, data=data)
    assert ran.returncode == 2
    assert complaint in ran.stderr.decode()


def test_what_is_not_there_is_said(tmp_path, saved):
    data = tmp_path / "data"
    assert image("list", data=data).returncode == 1
    assert not data.exists(), "looking makes nothing"
    done("import", saved, data=data)
    for arguments in (["inspect", "x"], ["export", "x", "-o", tmp_path / "o"], ["remove", "x"],
                      ["tag", "x", "y"], ["import", tmp_path / "absent"]):
        ran = image(*arguments, data=data)
        assert ran.returncode == 1 and ran.stderr, arguments
    assert not (tmp_path / "o").exists()
    broken = tmp_path / "broken.tar"
    broken.write_bytes(saved.read_bytes()[:5000])
    ran = image("import", broken, "--name", "x", data=data)
    assert ran.returncode == 1 and b"broken.tar" in ran.stderr
