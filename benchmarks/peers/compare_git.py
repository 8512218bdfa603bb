#!/usr/bin/env python3
"""Fetch one commit: ours beside `git clone --depth 1`, over every transport, in turns.

    compare_git.py --program build/release/benchmarks/peer_knative_fetch [--rounds 7]

Prints for each transport the medians of the seconds of both programs, from their start to their
end, the median of the ratios of each round, and the bytes that came from the server. Needs git,
openssl, and sshd for ssh (left out, and said so, where there is none).
"""

import argparse
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SERVER = HERE.parents[1] / "tests/engines/builder/git_http_server.py"
CLEAN = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_GLOBAL": "/dev/null",
         "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b",
         "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
WORDS = [f"word{n:05x}" for n in range(4096)]


def git(*words, folder=None):
    subprocess.run(["git", *words], cwd=folder, env=CLEAN, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_repository(root, files, commits):
    """Text of some kB in folders, and a history that nobody wants."""
    chance = random.Random(1)
    work = root / "work"
    git("init", "-q", "-b", "main", work)
    for number in range(files):
        place = work / f"d{number % 40}" / f"s{number % 7}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"f{number}").write_text(" ".join(chance.choices(WORDS, k=1000)))
    git("add", "-A", folder=work)
    git("commit", "-qm", "all", folder=work)
    for number in range(commits):
        (work / f"d{number % 40}" / "changes").write_text(" ".join(chance.choices(WORDS, k=2000)))
        git("add", "-A", folder=work)
        git("commit", "-qm", f"change {number}", folder=work)
    (root / "serve").mkdir()
    git("clone", "-q", "--mirror", work, root / "serve/repo.git")
    git("repack", "-adq", folder=root / "serve/repo.git")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def await_port(port):
    for _ in range(400):
        try:
            with socket.create_connection(("127.0.0.1", port)):
                return
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise SystemExit(f"nobody listens on {port}")


class Relay:
    """Passes connections on to a port, and counts what comes back."""

    def __init__(self, port):
        self.target = port
        self.bytes = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            here, _ = self.listener.accept()
            there = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self.pass_on, args=(here, there, 0), daemon=True).start()
            threading.Thread(target=self.pass_on, args=(there, here, 1), daemon=True).start()

    def pass_on(self, source, target, counts):
        try:
            while piece := source.recv(1 << 16):
                self.bytes += counts * len(piece)
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Transport:
    """How a repository is reached, by git and by us."""

    def __init__(self, name, url, port=None, extra=(), environment=None, options=()):
        self.name, self.url, self.port = name, url, port
        self.extra, self.environment, self.options = extra, environment or {}, options

    def run_git(self, folder, port):
        command = ["git", "clone", "-q", "--depth", "1", *self.options, self.url(port), folder]
        return timed(command, CLEAN | self.environment)

    def run_ours(self, program, folder, port):
        folder.mkdir()
        return timed([program, self.url(port), "main", folder, *self.extra], CLEAN)


def timed(command, environment):
    begin = time.monotonic()
    done = subprocess.run([str(word) for word in command], env=environment, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    took = time.monotonic() - begin
    if done.returncode != 0:
        raise SystemExit(f"{command[0]}: {done.stderr.decode()}")
    return took


def start_http(root, *secure):
    child = subprocess.Popen([sys.executable, SERVER, root / "serve", *secure],
                             stdout=subprocess.PIPE, text=True)
    return child, int(child.stdout.readline())


def make_certificate(root):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-keyout", root / "key.pem", "-out", root / "authority.pem", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def start_ssh(root):
    for key in ("host", "mine"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", root / key],
                       check=True)
    port = free_port()
    Path("/run/sshd").mkdir(exist_ok=True)  # as its init script does
    (root / "sshd.conf").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {root}/host\n"
        f"AuthorizedKeysFile {root}/mine.pub\nStrictModes no\nUsePAM no\nPidFile none\n"
        "PermitRootLogin yes\nAcceptEnv GIT_PROTOCOL\nMaxStartups 100\n")
    child = subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", root / "sshd.conf"],
                             stderr=subprocess.DEVNULL)
    await_port(port)
    return child, port


