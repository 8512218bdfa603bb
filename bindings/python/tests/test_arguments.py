"""Whatever is wrong with an argument is said by its name, where it comes in."""

# Wrong types are what this is about.
# mypy: disable-error-code="arg-type, type-var, index, list-item, dict-item"

import enum
import inspect

import pytest

import knative as kn
from knative import _native

# Parameters that take everything, or say themselves what is wrong: the value of an object's field
# is checked by `apply`, with the names of the model.
FREE = {
    "Error": {"detail"}, "by_code": {"code", "detail"}, "Fields": {"members"},
    "CloudEvent": {"data"}, "Filter": {"spec"}, "Filter.all": {"filters"},
    "Filter.any": {"filters"}, "Filter.not_": {"other"}, "Filter.matches": {"event"},
    "CloudEvent.from_http": {"headers"}, "Headers": {"fields"}, "Request": {"headers"},
    "Response": {"headers"}, "get": {"headers"}, "post": {"headers"}, "json": {"value"},
    "Load": {"phases"}, "Load.then": {"following"}, "as_response": {"result"},
    "Trigger": {"name", "broker", "more"}, "Service": {
        "name", "image", "container_concurrency", "timeout_seconds", "command", "args", "traffic",
        "more"},
    "Build": {"name", "git", "revision", "steps", "image", "image_config", "timeout", "more"},
    "Step": {"name", "image", "command", "args", "working_dir"},
    "TrafficTarget": {"revision_name", "configuration_name", "latest_revision", "percent", "tag"},
    "Subscription": {"name", "channel", "more"},
    "Tls": {"certificates", "private_key", "clients"},
    "Images": {"runtime", "registry", "registry_config", "insecure_registries", "pull", "push",
               "bytes_max"},
}
MADE_BY_THE_LIBRARY = {"Applied", "Subscription", "LoadRun", "LoadReport", "BuildResult", "Parked"}
MODULES = [kn, kn.aio, kn.build, kn.errors, kn.eventing, kn.http, kn.serving]


def callables():
    """Every public function, constructor and method, by name."""
    found = {}
    for module in MODULES:
        for name, thing in vars(module).items():
            own = getattr(thing, "__module__", "") == module.__name__
            if name.startswith("_") or not (own or module is kn and name in kn.__all__):
                continue
            if inspect.isfunction(thing) and thing.__module__ == module.__name__:
                found[name] = thing
            if not inspect.isclass(thing) or issubclass(thing, (Exception, Warning)):
                continue
            made = thing.__module__ + thing.__name__
            if thing.__name__ not in MADE_BY_THE_LIBRARY or "eventing" in made:
                found[thing.__name__, thing.__module__] = thing.__init__
            for method, function in vars(thing).items():
                function = getattr(function, "__func__", function)
                if not method.startswith("_") and inspect.isfunction(function):
                    found[f"{thing.__name__}.{method}", thing.__module__] = function
    return found


def test_every_parameter_is_checked():
    for key, function in callables().items():
        name = key if isinstance(key, str) else key[0]
        names = {parameter.name for parameter in inspect.signature(function).parameters.values()}
        checked = getattr(function, "_takes", frozenset())
        if "kwargs_" in checked:
            names.discard("attributes")
        missing = names - checked - FREE.get(name, set()) - {"self", "cls"}
        if inspect.isfunction(function) and function.__name__ == "__init__":
            missing -= {"args", "kwargs"}  # object's own
        assert not missing, f"{key}: {missing}"


class Odd(enum.IntEnum):
    ONE = 1


def deep(levels):
    value = {}
    for _ in range(levels):
        value = {"in": [value]}
    return value


def loop_of(kind):
    value = kind()
    if isinstance(value, dict):
        value["a"] = {"b": [value]}
    else:
        value.append({"b": value})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": value}}


def wide():
    value = ["x"]
    for _ in range(50):
        value = [value, value]
    return {"a": value}


