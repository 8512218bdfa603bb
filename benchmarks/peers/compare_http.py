#!/usr/bin/env python3
"""A function behind the library's server against a hand-written epoll server, interleaved.

Mark: at least 0.6 times the requests per second of the epoll server.
"""

import argparse
import json

import measure


def main():
    options = measure.arguments(argparse.ArgumentParser(description=__doc__))
    binaries = options.build / "benchmarks"
    with measure.Peer("epoll server", [binaries / "peer_epoll_server", 0, options.body]) as base, \
            measure.Peer("knative function",
                         [binaries / "peer_knative_server", 0, options.body]) as ours:
        figures = measure.interleave(binaries / "peer_load", [base, ours], options.rounds,
                                     options.connections, options.seconds)
    rate = measure.ratios(figures[ours.name], figures[base.name], "requests_per_second")
    if options.json:
        cpu = measure.ratios(figures[ours.name], figures[base.name], "cpu_us_per_request")
        print(json.dumps({
            "http_function_rps": measure.median(figures[ours.name], "requests_per_second"),
            "http_function_rps_ratio": rate[0], "http_function_cpu_ratio": cpu[0]}))
        return
    measure.print_table(figures, base.name)
    verdict = "reached" if rate[0] >= 0.6 else "missed"
    print(f"mark: at least 0.60 of the epoll server's requests per second: {rate[0]:.2f}, {verdict}")


if __name__ == "__main__":
    main()
