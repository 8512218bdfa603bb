# From a git repository to a running URL: build the image, run it as a process, call it.
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import knative as kn

with tempfile.TemporaryDirectory() as scratch, kn.Platform() as platform:
    # A repository with the sample application; yours may be any git URL.
    if len(sys.argv) > 1:
        repository = sys.argv[1]
    else:
        sample = Path(__file__).resolve().parents[1] / "sample-app"
        repository = shutil.copytree(sample, scratch + "/app")
        git = ["git", "-C", repository, "-c", "user.name=example",
               "-c", "user.email=example@localhost"]
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "app"]):
            subprocess.run([*git, *command], check=True)

    # No steps: the source is recognised (a Procfile).
    built = platform.builder.run(kn.build.Build("app", git=repository, image="local/app"))
    print("image", built.image)

    platform.apply(kn.serving.Service("app", image=built.image)).wait_ready()
    reply = platform.invoke("app")
    print(reply.status, reply.text, end="")
