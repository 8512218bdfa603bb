"""What trials from outside found: data that cannot be decoded, forked children, functions that
go on when their platform is closed."""

import os
import signal
import subprocess
import sys
import threading
import time
import warnings

import pytest

import knative as kn


def echo_platform(**options):
    functions = kn.Functions()
    functions.http("hello")(lambda request: "hello")
    return kn.Platform(functions=functions, listen=None, **options)


@pytest.mark.parametrize("headers, body, wanted, has_data", [
    ([], b"hello plain", b"hello plain", True),
    ([("content-type", "application/json")], b'{"a":', b'{"a":', True),
    ([("content-type", "application/json")], b"null", None, True),
    ([("content-type", "application/json")], b"\xff\xfe", b"\xff\xfe", True),
    ([("content-type", "text/plain")], b"caf\xe9", b"caf\xe9", True),
    ([], b"", None, False),
])
def test_data_that_cannot_be_decoded_is_given_as_bytes(headers, body, wanted, has_data):
    head = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")]
    event = kn.CloudEvent.from_http(head + headers, body)
    assert event.data == wanted
    assert event.has_data is has_data


def test_null_is_data_and_can_be_sent():
    null = kn.CloudEvent("t", "/s", None, datacontenttype="application/json")
    headers, body = null.to_http()
    assert body == b"null"
    assert kn.CloudEvent.from_http(headers, body) == null
    assert not kn.CloudEvent("t", "/s").has_data


def test_a_subscriber_gets_a_body_that_is_no_json():
    arrived = threading.Event()
    received = []
    with echo_platform(data_directory="") as platform:
        platform.apply(kn.eventing.Broker("default")).wait_ready(30)

        @platform.subscribe("default")
        def receive(event):
            received.append(event.data)
            arrived.set()

        native = kn._native.CloudEvent({"id": "1", "source": "/s", "type": "t"}, b"hello plain")
        platform._native.publish("default", native).result()
        assert arrived.wait(30)
    assert received == [b"hello plain"]


def exit_of(child):
    """The exit status of a forked child; one that hangs is killed and fails the test."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hangs"


def test_a_forked_child_that_uses_its_parents_platform_gets_an_error():
    with echo_platform() as platform:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                platform.invoke("hello")
            except RuntimeError as error:
                code = 0 if "parent" in str(error) else 2
            os._exit(code)
        assert exit_of(child) == 0
        platform.apply(kn.serving.Service("hello", image="fn:hello")).wait_ready(30)
        assert platform.invoke("hello").text == "hello"


def test_a_forked_child_that_exits_does_not_hang():
    with echo_platform():
        child = os.fork()
        if child == 0:
            _exit_through_python(7)
        assert exit_of(child) == 7


def _exit_through_python(code):
    """As the interpreter ends: exit handlers, then finalizers."""
    import atexit
    try:
        atexit._run_exitfuncs()
    finally:
        os._exit(code)


def test_close_does_not_wait_for_a_sleeping_def_beyond_its_grace():
    begun, release = threading.Event(), threading.Event()
    functions = kn.Functions()

    @functions.http("sleeper")
    def sleeper(request):
        begun.set()
        release.wait(60)
        return "late"

    platform = kn.Platform(functions=functions, listen=None)
    try:
        platform.apply(kn.serving.Service("sleeper", image="fn:sleeper")).wait_ready(30)
        call = threading.Thread(target=lambda: pytest.raises(
            kn.errors.Error, platform.invoke, "sleeper"), daemon=True)
        call.start()
        assert begun.wait(30)
        started = time.monotonic()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            platform.close(grace=1.0)
        assert time.monotonic() - started < 20
        assert any("sleeper" in str(entry.message) for entry in caught)
    finally:
        release.set()
        call.join(30)


def warned_of(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    return result, [entry for entry in caught if issubclass(entry.category, kn.ManifestWarning)]


def service_with_a_warning():
    return kn.serving.Service("hello", image="fn:hello", template_annotations={
        "features.knative.dev/queueproxy-podinfo": "enabled"})


def test_checked_warns_of_what_has_no_effect_and_returns():
    checked, caught = warned_of(service_with_a_warning().checked)
    assert checked.spec.template.spec.timeout_seconds == 300
    assert len(caught) == 1
    assert "queueproxy-podinfo" in str(caught[0].message)
    assert caught[0].filename == __file__.replace(".pyc", ".py")


def test_apply_and_manifests_warn_of_what_has_no_effect():
    text = kn.print_manifest(service_with_a_warning())
    with echo_platform() as platform:
        for call in (lambda: platform.apply(service_with_a_warning()),
                     lambda: platform.apply_text(text)[0],
                     lambda: kn.parse_manifest(text)[0]):
            made, caught = warned_of(call)
            assert isinstance(made, (kn.Applied, kn.Object))
            assert ["queueproxy-podinfo" in str(entry.message) for entry in caught] == [True]
            assert caught[0].filename == __file__
        assert warned_of(lambda: platform.apply(kn.serving.Service("a", image="fn:hello")))[1] == []
    with kn.Platform(env=kn.Simulation(seed=1)) as twin:
        assert len(warned_of(lambda: twin.apply(service_with_a_warning()))[1]) == 1


CHILDREN = """
import multiprocessing, os, sys, threading
import knative as kn

