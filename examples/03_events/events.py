# A Broker, a Trigger with a filter, a function that answers with a new event.
import json
import queue

import knative as kn

with kn.Platform() as platform:
    platform.apply(kn.eventing.Broker("default"))
    accepted = queue.Queue()

    # What passes the filter reaches the function; its reply goes back into the Broker.
    @platform.subscribe("default",
                        filter=kn.Filter.cesql("type = 'order.created' AND EXISTS subject"))
    def accept(order):
        print("got", order.id)
        return kn.CloudEvent("order.accepted", "/shop", order.data)

    @platform.subscribe("default", filter=kn.Filter.cesql("type = 'order.accepted'"))
    def watch(reply):
        accepted.put(reply)

    platform.publish("default", kn.CloudEvent("order.created", "/web", {"id": 6},
                                              id="without-subject"))
    platform.publish("default", kn.CloudEvent("order.created", "/web", {"id": 7},
                                              id="order-7", subject="cart"))
    reply = accepted.get(timeout=10)
    print(reply.type, json.dumps(reply.data, separators=(",", ":")), flush=True)
