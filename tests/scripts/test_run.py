#!/usr/bin/env python3
"""The runner and the layer check say red when they must: a green verdict of theirs is all that a reader of `make check` sees."""
import importlib.machinery
import importlib.util
import os
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True


def load(name, path):
    loader = importlib.machinery.SourceFileLoader(name, os.path.join(TOP, path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


run = load("run", "tests/run")
layers = load("layers", "scripts/check-layers")


def verdict(script, **kind):
    with tempfile.TemporaryDirectory() as logs:
        suite = run.Suite("probe", ["sh", "-c", script], **{"timeout": 20, **kind})
        run.execute(suite, logs)
        return suite.passed, suite.failed


def complaints(path, source):
    """What the layer check says of one file with this text."""
    with tempfile.TemporaryDirectory() as root:
        os.makedirs(os.path.join(root, os.path.dirname(path)))
        with open(os.path.join(root, path), "w", encoding="utf-8") as f:
            f.write(source)
        was, layers.ROOT = layers.ROOT, root
        try:
            return layers.check(path, layers.read_layers(os.path.join(TOP, "core/LAYERS")))
        finally:
            layers.ROOT = was


TESTS = [
    ("a green suite passes", lambda: verdict("echo 1..2; echo ok 1 - a; echo ok 2 - b") == (2, 0)),
    ("not ok fails, whatever the exit code", lambda: verdict("echo 1..2; echo ok 1 - a; echo not ok 2 - b") == (1, 1)),
    ("not ok with exit code 1 is one failure", lambda: verdict("echo 1..1; echo not ok 1 - a; exit 1") == (0, 1)),
    ("a short plan fails by what is missing", lambda: verdict("echo 1..5; echo ok 1 - a") == (1, 4)),
    ("no plan fails", lambda: verdict("echo ok 1 - a") == (1, 1)),
    ("no output fails", lambda: verdict("true") == (0, 1)),
    ("a crash after green lines fails", lambda: verdict("echo 1..1; echo ok 1 - a; kill -SEGV $$") == (1, 1)),
    ("exit code 1 after green lines fails", lambda: verdict("echo 1..1; echo ok 1 - a; exit 1") == (1, 1)),
    ("a skipped test fails", lambda: verdict("echo 1..1; echo 'ok 1 - a # SKIP no network'") == (0, 1)),
    ("a suite past its time limit fails", lambda: verdict("echo 1..1; echo ok 1 - a; sleep 9", timeout=1)[1] == 1),
    ("a step passes by exit code 0 alone", lambda: (verdict("true", step=True), verdict("exit 3", step=True)) == ((1, 0), (0, 1))),
    ("a control build passes when its test is red", lambda: verdict("echo 1..1; echo not ok 1 - a; exit 1", must_fail=True) == (1, 0)),
    ("a control build fails when its test is green", lambda: verdict("echo 1..1; echo ok 1 - a", must_fail=True) == (0, 1)),
    ("a control build passes when its test aborts", lambda: verdict("kill -ABRT $$", must_fail=True) == (1, 0)),
    ("a control build fails when its test cannot run", lambda: verdict("exit 127", must_fail=True) == (0, 1)),
    ("an allowed include is allowed", lambda: complaints("core/crypt/x.c", '#include "core/base/buf.h"\n') == []),
    ("base may not include crypt", lambda: len(complaints("core/base/x.c", '#include "core/crypt/gcm.h"\n')) == 1),
    ("the server may not include the client", lambda: len(complaints("server/api/x.c", ' #  include "client/serde/serde.h"\n')) == 1),
    ("the client may not include the server", lambda: len(complaints("client/rule/x.c", '#include "server/log/log.h"\n')) == 1),
    ("only core/fetch/curl.c sees libcurl", lambda: len(complaints("core/kms/x.c", "#include <curl/curl.h>\n")) == 1),
    ("a folder without a line in LAYERS fails", lambda: len(complaints("core/newfolder/x.c", "int x;\n")) == 1),
    ("an include not written from the root fails", lambda: len(complaints("core/base/x.c", '#include "buf.h"\n')) == 1),
]


def main():
    print(f"1..{len(TESTS)}")
    red = 0
    for number, (name, test) in enumerate(TESTS, 1):
        good = test()
        red += not good
        print(f"{'ok' if good else 'not ok'} {number} - {name}")
    return 1 if red else 0


if __name__ == "__main__":
    sys.exit(main())
