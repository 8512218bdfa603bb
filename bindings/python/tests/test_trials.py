"""What trials from outside found: data that cannot be decoded, forked children, functions that
go on when their platform is closed."""

import os
import signal
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
