"""knative.aio: the platform in a program that runs on asyncio."""

import asyncio
import logging
import threading
import urllib.request

import knative as kn
import pytest
from test_errors import SLOW


def limited(coroutine):
    """Run a test's coroutine; it fails rather than hang."""
    return asyncio.run(asyncio.wait_for(coroutine, 60))


def test_deploy_call_and_read():
    functions = kn.Functions()
    loops = []

    @functions.http("hello")
    async def hello(request):
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return f"hello {request.query.get('name', 'world')}"

    @functions.http("plain")
    def plain(request):
        return threading.current_thread().name

    async def main():
        async with kn.aio.Platform(functions=functions) as platform:
            service = await platform.apply(kn.serving.Service("hello", image="fn:hello"))
            await platform.wait_ready(service, timeout=10)
            await (await platform.apply(kn.serving.Service("plain", image="fn:plain"))).wait_ready(10)
            reply = await platform.invoke("hello", kn.http.get("/?name=ada"))
            assert (reply.status, reply.text) == (200, "hello ada")
            assert loops == [asyncio.get_running_loop()]
            assert (await platform.invoke("plain")).text != threading.current_thread().name
            assert (await service.url()).startswith("http://hello.default.localhost:")
            assert (await service.get()).name == "hello"
            assert [each.name for each in await platform.list(kn.serving.Service)] == ["hello",
                                                                                       "plain"]
            assert await platform.scale("hello") == 1
            assert "# TYPE" in await platform.metrics_text()
            request = urllib.request.Request(f"http://{platform.endpoint}/?name=bob",
                                             headers={"Host": "hello.default.localhost"})

            def fetch():
                with urllib.request.urlopen(request, timeout=10) as answer:
                    return answer.read()

            loop = asyncio.get_running_loop()
            assert await loop.run_in_executor(None, fetch) == b"hello bob"
            await service.delete()
            with pytest.raises(kn.NotFound):
                await platform.get(kn.serving.Service, "hello")

    limited(main())


def test_a_hundred_calls_into_functions_that_call_each_other():
    functions = kn.Functions()
    at_once = [0, 0]
    platforms = []

    @functions.http("outer")
    async def outer(request):
        at_once[0] += 1
        at_once[1] = max(at_once)
        inner = await platforms[0].invoke("inner", kn.http.get(request.target))
        at_once[0] -= 1
        return "outer " + inner.text

    @functions.http("inner")
    async def inner(request):
        await asyncio.sleep(0.01)
        return request.query["n"]

    async def main():
        async with kn.aio.Platform(functions=functions) as platform:
            platforms.append(platform)
            for name in ("outer", "inner"):
                service = kn.serving.Service(name, image="fn:" + name)
                await (await platform.apply(service)).wait_ready()
            replies = await asyncio.gather(*(platform.invoke("outer", kn.http.get(f"/?n={n}"))
                                             for n in range(100)))
            assert [reply.text for reply in replies] == [f"outer {n}" for n in range(100)]
            assert at_once[1] > 16  # more than there are worker threads

    limited(main())


def test_events_go_to_coroutines_and_replies_come_back():
    async def main():
        async with kn.aio.Platform() as platform:
            await platform.apply(kn.eventing.Broker("default"))
            accepted: asyncio.Queue[kn.CloudEvent] = asyncio.Queue()
            tries = []

            async def accept(order):
                tries.append(order.id)
                if len(tries) < 2:
                    raise kn.Unavailable("not yet")
                return kn.CloudEvent("order.accepted", "/shop", {"order": order.data["id"]})

            async def watch(event):
                await accepted.put(event)

            await platform.subscribe("default", accept,
                                     filter=kn.Filter.exact(type="order.created"))
            watching = await platform.subscribe("default", watch,
                                                filter=kn.Filter.exact(type="order.accepted"))
            await platform.publish("default", kn.CloudEvent("order.created", "/web", {"id": 7}))
            event = await accepted.get()
            assert (event.source, event.data) == ("/shop", {"order": 7})
            assert len(tries) == 2
            watching.cancel()

    limited(main())


