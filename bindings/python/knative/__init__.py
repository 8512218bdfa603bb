"""The serverless platform as a library: Build, Serving and Eventing in one process.

    import knative as kn

    functions = kn.Functions()

    @functions.http("hello")
    def hello(request):
        return kn.http.text(f"hello {request.query.get('name', 'world')}")

    with kn.Platform(functions=functions) as platform:
        platform.apply(kn.serving.Service("hello", image="fn:hello")).wait_ready()
        print(platform.invoke("hello", kn.http.get("/?name=ada")).text)
"""

from . import aio, build, errors, eventing, http, serving
from ._native import version as __version__
from .errors import (AlreadyExists, Cancelled, Conflict, DataLoss, DeadlineExceeded, Error,
                     FailedPrecondition, Internal, InvalidArgument, ManifestWarning, NotFound,
                     ResourceExhausted, Unavailable, Unimplemented)
from .events import CloudEvent, Filter
from .functions import Functions
from .objects import Kind, Object, parse_manifest, print_manifest
from .platform import Applied, Images, Parked, Platform, Subscription, Tls
from .simulation import Load, LoadReport, LoadRun, Simulation

__all__ = [
    "AlreadyExists", "Applied", "Cancelled", "CloudEvent", "Conflict", "DataLoss",
    "DeadlineExceeded", "Error", "FailedPrecondition", "Filter", "Functions", "Images", "Internal",
    "InvalidArgument", "Kind", "Load", "LoadReport", "LoadRun", "ManifestWarning", "NotFound",
    "Object", "Parked", "Platform", "ResourceExhausted", "Simulation", "Subscription", "Tls",
    "Unavailable", "Unimplemented", "aio", "build", "errors", "eventing", "http", "parse_manifest",
    "print_manifest", "serving", "__version__",
]
