"""What goes wrong: an exception class per condition, handlers that raise, Ctrl-C."""

import logging
import os
import pickle
import queue
import signal
import subprocess
import sys
import textwrap
import threading
import time

import knative as kn
import pytest

CODES = ["invalid_argument", "not_found", "already_exists", "conflict", "failed_precondition",
         "unavailable", "deadline_exceeded", "cancelled", "resource_exhausted", "unimplemented",
         "data_loss", "internal"]


SLOW = kn.build.Build("slow", image="local/slow",
                      steps=[kn.build.Step("sleep", command=["sleep", "600"])])


def test_every_condition_has_a_class():
    assert [condition.code for condition in kn.errors.CONDITIONS] == CODES
    for condition in kn.errors.CONDITIONS:
        error = kn.errors.by_code(condition.code, "spec.image: missing")
        assert type(error) is condition is getattr(kn, condition.__name__)
        assert isinstance(error, kn.Error)
        assert (error.code, error.detail, str(error)) == (condition.code, "spec.image: missing",
                                                          "spec.image: missing")
        assert pickle.loads(pickle.dumps(error)) == error


def test_errors_are_also_what_python_programs_expect():
    assert issubclass(kn.InvalidArgument, ValueError)
    assert issubclass(kn.NotFound, LookupError)
    assert issubclass(kn.DeadlineExceeded, TimeoutError)


def test_conditions_come_out_of_a_platform(platform, tmp_path):
    with pytest.raises(kn.NotFound) as caught:
        platform.get(kn.serving.Service, "nobody")
    assert "nobody" in caught.value.detail
    service = platform.apply(kn.serving.Service("hello", image="fn:hello")).get()
    service.metadata.resource_version = "1"
    service.spec.template.spec.timeout_seconds = 7
    with pytest.raises(kn.Conflict):
        platform.apply(service)
    with pytest.raises(kn.DeadlineExceeded):
        platform.apply(SLOW).wait_ready(0.01)
    with pytest.raises(kn.NotFound):
        platform.publish("absent", kn.CloudEvent("a", "/b"))
    with kn.Platform(data_directory=tmp_path):
        with pytest.raises(kn.FailedPrecondition):
            kn.Platform(data_directory=tmp_path)


def test_a_function_that_raises_is_500_and_a_log_line(platform, caplog):
    platform.apply(kn.serving.Service("bad", image="fn:throws")).wait_ready(10)
    platform.apply(kn.serving.Service("hello", image="fn:hello")).wait_ready(10)
    with caplog.at_level(logging.ERROR, "knative"):
        reply = platform.invoke("bad")
    assert reply.status == 500
    assert "no luck" not in reply.text
    (record,) = caplog.records
    assert "throws" in record.getMessage() and "no luck today" in caplog.text
    assert platform.invoke("hello").status == 200


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_a_function_raises_is_its_failure_and_never_the_callers(raised, caplog):
    functions = kn.Functions()

    @functions.http("rude")
    def rude(request):
        raise raised("no luck today")

    with kn.Platform(functions=functions) as platform:
        platform.apply(kn.serving.Service("rude", image="fn:rude")).wait_ready(10)
        with caplog.at_level(logging.ERROR, "knative"):
            for _ in range(3):
                assert platform.invoke("rude").status == 500
    assert "no luck today" in caplog.text


def test_the_scale_of_what_is_not_there_is_not_found(platform):
    with pytest.raises(kn.NotFound, match="nosuch"):
        platform.scale("nosuch")
    with pytest.raises(kn.NotFound):
        platform.scale("hello.nowhere")


@pytest.mark.parametrize("domain", ["a b", "", ".example.com", "a..b", "Example.com", "a/b", "a:80"])
def test_a_domain_that_is_no_name_is_refused(domain):
    with pytest.raises(kn.InvalidArgument, match="domain"):
        with kn.Platform(domain=domain):
            pass


def test_a_function_that_returns_nonsense_is_500(caplog):
    functions = kn.Functions()
    functions.http("odd")(lambda request: object())
    with kn.Platform(functions=functions) as platform:
        platform.apply(kn.serving.Service("odd", image="fn:odd")).wait_ready(10)
        assert platform.invoke("odd").status == 500
        assert "object" in caplog.text


def test_a_subscriber_that_raises_is_logged_and_tried_again(platform, caplog):
    platform.apply(kn.eventing.Broker("default"))
    tries = queue.Queue()

    @platform.subscribe("default")
    def flaky(event):
        tries.put(event.id)
        if tries.qsize() < 2:
            raise RuntimeError("not yet")

    platform.publish("default", kn.CloudEvent("a", "/b", id="one"))
    assert [tries.get(timeout=10) for _ in range(2)] == ["one"] * 2
    assert "flaky" in caplog.text and "not yet" in caplog.text


def test_a_closed_platform_says_so(functions):
    platform = kn.Platform(functions=functions)
    applied = platform.apply(kn.serving.Service("hello", image="fn:hello"))
    platform.close()
    for call in (platform.metrics_text, applied.get, lambda: platform.invoke("hello")):
        with pytest.raises(kn.FailedPrecondition, match="closed"):
            call()


