#!/usr/bin/env python3
"""The bench of the KMS suites does what it says: each fault, the check, TAP, the servers' end, kms_driver's line. A suite over a tame proxy would prove nothing."""
import contextlib
import http.client
import io
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.parse

import bench

tap = bench.Tap()
folder = bench.temporary("bench")
BODY = b'{"answer":42}'
behind = bench.FaultProxy()
behind.check(lambda r: (200, BODY + r.body, {"X-Behind": "yes", "X-Host": r.headers.get("Host", "")}))
proxy = bench.FaultProxy(behind.url)


def ask(method="POST", path="/a?b=c", body=b"hello", timeout=20, to=None, context=None):
    at = urllib.parse.urlsplit((to or proxy).url)
    c = http.client.HTTPSConnection(at.hostname, at.port, timeout=timeout, context=context) if context else http.client.HTTPConnection(at.hostname, at.port, timeout=timeout)
    with contextlib.closing(c):
        c.request(method, path, body, {"X-Mine": "1"})
        r = c.getresponse()
        return r.status, r.headers, r.read()


def raised(kinds, function):
    try:
        function()
    except kinds:
        return True
    return False


def fresh(*faults):
    proxy.reset()
    behind.seen.clear()
    proxy.fault(*faults)


@tap.case("without a fault the request goes through unchanged, and the answer comes back unchanged")
def _():
    fresh()
    code, headers, body = ask()
    bench.need((code, body, headers["X-Behind"]) == (200, BODY + b"hello", "yes"), (code, body))
    for seen in (proxy.seen, behind.seen):
        bench.need([(r.method, r.path, r.body, r.headers["X-Mine"]) for r in seen] == [("POST", "/a?b=c", b"hello", "1")], seen)
    bench.need(headers["X-Host"] == proxy.url[7:], "the Host header is part of signatures: it must arrive as sent")


@tap.case("headers given to the proxy replace those of the request")
def _():
    other = bench.FaultProxy(behind.url, headers={"host": "169.254.169.254"})
    bench.need(ask(to=other)[1]["X-Host"] == "169.254.169.254", "Host was not replaced")
    other.close()


@tap.case("status answers itself, the server sees nothing, and the next request is served again")
def _():
    fresh(bench.status(429, b"later", {"Retry-After": "7"}))
    code, headers, body = ask()
    bench.need((code, headers["Retry-After"], body, len(behind.seen), len(proxy.seen)) == (429, "7", b"later", 0, 1), (code, body))
    bench.need(ask()[0] == 200 and len(behind.seen) == 1, "faults last longer than one request")


@tap.case("faults are taken in order, and passed() lets one through")
def _():
    fresh(bench.status(500), bench.passed(), bench.status(503))
    bench.need([ask()[0] for _ in range(4)] == [500, 200, 503, 200], "another order")


@tap.case("redirect names its target")
def _():
    fresh(bench.redirect("http://127.0.0.1:1/x"))
    code, headers, _ = ask()
    bench.need((code, headers["Location"], len(behind.seen)) == (307, "http://127.0.0.1:1/x", 0), code)


@tap.case("stall answers nothing")
def _():
    fresh(bench.stall())
    bench.need(raised(TimeoutError, lambda: ask(timeout=0.5)), "there was an answer")
    bench.need(len(proxy.seen) == 1 and not behind.seen, "the request was not seen, or went through")


@tap.case("slow answers late")
def _():
    fresh(bench.slow(1))
    bench.need(raised(TimeoutError, lambda: ask(timeout=0.4)), "not slow")
    fresh(bench.slow(0.5))
    begin = time.monotonic()
    bench.need(ask()[0] == 200 and time.monotonic() - begin >= 0.5, "no answer, or not slow")


