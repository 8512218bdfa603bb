#!/usr/bin/env python3
"""A process behind a Service of a platform against HAProxy (one thread) in front of the same
process, interleaved. Ours is the whole product: listener, routes, queue, accounting, socket.

Mark: at most 0.9 times HAProxy's CPU per request.
"""

import argparse
import json
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import measure

MARK = 0.9
CONFIGURATION = """
global
  nbthread 1
  maxconn 2000
defaults
  mode http
  option http-keep-alive
  http-reuse always
  option forwardfor
  timeout connect 5s
  timeout client 60s
  timeout server 300s
frontend in
  bind 127.0.0.1:{port}
  default_backend out
backend out
  server upstream 127.0.0.1:{upstream}
"""


class HAProxy(measure.Peer):
    """HAProxy on a free port; it does not print one, so we choose it."""

    def __init__(self, binary, folder, upstream):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        configuration = Path(folder) / "haproxy.cfg"
        configuration.write_text(CONFIGURATION.format(port=port, upstream=upstream))
        subprocess.run([binary, "-c", "-q", "-f", configuration], check=True)
        super().__init__("haproxy, 1 thread", [binary, "-db", "-f", configuration], port)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise


def main():
    options = measure.arguments(argparse.ArgumentParser(description=__doc__))
    binaries = options.build / "benchmarks"
    haproxy = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if haproxy is None:
        raise SystemExit("haproxy is not installed")
    with tempfile.TemporaryDirectory() as folder, \
            measure.Peer("knative", [binaries / "peer_knative_proxy", 0,
                                     binaries / "peer_epoll_server", options.body]) as ours, \
            HAProxy(haproxy, folder, ours.read_port()) as base:
        figures = measure.interleave(binaries / "peer_load", [base, ours], options.rounds,
                                     options.connections, options.seconds)
    result = measure.verdict(figures, ours.name, base.name, "cpu_us_per_request", MARK,
                             lambda ratio: ratio <= MARK)
    if options.json:
        print(json.dumps(result))
        return
    measure.print_table(figures, base.name)
    print(f"mark: at most {MARK:.2f} of HAProxy's CPU per request: {result['ratio']:.2f}, "
          f"{'holds' if result['holds'] else 'MISSED'}")


if __name__ == "__main__":
    main()
