"""What the suites of tests/kms share: TAP, servers that end with the suite, our KMS drivers, and a proxy that makes faults and checks requests."""
import atexit
import collections
import contextlib
import ctypes
import http.client
import http.server
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("CSFLE_BUILD", os.path.join(TOP, "build", "debug"))
DRIVER = os.environ.get("CSFLE_KMS_DRIVER") or os.path.join(BUILD, "kms_driver")
REGISTRY = os.environ.get("CSFLE_REGISTRY") or os.path.join(BUILD, "csfle-registry")
TOOL = os.environ.get("CSFLE_TOOL") or os.path.join(BUILD, "csfle")


def fetch(name):
    """The folder of what scripts/fetch makes of that name."""
    return subprocess.run([os.path.join(TOP, "scripts/fetch"), name], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def inside(name):
    """Goes on with the Python of scripts/fetch NAME: the suite starts over in it, unless it is it."""
    python = os.path.join(fetch(name), "bin/python")
    if os.path.realpath(sys.prefix) != os.path.realpath(os.path.dirname(os.path.dirname(python))):
        need(not os.environ.get("CSFLE_INSIDE"), f"{python} is not what runs when it is started")
        os.environ["CSFLE_INSIDE"] = name
        os.execv(python, [python, *sys.argv])


def temporary(name):
    """A new folder that goes with the suite."""
    return tempfile.mkdtemp(prefix=name + "-", dir=os.environ.get("TMPDIR"))


def need(condition, text):
    if not condition:
        raise AssertionError(str(text))


# ---- TAP


class Tap:
    """`with tap.case("name"):` or `@tap.case("name")` above a function, which runs at once; green unless it raises."""

    def __init__(self):
        self.count = self.red = 0

    def case(self, name):
        return _Case(self, name)

    def done(self, expected):
        """The plan. A count of cases other than expected is one more failure. Ends the program."""
        if self.count != expected:
            self._line(False, f"{expected} cases", f"{self.count} cases ran, {expected} were expected")
        print(f"1..{max(self.count, expected)}", flush=True)
        sys.exit(1 if self.red else 0)

    def _line(self, good, name, text=""):
        self.count += 1
        self.red += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {name}", flush=True)
        for line in text.splitlines():
            print("# " + line, flush=True)


class _Case:
    def __init__(self, tap, name):
        self.tap, self.name = tap, name

    def __enter__(self):
        self.start = time.monotonic()

    def __exit__(self, kind, error, trace):
        if kind is not None and not issubclass(kind, Exception):
            return False  # an interrupt is no result
        text = "" if kind is None else f"{kind.__name__}: {error}\n" + "".join(traceback.format_tb(trace)[-3:])
        if kind is None and os.environ.get("CSFLE_TAP_TIMES"):
            text = f"{time.monotonic() - self.start:.2f} s"
        self.tap._line(kind is None, self.name, text)
        return True

    def __call__(self, function):
        with self:
            function()
        return function


# ---- processes


def die_with_parent():
    """Run before exec in a child: it does not outlive this suite, even when that is killed (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A running server. `.log`: file of all it prints; `.match`: what the ready expression found."""

    def __init__(self, process, log):
        self.process, self.log, self.match = process, log, None
        atexit.register(self.stop)

    def text(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def start(argv, env=None, ready=None, seconds=90, cwd=None):
    """
    Starts a server from the main thread (the kernel kills it when that thread is gone). ready: a regular expression for what it prints,
    or a function that says true, asked until it does; what it raises counts as not yet. env: added to this process's.
    """
    handle, log = tempfile.mkstemp(prefix=os.path.basename(argv[0]) + "-", suffix=".log", dir=os.environ.get("TMPDIR"))
    with os.fdopen(handle, "wb") as out:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **(env or {})}, cwd=cwd, preexec_fn=die_with_parent)
    server = Server(process, log)
    end = time.monotonic() + seconds
    while ready:
        if callable(ready):
            try:
                if ready():
                    return server
            except Exception as e:  # not up yet
                last = e
            else:
                last = "not ready"
        else:
            server.match = re.search(ready, server.text(), re.M)
            if server.match:
                return server
            last = f"'{ready}' not printed"
        if process.poll() is not None or time.monotonic() > end:
            server.stop()
            raise AssertionError(f"{argv[0]} did not start: {last}\n" + server.text()[-2000:])
        time.sleep(0.05)
    return server


def accepts(port):
    """A `ready` for start: something listens on the port."""
    def ready():
        socket.create_connection(("127.0.0.1", port), 2).close()
        return True
    return ready


