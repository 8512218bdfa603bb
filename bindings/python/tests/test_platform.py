"""The platform from Python: what a user does with it, and what it answers to mistakes."""

import asyncio
import json
import pickle
import queue
import ssl
import threading
import time
import urllib.error
import urllib.request

import knative as kn
import pytest


def test_a_function_answers_behind_its_url(platform):
    service = platform.apply(kn.serving.Service("hello", image="fn:hello")).wait_ready(10)
    reply = platform.invoke("hello", kn.http.get("/?name=ada"))
    assert (reply.status, reply.text) == (200, "hello ada")
    request = urllib.request.Request(f"http://{platform.endpoint}/?name=bob",
                                     headers={"Host": "hello.default.localhost"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.read() == b"hello bob"
    assert service.url.startswith("http://hello.default.localhost:")


def test_async_functions_and_json_replies(platform):
    platform.apply(kn.serving.Service("echo", image="fn:echo")).wait_ready(10)
    reply = platform.invoke("echo", kn.http.post("/x", "body", "text/plain"))
    assert reply.json() == {"method": "POST", "path": "/x", "body": "body"}


def test_an_exception_in_a_function_is_500_and_others_go_on(platform):
    platform.apply(kn.serving.Service("bad", image="fn:throws")).wait_ready(10)
    platform.apply(kn.serving.Service("hello", image="fn:hello")).wait_ready(10)
    assert platform.invoke("bad").status == 500
    assert platform.invoke("hello").status == 200


def test_many_threads_call_at_once(platform):
    platform.apply(kn.serving.Service("hello", image="fn:hello")).wait_ready(10)
    answers = queue.Queue()

    def call(number):
        answers.put(platform.invoke("hello", kn.http.get(f"/?name={number}")).text)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers.queue) == sorted(f"hello {number}" for number in range(20))


def test_every_error_of_an_object_is_in_the_exception(platform):
    service = kn.serving.Service("Not_a_name", image="fn:hello", container_concurrency=-1)
    with pytest.raises(kn.InvalidArgument) as caught:
        platform.apply(service)
    assert "containerConcurrency" in caught.value.detail
    assert "name" in caught.value.detail
    assert caught.value.code == "invalid_argument"
    assert isinstance(caught.value, kn.Error)


def test_an_unknown_field_is_named(platform):
    fields = kn.serving.Service("hello", image="fn:hello").to_dict()
    fields["spec"]["trafic"] = []
    with pytest.raises(kn.InvalidArgument, match="trafic"):
        platform.apply(fields)


def test_manifests_fail_with_their_place(platform):
    text = "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\nspec: 7\n"
    with pytest.raises(kn.InvalidArgument, match="shop.yaml:4"):
        platform.apply_text(text, "shop.yaml")


def test_a_missing_function_is_a_failed_precondition(platform):
    with pytest.raises(kn.FailedPrecondition, match="absent"):
        platform.apply(kn.serving.Service("a", image="fn:absent")).wait_ready(10)
    with pytest.raises(kn.NotFound):
        platform.get(kn.serving.Service, "nobody")


def test_events_pass_filters_and_replies_come_back(platform):
    platform.apply(kn.eventing.Broker("default"))
    accepted = queue.Queue()

    @platform.subscribe("default", filter=kn.Filter.cesql("type = 'order.created'"))
    def accept(order):
        return kn.CloudEvent("order.accepted", "/shop", {"order": order.data["id"]})

    @platform.subscribe("default", filter=kn.Filter.cesql("type = 'order.accepted'"))
    def watch(event):
        accepted.put(event)

    platform.publish("default", kn.CloudEvent("order.cancelled", "/web", {"id": 6}))
    platform.publish("default", kn.CloudEvent("order.created", "/web", {"id": 7}))
    event = accepted.get(timeout=10)
    assert event.data == {"order": 7}
    assert event.source == "/shop"
    accept.cancel()


def test_a_subscriber_that_raises_is_tried_again(platform):
    platform.apply(kn.eventing.Broker("default"))
    tries = queue.Queue()

    @platform.subscribe("default")
    def flaky(event):
        tries.put(event.id)
        if tries.qsize() < 3:
            raise RuntimeError("not yet")

    platform.publish("default", kn.CloudEvent("a", "/b", id="one"))
    assert [tries.get(timeout=10) for _ in range(3)] == ["one"] * 3


def test_an_event_function_behind_a_trigger(functions):
    received = queue.Queue()

    @functions.event("sink")
    def sink(event):
        received.put(event)

    with kn.Platform(functions=functions) as platform:
        platform.apply(kn.eventing.Broker("default"))
        service = kn.serving.Service("sink", image="fn:sink")
        platform.apply(service).wait_ready(10)
        platform.apply(kn.eventing.Trigger("to-sink", filter={"type": "a"},
                                           subscriber=service)).wait_ready(10)
        platform.publish("default", kn.CloudEvent("a", "/b", {"x": 1}, subject="s"))
        event = received.get(timeout=10)
        assert (event.type, event.subject, event.data) == ("a", "s", {"x": 1})


def test_what_nobody_takes_is_parked_redriven_and_discarded(platform):
    platform.apply(kn.eventing.Broker("default")).wait_ready(10)
    service = kn.serving.Service("bad", image="fn:throws")
    platform.apply(service).wait_ready(10)
    platform.apply(kn.eventing.Trigger("t", subscriber=service,
                                       delivery={"retry": 0})).wait_ready(10)
    for name in ("one", "two"):
        platform.publish("default", kn.CloudEvent("a", "/b", {"x": 1}, id=name))

    def parked(count, **choice):
        deadline = time.monotonic() + 10
        while len(found := platform.parked("default", **choice)) != count:
            assert time.monotonic() < deadline, found
        return found

    one = parked(2, trigger="t")[0]
    assert (one.trigger, one.offset, one.attempts, one.status) == ("t", 0, 1, 500)
    assert one.event == kn.CloudEvent("a", "/b", {"x": 1}, id="one",
                                      knativearrivaltime=one.event["knativearrivaltime"])
    assert abs(one.parked_at - time.time()) < 60
    assert platform.redrive("default", id="one") == 1
    parked(2)
    assert platform.discard("default", offset=1) == 1
    assert [left.event.id for left in parked(1)] == ["one"]
    with pytest.raises(kn.NotFound):
        platform.parked("default", trigger="absent")
    with pytest.raises(TypeError, match="offset"):
        platform.discard("default", offset="1")


def test_an_event_over_http_without_id_is_refused(platform):
    platform.apply(kn.eventing.Broker("default")).wait_ready(10)
    request = urllib.request.Request(
        f"http://{platform.endpoint}/default/default", method="POST", data=b"",
        headers={"ce-specversion": "1.0", "ce-type": "a", "ce-source": "/b"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    assert caught.value.code == 400
    assert b"id" in caught.value.read()


def test_objects_survive_a_restart(functions, tmp_path):
    with kn.Platform(functions=functions, data_directory=tmp_path) as platform:
        platform.apply(kn.serving.Service("hello", image="fn:hello")).wait_ready(10).wait_durable()
    with kn.Platform(functions=functions, data_directory=tmp_path) as platform:
        assert [service.name for service in platform.list(kn.serving.Service)] == ["hello"]
        assert platform.invoke("hello").status == 200


def test_closing_twice_is_fine(functions):
    platform = kn.Platform(functions=functions)
    platform.close()
    platform.close()


def test_closing_while_threads_call_ends_every_call(functions):
    """A call ends with a reply or an error, whatever moment the platform is closed at."""
    for round_number in range(8):
        platform = kn.Platform(functions=functions, listen=None)
        platform.apply(kn.serving.Service("hello", image="fn:hello")).wait_ready(10)
        calling = threading.Semaphore(0)
        errors = queue.Queue()

        def call_for_ever():
            try:
                while True:
                    platform.invoke("hello")
                    calling.release()
            except kn.Error as error:
                errors.put(error)

        threads = [threading.Thread(target=call_for_ever, daemon=True) for _ in range(6)]
        for thread in threads:
            thread.start()
        for _ in range(round_number * 10):  # close at another moment each time
            assert calling.acquire(timeout=30)
        platform.close(0.1)
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)
        kinds = {type(error) for error in errors.queue}
        assert len(errors.queue) == 6
        assert kinds <= {kn.FailedPrecondition, kn.Cancelled, kn.Unavailable}, kinds


def test_strangers_are_kept_out_unless_asked_for():
    with pytest.raises(kn.FailedPrecondition, match="listen_beyond_loopback"):
        kn.Platform(listen="0.0.0.0:0")


def test_objects_print_compare_and_pickle():
    service = kn.serving.Service("hello", image="fn:hello", container_concurrency=10)
    assert service.spec.template.spec.container_concurrency == 10
    assert pickle.loads(pickle.dumps(service)) == service
    text = kn.print_manifest(service)
    assert kn.parse_manifest(text)[0].name == "hello"
    assert json.dumps(service.to_dict())
    assert "hello" in repr(service)


def test_virtual_time_falls_to_zero(functions):
    simulation = kn.Simulation(seed=42)
    with kn.Platform(env=simulation.env, functions=functions) as twin:
        twin.apply(kn.serving.Service("hello", image="fn:hello")).wait_ready()
        assert twin.scale("hello") == 1
        started = time.monotonic()
        simulation.run_for(seconds=900)
        assert time.monotonic() - started < 60
        assert twin.scale("hello") == 0


def test_a_listener_with_tls_is_trusted_by_its_authority(tmp_path):
    functions = kn.Functions()
    functions.http("hello")(lambda request: "hi")
    with kn.Platform(functions=functions, tls=kn.Tls()) as platform:
        service = platform.apply(kn.serving.Service("hello", image="fn:hello")).wait_ready()
        assert service.url.startswith("https://hello.default.localhost:")
        context = ssl.create_default_context(cadata=platform.authority)
        url = f"https://localhost:{platform.endpoint.rsplit(':', 1)[1]}/"
        request = urllib.request.Request(url, headers={"Host": "hello.default.localhost"})
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            assert answer.read() == b"hi"
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(request, context=ssl.create_default_context(), timeout=30)
    missing = kn.Tls(tmp_path / "none.pem", tmp_path / "none.key")
    with pytest.raises(kn.Error, match="none.pem"):
        kn.Platform(tls=missing)


def test_a_platform_is_a_registry_and_gets_images_from_another(tmp_path):
    with kn.Platform(images=kn.Images(registry=True)) as registry:
        with urllib.request.urlopen(f"http://{registry.endpoint}/v2/", timeout=30) as answer:
            assert answer.status == 200
        host = registry.endpoint
        images = kn.Images(insecure_registries=[host], registry_config='{"auths": {}}')
        with kn.Platform(listen=None, images=images) as other:
            made = other.builder.run(kn.build.Build(
                "made", image=f"{host}/team/made:1", steps=[kn.build.Step(
                    "write", image="host", command=["sh", "-c"],
                    args=["echo 'web: ./x' > Procfile; echo > x; chmod +x x"])]))
            assert made.image.startswith(f"{host}/team/made@sha256:")
        with urllib.request.urlopen(f"http://{host}/v2/team/made/tags/list", timeout=30) as tags:
            assert b'"1"' in tags.read()
    with pytest.raises(kn.InvalidArgument, match="no container runtime is named"):
        kn.Platform(listen=None, images=kn.Images(runtime="docker"))
    with pytest.raises(kn.InvalidArgument):
        kn.Platform(listen=None, images=kn.Images(registry_config="{"))
    with pytest.raises(TypeError, match="insecure_registries"):
        kn.Images(insecure_registries="localhost:5000")
    assert "secret" not in repr(kn.Images(registry_config="secret"))


def test_images_come_from_archives_and_go_into_them(tmp_path):
    step = kn.build.Step("write", image="host", command=["sh", "-c"],
                         args=["echo 'web: ./x' > Procfile; echo > x; chmod +x x"])
    with kn.Platform(listen=None, data_directory=tmp_path / "data") as platform:
        made = platform.builder.run(kn.build.Build("made", image="local/made:1", steps=[step]))
        platform.export_images(tmp_path / "made.tar", ["local/made:1"])
        platform.export_images(tmp_path / "layout.tar", ["local/made:1"], "oci")
        with pytest.raises(kn.NotFound, match="local/absent"):
            platform.export_images(tmp_path / "absent.tar", ["local/absent"])
        with pytest.raises(ValueError, match="format: docker or oci"):
            platform.export_images(tmp_path / "x.tar", ["local/made:1"], "zip")
    digest = made.digest
    with kn.Platform(listen=None) as other:
        assert other.import_images(tmp_path / "made.tar") == [f"local/made:1@{digest}"]
        assert other.import_images(tmp_path / "layout.tar", "tea:2") == [f"tea:2@{digest}"]
        assert other.import_images(tmp_path / "data" / "images") == [f"local/made:1@{digest}"]
        (tmp_path / "broken.tar").write_bytes(b"no archive")
        with pytest.raises(kn.InvalidArgument, match="broken.tar"):
            other.import_images(tmp_path / "broken.tar")

    async def later():
        async with kn.aio.Platform(listen=None) as platform:
            assert await platform.import_images(tmp_path / "made.tar", "mine") == [
                f"mine:latest@{digest}"]
            await platform.export_images(tmp_path / "again.tar", ["mine"])

    asyncio.run(later())
    assert (tmp_path / "again.tar").stat().st_size > 0


def test_proxies_are_those_that_the_program_says():
    with pytest.raises(kn.InvalidArgument, match="http_proxy"):
        kn.Platform(proxies={"http_proxy": "socks5://x:1"})
    with kn.Platform(listen=None, proxies={"http_proxy": "127.0.0.1:1"}):
        pass