def test_an_event_function_may_be_a_coroutine():
    functions = kn.Functions()
    received: list[kn.CloudEvent] = []

    @functions.event("sink")
    async def sink(event):
        received.append(event)
        return kn.CloudEvent("seen", "/sink", event.data)

    async def main():
        async with kn.aio.Platform(functions=functions) as platform:
            await platform.apply(kn.eventing.Broker("default"))
            service = kn.serving.Service("sink", image="fn:sink")
            await (await platform.apply(service)).wait_ready()
            trigger = kn.eventing.Trigger("to-sink", filter={"type": "a"}, subscriber=service)
            await (await platform.apply(trigger)).wait_ready()
            seen: asyncio.Queue[kn.CloudEvent] = asyncio.Queue()
            await platform.subscribe("default", seen.put, filter=kn.Filter.exact(type="seen"))
            await platform.publish("default", kn.CloudEvent("a", "/b", {"x": 1}))
            assert (await seen.get()).data == {"x": 1}
            assert len(received) == 1
            headers, body = kn.CloudEvent("", "/b").to_http()
            reply = await platform.invoke("sink", kn.http.Request("POST", "/", headers, body))
            assert reply.status == 400 and "type" in reply.text

    limited(main())


def test_a_coroutine_that_raises_is_500_and_a_log_line(caplog):
    functions = kn.Functions()

    @functions.http("bad")
    async def bad(request):
        raise RuntimeError("no luck today")

    async def main():
        async with kn.aio.Platform(functions=functions) as platform:
            await (await platform.apply(kn.serving.Service("bad", image="fn:bad"))).wait_ready()
            with caplog.at_level(logging.ERROR, "knative"):
                assert (await platform.invoke("bad")).status == 500
            assert "no luck today" in caplog.text

    limited(main())


def test_cancelling_drops_the_call_and_the_task_of_the_function():
    functions = kn.Functions()
    ended = []

    async def main():
        begun, cancelled = asyncio.Event(), asyncio.Event()

        @functions.http("hangs")
        async def hangs(request):
            begun.set()
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                ended.append("function")
                cancelled.set()
                raise

        async with kn.aio.Platform(functions=functions) as platform:
            await (await platform.apply(kn.serving.Service("hangs", image="fn:hangs"))).wait_ready()
            call = asyncio.ensure_future(platform.invoke("hangs"))
            await begun.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await cancelled.wait()
            build = await platform.apply(SLOW)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(build.wait_ready(600), 0.05)
            assert (await platform.invoke("nobody")).status == 404

    limited(main())
    assert ended == ["function"]


def test_errors_are_those_of_the_plain_platform(tmp_path):
    async def main():
        async with kn.aio.Platform(data_directory=tmp_path) as platform:
            with pytest.raises(kn.InvalidArgument, match="trafic"):
                await platform.apply({"apiVersion": "serving.knative.dev/v1", "kind": "Service",
                                      "metadata": {"name": "a"}, "spec": {"trafic": []}})
            with pytest.raises(kn.DeadlineExceeded):
                await (await platform.apply(SLOW)).wait_ready(0.01)
            with pytest.raises(kn.FailedPrecondition):
                await kn.aio.Platform(data_directory=tmp_path).start()
            with pytest.raises(kn.FailedPrecondition, match="open"):
                await platform.start()
        with pytest.raises(kn.FailedPrecondition, match="not open"):
            await platform.invoke("hello")
        await platform.close()

    limited(main())


def test_closing_while_calls_wait_cancels_them():
    functions = kn.Functions()

    async def main():
        begun = asyncio.Event()

        @functions.http("hangs")
        async def hangs(request):
            begun.set()
            await asyncio.sleep(600)

        async with kn.aio.Platform(functions=functions) as platform:
            await (await platform.apply(kn.serving.Service("hangs", image="fn:hangs"))).wait_ready()
            waits = asyncio.ensure_future((await platform.apply(SLOW)).wait_ready(600))
            call = asyncio.ensure_future(platform.invoke("hangs"))
            await begun.wait()
            await platform.close(grace=0.1)
            with pytest.raises(kn.Cancelled):
                await waits
            # Answered with an error, or dropped.
            try:
                assert (await call).status >= 500
            except kn.Cancelled:
                pass

    limited(main())


def test_an_event_loop_that_ends_first_harms_nobody(capfd):
    functions = kn.Functions()
    platforms = []

    @functions.http("hello")
    async def hello(request):
        return "hello"

    async def main():
        platform = kn.aio.Platform(functions=functions)
        platforms.append(platform)
        await platform.start()
        await (await platform.apply(kn.serving.Service("hello", image="fn:hello"))).wait_ready()
        waiting = asyncio.ensure_future((await platform.apply(SLOW)).wait_ready(600))
        await asyncio.sleep(0)
        del waiting

    limited(main())

    async def others():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(platforms[0].wait_ready(("build.knative.dev/v1alpha1", "Build",
                                                       "default", "slow")), 0.01)
        # Its functions have lost their loop: a failure, not a hang.
        assert (await platforms[0].invoke("hello")).status == 500
        await platforms[0].close(0)

    limited(others())
    assert "Traceback" not in capfd.readouterr().err