class Tunnel:
    """
    A proxy for clients that cannot be given another address: `CONNECT name:port` leads to where routes {"name:port": "host:port"} say, 403
    elsewhere. `.url`; `.asked`: every name:port.
    """

    def __init__(self, routes):
        self.routes, self.asked = dict(routes), []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(4096)
                if not piece:
                    return
                head += piece
            method, target = head.split(b" ")[:2]
            self.asked.append(target.decode())
            to = self.routes.get(target.decode()) if method == b"CONNECT" else None
            if not to:
                client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            host, port = to.rsplit(":", 1)
            with socket.create_connection((host, int(port))) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
                back.start()
                self._copy(client, server)
                back.join()

    @staticmethod
    def _copy(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


# ---- our drivers


class Result(collections.namedtuple("Result", "ok out err seconds")):
    """What kms_driver did. `.status`: "FORBIDDEN", ""; `.http`: the HTTP status, 0."""

    @property
    def status(self):
        return "" if self.ok else self.err.split(" ", 1)[0]

    @property
    def http(self):
        found = re.match(r"\w+ http=(\d+) ", self.err)
        return int(found.group(1)) if found else 0


KEPT = ("PATH", "TMPDIR", "LANG", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")


def bare_env(env=None):
    """An environment without credentials or proxies of whoever runs the suite."""
    return {**{k: os.environ[k] for k in KEPT if k in os.environ}, **(env or {})}


def driver(op, kms_type, key_id, data, props=None, env=None, registry=None, count=1, timeout_ms=None, pause_ms=None, ca=None):
    """Runs kms_driver (see driver.c) with nothing but `env` as its environment: no credentials, no HOME."""
    argv = [DRIVER, "-c", str(count)]
    for option, value in (("-t", timeout_ms), ("-p", pause_ms), ("-a", ca)):
        argv += [option, str(value)] if value is not None else []
    argv += [op, kms_type, key_id]
    argv += [f"{n}={v}" for n, v in (props or {}).items()] + [f"registry:{n}={v}" for n, v in (registry or {}).items()]
    begin = time.monotonic()
    run = subprocess.run(argv, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=200, check=False, env=bare_env(env),
                         preexec_fn=die_with_parent)
    seconds = time.monotonic() - begin
    err = run.stderr.decode("utf-8", "replace").strip()
    if run.returncode not in (0, 1) or (run.returncode == 1) != bool(err):
        raise AssertionError(f"kms_driver {op} {kms_type} {key_id}: exit code {run.returncode}: {err[-3000:]}")
    if run.returncode == 1 and (run.stdout or "\n" in err):
        raise AssertionError(f"kms_driver {op} failed, and more than one line came out: {err[-3000:]}")
    return Result(run.returncode == 0, run.stdout, err, seconds)


def self_signed(folder, names=()):
    """(cert, key): PEM files for 127.0.0.1, localhost and further names."""
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=" + ",".join(["DNS:localhost", "IP:127.0.0.1", *("DNS:" + n for n in names)]), "-keyout", key, "-out", cert], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return cert, key


# ---- the proxy

Request = collections.namedtuple("Request", "method path headers body")
Reply = collections.namedtuple("Reply", "code headers body")  # headers: {name: value}


def status(code, body=b"", headers=None):
    """This answer, and the server sees no request."""
    reply = Reply(code, dict(headers or {}), body if isinstance(body, bytes) else body.encode())
    return lambda line: line.send(reply)


def redirect(url):
    return status(307, headers={"Location": url})


def passed():
    """The server's own answer."""
    return lambda line: line.send(line.upstream())


def slow(seconds):
    """The server's own answer, that much later."""
    def fault(line):
        line.wait(seconds)
        line.send(line.upstream())
    return fault


def stall():
    """Nothing at all, until the client goes away."""
    return lambda line: line.wait_for_client()


def cut(n):
    """The first n bytes of the server's own answer, head included."""
    def fault(line):
        line.raw(line.render(line.upstream())[:n])
    return fault


def garbage(data=b"\x00\xff\x7fthis is not HTTP\r\n\r\n" * 4):
    return lambda line: line.raw(data)


def endless(piece=b" " * 16384):
    """200, and a body that has no end."""
    def fault(line):
        line.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while not line.proxy.closed.is_set():
            line.raw(piece)
    return fault


def replace(fn):
    """The server's own answer as fn(Reply) changes it: another Reply."""
    return lambda line: line.send(fn(line.upstream()))


class _Line(http.server.BaseHTTPRequestHandler):
    """One connection of a client."""
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.proxy = self.server.bench

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.request_seen = Request(self.command, self.path, self.headers, body)
        self.close_connection = True
        with self.proxy.lock:
            self.proxy.seen.append(self.request_seen)
            fault = self.proxy.faults.popleft() if self.proxy.faults else None
        try:
            if fault is None:
                refusal = self.proxy.checker(self.request_seen) if self.proxy.checker else None
                fault = status(refusal[0], refusal[1], refusal[2] if len(refusal) > 2 else None) if refusal else passed()
            fault(self)
        except OSError:
            pass  # the client has gone

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_CONNECT = answer

    def upstream(self):
        if not self.proxy.upstream:
            return Reply(502, {}, b"this proxy has no server behind it")
        to = urllib.parse.urlsplit(self.proxy.upstream)
        context = ssl._create_unverified_context() if to.scheme == "https" else None
        connection = http.client.HTTPSConnection(to.hostname, to.port, timeout=60, context=context) if context else \
            http.client.HTTPConnection(to.hostname, to.port, timeout=60)
        try:
            seen = self.request_seen
            connection.putrequest(seen.method, seen.path, skip_host=True, skip_accept_encoding=True)
            for name, value in seen.headers.items():
                if name.lower() not in ("connection", *(n.lower() for n in self.proxy.headers)):
                    connection.putheader(name, value)
            for name, value in self.proxy.headers.items():
                connection.putheader(name, value)
            connection.endheaders(seen.body or None)
            got = connection.getresponse()
            return Reply(got.status, dict(got.getheaders()), got.read())
        finally:
            connection.close()

    def render(self, reply):
        head = f"HTTP/1.1 {reply.code} {http.client.responses.get(reply.code, 'Unknown')}\r\n"
        for name, value in reply.headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                head += f"{name}: {value}\r\n"
        return f"{head}Content-Length: {len(reply.body)}\r\nConnection: close\r\n\r\n".encode() + (b"" if self.command == "HEAD" else reply.body)

    def send(self, reply):
        self.raw(self.render(reply))

    def raw(self, data):
        self.wfile.write(data)
        self.wfile.flush()

    def wait(self, seconds):
        self.proxy.closed.wait(seconds)

    def wait_for_client(self):
        self.connection.settimeout(0.2)
        while not self.proxy.closed.is_set():
            try:
                if not self.connection.recv(1024):
                    return
            except (TimeoutError, ssl.SSLWantReadError):
                pass

    def log_message(self, *unused):
        pass


class _Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    tls = None

    def finish_request(self, request, client_address):
        if self.tls:  # in the connection's own thread
            request.settimeout(30)
            request = self.tls.wrap_socket(request, server_side=True)
        self.RequestHandlerClass(request, client_address, self)

    def handle_error(self, *unused):
        pass  # a client that went away, or did not trust the certificate


class FaultProxy:
    """
    Stands in front of a server, and may spoil, refuse or change what goes through. upstream: URL, None: only what faults and `.check`
    answer. tls: (cert, key). headers: set on every request that goes on (moto's instance metadata wants a Host of its own).
    `.url`; `.seen`: all requests that arrived, as Request.
    """

    def __init__(self, upstream=None, tls=None, headers=None):
        self.upstream, self.headers = upstream.rstrip("/") if upstream else None, dict(headers or {})
        self.seen, self.faults, self.checker = [], collections.deque(), None
        self.lock, self.closed = threading.Lock(), threading.Event()
        self.listener = _Listener(("127.0.0.1", 0), _Line)
        self.listener.bench = self
        if tls:
            self.listener.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.listener.tls.load_cert_chain(*tls)
        self.port = self.listener.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self.listener.serve_forever, args=(0.05,), daemon=True).start()

    def fault(self, *faults):
        """For the next requests, one each, in place of .check and what follows it: status, stall, cut, garbage, endless, slow, redirect, replace, passed."""
        with self.lock:
            self.faults.extend(faults)

    def check(self, fn):
        """fn(Request) of every request without a fault: None goes on to the server, (code, body[, headers]) is the answer. None: no check."""
        self.checker = fn

    def reset(self):
        """Forgets requests, faults and check."""
        with self.lock:
            self.seen.clear()
            self.faults.clear()
        self.checker = None

    def close(self):
        self.closed.set()
        self.listener.shutdown()
        self.listener.server_close()