@tap.case("cut ends inside the head, or inside the body")
def _():
    fresh(bench.cut(5))
    bench.need(raised((http.client.HTTPException, OSError), ask), "a whole status line")
    fresh(bench.passed(), bench.cut(10**6))
    whole = ask()
    bench.need(ask()[2] == whole[2], "a cut behind the end changes the answer")
    length = sum(len(f"{n}: {v}\r\n") for n, v in whole[1].items()) + len("HTTP/1.1 200 OK\r\n\r\n") + len(whole[2])
    fresh(bench.cut(length - 3))
    bench.need(raised(http.client.IncompleteRead, ask), "the body is complete")


@tap.case("garbage is not HTTP")
def _():
    fresh(bench.garbage())
    bench.need(raised(http.client.HTTPException, ask), "it was")


@tap.case("endless goes on for as long as one reads")
def _():
    fresh(bench.endless())
    c = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)
    with contextlib.closing(c):
        c.request("GET", "/")
        r = c.getresponse()
        bench.need(r.status == 200 and len(r.read(5 << 20)) == 5 << 20, "it had an end")


@tap.case("replace changes the server's own answer")
def _():
    fresh(bench.replace(lambda r: bench.Reply(r.code, {**r.headers, "X-New": "n"}, r.body.replace(b"42", b"43"))))
    code, headers, body = ask()
    bench.need((code, headers["X-New"], headers["X-Behind"], body, len(behind.seen)) == (200, "n", "yes", b'{"answer":43}hello', 1), body)


@tap.case("the check refuses before the server sees anything, and lets through what it accepts")
def _():
    fresh()
    proxy.check(lambda r: None if r.headers.get("X-Mine") == "1" and r.body == b"good" else (401, b"who are you", {"X-Why": "w"}))
    code, headers, body = ask(body=b"bad")
    bench.need((code, headers["X-Why"], body, len(behind.seen), len(proxy.seen)) == (401, "w", b"who are you", 0, 1), code)
    bench.need(ask(body=b"good")[0] == 200 and len(behind.seen) == 1, "refused what it accepts")


@tap.case("over TLS, with a certificate that is checked")
def _():
    cert, key = bench.self_signed(folder)
    secure = bench.FaultProxy(behind.url, tls=(cert, key))
    bench.need(secure.url.startswith("https://"), secure.url)
    bench.need(ask(to=secure, context=ssl.create_default_context(cafile=cert))[0] == 200, "no answer")
    bench.need(raised(ssl.SSLError, lambda: ask(to=secure, context=ssl.create_default_context())), "an unknown certificate was taken")
    bench.need(len(secure.seen) == 1, secure.seen)
    secure.close()


@tap.case("a closed proxy refuses connections and lets go of those it stalls")
def _():
    gone = bench.FaultProxy(behind.url)
    gone.fault(bench.stall())
    c = http.client.HTTPConnection("127.0.0.1", gone.port, timeout=20)
    c.request("GET", "/")
    time.sleep(0.1)
    gone.close()
    bench.need(raised((http.client.HTTPException, OSError), c.getresponse), "it answered")
    bench.need(raised(OSError, lambda: socket.create_connection(("127.0.0.1", gone.port), 2)), "it listens still")


def tap_of(script):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            script(bench.Tap())
            code = None
        except SystemExit as e:
            code = e.code
    return code, [line for line in out.getvalue().splitlines() if not re.fullmatch(r"# [\d.]+ s", line)]


@tap.case("Tap: green cases end with the plan and exit code 0")
def _():
    def script(t):
        with t.case("a"):
            pass
        t.case("b")(lambda: None)
        t.done(2)
    bench.need(tap_of(script) == (0, ["ok 1 - a", "ok 2 - b", "1..2"]), tap_of(script))


@tap.case("Tap: an exception is red, and the next case runs")
def _():
    def script(t):
        with t.case("a"):
            raise ValueError("why")
        t.case("b")(lambda: None)
        t.done(2)
    code, lines = tap_of(script)
    bench.need(code == 1 and lines[0] == "not ok 1 - a" and "# ValueError: why" in lines and "ok 2 - b" in lines and lines[-1] == "1..2", lines)


