"""A TLS server over OpenSSL whose records and segments the test decides.

The key says what happens: `body-N`, `close-N`, `tiny-N`, `split-N`, `cut-N`,
`ended-N`, `stray-N`, `leave-N`. N bytes, byte i being i % 251. A PUT is answered
with the SHA-256 of its body as entity tag, or refused before its body.
"""
import hashlib, json, random, socket, ssl, sys, threading

setting = json.loads(sys.argv[1])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(setting["certificate"], setting["key"])
context.set_alpn_protocols(setting.get("alpn", ["http/1.1"]))
version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[setting["version"]]
context.minimum_version = context.maximum_version = version
if "clients" in setting:
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(setting["clients"])


def remember_name(session, name, _context):
    session.sni = name


context.sni_callback = remember_name
PATTERN = bytes(range(251))


def content(length):
    return (PATTERN * (length // 251 + 1))[:length]


class Peer:
    def __init__(self, sock):
        self.sock, self.ahead = sock, b""
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.session.sni = None
        self.random = random.Random(7)
        self.split = False

    def flush(self):
        data = self.outgoing.read()
        while data:
            size = self.random.choice([1, 2, 4, 5, 6, 100, 3000]) if self.split else len(data)
            self.sock.sendall(data[:size])
            data = data[size:]

    def call(self, step, *args):
        while True:
            try:
                made = step(*args)
                self.flush()
                return made
            except ssl.SSLWantReadError:
                self.flush()
                data = self.sock.recv(65536)
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()

    def head(self):
        while b"\r\n\r\n" not in self.ahead:
            data = self.call(self.session.read, 65536)
            if not data:
                return None
            self.ahead += data
        head, self.ahead = self.ahead.split(b"\r\n\r\n", 1)
        return head.decode()

    def digest(self, left):
        digest = hashlib.sha256()
        while left:
            if not self.ahead:
                self.ahead = self.call(self.session.read, 65536)
                assert self.ahead, "the body was cut"
            digest.update(self.ahead[:left])
            left, self.ahead = left - len(self.ahead[:left]), self.ahead[left:]
        return digest.hexdigest()

    def send(self, data):
        while data:
            data = data[self.call(self.session.write, data):]

    def drain(self):
        while self.sock.recv(65536):
            pass


def answer(peer, head):
    verb, path = head.split(" ")[:2]
    if verb == "PUT" and path.endswith("/refused"):
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        return False
    if verb == "PUT":
        length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length:"))
        peer.send(f'HTTP/1.1 200 OK\r\nETag: "{peer.digest(length)}"\r\nContent-Length: 0\r\n\r\n'.encode())
        return True
    kind, length = path.rsplit("/", 1)[1].split("-")
    body = content(int(length))
    session = peer.session
    tag = f"{session.version()} reused={session.session_reused} sni={session.sni} alpn={session.selected_alpn_protocol()}"
    fields = f'HTTP/1.1 200 OK\r\nETag: "{tag}"\r\nContent-Length: {len(body)}\r\n'
    if kind == "close":
        fields += "Connection: close\r\n"
    fields = fields.encode() + b"\r\n"
    peer.split = kind == "split"
    if kind == "tiny":
        for byte in fields + body:
            peer.send(bytes([byte]))
    elif kind in ("cut", "ended"):
        peer.send(fields + body[: len(body) // 2])
        if kind == "ended":
            try:
                peer.session.unwrap()
            except ssl.SSLWantReadError:
                peer.flush()
    elif kind in ("body", "split", "close", "stray", "leave"):
        peer.send(fields)
        if kind == "stray":
            # Together, so that it is there when the connection comes to rest.
            peer.session.write(body)
            body = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"
        peer.send(body)
    if kind == "leave":
        try:
            peer.session.unwrap()
        except ssl.SSLWantReadError:
            peer.flush()
    peer.split = False
    return kind not in ("cut", "ended", "close", "leave")


def serve(sock):
    peer = Peer(sock)
    try:
        peer.call(peer.session.do_handshake)
        while (head := peer.head()) is not None and answer(peer, head):
            pass
        sock.shutdown(socket.SHUT_WR)
        peer.drain()
    except (ssl.SSLError, OSError):
        try:
            peer.flush()
            sock.shutdown(socket.SHUT_WR)
            peer.drain()
        except OSError:
            pass
    sock.close()


listener = socket.create_server(("127.0.0.1", 0), backlog=256)
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
