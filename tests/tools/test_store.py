#!/usr/bin/env python3
"""csfle-registry dump and load say when not everything was written."""
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "support"))
import programs  # noqa: E402

BUILD = os.environ.get("CSFLE_BUILD", os.path.join(TOP, "build", "debug"))
SERVER = os.environ.get("CSFLE_REGISTRY") or os.path.join(BUILD, "csfle-registry")


def need(condition, text):
    if not condition:
        raise programs.Failed(str(text))


def line(key, value):
    return json.dumps({"topic": "_schemas", "offset": 0, "ts": 1700000000000, "key": json.dumps({"keytype": "NOOP", "n": key}), "value": value}) + "\n"


def run(name, store, stdin="", stdout=subprocess.PIPE, limit=None):
    def before():
        programs.die_with_parent()
        if limit:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run([SERVER, name, "--store", store], input=stdin, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, check=False, preexec_fn=before,
                          restore_signals=False)


def there_and_back(folder):
    """what is loaded is dumped again"""
    store = os.path.join(folder, "both.db")
    lines = [line(i, "v" * i) for i in range(1, 300)]
    done = run("load", store, "".join(lines))
    need(done.returncode == 0, done)
    out = run("dump", store)
    need(out.returncode == 0 and [json.loads(x)["value"] for x in out.stdout.splitlines()] == [json.loads(x)["value"] for x in lines], out.returncode)


def full_output(folder):
    """a dump that cannot be written whole fails"""
    store = os.path.join(folder, "out.db")
    need(run("load", store, line(1, "v" * 100)).returncode == 0, "load")
    with open("/dev/full", "w", encoding="ascii") as full:
        done = run("dump", store, stdout=full)
    need(done.returncode == 1 and "cannot write" in done.stderr, done)


def full_disk(folder):
    """a load whose records, the last ones too, do not reach the disk fails"""
    for count in (1, 40):
        store = os.path.join(folder, f"full{count}.db")
        done = run("load", store, "".join(line(i, "v" * (400000 // count)) for i in range(count)), limit=200000)
        need(done.returncode == 1 and "csfle-registry: " in done.stderr, f"{count}: {done}")


TESTS = [there_and_back, full_output, full_disk]


def main():
    tap = programs.Tap(len(TESTS))
    with tempfile.TemporaryDirectory(prefix="csfle-store-") as folder:
        for test in TESTS:
            tap.test(test.__doc__, lambda test=test: test(folder))
    return tap.exit_code()


if __name__ == "__main__":
    sys.exit(main())
