#!/usr/bin/env python3
"""What `make demo` shows, as tests; key bytes are searched for too; and the control: with the rule switched off, the same search finds all.

Prints TAP. Programs in $CSFLE_TOOL and $CSFLE_REGISTRY. $CSFLE_DEMO_RECORDS (10000): how many records.
"""
import base64
import os
import subprocess
import sys

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "demo"))
from canary import Canaries, forms  # noqa: E402
from story import Demo, Failed  # noqa: E402
from programs import Peer, Tap  # noqa: E402
from records import tagged_values  # noqa: E402

COUNT = int(os.environ.get("CSFLE_DEMO_RECORDS", "10000"))


def demo(**options):
    return Demo(os.environ["CSFLE_TOOL"], os.environ["CSFLE_REGISTRY"], count=COUNT, **options)


def quiet(step, *args):
    """A step of the demo as a test: its own complaints are the complaints."""
    def check():
        step(*args)
    return check


def key_material(d):
    """The plain data key, the key it is wrapped under and the secret, as bytes to search for. The keys by the official Python client."""
    python = subprocess.run([os.path.join(TOP, "scripts/fetch"), "python"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    env = dict(os.environ, INTEROP_SECRET=d.secret)
    peer = Peer("python", [os.path.join(python, "bin/python"), os.path.join(TOP, "tests/interop/python/peer.py"), d.registry.url], env=env)
    try:
        dek, kek = (base64.b64decode(x) for x in peer.call("keys", wrapped=d.keys()["encryptedKeyMaterial"]))
    finally:
        peer.stop()
    if len(dek) < 34 or len(kek) < 16:
        raise Failed(f"a data key message of {len(dek)} bytes and a KEK message of {len(kek)}, expected 34 and 16 or more")
    return [dek[-32:], dek, kek[-16:], d.secret.encode()]


def search_finds_each_form():
    value = bytes(range(200, 232))
    sought = Canaries([value])
    for name, text in forms(value):
        if not sought.find(b"before" + text + b"after"):
            return f"not found as {name}"
    for k in range(3):
        if not sought.find(base64.b64encode(b"x" * k + value + b"yz")):
            return f"not found in Base64 with {k} bytes before it"
    return None if not sought.find(os.urandom(100000)) else "found in random bytes"


def main():
    tap = Tap(15)
    tap.test("the search finds a planted value in each of its forms", search_finds_each_form)
    with demo() as d:
        tap.note(f"seed {d.seed}, {d.count} records")
        tap.test("the broker starts", quiet(d.start_broker))
        tap.note(str(d.broker_is))
        tap.test("the registry starts", quiet(d.start_registry))
        tap.test("a KEK and a schema with rules are registered", lambda: (d.create_kek(), d.register_schema()) and None)
        tap.test("all records are produced", quiet(d.produce))
        tap.test("with the key every record is what was sent", quiet(d.consume_with_key))
        tap.test("without the key no tagged value appears and all else is what was sent", quiet(d.consume_without_key))

        def clean():
            found, files, size = d.search()
            tap.note(f"{files} files, {size} bytes searched for {d.canaries.count} values")
            d.none_of({f[1:] for f in found}, ", ".join(sorted({f[0] for f in found})))
            return None if size > d.count * 100 else f"only {size} bytes searched"
        tap.test("no tagged value in any file of broker and registry, nor in anything printed", clean)

        def no_keys():
            sought = Canaries(key_material(d))
            found, _, _ = sought.find_in_files(*d.stored_files(), os.path.join(d.folder, "registry.log"))
            if sought.find(d.said.encode()):
                return "key bytes were printed"
            return f"key bytes in {sorted({f[0] for f in found})}" if found else None
        tap.test("no byte of the data key, its wrapping key or the secret in any file, nor in anything printed", no_keys)

    with demo(rule_disabled=True) as d:
        tap.test("control: the same world with the rule switched off", lambda: (d.start_broker(), d.start_registry(), d.create_kek(),
                                                                                d.register_schema()) and None)
        tap.test("control: csfle refuses to write plaintext, exit code 8", lambda: d.produce(expect=8) and None)

        def nothing_written():
            found, _, _ = d.search()
            return f"{len(found)} tagged values found" if found else None
        tap.test("control: the refusal wrote nothing", nothing_written)
        tap.test("control: it writes when told that a disabled rule is meant", quiet(d.produce, "-X", "csfle.allow.plaintext=disabled-rules"))
        tap.test("control: every record comes back", quiet(d.consume_with_key))

        def all_found():
            found = {f[2] for f in d.search()[0] if f[1] == "raw"}
            planted = {v for record in d.sent for v in tagged_values(record)}
            missed = planted - found
            return f"{len(missed)} of {len(planted)} planted values not found" if missed else None
        tap.test("control: the search finds every planted value", all_found)
    return tap.exit_code()


if __name__ == "__main__":
    sys.exit(main())
