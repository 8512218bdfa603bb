"""The `knative` command as a user runs it: bad options, `up` with manifests, `demo`."""

import os
import re
import select
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

COMMAND = os.environ["KNATIVE_COMMAND"]
SAMPLE = Path(__file__).resolve().parents[2] / "examples" / "sample-app"
SECONDS_MAX = 60


def run(*arguments, **options):
    return subprocess.run([COMMAND, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=SECONDS_MAX, **options)


class Up:
    """A running `knative up`; lines of its output are read as they are needed."""

    def __init__(self, *arguments, stdin=subprocess.DEVNULL, cwd=None):
        self.process = subprocess.Popen(
            [COMMAND, "up", "--listen", "127.0.0.1:0", *map(str, arguments)],
            stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=cwd)
        self.text = ""
        self.base = self.until(r"listening on (https?://\S+)\n")[1]

    def until(self, pattern):
        """Read until the output holds the pattern."""
        deadline = time.monotonic() + SECONDS_MAX
        while not (match := re.search(pattern, self.text)):
            left = deadline - time.monotonic()
            ready = select.select([self.process.stdout], [], [], max(left, 0))[0]
            piece = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            assert piece, f"no {pattern!r} in:\n{self.text}"
            self.text += piece.decode()
        return match

    def send(self, host, path="/", **options):
        request = urllib.request.Request(self.base + path, **options)
        request.add_unredirected_header("Host", host)
        with urllib.request.urlopen(request, timeout=SECONDS_MAX) as answer:
            return answer.status, answer.read().decode()

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=SECONDS_MAX)
        self.text += rest.decode()
        return self.process.returncode


@pytest.fixture
def up():
    running = []

    def start(*arguments, **options):
        running.append(Up(*arguments, **options))
        return running[-1]

    yield start
    for one in running:
        one.process.kill()
        one.process.wait()
        one.process.stdout.close()


BROKER = """
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: default}
"""
TRIGGER = """
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: created}
spec:
  broker: default
  filter: {attributes: {type: order.created}}
  subscriber: {uri: "http://127.0.0.1:9/"}
"""
ORPHAN = """
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: orphan}
spec: {broker: nobody, subscriber: {uri: "http://127.0.0.1:9/"}}
"""
ENDLESS = """
apiVersion: build.knative.dev/v1alpha1
kind: Build
metadata: {name: endless}
spec:
  steps:
  - {name: sleep, image: host, command: [sleep, "86399"]}
"""



def test_parked_events_are_listed_redriven_and_discarded(up, tmp_path):
    refusing = """
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: refused}
spec: {broker: default, delivery: {retry: 0}, subscriber: {uri: "http://127.0.0.1:9/"}}
"""
    manifests = tmp_path / "all.yaml"
    manifests.write_text(BROKER + refusing)
    platform = up("-f", manifests)
    platform.until(r"Trigger default/refused +ready")
    event = {"ce-specversion": "1.0", "ce-type": "a", "ce-source": "/b"}
    for name in ("one", "two"):
        status, _ = platform.send("127.0.0.1", "/default/default", method="POST", data=b"",
                                  headers={**event, "ce-id": name})
        assert status == 202
    server = ["--server", platform.base]
    deadline = time.monotonic() + SECONDS_MAX
    while len(listed := run("parked", "list", "default", *server).stdout.splitlines()) < 2:
        assert time.monotonic() < deadline, listed
    assert listed[0].startswith("refused ") and listed[0].endswith("a one")
    shown = run("parked", "show", "default/default", "--id", "two", *server)
    assert '"attempts": 1' in shown.stdout and '"id": "two"' in shown.stdout
    gone = run("parked", "discard", "default", "--trigger", "refused", "--id", "two", *server)
    assert gone.stdout == "discard: 1\n"
    assert run("parked", "redrive", "default", "--all", *server).stdout == "redrive: 1\n"
    for wrong in (["--id", ""], ["--trigger", "refused", "--offset", ""]):
        refused = run("parked", "discard", "default", *wrong, *server)
        assert refused.returncode == 2 and "empty" in refused.stderr
    for odd in ("default?id=one", "default#x", "x\x1b[31m"):
        unknown = run("parked", "list", odd, *server)
        assert unknown.returncode == 1 and "no Broker or Channel" in unknown.stderr, unknown
        assert "\x1b" not in unknown.stderr
    absent = run("parked", "list", "absent", *server)
    assert absent.returncode == 1 and "absent" in absent.stderr
    assert platform.end() == 0


