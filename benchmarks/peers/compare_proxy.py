#!/usr/bin/env python3
"""The library's proxy path against HAProxy (one thread), same upstream, interleaved.

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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--proxy", default="peer_knative_proxy",
                        help="our proxy program: takes a port and host:port of the upstream")
    options = measure.arguments(parser)
    binaries = options.build / "benchmarks"
    haproxy = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if haproxy is None:
        raise SystemExit("haproxy is not installed")
    with tempfile.TemporaryDirectory() as folder, \
            measure.Peer("direct", [binaries / "peer_epoll_server", 0, options.body]) as upstream, \
            HAProxy(haproxy, folder, upstream.port) as base, \
            measure.Peer("knative proxy", [binaries / options.proxy, 0,
                                           f"127.0.0.1:{upstream.port}"]) as ours:
        figures = measure.interleave(binaries / "peer_load", [base, ours], options.rounds,
                                     options.connections, options.seconds)
    cpu = measure.ratios(figures[ours.name], figures[base.name], "cpu_us_per_request")
    if options.json:
        rate = measure.ratios(figures[ours.name], figures[base.name], "requests_per_second")
        print(json.dumps({
            "proxy_cpu_us": measure.median(figures[ours.name], "cpu_us_per_request"),
            "proxy_cpu_ratio": cpu[0], "proxy_rps_ratio": rate[0]}))
        return
    measure.print_table(figures, base.name)
    verdict = "reached" if cpu[0] <= 0.9 else "missed"
    print(f"mark: at most 0.90 of HAProxy's CPU per request: {cpu[0]:.2f}, {verdict}")


if __name__ == "__main__":
    main()
