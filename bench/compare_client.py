"""The official Python client as bench/compare_clients.py measures it; arguments and output as bench_client's.

    compare_client.py write|read FORM URL TOPIC COUNT WARM SCHEMA FILE     FORM and SCHEMA are not used: a value is a dict
"""
import json
import platform
import sys
import time

import confluent_kafka
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.rules.encryption.encrypt_executor import FieldEncryptionExecutor
from confluent_kafka.schema_registry.rules.encryption.localkms.local_driver import LocalKmsDriver
from confluent_kafka.serialization import MessageField, SerializationContext

direction, _, url, topic, count, warm, _, file = sys.argv[1:]
FieldEncryptionExecutor.register()
LocalKmsDriver.register()
registry = SchemaRegistryClient({"url": url})
context = SerializationContext(topic, MessageField.VALUE)
with open(file, "rb") as f:
    given = f.read()
if direction == "write":
    given = json.loads(given)
    call = AvroSerializer(registry, None, conf={"auto.register.schemas": False, "use.latest.version": True}, rule_conf={"secret": "bench"})
else:
    call = AvroDeserializer(registry, rule_conf={"secret": "bench"})

fresh = dict if direction == "write" else bytes  # a copy each time: a client may put the ciphertext into what it is given
for _ in range(int(warm)):
    out = call(fresh(given), context)
start = time.process_time_ns()
for _ in range(int(count)):
    out = call(fresh(given), context)
took = time.process_time_ns() - start
print(json.dumps({"ns": took / max(int(count), 1), "version": f"confluent-kafka {confluent_kafka.__version__}, Python {platform.python_version()}",
                  "out": out.hex() if direction == "write" else json.dumps(out)}))
