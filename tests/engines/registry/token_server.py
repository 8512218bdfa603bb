"""A token service for tests: signs what it is asked for (distribution's token specification).

Usage: token_server.py FOLDER USER PASSWORD LIFETIME_SECONDS
Makes FOLDER/token.crt and prints the port. Anonymous callers may pull from "open/...".
"""

import base64
import http.server
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.parse

FOLDER, USER, PASSWORD, LIFETIME = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
KEY, CERTIFICATE = FOLDER + "/token.key", FOLDER + "/token.crt"


def encode(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def sign(claims):
    der = subprocess.run(["openssl", "x509", "-in", CERTIFICATE, "-outform", "DER"], check=True,
                         capture_output=True).stdout
    header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
    text = encode(json.dumps(header).encode()) + "." + encode(json.dumps(claims).encode())
    with tempfile.NamedTemporaryFile() as file:
        file.write(text.encode())
        file.flush()
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", KEY, file.name],
                                   check=True, capture_output=True).stdout
    return text + "." + encode(signature)


class Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def say(self, status, answer):
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def grant(self, known, service, scopes):
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":", 2)
            granted = [a for a in actions.split(",") if known or (
                name.startswith("open/") and a == "pull")]
            access.append({"type": kind, "name": name, "actions": granted})
        now = int(time.time())
        self.say(200, {"expires_in": LIFETIME, "token": sign({
            "iss": "test", "sub": USER if known else "", "aud": service, "exp": now + LIFETIME,
            "nbf": now - 10, "iat": now, "jti": os.urandom(8).hex(), "access": access})})

    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        authorization = self.headers.get("Authorization", "")
        right = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if authorization and authorization != right:
            return self.say(401, {"details": "incorrect username or password"})
        self.grant(bool(authorization), query["service"][0], query.get("scope", []))

    def do_POST(self):
        form = urllib.parse.parse_qs(
            self.rfile.read(int(self.headers["Content-Length"])).decode())
        if form.get("grant_type") != ["refresh_token"] or form["refresh_token"] != [PASSWORD]:
            return self.say(401, {"details": "unknown refresh token"})
        self.grant(True, form["service"][0], form["scope"][0].split())


subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", KEY,
                "-out", CERTIFICATE, "-days", "2", "-subj", "/CN=test"], check=True,
               capture_output=True)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
print(server.server_address[1], flush=True)
server.serve_forever()
