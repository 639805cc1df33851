// The official JavaScript client as bench/compare_clients.py measures it; arguments and output as bench_client's, after NODE_MODULES.
//
//     compare_client.js NODE_MODULES write|read FORM URL TOPIC COUNT WARM SCHEMA FILE     FORM and SCHEMA are not used: a value is an object
'use strict';
const fs = require('fs');
const path = require('path');

const [modules, direction, , url, topic, count, warm, , file] = process.argv.slice(2);
const home = path.join(modules, '@confluentinc/schemaregistry');
const sr = require(home);
sr.FieldEncryptionExecutor.register();
sr.LocalKmsDriver.register();
const client = sr.SchemaRegistryClient.newClient({ baseURLs: [url] });
const ruleConfig = { secret: 'bench' };

async function main() {
  const write = direction === 'write';
  const given = write ? JSON.parse(fs.readFileSync(file, 'utf8')) : fs.readFileSync(file);
  const serde = write
    ? new sr.AvroSerializer(client, sr.SerdeType.VALUE, { autoRegisterSchemas: false, useLatestVersion: true, ruleConfig })
    : new sr.AvroDeserializer(client, sr.SerdeType.VALUE, { ruleConfig });
  // a copy each time: the client puts the ciphertext into the object it is given
  const call = write ? () => serde.serialize(topic, { ...given }) : () => serde.deserialize(topic, given);
  let out;
  for (let i = 0; i < Number(warm); i++) out = await call();
  const start = process.cpuUsage();
  for (let i = 0; i < Number(count); i++) out = await call();
  const used = process.cpuUsage(start);
  console.log(JSON.stringify({
    ns: (used.user + used.system) * 1000 / Math.max(Number(count), 1),
    version: `@confluentinc/schemaregistry ${require(path.join(home, 'package.json')).version}, Node.js ${process.version}`,
    out: write ? out.toString('hex') : JSON.stringify(out),
  }));
}

main().catch((e) => {
  console.error(e);
  process.exit(2);
});
