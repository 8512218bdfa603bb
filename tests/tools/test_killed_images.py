"""A platform that is killed while it pulls, unpacks, starts, steps and pushes images.

KNATIVE_KILLS says how often (8); KNATIVE_KILLS_SEED, by which numbers.
"""

import gzip
import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import tarfile
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import pytest
from test_command import SECONDS_MAX, Up, up  # noqa: F401 (a fixture)

KILLS = int(os.environ.get("KNATIVE_KILLS", "8"))
SEED = int(os.environ.get("KNATIVE_KILLS_SEED", "1"))
SHELL = Path("/bin/busybox")
BALLAST_BYTES = 24 << 20
MANIFEST = "application/vnd.oci.image.manifest.v1+json"

SERVE = "trap exit TERM; /bin/busybox httpd -f -p $PORT -h /www & wait"
STEP = ("/bin/busybox head -c 8000000 /dev/urandom > data && /bin/busybox sleep 0.1 && "
        "echo '#!/bin/sh' > serve && /bin/busybox chmod +x serve && echo 'web: ./serve' > Procfile")
OBJECTS = """
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {{name: guest}}
spec:
  template:
    spec:
      containers:
      - {{image: "{registry}/app", env: [{{name: TOKEN, value: "{token}"}}]}}
---
apiVersion: build.knative.dev/v1alpha1
kind: Build
metadata: {{name: made}}
spec:
  image: "{registry}/team/made:{token}"
  steps:
  - name: make
    image: "{registry}/app"
    env: [{{name: TOKEN, value: "{token}"}}]
    command: [/bin/sh, -c]
    args: ["{step}"]
"""


def layer(files):
    """A gzip layer of (name, bytes or link target, mode)s, and the digest of what is in it."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for name, content, mode in files:
            entry = tarfile.TarInfo(name)
            entry.mode = mode
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                archive.addfile(entry)
            else:
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), 1), digest_of(plain.getvalue())


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Registry:
    """What is asked of a registry by hand."""

    def __init__(self, base):
        self.base, self.host = base, base.split("//")[1]

    def put(self, path, content, media_type):
        request = urllib.request.Request(self.base + path, data=content, method="PUT",
                                         headers={"Content-Type": media_type})
        urllib.request.urlopen(request, timeout=SECONDS_MAX).read()

    def put_blob(self, repository, content):
        request = urllib.request.Request(f"{self.base}/v2/{repository}/blobs/uploads/", data=b"",
                                         method="POST")
        place = urllib.request.urlopen(request, timeout=SECONDS_MAX).headers["Location"]
        place = place.replace(self.base, "")
        joint = "&" if "?" in place else "?"
        self.put(f"{place}{joint}digest={digest_of(content)}", content,
                 "application/octet-stream")
        return {"digest": digest_of(content), "size": len(content)}

    def put_image(self, repository):
        layers = [layer([("bin/busybox", SHELL.read_bytes(), 0o755), ("bin/sh", "busybox", 0o777),
                         ("www/index.html", b"guest\n", 0o644)]),
                  layer([("ballast", random.Random(SEED).randbytes(BALLAST_BYTES), 0o644)])]
        config = json.dumps({
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
            "os": "linux", "config": {"Entrypoint": ["/bin/sh", "-c", SERVE]},
            "rootfs": {"type": "layers", "diff_ids": [inner for _, inner in layers]}}).encode()
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": dict(
            self.put_blob(repository, config),
            mediaType="application/vnd.oci.image.config.v1+json"), "layers": [dict(
                self.put_blob(repository, outer),
                mediaType="application/vnd.oci.image.layer.v1.tar+gzip") for outer, _ in layers]}
        self.put(f"/v2/{repository}/manifests/latest", json.dumps(manifest).encode(), MANIFEST)

    def image(self, repository, tag):
        """The whole image, checked; None when there is none by this name."""
        try:
            answer = urllib.request.urlopen(urllib.request.Request(
                f"{self.base}/v2/{repository}/manifests/{tag}", headers={"Accept": MANIFEST}))
        except urllib.error.HTTPError as error:
            assert error.code == 404
            return None
        manifest = json.loads(answer.read())
        for blob in [manifest["config"], *manifest["layers"]]:
            content = urllib.request.urlopen(
                f"{self.base}/v2/{repository}/blobs/{blob['digest']}").read()
            assert digest_of(content) == blob["digest"]
        return manifest


def processes_with(token):
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if token.encode() in environment.read_bytes():
                found.append(int(environment.parent.name))
        except OSError:
            continue
    return found


def until(what, wanted):
    deadline = time.monotonic() + SECONDS_MAX
    while not (value := wanted()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return value


def answers(running):
    try:
        return running.send("guest.default.localhost")[1] == "guest\n"
    except urllib.error.HTTPError:
        return False


def check_store(data):
    for blob in (data / "images" / "blobs" / "sha256").iterdir():
        if re.fullmatch("[0-9a-f]{64}", blob.name):
            assert digest_of(blob.read_bytes()) == "sha256:" + blob.name, blob


def finish(running, registry, token):
    until("the Service answers", lambda: answers(running))
    until("the image was pushed", lambda: registry.image("team/made", token))


@pytest.mark.skipif(not SHELL.exists(), reason="no busybox-static")
def test_a_platform_that_is_killed_anywhere_leaves_nothing_and_does_it_all_again(up, tmp_path):
    registry = Registry(up("--registry").base)
    registry.put_image("app")
    numbers = random.Random(SEED)

    def begin(data, token):
        data.mkdir()
        objects = data.with_suffix(".yaml")
        objects.write_text(OBJECTS.format(registry=registry.host, token=token, step=STEP))
        return ["-f", objects, "--data-dir", data]

    token = uuid.uuid4().hex
    arguments = begin(tmp_path / "whole", token)
    started = time.monotonic()
    running = up(*arguments)
    finish(running, registry, token)
    whole = time.monotonic() - started
    assert running.end() == 0
    until("nothing runs", lambda: not processes_with(token))
    shutil.rmtree(tmp_path / "whole")

    for kill in range(KILLS):
        token = uuid.uuid4().hex
        data = tmp_path / f"killed-{kill}"
        arguments = begin(data, token)
        running = up(*arguments)
        time.sleep(numbers.uniform(0, whole))
        running.process.send_signal(signal.SIGKILL)
        running.process.wait()
        until(f"kill {kill}: nothing runs", lambda: not processes_with(token))
        assert str(data) not in Path("/proc/self/mountinfo").read_text(), f"kill {kill}"
        again = up(*arguments)
        finish(again, registry, token)
        assert again.end() == 0, again.text
        until(f"kill {kill}: nothing runs at the end", lambda: not processes_with(token))
        check_store(data)
        shutil.rmtree(data)
