#!/usr/bin/env python3
"""A destination for the quickstart: writes down what is POSTed to it; JSON arrays as one line per element. `receiver.py PORT FILE`."""
import http.server, json, sys


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.headers["Content-Type"] == "application/json":
            text = "".join(json.dumps(event, separators=(",", ":"), ensure_ascii=False) + "\n" for event in json.loads(body))
        else:
            text = body.decode()
        with open(sys.argv[2], "a") as out:
            out.write(text)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
