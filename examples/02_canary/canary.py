# Two revisions behind one URL: 90 % of the traffic to the old one, 10 % to the new one, which
# also has a host of its own.
from collections import Counter

import knative as kn

functions = kn.Functions()


@functions.http("v1")
def v1(request):
    return "one"


@functions.http("v2")
def v2(request):
    return "two"


with kn.Platform(functions=functions) as platform:
    platform.apply(kn.serving.Service("shop", image="fn:v1")).wait_ready()
    shop = kn.serving.Service("shop", image="fn:v2", traffic=[
        kn.serving.TrafficTarget(revision_name="shop-00001", percent=90),
        kn.serving.TrafficTarget(latest_revision=True, percent=10, tag="canary")])
    platform.apply(shop).wait_ready()

    answers = Counter(platform.invoke("shop").text for _ in range(1000))
    for answer, count in sorted(answers.items()):
        print(f"{answer}: {count}")
    print("canary:", platform.invoke("canary-shop").text)
    for target in platform.get(kn.serving.Service, "shop").to_dict()["status"]["traffic"]:
        print(f"{target['revisionName']} {target['percent']}%")
