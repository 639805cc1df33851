#!/usr/bin/env python3
"""AB-8 from outside: wherever a KEK points, credentials go where the operator allows, in client and server alike. Names lead where a resolver of ours says."""
import glob
import json
import os
import socket
import subprocess
import time

import bench
import registry

tap = bench.Tap()
FOLDER = bench.temporary("egress")
WRAPPER = sorted(glob.glob("/usr/lib/*-linux-gnu/libnss_wrapper.so"))[0]
SECRET = "hvs.egressTokenOfTheTest"
HOSTS = os.path.join(FOLDER, "hosts")
with open(HOSTS, "w", encoding="ascii") as f:
    f.write("127.0.0.1 vault.evil kms.eu-central-1.amazonaws.com\n169.254.169.254 vault.metadata kms.eu-west-1.amazonaws.com\n::1 vault.six kms.eu-west-2.amazonaws.com\n"
            "::ffff:169.254.169.254 vault.mapped kms.eu-west-3.amazonaws.com\n100.100.100.200 kms.cn-hangzhou.aliyuncs.com\n")
ENV = {"LD_PRELOAD": WRAPPER, "NSS_WRAPPER_HOSTS": HOSTS, "VAULT_TOKEN": SECRET, "AWS_ACCESS_KEY_ID": "AKIDEGRESS", "AWS_SECRET_ACCESS_KEY": SECRET,
       "ALIBABA_CLOUD_ACCESS_KEY_ID": "ALIEGRESS", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": SECRET}


target = bench.FaultProxy()
target.check(registry.transit)
PORT = target.port


def server(*settings):
    return registry.running(*settings, env=ENV, secrets=(SECRET,))


_names = iter(range(10000))


def by_server(url, kms, key, props=None):
    """(went well, what it said): the registry wraps a fresh key of a shared KEK."""
    name = f"k{next(_names)}"
    code, body = registry.kek(url, name, kms, key, True, props)
    if code == 200:
        code, body = registry.call(url, "POST", f"/dek-registry/v1/keks/{name}/deks", {"subject": "s"})
    return code == 200, json.dumps(body)


def by_client(url, kms, key, *settings):
    """The same by a client: the KEK is the registry's, the credentials its own."""
    name = f"c{next(_names)}"
    code, body = registry.kek(url, name, kms, key)
    if code != 200:
        return False, json.dumps(body)
    registry.contract(url, name, name)
    code, said = registry.register_deks(url, name, *settings, env=ENV)
    return code == 0, said


def both(url, settings, kms, key):
    for who, (well, said) in (("server", by_server(url, kms, key)), ("client", by_client(url, kms, key, *settings))):
        bench.need(SECRET not in said, "a credential is shown")
        yield who, well, said


def refused(url, settings, kms, key, *words):
    target.seen.clear()
    for who, well, said in both(url, settings, kms, key):
        bench.need(not well and (not words or any(w in said for w in words)), (who, key, said))
    bench.need(not target.seen, f"{key}: something went out: {target.seen}")


def allowed(url, settings, kms, key):
    for who, well, said in both(url, settings, kms, key):
        bench.need(well, (who, key, said))


@tap.case("AB-8: without a list nothing goes to a host that a KEK names, in whatever spelling")
def _():
    with server() as url:
        for host in ("127.0.0.1", "localhost", "vault.evil", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "127.0.0.1.",
                     "x@127.0.0.1", "169.254.169.254", "[::ffff:169.254.169.254]"):
            for scheme in ("http", "https"):
                refused(url, (), "hcvault", f"{scheme}://{host}:{PORT}/transit/keys/cards")
        refused(url, (), "hcvault", "http+unix://%2ftmp%2fsocket/transit/keys/cards")
        refused(url, (), "azure-kms", f"https://127.0.0.1:{PORT}/keys/cards")
        refused(url, (), "alicloud-kms", f"127.0.0.1:{PORT}/cards")
        refused(url, (), "gcp-kms", f"projects/p/../../../127.0.0.1:{PORT}/cryptoKeys/k")
        refused(url, (), "aws-kms", f"arn:aws:kms:127.0.0.1:{PORT}:key/x")


@tap.case("AB-8: a vendor's own name that leads to this machine or its link is not connected to")
def _():
    with server() as url:
        for region in ("eu-central-1", "eu-west-1", "eu-west-2", "eu-west-3"):
            refused(url, (), "aws-kms", f"arn:aws:kms:{region}:111122223333:key/x", "the address of the host is not allowed")
        refused(url, (), "alicloud-kms", "cn-hangzhou/key", "the address of the host is not allowed")


@tap.case("AB-8: nor is a listed name, until its address is listed too")
def _():
    key = f"http://vault.evil:{PORT}/transit/keys/cards"
    names = f"csfle.allow.kms.hosts=http://vault.evil:{PORT},http://vault.metadata:{PORT},http://vault.six:{PORT},http://vault.mapped:{PORT}"
    with server(names) as url:
        for host in ("vault.evil", "vault.metadata", "vault.six", "vault.mapped"):
            refused(url, (names,), "hcvault", f"http://{host}:{PORT}/transit/keys/cards", "the address of the host is not allowed")
    with server(names + ",127.0.0.1") as url:
        allowed(url, (names + ",127.0.0.1",), "hcvault", key)
        refused(url, (names + ",127.0.0.1",), "hcvault", f"http://vault.metadata:{PORT}/transit/keys/cards", "the address of the host is not allowed")


@tap.case("AB-8: what a KEK says of hosts, keys and files is no permission")
def _():
    with server() as url:
        for props in ({"csfle.allow.kms.hosts": f"http://127.0.0.1:{PORT}"}, {"csfle.allow.kms.hosts": f"http://127.0.0.1:{PORT}", "ssl.ca.location": HOSTS}):
            target.seen.clear()
            well, said = by_server(url, "hcvault", f"http://127.0.0.1:{PORT}/transit/keys/cards", props)
            bench.need(not well and not target.seen, said)


@tap.case("AB-8: of a listed host the keys that are listed are used, alternate ones like the first")
def _():
    base = f"http://127.0.0.1:{PORT}"
    settings = (f"csfle.allow.kms.hosts={base}", f"csfle.allow.kms.keys=hcvault://{base}/transit/keys/*,aws-kms://arn:aws:kms:eu-central-1:111122223333:*")
    with server(*settings) as url:
        allowed(url, settings, "hcvault", base + "/transit/keys/cards")
        refused(url, settings, "hcvault", base + "/other/keys/cards", "csfle.allow.kms.keys")
        refused(url, settings, "hcvault", base + "/transit/keys/../../other/keys/cards")
        refused(url, settings, "aws-kms", "arn:aws:kms:eu-central-1:999922223333:key/x", "csfle.allow.kms.keys")
        refused(url, settings, "local-kms", "k", "csfle.allow.kms.keys")
        target.seen.clear()
        well, said = by_server(url, "hcvault", base + "/other/keys/cards", {"encrypt.alternate.kms.key.ids": base + "/third/keys/cards"})
        bench.need(not well and not target.seen, said)


@tap.case("AB-8: a redirect is not followed")
def _():
    base = f"http://127.0.0.1:{PORT}"
    elsewhere = bench.FaultProxy()
    elsewhere.check(registry.transit)
    settings = (f"csfle.allow.kms.hosts={base},{elsewhere.url}",)
    with server(*settings) as url:
        for code in (301, 302, 303, 307, 308):
            # 307 is what a standby Vault says: the same address is asked again, three times in all
            target.fault(*[bench.status(code, headers={"Location": elsewhere.url + "/v1/transit/encrypt/cards"})] * (6 if code == 307 else 2))
            for who, well, said in both(url, settings, "hcvault", base + "/transit/keys/cards"):
                bench.need(not well, (who, said))
    bench.need(not elsewhere.seen, elsewhere.seen)


@tap.case("a KMS that does not answer is given up after csfle.kms.timeout.ms, by client and server")
def _():
    base = f"http://127.0.0.1:{PORT}"
    settings = (f"csfle.allow.kms.hosts={base}", "csfle.kms.timeout.ms=200")
    with server(*settings) as url:
        target.fault(*[bench.stall()] * 6)  # three tries each; the default would be half a minute a try
        begin = time.monotonic()
        for who, well, said in both(url, settings, "hcvault", base + "/transit/keys/cards"):
            bench.need(not well and "timed out" in said, (who, said))
        bench.need(time.monotonic() - begin < 25, "not the time that was set")
        allowed(url, settings, "hcvault", base + "/transit/keys/cards")


@tap.case("the resolver of this suite works: the same name is reached where nothing forbids it")
def _():
    done = subprocess.run(["getent", "hosts", "vault.evil"], env={**bench.bare_env(), **ENV}, stdout=subprocess.PIPE, text=True, check=True)
    bench.need(done.stdout.split()[0] == "127.0.0.1", done.stdout)
    with socket.create_connection(("127.0.0.1", PORT), 5):
        pass


tap.done(8)
