#!/usr/bin/env python3
"""Events posted to a platform's Broker over HTTP, on disk when answered, filtered by a Trigger and
delivered to a function. There is no peer: the row is beside what others cost.
"""

import argparse
import json
import tempfile
import urllib.request

import measure

EVENT_BYTES = 1024
PATH = "/default/default"


def delivered(port):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/",
                                     headers={"Host": "hello.default.example.com"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return int(answer.read())


def main():
    options = measure.arguments(argparse.ArgumentParser(description=__doc__))
    binaries = options.build / "benchmarks"
    with tempfile.TemporaryDirectory(dir=options.build) as folder, \
            measure.Peer("knative broker", [binaries / "peer_knative_broker", 0, folder]) as ours:
        figures = []
        for _ in range(options.rounds):
            before = delivered(ours.port)
            one = measure.load(binaries / "peer_load", ours, options.connections, options.seconds,
                               EVENT_BYTES, PATH)
            one["delivered"] = delivered(ours.port) - before
            figures.append(one)
    rates = [one["requests_per_second"] for one in figures]
    result = {"events_per_second": measure.median(figures, "requests_per_second"),
              "least": min(rates), "greatest": max(rates), "rounds": len(figures),
              "cpu_us_per_event": measure.median(figures, "cpu_us_per_request"),
              "p50_us": measure.median(figures, "p50_us"),
              "accepted": sum(one["total"] for one in figures),
              "delivered": sum(one["delivered"] for one in figures)}
    print(json.dumps(result) if options.json else
          "\n".join(f"{name}: {value:g}" for name, value in result.items()))


if __name__ == "__main__":
    main()