functions = kn.Functions()
functions.http("hello")(lambda request: "hello")
platform = kn.Platform(functions=functions, listen=None)
platform.apply(kn.eventing.Broker("default")).wait_ready(30)
service = platform.apply(kn.serving.Service("hello", image="fn:hello")).wait_ready(30)
subscription = platform.subscribe("default", lambda event: None)
platform.apply_text(
    "apiVersion: eventing.knative.dev/v1\\nkind: Trigger\\nmetadata: {name: waits}\\nspec: {broker:"
    " default, subscriber: {ref: {apiVersion: v1, kind: Service, name: never}}}")
hanging = platform._native.ready(("eventing.knative.dev/v1", "Trigger", "default", "waits"), 600)

def child():
    {child}

worker = multiprocessing.get_context("fork").Process(target=child)
worker.start()
worker.join(30)
print(worker.exitcode, platform.invoke("hello").text)
platform.close()
"""
ENDINGS = {
    "returns": ("pass", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "os._exit": ("os._exit(4)", 4),
    "raises": ("raise RuntimeError('a child')", 1),
    "uses the platform": ("""
    for call in (lambda: platform.invoke("hello"), lambda: service.get(), hanging.result,
                 lambda: platform.publish("default", kn.CloudEvent("a", "/b"))):
        try:
            call()
        except RuntimeError as error:
            assert "parent" in str(error)
        else:
            sys.exit(9)
    subscription.cancel()
    platform.close()""", 0),
    "makes its own": ("""
    with kn.Platform(functions=functions, listen=None) as mine:
        mine.apply(kn.serving.Service("hello", image="fn:hello")).wait_ready(30)
        assert mine.invoke("hello").text == "hello" """, 0),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_child_that_multiprocessing_forked_ends(ending):
    child, code = ENDINGS[ending]
    done = subprocess.run([sys.executable, "-c", CHILDREN.replace("{child}", child)],
                          capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, f"{code} hello\n"), done.stderr


def test_a_forked_program_ends_as_it_does_without_a_platform():
    """The child goes through the whole end of the interpreter, not only its exit handlers."""
    text = CHILDREN[:CHILDREN.index("worker =")].replace("{child}", "pass") + """
child = os.fork()
if child == 0:
    sys.exit(5)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), platform.invoke("hello").text)
"""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "5 hello\n", "")


def test_the_last_reference_may_be_dropped_in_a_callback():
    done = subprocess.run([sys.executable, "-c", """
import gc, threading
import knative as kn

for round in range(20):
    functions, held, told = kn.Functions(), [], threading.Event()
    functions.http("hello")(lambda request: "hello")
    platform = kn.Platform(functions=functions, listen=None)
    platform.apply(kn.eventing.Broker("default")).wait_ready(30)
    held.append(platform.subscribe("default", lambda event: None))
    operation = platform._native.metrics_text()
    native = [platform._native]
    platform.close(0)
    del platform

    def last():
        held.clear()
        native.clear()
        gc.collect()
        told.set()

    operation.on_done(last)
    assert told.wait(30)

    # An open one, by its native half alone: its last reference closes it, on a thread of its own.
    platform = kn.Platform(listen=None)
    native = [platform._native]
    kn.platform._running.discard(platform)
    del platform
    told.clear()
    native[0].metrics_text().on_done(last)
    assert told.wait(30)
print("ended")
"""], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ended\n", "")


def test_a_service_may_begin_without_instances_where_that_is_allowed():
    service = kn.serving.Service("hello", image="fn:hello", template_annotations={
        "autoscaling.knative.dev/initial-scale": "0"})
    with echo_platform() as platform:
        with pytest.raises(kn.InvalidArgument, match="initial-scale"):
            platform.apply(service)
    with echo_platform(allow_zero_initial_scale=True) as platform:
        platform.apply(service).wait_ready(30)
        assert platform.scale("hello") == 0
        assert platform.invoke("hello").text == "hello"