@pytest.mark.parametrize("arguments, code, words", [
    ([], 2, "usage: knative COMMAND"),
    (["upp"], 2, 'unknown command "upp"'),
    (["up", "--lisen", "x"], 2, "unknown option --lisen"),
    (["up", "--listen"], 2, "--listen needs a value"),
    (["up", "--listen", "foo"], 2, '--listen: endpoint "foo": the port is missing'),
    (["up", "--listen", "0.0.0.0:0"], 2, "--listen-beyond-loopback allows it"),
    (["up", "--listen", "127.0.0.1:0", "--timeout", "soon"], 2, "--timeout: "),
    (["up", "--listen", "127.0.0.1:0", "--timeout=-1s"], 2, "must not be negative"),
    (["up", "--listen", "127.0.0.1:0", "--timeout", "-3"], 2,
     "--timeout: must not be negative: -3; give seconds, or e.g. 90s or 1m30s"),
    (["up", "--listen", "127.0.0.1:0", "-f", "/nowhere.yaml"], 1,
     "/nowhere.yaml: No such file or directory"),
    (["up", "--listen", "127.0.0.1:0", "--tls-cert", "/nowhere.pem", "--tls-key", "/k"], 1,
     "/nowhere.pem: No such file or directory"),
    (["up", "--listen", "127.0.0.1:0", "--tls-key", "/k"], 2,
     "--tls-key: --tls-cert belongs to it"),
    (["up", "--listen", "127.0.0.1:0", "--tls-cert", "/c"], 2,
     "--tls-cert: --tls-key belongs to it"),
    (["up", "--listen", "127.0.0.1:0", "--domain", "a b"], 2, '--domain: "a b": '),
    (["up", "my.yaml"], 2, "unexpected argument my.yaml; files are given with -f"),
    (["demo", "my.yaml"], 2, "unexpected argument my.yaml\n"),
    (["parked"], 2, "a command and a Broker are wanted"),
    (["parked", "look", "default"], 2, "unknown command look"),
    (["parked", "discard", "default"], 2, "--all means whatever there is"),
    (["parked", "list", "default", "--server", "http://127.0.0.1:9"], 1, "knative parked: "),
    (["up", "--listen", "127.0.0.1:0", "--trust", "/dev/null"], 1, "--trust: /dev/null"),
    (["demo", "--sample", "/nowhere"], 1, "/nowhere: No such file or directory"),
    (["demo", "--repo", "/nowhere"], 1, "/nowhere"),
])
def test_a_wrong_command_line_is_one_clear_error(arguments, code, words):
    done = run(*arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr


@pytest.mark.parametrize("arguments, command, option", [
    (["help"], "COMMAND", "version"), (["--help"], "COMMAND", "up"), (["-h"], "COMMAND", "demo"),
    (["up", "--help"], "up", "--filename"), (["help", "up"], "up", "--timeout"),
    (["up", "-f", "x", "-h"], "up", "--listen"), (["demo", "-h"], "demo", "--repo"),
    (["version", "--help"], "version", "version")])
def test_help_is_of_the_command_that_it_is_asked_for(arguments, command, option):
    done = run(*arguments)
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: knative {command}")
    assert option in done.stdout
    other = {"up": "--repo", "demo": "--filename"}.get(command)
    assert other is None or other not in done.stdout


def test_version_is_the_projects():
    cmake = (SAMPLE.parents[1] / "CMakeLists.txt").read_text()
    version = re.search(r"project\(knative VERSION (\S+)", cmake)[1]
    assert run("version").stdout == f"knative {version}\n"
    misused = run("version", "extra")
    assert (misused.returncode, misused.stderr) == (
        2, "knative version: unexpected argument extra\n")


def test_a_wrong_manifest_names_its_place(tmp_path):
    manifest = tmp_path / "broker.yaml"
    manifest.write_text(BROKER + "spek: {}\n")
    done = run("up", "--listen", "127.0.0.1:0", "-f", manifest)
    assert done.returncode == 1
    assert f"{manifest}:5:1" in done.stderr and 'did you mean "spec"' in done.stderr


def test_the_problems_of_all_files_are_told_at_once(tmp_path):
    (tmp_path / "a.yaml").write_text(BROKER + "spek: {}\n")
    (tmp_path / "b.yaml").write_text("apiVersion: apps/v1\nkind: Deployment\n")
    (tmp_path / "c.yaml").write_text("apiVersion: serving.knative.dev/v1alpha1\nkind: Service\n")
    done = run("up", "--listen", "127.0.0.1:0", "-f", tmp_path)
    assert done.returncode == 1
    assert "a.yaml:5:1: unknown field: spek" in done.stderr
    assert 'b.yaml:2:1: no kind "Deployment"' in done.stderr
    assert "has kind Service in serving.knative.dev/v1\n" in done.stderr


def test_a_wrong_manifest_is_told_before_anything_begins(tmp_path):
    manifest = tmp_path / "broker.yaml"
    manifest.write_text(BROKER + "spek: {}\n")
    data = tmp_path / "data"
    done = run("up", "--listen", "127.0.0.1:0", "-f", manifest, "--data-dir", data)
    assert done.returncode == 1
    assert done.stdout == ""
    assert not data.exists()


def test_unknown_kinds_are_left_out_when_asked_and_what_has_no_effect_is_said(up, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.yaml").write_text(BROKER + "spec:\n  config: {apiVersion: v1, "
                                              "kind: ConfigMap, name: c}\n")
    (tmp_path / "b.yaml").write_text("apiVersion: apps/v1\nkind: Deployment\n")
    running = up("-f", tmp_path, "-R", "--skip-unknown-kinds")
    running.until(r"Broker default/default +ready")
    assert 'b.yaml:1:1: left out: no kind "Deployment"' in running.text
    assert "has no effect: spec.config; the log of the Broker" in running.text
    assert running.end() == 0


def test_the_examples_manifests_come_up_and_events_reach_the_application(up):
    running = up("-f", SAMPLE.parent / "06_manifests", cwd=SAMPLE.parents[1])
    running.until(r"Trigger default/orders +ready")
    assert running.send("app.default.localhost") == (200, "hello from app-00001\n")
    event = {"ce-specversion": "1.0", "ce-type": "order.created", "ce-source": "/t", "ce-id": "1",
             "content-type": "application/json"}
    status, _ = running.send("broker-ingress.knative-eventing.localhost", "/default/default",
                             data=b'{"id": 7}', headers=event)
    assert status == 202
    delivered = re.compile(r'^knative_broker_deliveries_total\{.*result="delivered".*\} 1$', re.M)
    deadline = time.monotonic() + SECONDS_MAX
    while not delivered.search(running.send("127.0.0.1", "/metrics")[1]):
        assert time.monotonic() < deadline, running.text
        time.sleep(0.01)
    assert running.end() == 0


def test_manifests_without_an_object_are_said(up, tmp_path):
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    running = up("-f", tmp_path / "empty.yaml")
    running.until("up; interrupt to stop")
    assert "warning: -f: there are no objects in what is named" in running.text
    assert running.end() == 0


def test_a_manifest_comes_from_the_standard_input(up):
    reader, writer = os.pipe()
    os.write(writer, BROKER.encode())
    os.close(writer)
    running = up("-f", "-", stdin=reader)
    os.close(reader)
    running.until(r"Broker default/default +ready")
    assert running.end() == 0


def test_up_prints_urls_and_takes_events_until_interrupted(up, tmp_path):
    # The trigger's file comes first: what it needs may stand in a later one.
    (tmp_path / "a.yaml").write_text(TRIGGER)
    (tmp_path / "b.yaml").write_text(BROKER)
    running = up("-f", tmp_path / "a.yaml", "-f", tmp_path / "b.yaml",
                 "--data-dir", tmp_path / "data")
    url = running.until(r"Broker default/default +ready +(http://\S+)\n")[1]
    running.until(r"up; interrupt to stop\n")
    assert re.search(r"Trigger default/created +ready", running.text)
    host = re.match(r"http://([^/]+)", url)[1]
    event = {"ce-specversion": "1.0", "ce-type": "order.cancelled", "ce-source": "/t",
             "ce-id": "1"}
    status, _ = running.send(host, "/default/default", data=b"", headers=event)
    assert status == 202
    del event["ce-id"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        running.send(host, "/default/default", data=b"", headers=event)
    assert refused.value.code == 400
    assert running.end() == 0
    assert running.text.endswith("stopping\n")


def test_an_interrupt_does_not_wait_for_what_never_becomes_ready(up, tmp_path):
    (tmp_path / "all.yaml").write_text(BROKER + "---" + ENDLESS)
    running = up("-f", tmp_path, "--timeout", "1h")
    running.until(r"Broker default/default +ready")
    assert running.end(signal.SIGTERM) == 0
    assert running.text.endswith("stopping\n")


def test_what_is_not_ready_in_time_is_said_with_its_reason(up, tmp_path):
    (tmp_path / "all.yaml").write_text(ORPHAN + "---" + BROKER)
    running = up("-f", tmp_path, "--timeout", "1s")
    reason = running.until(r"Trigger default/orphan +not ready: (.+)\n")[1]
    assert "nobody" in reason or "Broker" in reason
    running.until(r"Broker default/default +ready")
    assert running.end() == 0


def test_an_image_that_is_nowhere_ends_the_command_that_runs_it(tmp_path):
    done = run("run", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data", "--timeout", "2",
               "127.0.0.1:1/nope:1")
    assert done.returncode == 1
    assert "not ready: " in done.stdout
    assert done.stdout.endswith("stopping\n")


def test_tls_serves_https_alone_to_whom_trusts_its_authority(up, tmp_path):
    running = up("--tls", "--data-dir", tmp_path / "data")
    authority = running.until(r"clients trust (\S+)\n")[1]
    assert running.base.startswith("https://")
    context = ssl.create_default_context(cafile=authority)
    with urllib.request.urlopen(running.base + "/healthz", context=context,
                                timeout=SECONDS_MAX) as answer:
        assert answer.read() == b"ok\n"
    with pytest.raises(OSError):
        urllib.request.urlopen(running.base.replace("https", "http") + "/healthz",
                               timeout=SECONDS_MAX)
    assert running.end() == 0


def test_proxies_come_from_the_environment_when_asked_for():
    environment = {**os.environ, "https_proxy": "socks5://x:1"}
    done = run("up", "--listen", "127.0.0.1:0", "--proxies-from-environment", env=environment)
    assert done.returncode == 1
    assert "https_proxy: is no http URL of a proxy" in done.stderr


def test_a_second_process_is_kept_off_the_data_directory(up, tmp_path):
    running = up("--data-dir", tmp_path / "data")
    second = run("up", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data")
    assert second.returncode == 1
    assert "data directory" in second.stderr
    assert running.end() == 0


def test_the_demo_shows_every_step_with_its_time(tmp_path):
    done = run("demo", env=dict(os.environ, TMPDIR=str(tmp_path)))
    assert done.returncode == 0, done.stderr
    shown = dict(re.findall(r"^  (\S.{20}\S*) +(\S.*?) +[0-9.]+ ms$", done.stdout, re.M))
    shown = {name.strip(): value for name, value in shown.items()}
    assert re.fullmatch(r"[0-9a-f]{40}", shown["commit"])
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", shown["digest"])
    assert shown["url"].startswith("http://app.default.localhost:")
    assert {"response", "cold start", "warm", "accepted", "delivered",
            "reply delivered"} <= shown.keys()
    if "left out" not in shown:
        assert "bin" in shown["step says"] and "workspace" in shown["step says"]
        assert shown["it sees"].split("; ")[1] == "network: lo"
    assert re.findall(r"^  replicas +(\d+)", done.stdout, re.M) == ["0", "1", "0"]
    assert not list(tmp_path.iterdir())


def test_the_demo_says_that_a_repository_has_no_recognised_source(tmp_path):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@localhost"]
    (tmp_path / "notes.txt").write_text("nothing to build\n")
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "notes"]):
        subprocess.run(git + arguments, check=True)
    done = run("demo", "--repo", tmp_path, "--quick")
    assert done.returncode == 1
    assert done.stderr.startswith("knative demo: build: ")
    assert len(done.stderr.splitlines()) == 1


def test_an_interrupted_demo_leaves_nothing_behind(tmp_path):
    process = subprocess.Popen([COMMAND, "demo"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, text=True,
                               env=dict(os.environ, TMPDIR=str(tmp_path)))
    with process:
        for line in process.stdout:
            if line.startswith("  cold start"):
                break
        assert list(tmp_path.iterdir())
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    assert process.returncode == 128 + signal.SIGINT
    assert not list(tmp_path.iterdir())