def start_all(root):
    """The transports, and the servers behind them."""
    repository = root / "serve/repo.git"
    transports = [
        Transport("local", lambda port: f"file://{repository}"),
        Transport("local, links", lambda port: str(repository)),
    ]
    children = []
    child, port = start_http(root)
    children.append(child)
    transports.append(Transport("http", lambda port: f"http://127.0.0.1:{port}/repo.git", port))
    make_certificate(root)
    child, port = start_http(root, root / "authority.pem", root / "key.pem")
    children.append(child)
    transports.append(Transport("https", lambda port: f"https://localhost:{port}/repo.git", port,
                                extra=(root / "authority.pem",),
                                environment={"GIT_SSL_CAINFO": str(root / "authority.pem")}))
    port = free_port()
    children.append(subprocess.Popen(
        ["git", "daemon", "--export-all", f"--base-path={root}/serve", "--listen=127.0.0.1",
         f"--port={port}"], env=CLEAN, stderr=subprocess.DEVNULL))
    await_port(port)
    transports.append(Transport("git", lambda port: f"git://127.0.0.1:{port}/repo.git", port))
    if Path("/usr/sbin/sshd").exists():
        child, port = start_ssh(root)
        children.append(child)
        host = (root / "host.pub").read_text()
        (root / "known").write_text(f"* {host}")
        command = (f"ssh -i {root}/mine -o UserKnownHostsFile={root}/known -o BatchMode=yes "
                   "-o IdentitiesOnly=yes -F none")
        transports.append(Transport("ssh", lambda port: f"ssh://127.0.0.1:{port}{repository}",
                                    port, extra=(root / "mine", root / "known"),
                                    environment={"GIT_SSH_COMMAND": command}))
    else:
        print("ssh: sshd is not installed, left out")
    return transports, children


def bytes_of(transport, fetch):
    if transport.port is None:
        return 0
    relay = Relay(transport.port)
    fetch(relay.port)
    time.sleep(0.1)  # what is on its way
    return relay.bytes


def compare(transport, program, root, rounds):
    place = root / "out"

    def run(fetch):
        took = fetch(place)
        shutil.rmtree(place)
        return took

    def ours(folder, port=transport.port):
        return transport.run_ours(program, folder, port)

    def theirs(folder, port=transport.port):
        return transport.run_git(folder, port)

    times = []
    for number in range(rounds + 1):
        pair = [run(one) for one in ((ours, theirs) if number % 2 == 0 else (theirs, ours))]
        times.append(pair if number % 2 == 0 else pair[::-1])
    times = times[1:]  # the first is to warm up
    sizes = [bytes_of(transport, lambda port, one=one: run(lambda folder: one(folder, port)))
             for one in (ours, theirs)]
    medians = [statistics.median(pair[who] for pair in times) for who in (0, 1)]
    ratio = statistics.median(mine / other for mine, other in times)
    line = (f"{transport.name:13} ours {medians[0] * 1000:7.1f} ms  "
            f"git {medians[1] * 1000:7.1f} ms  ratio {ratio:5.2f}")
    if sizes[1]:
        line += (f"   bytes ours {sizes[0]:9}  git {sizes[1]:9}  ratio "
                 f"{sizes[0] / sizes[1]:5.2f}")
    print(line, flush=True)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--program", required=True, type=Path)
    options.add_argument("--files", type=int, default=2000)
    options.add_argument("--commits", type=int, default=300)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--disk", default=None, help="where everything is put")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.disk) as folder:
        root = Path(folder)
        make_repository(root, chosen.files, chosen.commits)
        transports, children = start_all(root)
        try:
            print(f"{chosen.files} files, {chosen.commits} commits, medians of "
                  f"{chosen.rounds} rounds")
            for transport in transports:
                compare(transport, chosen.program.resolve(), root, chosen.rounds)
        finally:
            for child in children:
                child.terminate()
                child.wait()


if __name__ == "__main__":
    main()
