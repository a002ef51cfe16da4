"""A small web server of a task: a page, what its script asks for, a WebSocket.

    serve.py PORT FILE      FILE is served as /big
"""
import base64
import hashlib
import http.server
import json
import pathlib
import struct
import sys
import threading

here = pathlib.Path(__file__).parent
big = pathlib.Path(sys.argv[2])
# The page's last picture comes when its script has told that it is done: so
# long the browser waits with its load event.
done = threading.Event()


class Serve(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body, kind="text/plain", status=200, **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        path = self.path
        if path == "/":
            page = (here / "page.html").read_bytes()
            self.answer(page, "text/html; charset=utf-8", Set_Cookie="from=task; Path=/")
        elif path == "/script.js":
            self.answer((here / "script.js").read_bytes(), "text/javascript")
        elif path == "/big":
            self.answer(big.read_bytes(), "application/octet-stream")
        elif path == "/pieces":
            self.pieces()
        elif path == "/moved":
            self.answer(b"", status=302, Location="/echo/after%20a%20move?x=%2F")
        elif path == "/socket":
            self.socket()
        elif path == "/last.png":
            done.wait()
            self.answer(b"", "image/png", 404)
        elif path.startswith("/echo/"):
            self.echo(b"")
        else:
            self.answer(b"not here", status=404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/done":
            done.set()
            self.answer(b"")
        else:
            self.echo(body)

    def echo(self, body):
        told = {
            "method": self.command,
            "path": self.path,
            "cookie": self.headers["Cookie"],
            "body": body.decode(),
        }
        self.answer(json.dumps(told).encode(), "application/json")

    def pieces(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(100):
            piece = b"piece %d;" % number
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    # RFC 6455: 1.3 has the magic, 5.2 the frame. The first message tells the
    # cookie, then each is sent back as it came.
    def socket(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        self.frame(1, (self.headers["Cookie"] or "").encode())
        while True:
            code, message = self.message()
            self.frame(code, message)
            if code == 8:
                break
        self.close_connection = True

    def message(self):
        whole = b""
        kind = None
        while True:
            first, length = self.rfile.read(2)
            length &= 127
            if length > 125:
                wide = {126: "!H", 127: "!Q"}[length]
                (length,) = struct.unpack(wide, self.rfile.read(struct.calcsize(wide)))
            mask = self.rfile.read(4) * (length // 4 + 1)
            data = self.rfile.read(length)
            whole += bytes(a ^ b for a, b in zip(data, mask))
            kind = kind or first & 15
            if first & 128:
                return kind, whole

    def frame(self, code, data):
        length = len(data)
        if length < 126:
            head = bytes([128 | code, length])
        elif length < 1 << 16:
            head = struct.pack("!BBH", 128 | code, 126, length)
        else:
            head = struct.pack("!BBQ", 128 | code, 127, length)
        self.wfile.write(head + data)
        self.wfile.flush()


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Serve).serve_forever()
