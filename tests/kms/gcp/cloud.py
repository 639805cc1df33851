"""The Cloud KMS of a suite (main.go), its accounts, and Google's client beside it."""
import base64
import json
import os
import subprocess
import sys
import tempfile
import time

import bench

sys.path.insert(0, os.path.join(bench.TOP, "tests/support"))
from programs import Failed, Peer  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
PREFIX = "projects/p-1/locations/europe-west3/keyRings/ring/cryptoKeys/"
MACHINE = "machine@metadata.test"
POOL = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/test"


def openssl(*argv, stdin=None):
    return subprocess.run(["openssl", *argv], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True).stdout


class Account:
    """A service account with a key: `.file` is its JSON, `.props` the same as properties."""

    def __init__(self, folder, name, token_uri="https://oauth2.googleapis.com/token"):
        self.email, self.kid, self.folder = f"{name}@p-1.iam.gserviceaccount.com", f"kid-of-{name}", folder
        self.private = openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
        self.public = openssl("pkey", "-pubout", stdin=self.private)
        self.file = self.write(f"{name}.json", token_uri)
        self.props = {"client.id": "1001", "client.email": self.email, "private.key.id": self.kid, "private.key": self.private}

    def write(self, name, token_uri, **more):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"type": "service_account", "project_id": "p-1", "private_key_id": self.kid, "private_key": self.private, "client_email": self.email,
                       "client_id": "1001", "token_uri": token_uri, **more}, f)
        return path

    def jwt(self, audience):
        """What this account says of itself, as an identity provider would."""
        def part(data):
            return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
        now = int(time.time())
        said = ".".join(part(json.dumps(p).encode()) for p in ({"alg": "RS256", "kid": self.kid}, {"iss": self.email, "sub": self.email, "aud": audience, "iat": now, "exp": now + 3000}))
        with tempfile.NamedTemporaryFile("w", dir=self.folder) as key:
            key.write(self.private)
            key.flush()
            signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key.name], input=said.encode(), stdout=subprocess.PIPE, check=True).stdout
        return f"{said}.{part(signature)}"

    def secrets(self):
        """Every line of the key is one."""
        return [line for line in self.private.splitlines() if not line.startswith("-")]


class Cloud:
    """
    The server: `.rest`, `.tls` are host:port, `.url` is of REST, `.proxy` stands in front of that. Keys: name -> accounts that may use it
    (None: nobody). `.sdk(...)` asks Google's client.
    """

    def __init__(self, folder, accounts, keys, users=(), audiences=()):
        cert, key = self._certificate(folder)
        path = os.path.join(folder, "server.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"accounts": [{"email": a.email, "kid": a.kid, "public_key": a.public} for a in accounts], "users": list(users),
                       "keys": [{"name": PREFIX + n, "members": members} for n, members in keys.items()],
                       "tls": {"cert": cert, "key": key}, "token_seconds": 3599, "audiences": list(audiences)}, f)
        program = os.path.join(bench.fetch("gcp-server"), "gcp-kms-server")
        self.server = Peer("the Cloud KMS", [program, path], env=bench.bare_env(), log=os.path.join(folder, "server.log"))
        where = self.server.version
        self.rest, self.tls, self.cert, self.cert_key = where["rest"], where["grpc_tls"], cert, key
        self.url = "http://" + self.rest
        self.proxy = bench.FaultProxy(self.url)
        self.folder, self.client = folder, None
        for url in (self.proxy.url + "/token", "https://oauth2.googleapis.com/token"):  # Google's library for Python names the latter whatever the file says
            self.tell("audience", url=url)

    @staticmethod
    def _certificate(folder):
        """For the services' own names: clients that cannot be given another one are led here by a proxy."""
        cert, key = os.path.join(folder, "google.pem"), os.path.join(folder, "google.key")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=cloudkms.googleapis.com",
                "-addext", "subjectAltName=DNS:cloudkms.googleapis.com,DNS:oauth2.googleapis.com,DNS:cloudkms.universe.test", "-keyout", key, "-out", cert)
        return cert, key

    def tell(self, do, **arguments):
        return self.server.call(do, **arguments)

    def state(self, key, state, version=1):
        self.tell("state", key=PREFIX + key, version=version, state=state)

    def start_sdk(self, env=None):
        python = os.path.join(bench.fetch("gcp"), "bin/python")
        self.client = Peer("Google's client", [python, os.path.join(HERE, "sdk.py"), self.cert], env=bench.bare_env(env), log=os.path.join(self.folder, "sdk.log"))
        return self.client.version

    def sdk(self, do, key, data, login, transport="rest", **more):
        """The result; a text when it was refused."""
        at = self.rest if transport == "rest" else self.tls
        try:
            return base64.b64decode(self.client.call(do, transport=transport, at=at, key=PREFIX + key, data=base64.b64encode(data).decode(), login=login, **more))
        except Failed as e:
            return str(e)

    def stop(self):
        if self.client:
            self.client.stop()
        self.proxy.close()
        self.server.child.stdin.close()
        self.server.stop()
