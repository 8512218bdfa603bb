#!/usr/bin/env python3
"""Cold start to exit: our sandbox, and crun and runc by us, beside their bare command lines,
interleaved in one run.

    benchmarks/peers/compare_sandbox.py BUILD [ROUNDS]

BUILD holds benchmarks/peer_knative_sandbox and tests/sandbox_guest. As root. Everything runs in a
mount namespace without the second version of control groups where a host has both: crun refuses
such hosts, and does without control groups here; ours has memory, CPU and process limits.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def bundle(folder, root):
    """A bundle as crun writes it, for our program instead of a shell on a terminal."""
    folder.mkdir()
    subprocess.run(["crun", "spec"], cwd=folder, check=True)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["process"]["terminal"] = False
    config["process"]["args"] = ["/guest", "true"]
    config["root"] = {"path": str(root), "readonly": False}
    path.write_text(json.dumps(config))
    return folder


def main():
    build = Path(sys.argv[1]).resolve()
    rounds = sys.argv[2] if len(sys.argv) > 2 else "100"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = folder / "root"
        for made in ("proc", "dev", "sys", "tmp", "etc"):
            (root / made).mkdir(parents=True)
        shutil.copy(build / "tests/sandbox_guest", root / "guest")
        uppers = folder / "uppers"
        uppers.mkdir()
        command = [str(build / "benchmarks/peer_knative_sandbox"), rounds, "/guest", str(root),
                   str(uppers)]
        if shutil.which("crun"):
            where = bundle(folder / "bundle", root)
            command += ["crun", f"crun --cgroup-manager=disabled run --bundle {where} ID"]
            if shutil.which("runc"):
                command += ["runc", f"runc run --bundle {where} ID"]
        script = ('mount --make-rprivate /; umount /sys/fs/cgroup/unified 2>/dev/null; '
                  'exec "$@"')
        os.sync()
        subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", *command], check=True)


if __name__ == "__main__":
    main()
