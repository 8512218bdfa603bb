"""A git server over HTTP for tests: hands requests below a folder to `git http-backend`.

    git_http_server.py ROOT [CERTIFICATE KEY]      prints its port, serves until killed

/private/... needs the user "ada" with password "secret"; /hang/... never answers; /moved/X
redirects to /X; /dumb/... serves no git protocol; /cut/X breaks the pack in its middle; /old/X
speaks the protocol as it was before versions. What is asked is appended to ROOT.log, a line each:
method, path, and the bytes of the answer.
"""

import base64
import os
import ssl
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROOT = sys.argv[1]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def plain(self, status, text, **headers):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def serve(self):
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        first = path.split("/")[1]
        if first == "hang":
            time.sleep(600)
        if first == "dumb":
            return self.plain(200, "hello")
        if first == "moved":
            return self.plain(301, "", Location=self.path[len("/moved"):])
        if first == "private":
            expected = "Basic " + base64.b64encode(b"ada:secret").decode()
            if self.headers.get("Authorization") != expected:
                return self.plain(401, "who are you?", WWW_Authenticate='Basic realm="git"')
            path = path[len("/private"):]
        if first == "cut":
            path = path[len("/cut"):]
        if first == "old":
            path = path[len("/old"):]
        if not os.path.isdir(os.path.join(ROOT, path.split("/")[1])):
            return self.plain(404, "no repository here\n")
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": ROOT, "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)), "REMOTE_ADDR": "127.0.0.1",
            "HTTP_GIT_PROTOCOL": "" if first == "old" else self.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1",
        }
        output = subprocess.run(["git", "http-backend"], input=body, env=environment,
                                stdout=subprocess.PIPE, check=False).stdout
        head, _, content = output.partition(b"\r\n\r\n")
        status = 200
        headers = []
        for line in head.decode().split("\r\n"):
            name, _, value = line.partition(": ")
            if name == "Status":
                status = int(value.split()[0])
            else:
                headers.append((name, value))
        if first == "cut" and self.command == "POST":
            content = content[:len(content) // 2]
        with open(ROOT + ".log", "a", encoding="utf-8") as log:
            log.write(f"{self.command} {path} {len(content)}\n")
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = serve
    do_POST = serve


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
if len(sys.argv) == 4:
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(sys.argv[2], sys.argv[3])
    server.socket = secure.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
