"""How a host program reads: the whole of it, from a function to virtual time."""

import queue

import knative as kn
import pytest


def test_a_host_program(tmp_path):
    functions = kn.Functions()

    @functions.http("hello")
    def hello(request):
        return kn.http.text(f"hello {request.query.get('name', 'world')}")

    source = tmp_path / "shop"
    source.mkdir()
    accepted = queue.Queue()

    with kn.Platform(functions=functions) as platform:
        svc = kn.serving.Service("hello", image="fn:hello", container_concurrency=10)
        platform.apply(svc).wait_ready(timeout=5.0)
        assert platform.invoke("hello", kn.http.get("/?name=ada")).text == "hello ada"

        svc.spec.traffic = [kn.serving.TrafficTarget(revision_name="hello-00001", percent=90),
                            kn.serving.TrafficTarget(latest_revision=True, percent=10,
                                                     tag="canary")]
        platform.apply(svc).wait_ready(timeout=5.0)
        assert platform.invoke("canary-hello").text == "hello world"

        platform.apply(kn.eventing.Broker("default"))

        @platform.subscribe("default",
                            filter=kn.Filter.cesql("type = 'order.created' AND subject = 'big'"))
        def accept(order):
            return kn.CloudEvent("order.accepted", "/shop", order.data)

        platform.subscribe("default", accepted.put, filter=kn.Filter.exact(type="order.accepted"))
        platform.publish("default", kn.CloudEvent("order.created", "/web",
                                                  {"id": 7, "total": 120}, subject="big"))
        assert accepted.get(timeout=10).data == {"id": 7, "total": 120}

        image = platform.builder.run(kn.build.Build(
            "shop", steps=[kn.build.Step("compile", command=["sh"],
                                         args=["-c", "echo shop > shop.txt"])],
            image="local/shop")).image
        assert image.startswith("local/shop@sha256:")

    sim = kn.Simulation(seed=42)
    with kn.Platform(env=sim.env, functions=functions) as twin:
        twin.apply(kn.serving.Service("hello", image="fn:hello"))
        run = sim.load("hello", kn.Load.poisson(rps=200, seconds=300))
        sim.run_for(seconds=900)
        assert twin.scale("hello") == 0
        assert run.done
        assert run.report.finished > 50_000
        assert set(run.report.by_status) == {200}


def play(seed):
    functions = kn.Functions()
    functions.http("hello")(lambda request: "hello")
    sim = kn.Simulation(seed=seed)
    with kn.Platform(env=sim.env, functions=functions) as twin:
        twin.apply(kn.serving.Service("hello", image="fn:hello"))
        twin.apply(kn.eventing.Broker("default"))
        seen = []
        twin.subscribe("default", lambda event: seen.append(event.id))
        run = sim.load("hello", kn.Load.burst(20, 10, 60).then(kn.Load.ramp(1, 20, 60)))
        twin.publish("default", kn.CloudEvent("a", "/b", id="one"))
        sim.run_for(120)
        assert seen == ["one"]
        return sim.trace_hash, run.report, sim.now


def test_a_simulation_is_played_again_from_its_seed():
    first = play(7)
    assert play(7) == first
    assert play(8)[0] != first[0]


def test_a_load_goes_where_the_service_is_and_its_report_outlives_the_platform():
    functions = kn.Functions()
    functions.http("hello")(lambda request: "hello")
    sim = kn.Simulation(seed=1)
    with kn.Platform(env=sim, functions=functions) as twin:
        twin.apply(kn.serving.Service("hello", image="fn:hello")).wait_ready()
        run = sim.load("hello", kn.Load.constant(10, 5))
        missing = sim.load("nobody", kn.Load.constant(1, 5), name="other")
        sim.run_for(10)
    assert (run.report.started, run.report.by_status) == (50, {200: 50})
    assert missing.report.by_status == {404: 5}
    assert run.done
    late = sim.load("hello", kn.Load.constant(1, 5))
    sim.run_for(10)
    assert late.report.by_status == {503: 5}
    with pytest.raises(ValueError, match="negative"):
        kn.Load.poisson(-1, 5)
