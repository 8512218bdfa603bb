#!/usr/bin/env python3
"""A TLS peer by Python's ssl (and openssl s_client where Python cannot), for tests of tls.hpp.

    peer.py client PORT CA [CERTIFICATE KEY]   say "ping", print what comes and what was agreed
    peer.py server CERTIFICATE KEY [CA]        print the port; answer one line, then end
    peer.py ragged CERTIFICATE KEY             the same, but end without close_notify
    peer.py key-update PORT CA                 ask for new keys, then say "ping"
"""

import socket
import ssl
import subprocess
import sys

PATIENCE_SECONDS = 30


def client(port, authority, *identity):
    context = ssl.create_default_context(cafile=authority)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if identity:
        context.load_cert_chain(*identity)
    with socket.create_connection(("127.0.0.1", int(port)), timeout=PATIENCE_SECONDS) as plain:
        with context.wrap_socket(plain, server_hostname="localhost",
                                 suppress_ragged_eofs=False) as secure:
            secure.sendall(b"ping\n")
            received = b""
            while piece := secure.recv(4096):
                received += piece
            print("received", received.decode().strip())
            print("version", secure.version())
            print("alpn", secure.selected_alpn_protocol())
            print("names", *(name for _, name in secure.getpeercert()["subjectAltName"]))


def server(certificate, key, authority=None, ragged=False):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    if authority:
        context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_SECONDS)
        print("port", listener.getsockname()[1], flush=True)
        plain, _ = listener.accept()
        plain.settimeout(PATIENCE_SECONDS)
        with context.wrap_socket(plain, server_side=True) as secure:
            line = secure.recv(4096)
            subject = dict(pair[0] for pair in (secure.getpeercert() or {}).get("subject", ()))
            name = subject.get("commonName", "nobody")
            secure.sendall(name.encode() + b" says " + line)
            if ragged:  # the client's end is read, so that closing resets nothing
                while secure.recv(4096):
                    pass
            else:  # closing alone says no close_notify
                secure.unwrap()


def key_update(port, authority):
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", authority,
               "-tls1_3", "-verify_return_error"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as process:
        process.stdin.write(b"K\n")
        process.stdin.flush()
        said = b""
        while b"KEYUPDATE" not in said:
            line = process.stdout.readline()
            if not line:
                sys.exit("no key update: " + said.decode(errors="replace"))
            said += line
        process.stdin.write(b"ping\n")
        process.stdin.flush()
        print(process.stdout.read().decode(errors="replace"))


def main():
    mode, *arguments = sys.argv[1:]
    if mode == "client":
        client(*arguments)
    elif mode == "server":
        server(*arguments)
    elif mode == "ragged":
        server(*arguments, ragged=True)
    elif mode == "key-update":
        key_update(*arguments)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
