"""The official Python client as a process that takes one JSON command a line and answers one JSON line each; see tests/interop/run.py.

argv: REGISTRY_URL        environment: INTEROP_SECRET, the local-kms secret (absent: a reader that may not use the key)
                          INTEROP_CA, a PEM file of trusted certificates for an https registry
                          INTEROP_KMS, types of KMS beside local-kms ("hcvault"); INTEROP_RULE_CONF, a JSON object of properties for them
    {"do":"register","subject":s,"schema":text,"rule":{...}}             -> {"ok":id}
    {"do":"serialize","topic":t,"values":[...]}                          -> {"ok":[base64, ...]}
    {"do":"deserialize","topic":t,"payloads":[base64, ...]}              -> {"ok":[value, ...]}
    {"do":"produce","bootstrap":b,"topic":t,"payloads":[base64, ...]}    -> {"ok":count}             carries bytes, looks at none
    {"do":"fetch","bootstrap":b,"topic":t,"from":offset}                 -> {"ok":[base64, ...]}     up to the end of partition 0
    {"do":"keys","wrapped":base64}                                       -> {"ok":[base64, base64]}  plain data key message, local KMS's key message
Bytes inside values are {"$bytes": base64}. The first line it prints names itself. Failures: {"error": text}.
"""
import base64
import importlib
import json
import os
import platform
import sys

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.schema_registry import Rule, RuleKind, RuleMode, RuleParams, RuleSet, Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.rules.encryption.encrypt_executor import FieldEncryptionExecutor
from confluent_kafka.schema_registry.rules.encryption.localkms.local_client import LocalKmsClient
from confluent_kafka.schema_registry.rules.encryption.localkms.local_driver import LocalKmsDriver
from confluent_kafka.serialization import MessageField, SerializationContext

FieldEncryptionExecutor.register()
LocalKmsDriver.register()
DRIVERS = {"aws-kms": "awskms.aws_driver.AwsKmsDriver", "azure-kms": "azurekms.azure_driver.AzureKmsDriver", "gcp-kms": "gcpkms.gcp_driver.GcpKmsDriver",
           "hcvault": "hcvault.hcvault_driver.HcVaultKmsDriver"}
for kms in os.environ.get("INTEROP_KMS", "").split():  # each wants its vendor's packages, so only those asked for
    module, name = DRIVERS[kms].rsplit(".", 1)
    getattr(importlib.import_module("confluent_kafka.schema_registry.rules.encryption." + module), name).register()
URL = sys.argv[1]
SECRET = os.environ.get("INTEROP_SECRET")
RULE_CONF = {**({"secret": SECRET} if SECRET else {}), **json.loads(os.environ.get("INTEROP_RULE_CONF", "{}"))}
registry = SchemaRegistryClient({"url": URL, **({"ssl.ca.location": os.environ["INTEROP_CA"]} if os.environ.get("INTEROP_CA") else {})})


def from_json(v):
    if isinstance(v, list):
        return [from_json(x) for x in v]
    if isinstance(v, dict):
        if "$bytes" in v:
            return base64.b64decode(v["$bytes"])
        return {k: from_json(x) for k, x in v.items()}
    return v


def to_json(v):
    if isinstance(v, (bytes, bytearray)):
        return {"$bytes": base64.b64encode(v).decode()}
    if isinstance(v, list):
        return [to_json(x) for x in v]
    if isinstance(v, dict):
        return {k: to_json(x) for k, x in v.items()}
    return v


def register(c):
    r = c["rule"]
    rule = Rule(r["name"], None, RuleKind[r["kind"]], RuleMode[r["mode"]], r["type"], r["tags"], RuleParams(r["params"]), None, None,
                r.get("onFailure"), False)
    return registry.register_schema(c["subject"], Schema(c["schema"], "AVRO", [], None, RuleSet(None, [rule])))


def serialize(c):
    serializer = AvroSerializer(registry, None, conf={"auto.register.schemas": False, "use.latest.version": True}, rule_conf=RULE_CONF)
    context = SerializationContext(c["topic"], MessageField.VALUE)
    return [base64.b64encode(serializer(from_json(v), context)).decode() for v in c["values"]]


def deserialize(c):
    deserializer = AvroDeserializer(registry, rule_conf=RULE_CONF)
    context = SerializationContext(c["topic"], MessageField.VALUE)
    return [to_json(deserializer(base64.b64decode(p), context)) for p in c["payloads"]]


def produce(c):
    failed = []
    producer = Producer({"bootstrap.servers": c["bootstrap"], "linger.ms": 5})
    for p in c["payloads"]:
        producer.produce(c["topic"], value=base64.b64decode(p), partition=0, on_delivery=lambda e, _: failed.append(e) if e else None)
    if producer.flush(30) or failed:
        raise RuntimeError(f"not delivered: {failed}")
    return len(c["payloads"])


def fetch(c):
    consumer = Consumer({"bootstrap.servers": c["bootstrap"], "group.id": "unused", "enable.partition.eof": True, "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(c["topic"], 0, c.get("from", 0))])
        out = []
        while True:
            message = consumer.poll(30)
            if message is None:
                raise RuntimeError("no end of partition within 30 s")
            if message.error():
                if message.error().code() == KafkaError._PARTITION_EOF:
                    return out
                raise RuntimeError(str(message.error()))
            out.append(base64.b64encode(message.value()).decode())
    finally:
        consumer.close()


def keys(c):
    kms = LocalKmsClient(SECRET)
    plain = kms.get_aead("local-kms://any").decrypt(base64.b64decode(c["wrapped"]), b"")
    return [base64.b64encode(plain).decode(), base64.b64encode(kms._get_key(SECRET)).decode()]


COMMANDS = {"register": register, "serialize": serialize, "deserialize": deserialize, "produce": produce, "fetch": fetch, "keys": keys}


def main():
    print(json.dumps({"ok": f"confluent-kafka {confluent_kafka.__version__}, librdkafka {confluent_kafka.libversion()[0]}, "
                            f"Python {platform.python_version()}"}), flush=True)
    for line in sys.stdin:
        try:
            c = json.loads(line)
            reply = {"ok": COMMANDS[c["do"]](c)}
        except Exception as e:  # whatever the client throws is this command's answer
            cause = f": {e.__cause__}" if e.__cause__ else ""
            reply = {"error": f"{type(e).__name__}: {e}{cause}"}
        print(json.dumps(reply), flush=True)


main()