@pytest.mark.parametrize("kind", [dict, list])
def test_what_contains_itself_is_an_error_and_no_crash(platform, kind):
    with pytest.raises(ValueError, match=r"object\.metadata\.labels.*contains itself"):
        platform.apply(loop_of(kind))
    with pytest.raises(ValueError, match="contains itself"):
        _native.checked(loop_of(kind))
    service = kn.serving.Service("a", image="fn:a")
    service.spec.template = service.spec
    with pytest.raises(ValueError, match=r"object\.spec\.template: contains itself"):
        platform.apply(service)
    data = []
    data.append(data)
    with pytest.raises(ValueError, match="data: Circular"):
        platform.publish("default", kn.CloudEvent("a", "/b", data))


@pytest.mark.parametrize("value, what", [
    (deep(40), "nested deeper than 64"), (deep(100_000), "nested deeper than 64"),
    (wide(), "more than 1000000 values"),
])
def test_what_is_too_deep_or_too_wide_is_an_error_and_no_crash(platform, value, what):
    with pytest.raises(ValueError, match=what):
        platform.apply(value)
    with pytest.raises(ValueError, match=what):
        _native.checked(value)
    while isinstance(value, dict) and "in" in value:  # Python's own end of it may recurse
        value = value.pop("in").pop()


def test_a_filter_that_contains_itself_or_is_too_deep_is_an_error():
    spec = {}
    spec["not"] = spec
    with pytest.raises(ValueError, match="nested deeper"):
        kn.Filter(spec)
    spec = {"cesql": "true"}
    for _ in range(40):
        spec = {"all": [spec, spec]}
    with pytest.raises(ValueError, match="more than"):
        kn.Filter(spec)


@pytest.mark.parametrize("value, problem, place", [
    ({"a": b"x"}, TypeError, r"object\.data\.a: a bytes is no JSON value"),
    ({"a": {1}}, TypeError, r"object\.data\.a: a set"),
    ({1: "x"}, TypeError, r"object\.data.*: a key is a str, not int"),
    ({"a": [0, float("nan")]}, ValueError, r"object\.data\.a\[1\]: JSON has no NaN"),
    ({"a": 2 ** 63}, ValueError, r"object\.data\.a: an integer of more than 64 bits"),
    ({"a": "\ud800"}, ValueError, r"object\.data\.a: a lone surrogate"),
    ({"\ud800": "a"}, ValueError, r"object\.data.*: a lone surrogate"),
    ({"a": object()}, TypeError, r"object\.data\.a: a object"),
])
def test_a_value_that_is_no_json_is_named_by_its_place(platform, value, problem, place):
    fields = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": value}
    for take in (platform.apply, _native.checked, _native.print_manifest):
        with pytest.raises(problem, match=place):
            take(fields)


