#!/usr/bin/env python3
"""Layers packed beside umoci and unpacked beside tar and umoci, in turns.

    compare_layers.py --program build/release/benchmarks/peer_knative_layer [--mb 200] [--rounds 5]

Three comparisons of seconds: a tree of text packed into an image, as much noise packed, and the
layer of the text unpacked. Needs umoci (scripts/bootstrap --tests).
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

WORDS = [f"word{n:05x}" for n in range(4096)]
FILE_BYTES = 256 << 10


def fill(folder, megabytes, noise):
    chance = random.Random(megabytes)
    for number in range(megabytes * (1 << 20) // FILE_BYTES):
        place = folder / f"folder{number % 50}"
        place.mkdir(parents=True, exist_ok=True)
        if noise:
            content = chance.randbytes(FILE_BYTES)
        else:
            content = " ".join(chance.choices(WORDS, k=FILE_BYTES // 9)).encode()[:FILE_BYTES]
        (place / f"file{number}").write_bytes(content)


def timed(*command):
    """(seconds, CPU seconds, peak MB)"""
    begin = time.monotonic()
    child = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE)
    errors = child.stderr.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{command[0]}: {errors.decode()}")
    return time.monotonic() - begin, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


class Packing:
    """Into a new image layout."""

    def __init__(self, root, program, tree):
        self.root, self.program, self.tree = root, program, tree
        self.peers = {"ours": self.ours, "umoci": self.umoci}

    def ours(self):
        return self.measured(lambda layout: timed(self.program, "pack", self.tree, layout))

    def umoci(self):
        def pack(layout):
            timed("umoci", "init", "--layout", layout)
            timed("umoci", "new", "--image", f"{layout}:v1")
            return timed("umoci", "insert", "--image", f"{layout}:v1", self.tree, "/tree")
        return self.measured(pack)

    def measured(self, pack):
        layout = self.root / "layout"
        figures = pack(layout)
        shutil.rmtree(layout)
        return figures


class Unpacking:
    """Of a layer into a new folder."""

    def __init__(self, root, program, layout):
        self.root, self.program, self.layout = root, program, layout
        blobs = sorted((layout / "blobs/sha256").iterdir(), key=lambda blob: blob.stat().st_size)
        self.layer = blobs[-1]
        self.peers = {"ours": self.ours, "tar": self.tar, "umoci": self.umoci}

    def ours(self):
        return self.measured("unpack", lambda out: timed(self.program, "unpack", self.layer, out))

    def tar(self):
        def unpack(out):
            out.mkdir()
            return timed("tar", "-xzf", self.layer, "-C", out)
        return self.measured("tar", unpack)

    def umoci(self):
        return self.measured("umoci", lambda out: timed(
            "umoci", "unpack", "--image", f"{self.layout}:bench:v1", out))

    def measured(self, name, unpack):
        out = self.root / f"out-{name}"
        figures = unpack(out)
        shutil.rmtree(out)
        return figures


def interleave(peers, rounds):
    figures = {name: [] for name in peers}
    for measure in peers.values():  # warm
        measure()
    for number in range(rounds):
        for name in peers if number % 2 == 0 else reversed(peers):
            figures[name].append(peers[name]())
    return figures


def compare(what, figures, base):
    """Print the medians; what table.py reads of ours beside the base."""
    ratios = [ours[0] / other[0] for ours, other in zip(figures["ours"], figures[base])]
    for name, rounds in figures.items():
        seconds, cpu, memory = (statistics.median(one[i] for one in rounds) for i in range(3))
        print(f"{what:16} {name:6} {seconds:6.3f} s  {cpu:6.3f} s CPU  peak {memory:4.0f} MB")
    middle = statistics.median(ratios)
    print(f"{what:16} {middle:.2f} of {base} ({min(ratios):.2f} to {max(ratios):.2f})")
    return {"ratio": middle, "least": min(ratios), "greatest": max(ratios),
            "ours": statistics.median(one[0] for one in figures["ours"]),
            "base": statistics.median(one[0] for one in figures[base])}


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--program", required=True, type=Path)
    options.add_argument("--mb", type=int, default=200)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--disk", default=None, help="where everything is put")
    options.add_argument("--only", choices=["text", "noise", "unpack"])
    options.add_argument("--json", action="store_true", help="print what table.py reads")
    chosen = options.parse_args()
    if not shutil.which("umoci"):
        raise SystemExit("not installed: umoci (scripts/bootstrap --tests)")
    program = chosen.program.resolve()
    found = {}
    with tempfile.TemporaryDirectory(dir=chosen.disk) as folder:
        root = Path(folder)
        for kind in ("text", "noise"):
            fill(root / kind, chosen.mb, kind == "noise")
            if chosen.only in (None, kind):
                packing = Packing(root, program, root / kind)
                found[kind] = compare(f"packing {kind}", interleave(packing.peers, chosen.rounds),
                                      "umoci")
        if chosen.only in (None, "unpack"):
            timed(program, "pack", root / "text", root / "made")
            unpacking = Unpacking(root, program, root / "made")
            found["unpack"] = compare("unpacking", interleave(unpacking.peers, chosen.rounds),
                                      "tar")
    if chosen.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