def test_closing_ends_a_call_that_waits_elsewhere(functions):
    platform = kn.Platform(functions=functions)
    waits = platform.apply(SLOW)
    outcome = queue.Queue()
    begun = threading.Event()

    def wait():
        begun.set()
        try:
            waits.wait_ready(600)
        except kn.Error as error:
            outcome.put(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert begun.wait(10)
    platform.close(0)
    waiter.join(10)
    # Cancelled while it waited, or too late to begin.
    assert isinstance(outcome.get(timeout=1), (kn.Cancelled, kn.FailedPrecondition))


def test_a_handler_cannot_close_its_own_platform(caplog):
    functions = kn.Functions()
    with_it = []
    functions.http("suicide")(lambda request: with_it[0].close())
    with kn.Platform(functions=functions) as platform:
        with_it.append(platform)
        platform.apply(kn.serving.Service("suicide", image="fn:suicide")).wait_ready(10)
        assert platform.invoke("suicide").status == 500
        assert "close() from a handler" in caplog.text


def test_a_blocking_call_from_a_handler_in_virtual_time_is_refused(caplog):
    functions = kn.Functions()
    with_it = []
    functions.http("nested")(lambda request: with_it[0].invoke("nested"))
    with kn.Platform(env=kn.Simulation(seed=1), functions=functions) as twin:
        with_it.append(twin)
        twin.apply(kn.serving.Service("nested", image="fn:nested")).wait_ready(10)
        assert twin.invoke("nested").status == 500
        assert "virtual time" in caplog.text


# Programs that are interrupted say so; they begin to wait when they print "waiting".
BEGIN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored when the tests run with "&"
import threading
import knative as kn
functions = kn.Functions()
released = threading.Event()

@functions.http("hangs")
def hangs(request):
    print("waiting", flush=True)
    released.wait(30)

def work(platform):
{work}

try:
    with kn.Platform(functions=functions) as platform:
        try:
            work(platform)
        finally:
            released.set()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
PROGRAMS = {
    "a platform that closes": """
        platform.apply(kn.serving.Service("hangs", image="fn:hangs")).wait_ready()
        platform._native.invoke("hangs", kn.http.get("/")._to_native())
        platform.close(600)
        """,
    "a call that waits": """
        build = kn.build.Build("slow", image="local/slow", steps=[
            kn.build.Step("wait", command=["sh", "-c", "sleep 600"])])
        applied = platform.apply(build)
        print("waiting", flush=True)
        applied.wait_ready(60)
        """,
    "a call into a function that hangs": """
        platform.apply(kn.serving.Service("hangs", image="fn:hangs")).wait_ready()
        platform.invoke("hangs")
        """,
    "virtual time": """
        sim = kn.Simulation(seed=1)
        with kn.Platform(env=sim, functions=functions) as twin:
            print("waiting", flush=True)
            sim.run_for(1e9)
        """,
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_ctrl_c_interrupts(program):
    work = textwrap.indent(textwrap.dedent(PROGRAMS[program]), "    ")
    text = BEGIN.format(work=work)
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True,
                          env=dict(os.environ)) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "waiting\n"
            started = time.monotonic()
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=30)
            assert "interrupted" in rest
            assert process.returncode == 0
            assert time.monotonic() - started < 20
        finally:
            process.kill()


def test_a_platform_left_open_ends_with_the_program():
    done = subprocess.run([sys.executable, "-c", textwrap.dedent("""
        import knative as kn
        functions = kn.Functions()
        functions.http("hello")(lambda request: "hello")
        platform = kn.Platform(functions=functions)
        platform.apply(kn.serving.Service("hello", image="fn:hello")).wait_ready()
        print(platform.invoke("hello").text)
        """)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")


def test_a_call_may_outlive_its_platform():
    """Letting go of a call, with the interpreter lock, waits for no thread that wants the lock."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent("""
        import threading
        import time
        import knative as kn
        platform = kn.Platform(listen=None)
        operation = platform._native.metrics_text()
        entered, left = threading.Event(), threading.Event()

        def slow():
            entered.set()
            time.sleep(0.5)
            left.set()

        operation.on_done(slow)
        assert entered.wait(10)
        platform.close()
        del operation
        assert left.wait(10)
        print("ended")
        """)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ended\n", "")


def test_who_asks_after_closing_is_told_at_once():
    platform = kn.Platform(listen=None)
    operation = platform._native.metrics_text()
    operation.result()
    platform.close()
    told = []
    operation.on_done(lambda: told.append(True))
    assert told == [True]


# Programs that end while a worker thread is in the interpreter, or wants to be: a finalizer lets
# the others run while the interpreter goes.
LATE = """
import threading, time
import knative as kn

class Lingers:
    def __del__(self, sleep=time.sleep):
        sleep(0.5)

functions = kn.Functions()
begun = threading.Event()

class Widget(kn.Object):
    API_VERSION = "shop.example.dev/v1"
    KIND = "Widget"

def reconcile(widget):
    begun.set()
    time.sleep(0.3)
    return {"seen": 1}

@functions.http("sleeps")
def sleeps(request):
    begun.set()
    time.sleep(0.3)

@functions.http("waits")
def waits(request):
    begun.set()
    try:
        platform.invoke("sleeps")
    except kn.Error:
        pass

platform = kn.Platform(functions=functions, kinds=[kn.Kind(Widget, "widgets", reconcile)],
                       listen=None)
for name in ("sleeps", "waits"):
    platform.apply(kn.serving.Service(name, image="fn:" + name)).wait_ready(30)
{work}
assert begun.wait(30)
platform.close(0)
lingers = Lingers()
"""
LATE_WORK = {
    "a reconcile": 'platform.apply(Widget("w"))',
    "a def": 'platform._native.invoke("sleeps", kn.http.get("/")._to_native())',
    "a def that waits for another": 'platform._native.invoke("waits", '
                                    'kn.http.get("/")._to_native())',
    "a subscriber": """
platform.apply(kn.eventing.Broker("default")).wait_ready(30)
platform.subscribe("default", reconcile)
platform.publish("default", kn.CloudEvent("a", "/b"))
""",
}


@pytest.mark.parametrize("work", LATE_WORK)
def test_a_program_may_end_while_something_of_a_closed_platform_still_runs(work):
    text = LATE.replace("{work}", LATE_WORK[work])
    for _ in range(3):
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", text], capture_output=True,
                              text=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