BAD_CALLS = {
    "service: expected str": lambda it: it.invoke(5),
    "service: a lone surrogate": lambda it: it.invoke("\ud800"),
    "request: expected Request": lambda it: it.invoke("a", "GET /"),
    "broker: expected str": lambda it: it.publish(b"default", kn.CloudEvent("a", "/b")),
    "event: expected CloudEvent": lambda it: it.publish("default", {"type": "a"}),
    "thing: expected Object or dict": lambda it: it.apply(None),
    "thing: expected Object": lambda it: it.apply([{"kind": "Service"}]),
    "text: expected str": lambda it: it.apply_text(b"kind: Service"),
    "path: expected str or os.PathLike": lambda it: it.apply_path(None),
    "path: a path holds no NUL": lambda it: it.apply_path("a\0b"),
    "kind: expected a class of Object": lambda it: it.get("Service", "a"),
    "name: expected str": lambda it: it.get(kn.serving.Service, None),
    "function: expected a function": lambda it: it.subscribe("default", 7),
    "filter: expected Filter": lambda it: it.subscribe("default", print, filter={"exact": {}}),
    "grace: not negative": lambda it: it.close(-1),
    "grace: at most": lambda it: it.close(float("inf")),
    "grace: expected seconds": lambda it: it.close("5"),
    "build: expected Build": lambda it: it.builder.run(kn.serving.Service("a")),
    "type: expected str": lambda it: kn.CloudEvent(None, "/b"),
    "level: expected str, int or bool": lambda it: kn.CloudEvent("a", "/b", level=1.5),
    "data: Out of range": lambda it: kn.CloudEvent("a", "/b", {"x": float("nan")}).to_http(),
    "data: Object of type set": lambda it: kn.CloudEvent("a", "/b", {1}).to_http(),
    "body: expected bytes": lambda it: kn.CloudEvent.from_http([], "text"),
    "status: expected 100 to 999": lambda it: kn.http.Response(0),
    "status: expected int": lambda it: kn.http.Response("200"),
    "body: expected bytes or str": lambda it: kn.http.Response(200, body={"a": 1}),
    "headers: expected": lambda it: kn.http.get("/", 5),
    r"headers\['A'\]: expected str": lambda it: kn.http.get("/", {"A": 1}),
    r"headers\['A'\]: no line break": lambda it: kn.http.get("/", {"A": "1\r\nB: 2"}),
    "method: no line break": lambda it: it.invoke("a", kn.http.Request("GET\r\nA:", "/")),
    "value: Out of range": lambda it: kn.http.json(float("inf")),
    "timeout: expected seconds": lambda it: kn.Applied(
        it, ("v1", "ConfigMap", "default", "a")).wait_ready("1"),
    "timeout: at most": lambda it: kn.Applied(it, ("v1", "ConfigMap", "default", "a")).wait_ready(
        float("nan")),
    "function_threads: expected 1": lambda it: kn.Platform(function_threads=0),
    "log_level: debug": lambda it: kn.Platform(log_level="loud"),
    "data_directory: expected str": lambda it: kn.Platform(data_directory=7),
    r"kinds\[0\]: expected Kind": lambda it: kn.Platform(kinds=[kn.serving.Service]),
    "functions: expected Functions": lambda it: kn.Platform(functions={"a": print}),
    "env: expected Simulation": lambda it: kn.Platform(env=7),
    "reconcile: expected a function": lambda it: kn.Kind(kn.Object, "as", 5),
    "seed: expected int": lambda it: kn.Simulation("a"),
    "seed: expected 0 to": lambda it: kn.Simulation(-1),
    "rps: not negative": lambda it: kn.Load.poisson(-1, 5),
    "rps: expected a finite": lambda it: kn.Load.poisson(float("inf"), 5),
    "env: expected dict": lambda it: kn.serving.Service("a", env=["A=1"]),
    "min_scale: expected int": lambda it: kn.serving.Service("a", min_scale="1"),
    "subscriber: expected str or Object": lambda it: kn.eventing.Trigger("t", subscriber=5),
    r"filters\[0\]: expected Filter or dict": lambda it: kn.eventing.Trigger("t", filters=["a"]),
    "expression: expected str": lambda it: kn.Filter.cesql(5),
    "other: expected Filter": lambda it: kn.Filter.not_({}),
    r"spec\.all\[1\]: expected dict": lambda it: kn.Filter({"all": [{}, 5]}),
}


@pytest.mark.parametrize("message", BAD_CALLS)
def test_a_wrong_argument_is_named(platform, message):
    with pytest.raises((TypeError, ValueError), match="^" + message):
        BAD_CALLS[message](platform)
    assert platform.endpoint


def test_a_function_that_is_none_is_named():
    with pytest.raises(TypeError, match="^function: expected a function, got str"):
        kn.Functions().http("a")("no function")
    with pytest.raises(TypeError, match="^name: expected str"):
        kn.Functions().event(5)


def test_what_is_of_the_right_type_is_taken(platform):
    assert kn.http.Response(Odd.ONE + 199).status == 200
    fields = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": kn.Object("x").metadata}
    fields["metadata"].labels = None
    platform.apply({**fields, "data": {"a": "b"}})
    assert kn.Filter({"all": ({"exact": {"n": 1}},)}).spec == {"all": [{"exact": {"n": 1}}]}
