// The official JavaScript client as a process that takes one JSON command a line and answers one JSON line each; see tests/interop/run.py.
//
//   argv: NODE_MODULES REGISTRY_URL        environment: INTEROP_SECRET, the local-kms secret (absent: a reader that may not use the key)
//                                          INTEROP_KMS, INTEROP_RULE_CONF as for the Python client's peer
//   {"do":"register","subject":s,"schema":text,"rule":{...}}        -> {"ok":id}
//   {"do":"serialize","topic":t,"values":[...]}                     -> {"ok":[base64, ...]}
//   {"do":"deserialize","topic":t,"payloads":[base64, ...]}         -> {"ok":[value, ...]}
// Bytes inside values are {"$bytes": base64}. The first line it prints names itself. Failures: {"error": text}.
'use strict';
const path = require('path');
const readline = require('readline');

const [modules, url] = process.argv.slice(2);
const home = path.join(modules, '@confluentinc/schemaregistry');
const sr = require(home);

sr.FieldEncryptionExecutor.register();
sr.LocalKmsDriver.register();
const drivers = { 'aws-kms': sr.AwsKmsDriver, 'azure-kms': sr.AzureKmsDriver, 'gcp-kms': sr.GcpKmsDriver, hcvault: sr.HcVaultDriver };
for (const kms of (process.env.INTEROP_KMS || '').split(' ').filter(Boolean)) drivers[kms].register();
const client = sr.SchemaRegistryClient.newClient({ baseURLs: [url] });
const ruleConfig = { ...(process.env.INTEROP_SECRET ? { secret: process.env.INTEROP_SECRET } : {}), ...JSON.parse(process.env.INTEROP_RULE_CONF || '{}') };
const serializer = new sr.AvroSerializer(client, sr.SerdeType.VALUE, { autoRegisterSchemas: false, useLatestVersion: true, ruleConfig });
const deserializer = new sr.AvroDeserializer(client, sr.SerdeType.VALUE, { ruleConfig });

function fromJson(v) {
  if (Array.isArray(v)) return v.map(fromJson);
  if (v === null || typeof v !== 'object') return v;
  if ('$bytes' in v) return Buffer.from(v.$bytes, 'base64');
  return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, fromJson(x)]));
}

function toJson(v) {
  if (Buffer.isBuffer(v) || v instanceof Uint8Array) return { $bytes: Buffer.from(v).toString('base64') };
  if (Array.isArray(v)) return v.map(toJson);
  if (v === null || typeof v !== 'object') return v;
  return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, toJson(x)]));
}

async function answer(c) {
  switch (c.do) {
    case 'register':
      return client.register(c.subject, { schemaType: 'AVRO', schema: c.schema, ruleSet: { domainRules: [c.rule] } }, false);
    case 'serialize': {
      const out = [];
      for (const v of c.values) out.push((await serializer.serialize(c.topic, fromJson(v))).toString('base64'));
      return out;
    }
    case 'deserialize': {
      const out = [];
      for (const p of c.payloads) out.push(toJson(await deserializer.deserialize(c.topic, Buffer.from(p, 'base64'))));
      return out;
    }
    default:
      throw new Error(`no such command '${c.do}'`);
  }
}

async function main() {
  const version = require(path.join(home, 'package.json')).version;
  console.log(JSON.stringify({ ok: `@confluentinc/schemaregistry ${version}, Node.js ${process.version}` }));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    let reply;
    try {
      reply = { ok: await answer(JSON.parse(line)) };
    } catch (e) {
      reply = { error: `${e && e.message ? e.message : e}${e && e.cause ? ': ' + e.cause : ''}` };
    }
    console.log(JSON.stringify(reply));
  }
}

main();
