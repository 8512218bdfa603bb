# A function behind a URL: deploy it, call it in process.
# [hello]
import knative as kn

functions = kn.Functions()


@functions.http("hello")
def hello(request):
    return kn.http.text(f"hello {request.query.get('name', 'world')}")


with kn.Platform(functions=functions) as platform:
    service = platform.apply(kn.serving.Service("hello", image="fn:hello")).wait_ready()
    reply = platform.invoke("hello", kn.http.get("/?name=ada"))
    print(reply.status, reply.text)
    print(service.url)
# [/hello]
