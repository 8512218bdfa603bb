"""Values compare, copy, pickle and print; filters say what they let through."""

import copy
import pickle

import knative as kn
import pytest
from knative import _native

EVENT = kn.CloudEvent("order.created", "/web", {"id": 7}, id="a", subject="cart", priority=2)

VALUES = [
    EVENT,
    kn.CloudEvent("a", "/b", b"\x00\xff", id="b"),
    kn.CloudEvent("a", "/b", "words", id="b", datacontenttype="text/plain"),
    kn.Filter(),
    kn.Filter.exact(type="a"),
    kn.Filter.cesql("type = 'a'"),
    kn.http.get("/?a=b", {"X-A": "1"}),
    kn.http.post("/", b"x"),
    kn.http.text("hello"),
    kn.http.json({"a": [1, 2]}),
    kn.http.Headers({"A": "1"}),
    kn.serving.Service("hello", image="fn:hello", env={"A": "1"}, min_scale=1),
    kn.serving.TrafficTarget(latest_revision=True, percent=10, tag="canary"),
    kn.eventing.Trigger("t", broker="b", filter={"type": "a"}, subscriber="http://x"),
    kn.build.Build("shop", git="https://example.org/shop.git", image="local/shop"),
    kn.build.Step("compile", image="fn:make", args=["all"]),
    kn.build.BuildResult("local/shop@sha256:1", "sha256:1", {"conditions": []}),
    kn.Load.poisson(rps=200, seconds=300).then(kn.Load.silence(60)),
    kn.LoadReport(1, 1, 0, 1, {200: 1}, 0.1, 0.1, 0.1, 0.1),
    kn.NotFound("revision default/hello-00001"),
    _native.Request("GET", "/", [("a", "b")], b"x"),
    _native.Response(200, [("a", "b")], b"x"),
    _native.CloudEvent({"id": "a", "type": "b", "source": "/c", "specversion": "1.0"}, b"{}"),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_equals_its_copies_and_nothing_else(value):
    for other in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
        assert type(other) is type(value)
        assert other == value
        assert repr(other) == repr(value)
    assert value != object()
    assert [other for other in VALUES if other == value] == [value]
    assert " object at 0x" not in repr(value)


def test_an_event_prints_its_type_source_data_and_attributes():
    assert repr(EVENT) == ("CloudEvent('order.created', '/web', {'id': 7}, id='a', "
                           "subject='cart', priority='2')")


@pytest.mark.parametrize("structured", [False, True])
@pytest.mark.parametrize("event", [value for value in VALUES if isinstance(value, kn.CloudEvent)],
                         ids=lambda event: str(event.datacontenttype))
def test_an_event_survives_http(event, structured):
    headers, body = event.to_http(structured=structured)
    assert kn.CloudEvent.from_http(headers, body) == event


def test_an_invalid_event_is_refused_by_name():
    with pytest.raises(kn.InvalidArgument, match="^type"):
        kn.CloudEvent("", "/b").validate()
    with pytest.raises(kn.InvalidArgument, match="id"):
        kn.CloudEvent.from_http({"ce-specversion": "1.0", "ce-type": "a", "ce-source": "/b"}, b"")


@pytest.mark.parametrize(("wanted", "matches"), [
    (kn.Filter(), True),
    (kn.Filter.exact(type="order.created", source="/web"), True),
    (kn.Filter.exact(type="order.created", source="/shop"), False),
    (kn.Filter.prefix(type="order."), True),
    (kn.Filter.suffix(type=".deleted"), False),
    (kn.Filter.all(kn.Filter.prefix(type="order."), kn.Filter.suffix(type=".created")), True),
    (kn.Filter.any(kn.Filter.exact(type="a"), kn.Filter.exact(subject="cart")), True),
    (kn.Filter.not_(kn.Filter.exact(source="/web")), False),
    (kn.Filter.cesql("type = 'order.created' AND priority > 1"), True),
], ids=repr)
def test_filters(wanted, matches):
    assert wanted.matches(EVENT) == matches
    assert kn.Filter(wanted.spec) == wanted


def test_a_filter_that_does_not_parse_is_an_error():
    with pytest.raises(kn.InvalidArgument):
        kn.Filter.cesql("type =")
    with pytest.raises(ValueError, match="dialect"):
        kn.Filter({"nonsense": {}})


def test_a_trigger_takes_filters():
    trigger = kn.eventing.Trigger("t", filters=[kn.Filter.prefix(type="order.")])
    assert trigger.to_dict()["spec"]["filters"] == [{"prefix": {"type": "order."}}]


@pytest.mark.parametrize("data", [{"a": 1}, [1], b"x", "text", None, 1.5])
def test_the_data_of_an_event_may_be_given_by_name(data: object) -> None:
    assert kn.CloudEvent("t", "/s", data=data).data == data
