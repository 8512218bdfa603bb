"""Calls and events that go round come to an end: the count of hops passes through Python."""

import asyncio
import contextvars
import threading
import urllib.error
import urllib.request

import pytest

import knative as kn


def opened(functions, **options):
    return kn.Platform(functions=functions, **options)


def deploy(platform, name):
    platform.apply(kn.serving.Service(name, image="fn:" + name)).wait_ready(30)


def test_a_def_that_invokes_itself_gets_508():
    functions, calls, platforms = kn.Functions(), [], []

    @functions.http("again")
    def again(request):
        calls.append(1)
        reply = platforms[0].invoke("again")
        return kn.http.Response(reply.status)

    with opened(functions, listen=None, function_threads=4) as platform:
        platforms.append(platform)
        deploy(platform, "again")
        assert platform.invoke("again").status == 508
        assert len(calls) == 64
        assert platform.invoke("again").status == 508


def test_an_async_def_that_invokes_itself_gets_508():
    functions, calls, platforms = kn.Functions(), [], []

    @functions.http("again")
    async def again(request):
        calls.append(1)
        reply = await platforms[0].invoke("again")
        return kn.http.Response(reply.status)

    async def main():
        async with kn.aio.Platform(functions=functions, listen=None) as platform:
            platforms.append(platform)
            await (await platform.apply(kn.serving.Service("again", image="fn:again"))).wait_ready(30)
            assert (await platform.invoke("again")).status == 508

    asyncio.run(asyncio.wait_for(main(), 60))
    assert len(calls) == 64


def test_an_async_def_that_invokes_itself_without_waiting_comes_to_an_end():
    functions, platforms, replies, tasks = kn.Functions(), [], [], set()

    @functions.http("again")
    async def again(request):
        task = asyncio.ensure_future(call())
        tasks.add(task)

    async def call():
        replies.append((await platforms[0].invoke("again")).status)

    async def main():
        async with kn.aio.Platform(functions=functions, listen=None) as platform:
            platforms.append(platform)
            await (await platform.apply(kn.serving.Service("again", image="fn:again"))).wait_ready(30)
            await platform.invoke("again")
            while 508 not in replies:
                await asyncio.sleep(0.01)
            await asyncio.gather(*tasks)

    asyncio.run(asyncio.wait_for(main(), 60))
    assert sorted(replies) == [204] * 63 + [508]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_function_that_calls_its_own_url_gets_508(asynchronous):
    functions, calls, endpoints = kn.Functions(), [], []

    def fetch(headers):
        request = urllib.request.Request(f"http://{endpoints[0]}/", headers={
            "Host": "again.default.localhost", **headers})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def again(request):
        calls.append(request.headers.get("knative-serving-hops"))
        return kn.http.Response(fetch(kn.http.onward_headers()))

    async def async_again(request):
        calls.append(request.headers.get("knative-serving-hops"))
        headers = kn.http.onward_headers()
        loop = asyncio.get_running_loop()
        return kn.http.Response(await loop.run_in_executor(None, fetch, headers))

    functions.http("again")(async_again if asynchronous else again)
    with opened(functions) as platform:
        endpoints.append(platform.endpoint)
        deploy(platform, "again")
        assert fetch({}) == 508
    assert calls == [str(number) for number in range(1, 65)]


def test_a_thread_of_a_function_carries_the_hops_in_a_copy_of_the_context():
    functions, seen, platforms = kn.Functions(), [], []

    @functions.http("outer")
    def outer(request):
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run,
                                  args=(platforms[0].invoke, "inner"))
        thread.start()
        thread.join()

    @functions.http("inner")
    def inner(request):
        seen.append(request.headers.get("knative-serving-hops"))

    with opened(functions, listen=None) as platform:
        platforms.append(platform)
        for name in ("outer", "inner"):
            deploy(platform, name)
        platform.invoke("outer")
        assert kn.http.onward_headers() == {}
    assert seen == ["2"]


def test_defs_that_wait_for_each_other_never_wait_for_a_thread():
    functions, platforms = kn.Functions(), []

    @functions.http("outer")
    def outer(request):
        return platforms[0].invoke("inner").text

    @functions.http("inner")
    def inner(request):
        return "done"

    with opened(functions, listen=None, function_threads=2) as platform:
        platforms.append(platform)
        for name in ("outer", "inner"):
            deploy(platform, name)
        replies = []
        threads = [threading.Thread(target=lambda: replies.append(platform.invoke("outer").text))
                   for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert replies == ["done"] * 20


def letters_of(platform):
    """A Service that takes dead letters, and a Broker each whose Triggers send them there."""
    delivery = {"retry": 0, "deadLetterSink": {"ref": {
        "apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "letters"}}}
    for name in ("one", "two"):
        broker = kn.eventing.Broker(name)
        broker.spec.delivery = delivery
        platform.apply(broker).wait_ready(30)


def with_letters(functions):
    came, letters = threading.Event(), []

    @functions.event("letters")
    def take(event):
        letters.append(event)
        came.set()

    return came, letters


def test_brokers_whose_subscribers_publish_to_each_other_end_in_a_dead_letter():
    functions, passed = kn.Functions(), []
    came, letters = with_letters(functions)
    with opened(functions, listen=None) as platform:
        deploy(platform, "letters")
        letters_of(platform)

        def handing_on(to):
            def hand_on(event):
                passed.append(to)
                platform.publish(to, kn.CloudEvent("ping", "/" + to))

            return hand_on

        platform.subscribe("one", handing_on("two"))
        platform.subscribe("two", handing_on("one"))
        platform.publish("one", kn.CloudEvent("ping", "/first"))
        assert came.wait(60)
        count = len(passed)
        assert count <= 64
        assert letters[0].attributes["knativeerrorcode"]
        assert len(passed) == count


def test_brokers_whose_event_functions_publish_to_each_other_end_in_a_dead_letter():
    functions, passed, platforms = kn.Functions(), [], []
    came, letters = with_letters(functions)

    def handing_on(to):
        async def hand_on(event):
            passed.append(to)
            await platforms[0].publish(to, kn.CloudEvent("ping", "/" + to))

        return hand_on

    functions.event("to-one")(handing_on("one"))
    functions.event("to-two")(handing_on("two"))

    async def main():
        async with kn.aio.Platform(functions=functions, listen=None) as platform:
            platforms.append(platform)
            for name in ("letters", "to-one", "to-two"):
                service = kn.serving.Service(name, image="fn:" + name)
                await (await platform.apply(service)).wait_ready(30)
            delivery = {"retry": 0, "deadLetterSink": kn.eventing.destination(
                kn.serving.Service("letters"))}
            for broker, to in (("one", "to-two"), ("two", "to-one")):
                await (await platform.apply(kn.eventing.Broker(broker))).wait_ready(30)
                await (await platform.apply(kn.eventing.Trigger(
                    "t-" + broker, broker=broker, subscriber=kn.serving.Service(to),
                    delivery=delivery))).wait_ready(30)
            await platform.publish("one", kn.CloudEvent("ping", "/first"))
            loop = asyncio.get_running_loop()
            assert await loop.run_in_executor(None, came.wait, 60)

    asyncio.run(asyncio.wait_for(main(), 90))
    assert 20 < len(passed) <= 64
    assert letters[0].type == "ping"
