#!/usr/bin/env python3
"""A function behind a Service of a platform against a hand-written epoll server, interleaved.

Mark: at least 0.6 times the requests per second of the epoll server.
"""

import argparse
import json

import measure

MARK = 0.6


def main():
    options = measure.arguments(argparse.ArgumentParser(description=__doc__))
    binaries = options.build / "benchmarks"
    with measure.Peer("epoll server", [binaries / "peer_epoll_server", 0, options.body]) as base, \
            measure.Peer("knative function",
                         [binaries / "peer_knative_server", 0, options.body]) as ours:
        figures = measure.interleave(binaries / "peer_load", [base, ours], options.rounds,
                                     options.connections, options.seconds)
    result = measure.verdict(figures, ours.name, base.name, "requests_per_second", MARK,
                             lambda ratio: ratio >= MARK)
    if options.json:
        print(json.dumps(result))
        return
    measure.print_table(figures, base.name)
    print(f"mark: at least {MARK:.2f} of the epoll server's requests per second: "
          f"{result['ratio']:.2f}, {'holds' if result['holds'] else 'MISSED'}")


if __name__ == "__main__":
    main()