@tap.case("Tap: fewer or more cases than expected are red")
def _():
    for expected in (0, 2):
        def script(t, expected=expected):
            t.case("a")(lambda: None)
            t.done(expected)
        code, lines = tap_of(script)
        bench.need(code == 1 and lines[1].startswith("not ok 2 - ") and lines[-1] == "1..2", lines)


@tap.case("start waits for what a server prints or for what a function says, and reports one that ends")
def _():
    s = bench.start(["sh", "-c", "sleep 0.2; echo port=77; exec sleep 60"], ready=r"^port=(\d+)$")
    bench.need(s.match.group(1) == "77" and s.process.poll() is None, "not ready")
    s.stop()
    bench.need(s.process.poll() is not None, "not stopped")
    flag = os.path.join(folder, "flag")
    s = bench.start(["sh", "-c", "sleep 0.2; touch \"$FLAG\"; exec sleep 60"], env={"FLAG": flag}, ready=lambda: os.path.exists(flag))
    s.stop()
    bench.need(raised(AssertionError, lambda: bench.start(["sh", "-c", "echo oops; exit 3"], ready="never")), "an ended server was ready")


@tap.case("a server ends when its suite is killed")
def _():
    script = "import bench, time; s = bench.start(['sh', '-c', 'echo up; exec sleep 60'], ready='up'); print(s.process.pid, flush=True); time.sleep(60)"
    suite = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=os.path.dirname(os.path.abspath(__file__)))
    pid = int(suite.stdout.readline())
    suite.send_signal(signal.SIGKILL)
    suite.wait()
    end = time.monotonic() + 20

    def alive():
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as f:
                return f.read().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False
    while alive() and time.monotonic() < end:
        time.sleep(0.05)
    bench.need(not alive(), "it lives on")


@tap.case("kms_driver wraps and unwraps, with the operator's and the registry's properties and an environment of its own")
def _():
    made = bench.driver("wrap", "local-kms", "any", b"0123456789abcdef", props={"secret": "one"}, count=3)
    bench.need(made.ok and made.out and not made.err and made.status == "", made)
    for how in ({"env": {"LOCAL_SECRET": "one"}}, {"registry": {"secret": "one"}}, {"props": {"secret": "two"}, "registry": {"secret": "one"}}):
        bench.need(bench.driver("unwrap", "local-kms", "any", made.out, **how).out == b"0123456789abcdef", how)
    os.environ["LOCAL_SECRET"] = "one"
    refused = bench.driver("unwrap", "local-kms", "any", made.out)
    del os.environ["LOCAL_SECRET"]
    bench.need(not refused.ok and refused.status == "CONFIG", "the suite's own environment reached the driver")


@tap.case("kms_driver fails with status, HTTP status and the message on one line")
def _():
    wrong = bench.driver("unwrap", "local-kms", "any", b"x" * 60, props={"secret": "one"})
    bench.need((wrong.ok, wrong.out, wrong.status, wrong.http) == (False, b"", "DECRYPT", 0), wrong)
    unknown = bench.driver("wrap", "no-kms", "any", b"x")
    bench.need(unknown.status == "CONFIG" and "no-kms://any" in unknown.err, unknown)


@tap.case("kms_driver goes to a server of ours, reports its HTTP status, and ends a call in time")
def _():
    arn = "arn:aws:kms:eu-west-1:111122223333:key/k"
    props = {"access.key.id": "AKID", "secret.access.key": "SECRET"}
    fresh(bench.status(403, b'{"__type":"AccessDeniedException","message":"no"}'))
    denied = bench.driver("wrap", "aws-kms", arn, b"x", props=props, env={"AWS_ENDPOINT_URL": proxy.url})
    bench.need((denied.status, denied.http, len(proxy.seen)) == ("FORBIDDEN", 403, 1), denied)
    fresh(bench.stall(), bench.stall(), bench.stall())
    late = bench.driver("wrap", "aws-kms", arn, b"x", props=props, env={"AWS_ENDPOINT_URL": proxy.url}, timeout_ms=700)
    bench.need(late.status == "TIMEOUT" and 0.6 < late.seconds < 15, late)


tap.done(22)
