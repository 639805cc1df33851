"""Microsoft Entra and a Key Vault for the suites of azure-kms, and Microsoft's SDK as administrator of the vault. Inside the Python of scripts/fetch azure."""
import json
import os
import ssl
import subprocess
import time
import urllib.parse
import urllib.request

import bench
import jwt
from azure.core.credentials import AccessToken
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import CryptographyClient
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

TENANT = "0d4c9e1a-7b3f-4c55-9a51-2f6d6f1c8e11"
SECRET = "q8~ hidden+/=&%secret"  # of every client that has one
USE = "get,encrypt,decrypt"
SECRET_CLIENTS = ("admin", "app", "registry", "nobody", "vm", "vm-2", "brief", "instant")
LIVES = {"brief": 305, "instant": 3}  # seconds, of their tokens: five more than a client wants left, and two at least
NAME = "kv-crm.vault.azure.net"
IDENTITY_HEADER = "853b9a84-5bfa-4b22-a3f3-0b9a43d9ad8a"  # of App Service
OTHER_NAME = "kv.vault.localhost"  # libcurl takes names below localhost for this machine


class Bed:
    """
    .issuer: URL of the token service; .login: proxy in front of it; .vault: proxy in front of the vault, under 127.0.0.1, NAME (through
    .tunnel) and OTHER_NAME, whose tokens are for .other_resource; .keys: the SDK's client for keys, as administrator. "nobody" may use no key.
    """

    def __init__(self):
        self.folder = bench.temporary("azure")
        self.cert, self.key = bench.self_signed(self.folder, names=(NAME, OTHER_NAME, "login.microsoftonline.com"))
        self.cluster = rsa.generate_private_key(public_exponent=65537, key_size=2048)  # signs federated tokens, as a Kubernetes cluster does
        self.certificate = self.application_certificate()
        self.issuer = self.start_issuer()
        self.login = bench.FaultProxy(self.issuer, tls=(self.cert, self.key))
        self.vault = bench.FaultProxy(None, tls=(self.cert, self.key))
        self.other_resource = f"https://vault.localhost:{self.vault.port}"
        self.vault.upstream = self.start_vault()
        self.tunnel = bench.Tunnel({f"{NAME}:443": f"127.0.0.1:{self.vault.port}", "login.microsoftonline.com:443": f"127.0.0.1:{self.login.port}"})
        self.direct = {"verify_challenge_resource": False, "connection_verify": self.cert}
        self.keys = KeyClient(self.vault.upstream, self, **self.direct)

    def application_certificate(self):
        """A file with certificate and RSA key, as an application is registered with."""
        path = os.path.join(self.folder, "app.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=app", "-keyout", path + ".key", "-out", path + ".crt"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(path, "wb") as out:
            for part in (".key", ".crt"):
                with open(path + part, "rb") as f:
                    out.write(f.read())
        return path

    def start_issuer(self):
        with open(self.certificate, "rb") as f:
            application = serialization.load_pem_private_key(f.read(), None)
        clients = [{"client_id": c, "client_secret": SECRET} for c in SECRET_CLIENTS]
        clients += [{"client_id": c, "jwks": {"keys": [{**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(k.public_key())), "use": "sig"}]}}
                    for c, k in (("pod", self.cluster), ("certified", application))]
        config = os.path.join(self.folder, "oidc.json")
        with open(config, "w", encoding="utf-8") as f:
            json.dump({"cert": self.cert, "key": self.key, "tenant": TENANT, "lives": LIVES, "clients": clients}, f)
        node = subprocess.run([os.path.join(bench.TOP, "scripts/find-node")], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        return bench.start([os.path.join(node, "node"), os.path.join(bench.TOP, "tests/kms/oidc/server.mjs"), os.path.join(bench.fetch("oidc"), "node_modules"), config],
                           ready=r"^listening on (\S+)$").match.group(1)

    def start_vault(self):
        argv = [os.path.join(bench.fetch("azure-server"), "azure-server"), "-cert", self.cert, "-key", self.key, "-ca", self.cert, "-issuer", self.issuer,
                "-jwks", self.issuer + "/jwks", "-authority", f"https://login.microsoftonline.com/{TENANT}", "-resource", "https://vault.azure.net",
                "-resource", f"{OTHER_NAME}:{self.vault.port}={self.other_resource}", "-grant", f"admin={USE},create,update,rotate,wrapKey,unwrapKey"]
        for client in ("app", "registry", "vm", "vm-2", "brief", "instant", "pod", "certified"):
            argv += ["-grant", f"{client}={USE}"]
        return bench.start(argv, ready=r"^listening on (\S+)$").match.group(1)

    def get_token(self, *scopes, **unused):
        """The administrator's, for the SDK."""
        return self.token(scopes[0], "admin")

    def token(self, scope, client):
        form = {"client_id": client, "client_secret": SECRET, "scope": scope, "grant_type": "client_credentials"}
        context = ssl.create_default_context(cafile=self.cert)
        with urllib.request.urlopen(f"{self.issuer}/{TENANT}/oauth2/v2.0/token", urllib.parse.urlencode(form).encode(), context=context, timeout=30) as reply:
            answer = json.load(reply)
        return AccessToken(answer["access_token"], int(time.time()) + answer["expires_in"])

    def assertion(self, number, signer=None, **other):
        """A federated token that the service takes, or would but for what is other."""
        now = int(time.time())
        claims = {"iss": "pod", "sub": "pod", "aud": self.issuer, "jti": f"jti-{number}", "iat": now, "exp": now + 600, **other}
        return jwt.encode(claims, signer or self.cluster, algorithm="RS256")

    def made(self, name):
        """A new key: its version."""
        return self.keys.create_rsa_key(name, size=2048).properties.version

    def sdk(self, name, version, credential=None):
        """The SDK's client of one key, past the proxies."""
        return CryptographyClient(f"{self.vault.upstream}/keys/{name}/{version}", credential or self, **self.direct)

    def metadata(self, request):
        """Instance metadata and App Service's token endpoint as Microsoft documents them. Their tokens are real ones."""
        where = urllib.parse.urlsplit(request.path)
        query = dict(urllib.parse.parse_qsl(where.query))
        client = query.get("client_id", "vm")
        if where.path == "/metadata/identity/oauth2/token":
            if request.headers.get("Metadata") != "true":
                return 400, b'{"error":"invalid_request","error_description":"Required metadata header not specified"}'
            if query.get("api-version") != "2018-02-01" or client not in ("vm", "vm-2"):
                return 400, b'{"error":"invalid_request","error_description":"Identity not found"}'
        elif where.path == "/msi/token":
            if request.headers.get("X-IDENTITY-HEADER") != IDENTITY_HEADER or query.get("api-version") != "2019-08-01":
                return 403, json.dumps({"statusCode": 403, "message": f"not {request.headers.get('X-IDENTITY-HEADER')}"}).encode()
        else:
            return 404, b"{}"
        token = self.token(query["resource"] + "/.default", client)
        answer = {"access_token": token.token, "client_id": client, "expires_on": str(token.expires_on), "resource": query["resource"], "token_type": "Bearer"}
        if where.path != "/msi/token":
            answer.update(expires_in="3600", ext_expires_in="3600", not_before=str(token.expires_on - 3600))
        return 200, json.dumps(answer).encode(), {"Content-Type": "application/json"}

    def reset(self):
        self.login.reset()
        self.vault.reset()
