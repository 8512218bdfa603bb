"""What the tests share: functions, and platforms that are closed afterwards."""

import knative as kn
import pytest


@pytest.fixture
def functions():
    table = kn.Functions()

    @table.http("hello")
    def hello(request):
        return kn.http.text(f"hello {request.query.get('name', 'world')}")

    @table.http("echo")
    async def echo(request):
        return {"method": request.method, "path": request.path, "body": request.text}

    @table.http("throws")
    def throws(request):
        raise RuntimeError("no luck today")

    return table


@pytest.fixture
def platform(functions):
    with kn.Platform(functions=functions) as running:
        yield running
