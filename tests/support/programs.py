"""Programs that tests and the demo start and talk to: csfle-registry, the csfle tool, peers that speak JSON lines; and TAP."""
import ctypes
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Failed(Exception):
    """A program did not do what it was asked; the text says which and what it printed."""


def die_with_parent():
    """Run before exec in a child: it does not outlive us, even when we are killed (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def lines_of(stream):
    """A queue that receives each line of a stream, then None."""
    lines = queue.Queue()

    def read():
        for line in stream:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines


class Process:
    """A child with line output. `log` receives its stderr."""

    def __init__(self, name, argv, env=None, log=None, stdin=subprocess.PIPE):
        self.name = name
        self.log = log
        stderr = open(log, "ab") if log else None
        try:
            self.child = subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, text=True, env=env,
                                          preexec_fn=die_with_parent)
        finally:
            if stderr:
                stderr.close()
        self.lines = lines_of(self.child.stdout)

    def line(self, timeout):
        try:
            line = self.lines.get(timeout=timeout)
        except queue.Empty:
            raise Failed(f"{self.name} printed nothing for {timeout} s{self.log_tail()}") from None
        if line is None:
            raise Failed(f"{self.name} ended with {self.child.wait(10)}{self.log_tail()}")
        return line.rstrip("\n")

    def log_tail(self):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as f:
                return "; the end of what it said:\n" + "".join(f.readlines()[-15:])
        except (OSError, TypeError):
            return ""

    def stop(self, timeout=20):
        """SIGTERM, then the exit code."""
        if self.child.poll() is None:
            self.child.terminate()
        try:
            code = self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise Failed(f"{self.name} did not end within {timeout} s of SIGTERM") from None
        finally:
            for stream in (self.child.stdin, self.child.stdout):
                if stream:
                    try:
                        stream.close()
                    except OSError:
                        pass
        return code


class Registry(Process):
    """csfle-registry with a temporary store on a free port: .url, .store (its file or folder)."""

    def __init__(self, program, log=None, args=("--dev", "--port", "0"), env=None):
        super().__init__("csfle-registry", [program, *args], env=env, log=log, stdin=subprocess.DEVNULL)
        try:
            self.url = self._after("listening on ")
            self.store = self._after("store ")
        except Failed:
            self.child.kill()
            raise

    def _after(self, prefix):
        line = self.line(20)
        if not line.startswith(prefix):
            raise Failed(f"csfle-registry printed '{line}', expected '{prefix}...'")
        return line[len(prefix):]


class Peer(Process):
    """A program that answers each JSON line with one JSON line {"ok": ...} or {"error": text}. `.version` is what it says of itself."""

    def __init__(self, name, argv, env=None, log=None):
        super().__init__(name, argv, env=env, log=log)
        self.version = self._answer(120)

    def _answer(self, timeout):
        answer = json.loads(self.line(timeout))
        if "error" in answer:
            raise Failed(f"{self.name}: {answer['error']}")
        return answer["ok"]

    def call(self, do, timeout=60, **arguments):
        try:
            self.child.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.child.stdin.flush()
        except OSError as e:
            raise Failed(f"{self.name}: {e}{self.log_tail()}") from None
        return self._answer(timeout)


def tool(program, *args, secret=None, stdin=None, timeout=120, expect=0):
    """Runs the csfle tool; its stdout. The local-kms secret goes by environment, as it would in practice."""
    env = {k: v for k, v in os.environ.items() if k != "LOCAL_SECRET"}
    if secret:
        env["LOCAL_SECRET"] = secret
    run = subprocess.run([program, *args], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, timeout=timeout,
                         check=False, preexec_fn=die_with_parent)
    if run.returncode != expect:
        raise Failed(f"csfle {' '.join(args)}: exit code {run.returncode}, expected {expect}: {run.stderr.strip()[-2000:]}")
    return run.stdout


class Tap:
    """Prints TAP. The number of tests is known beforehand, so that an early end shows."""

    def __init__(self, planned):
        self.planned, self.count, self.red = planned, 0, 0
        print(f"1..{planned}", flush=True)

    def test(self, name, check):
        """Runs check(); green unless it raises or returns a complaint (a text)."""
        self.count += 1
        start = time.monotonic()
        try:
            complaint = check()
        except Exception as e:  # a test that cannot run is red
            complaint = f"{type(e).__name__}: {e}"
        self.red += bool(complaint)
        print(f"{'not ok' if complaint else 'ok'} {self.count} - {name}", flush=True)
        if complaint:
            for line in str(complaint).splitlines():
                print("# " + line, flush=True)
        elif os.environ.get("CSFLE_TAP_TIMES"):
            print(f"# {time.monotonic() - start:.2f} s")

    def note(self, text):
        print("# " + text, flush=True)

    def exit_code(self):
        return 1 if self.red or self.count != self.planned else 0


def die(text):
    print(text, file=sys.stderr)
    sys.exit(1)
