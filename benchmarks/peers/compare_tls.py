#!/usr/bin/env python3
"""An HTTP server over TLS 1.3 against nginx (one worker) with the same certificate, interleaved:
connections that carry one request each (handshakes), and requests on kept connections. No session
is resumed by either.

Marks: at most 1.1 times nginx's CPU per handshake, and per request.
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

MARK = 1.1
CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  default_type text/plain;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {folder}/leaf.pem;
    ssl_certificate_key {folder}/leaf.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_tickets off;
    ssl_session_cache off;
    location / {{ return 200 "{body}"; }}
  }}
}}
"""


class Nginx(measure.Peer):
    """nginx on a free port; it does not print one, so we choose it."""

    def __init__(self, binary, folder, body):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        configuration = Path(folder) / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(folder=folder, port=port, body="x" * body))
        subprocess.run([binary, "-t", "-q", "-c", configuration, "-p", folder], check=True)
        super().__init__("nginx, 1 worker", [binary, "-c", configuration, "-p", folder], port)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


def main():
    options = measure.arguments(argparse.ArgumentParser(description=__doc__))
    binaries = options.build / "benchmarks"
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        raise SystemExit("nginx is not installed")
    results = {}
    with tempfile.TemporaryDirectory() as folder, \
            measure.Peer("knative", [binaries / "peer_knative_tls_server", 0, options.body,
                                     folder]) as ours, \
            Nginx(nginx, folder, options.body) as base:
        for what, each in (("handshakes", 1), ("requests", 0)):
            figures = measure.interleave(binaries / "peer_knative_tls_load", [base, ours],
                                         options.rounds, options.connections, options.seconds,
                                         Path(folder) / "ca.pem", each)
            result = measure.verdict(figures, ours.name, base.name, "cpu_us_per_request", MARK,
                                     lambda ratio: ratio <= MARK)
            results[what] = result
            if not options.json:
                print(what)
                measure.print_table(figures, base.name)
                print(f"mark: at most {MARK:.2f} of nginx's CPU: {result['ratio']:.2f}, "
                      f"{'holds' if result['holds'] else 'MISSED'}")
    if options.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
