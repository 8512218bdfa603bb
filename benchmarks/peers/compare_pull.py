#!/usr/bin/env python3
"""Pull and unpack a large image from docker-registry: ours beside skopeo and umoci, in turns.

    compare_pull.py --program build/release/benchmarks/peer_knative_pull [--mb 500] [--rounds 5]

Prints the medians of the seconds, their ratio, and the largest resident memory of each. Needs
docker-registry, skopeo and umoci (scripts/bootstrap --tests).
"""

import argparse
import os
import random
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

WORDS = [f"word{n:05x}" for n in range(4096)]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fill(folder, megabytes, seed):
    """Half of it random, half of it text, in files of 1 MB."""
    chance = random.Random(seed)
    folder.mkdir()
    for number in range(megabytes):
        if number % 2 == 0:
            content = chance.randbytes(1 << 20)
        else:
            content = " ".join(chance.choices(WORDS, k=110_000)).encode()[:1 << 20]
        (folder / f"file{number}").write_bytes(content)


def timed(command, **options):
    """(seconds, peak MB, output) of a command."""
    begin = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    output, errors = child.stdout.read(), child.stderr.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{command[0]}: {errors.decode()}")
    return time.monotonic() - begin, used.ru_maxrss / 1024, output.decode()


def prepare(root, port, megabytes, layers):
    for layer in range(layers):
        fill(root / f"layer{layer}", megabytes // layers, layer)
    made = root / "made"
    quiet = {"check": True, "stdout": subprocess.DEVNULL}
    subprocess.run(["umoci", "init", "--layout", made], **quiet)
    subprocess.run(["umoci", "new", "--image", f"{made}:v1"], **quiet)
    for layer in range(layers):
        subprocess.run(["umoci", "insert", "--image", f"{made}:v1", root / f"layer{layer}",
                        f"/layer{layer}"], **quiet)
    subprocess.run(["skopeo", "copy", "--dest-tls-verify=false", f"oci:{made}:v1",
                    f"docker://127.0.0.1:{port}/bench:v1"], **quiet)
    return sum(file.stat().st_size for file in (made / "blobs/sha256").iterdir()) / (1 << 20)


def theirs(root, name):
    place = root / "theirs"
    place.mkdir()
    pull, pull_memory, _ = timed(["skopeo", "copy", "--src-tls-verify=false", f"docker://{name}",
                                  f"oci:{place}/store:v1"])
    unpack, unpack_memory, _ = timed(["umoci", "unpack", "--image", f"{place}/store:v1",
                                      f"{place}/bundle"])
    shutil.rmtree(place)
    return pull, unpack, pull + unpack, max(pull_memory, unpack_memory)


def ours(root, name, program):
    place = root / "ours"
    place.mkdir()
    whole, memory, output = timed([program, name, place])
    pull, unpack = (float(word) for word in output.split())
    shutil.rmtree(place)
    return pull, unpack, whole, memory


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--program", required=True, type=Path)
    options.add_argument("--mb", type=int, default=500)
    options.add_argument("--layers", type=int, default=5)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--disk", default=None, help="where everything is put")
    chosen = options.parse_args()
    missing = [tool for tool in ("docker-registry", "skopeo", "umoci") if not shutil.which(tool)]
    if missing:
        raise SystemExit(f"not installed: {', '.join(missing)} (scripts/bootstrap --tests)")
    with tempfile.TemporaryDirectory(dir=chosen.disk) as folder:
        root = Path(folder)
        port = free_port()
        (root / "registry.yml").write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {root}/registry}}}}\n"
            f"http: {{addr: '127.0.0.1:{port}'}}\n")
        registry = subprocess.Popen(["docker-registry", "serve", root / "registry.yml"],
                                    stderr=subprocess.DEVNULL)
        try:
            size = prepare(root, port, chosen.mb, chosen.layers)
            name = f"127.0.0.1:{port}/bench:v1"
            rounds = [(ours(root, name, chosen.program.resolve()), theirs(root, name))
                      for _ in range(chosen.rounds)]
        finally:
            registry.terminate()
            registry.wait()
    print(f"{size:.0f} MB in {chosen.layers} layers, medians of {chosen.rounds} rounds")
    medians = []
    for who, index in (("ours", 0), ("skopeo + umoci", 1)):
        pull, unpack, whole, _ = (statistics.median(one[index][i] for one in rounds)
                                  for i in range(4))
        memory = max(one[index][3] for one in rounds)
        medians.append(whole)
        print(f"{who:15} pull {pull:6.2f} s  unpack {unpack:6.2f} s  whole {whole:6.2f} s  "
              f"peak {memory:5.0f} MB")
    ratio = statistics.median(theirs_[2] / ours_[2] for ours_, theirs_ in rounds)
    print(f"{ratio:.2f} times faster")


if __name__ == "__main__":
    main()
