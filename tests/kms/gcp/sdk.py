"""Google's own Cloud KMS client as a process that takes one JSON command a line and answers one JSON line each; see tests/kms/test_gcp.py.

    {"do":"wrap"|"unwrap","transport":"rest"|"grpc","at":host:port,"key":name,"data":base64[,"aad":base64],"login":{...}}    -> {"ok":base64}
A login is one of {"file":path}: a service account whose JWT is the token; {"exchange":path}: its assertion for an access token; {"user":{...}}: the
members of an authorized_user file and token_uri; {"machine":true}: the metadata server of the environment; {"federated":path}: an external_account.
argv: the certificate that grpc trusts. Failures: {"error": text}.
"""
import base64
import json
import sys

import google.auth.transport.requests
import google.oauth2.credentials
import google_crc32c
import grpc
from google.auth import compute_engine, identity_pool
from google.auth.transport.grpc import AuthMetadataPlugin
from google.cloud import kms_v1
from google.cloud.kms_v1.services.key_management_service.transports import KeyManagementServiceGrpcTransport, KeyManagementServiceRestTransport
from google.oauth2 import service_account

SCOPES = ["https://www.googleapis.com/auth/cloudkms"]
with open(sys.argv[1], "rb") as certificate:
    TRUSTED = grpc.ssl_channel_credentials(certificate.read())


def credentials(login):
    request = google.auth.transport.requests.Request()
    if "file" in login:
        return service_account.Credentials.from_service_account_file(login["file"])
    if "exchange" in login:
        c = service_account.Credentials.from_service_account_file(login["exchange"], scopes=SCOPES)
        c.refresh(request)
        return google.oauth2.credentials.Credentials(c.token)
    if "user" in login:
        return google.oauth2.credentials.Credentials(None, **login["user"])
    if "machine" in login:
        return compute_engine.Credentials(scopes=SCOPES)
    return identity_pool.Credentials.from_file(login["federated"], scopes=SCOPES)


def client(c):
    login = credentials(c["login"])
    if c["transport"] == "rest":
        transport = KeyManagementServiceRestTransport(host=c["at"], url_scheme="http", credentials=login)
    else:
        if isinstance(login, service_account.Credentials):
            login = login.with_always_use_jwt_access(True)
        call = grpc.metadata_call_credentials(AuthMetadataPlugin(login, google.auth.transport.requests.Request(), default_host="cloudkms.googleapis.com"))
        channel = grpc.secure_channel(c["at"], grpc.composite_channel_credentials(TRUSTED, call), [("grpc.ssl_target_name_override", "cloudkms.googleapis.com")])
        transport = KeyManagementServiceGrpcTransport(channel=channel)
    return kms_v1.KeyManagementServiceClient(transport=transport)


def use(c):
    data = base64.b64decode(c["data"])
    request = {"name": c["key"], "additional_authenticated_data": base64.b64decode(c.get("aad", ""))}
    at = client(c)
    if c["do"] == "wrap":
        r = at.encrypt({**request, "plaintext": data, "plaintext_crc32c": google_crc32c.value(data)}, retry=None, timeout=20)
        out, checked = r.ciphertext, r.verified_plaintext_crc32c and r.ciphertext_crc32c == google_crc32c.value(r.ciphertext)
    else:
        r = at.decrypt({**request, "ciphertext": data, "ciphertext_crc32c": google_crc32c.value(data)}, retry=None, timeout=20)
        out, checked = r.plaintext, r.plaintext_crc32c == google_crc32c.value(r.plaintext)
    if not checked:
        raise RuntimeError("checksums of the answer do not match")
    return base64.b64encode(out).decode()


print(json.dumps({"ok": f"google-cloud-kms {kms_v1.gapic_version.__version__}"}), flush=True)
for line in sys.stdin:
    try:
        reply = {"ok": use(json.loads(line))}
    except Exception as e:  # whatever the client throws is this command's answer
        reply = {"error": f"{type(e).__name__}: {e}"}
    print(json.dumps(reply), flush=True)
