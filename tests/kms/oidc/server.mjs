// A token service for tests: oidc-provider (npm) at the paths of Microsoft Entra. Clients prove themselves by secret or by a signed
// assertion, each of which counts once; tokens are RS256 JWTs for the resource that the scope names.
//
//   node server.mjs NODE_MODULES CONFIG.json
//     {"cert": file, "key": file, "tenant": "...", "lives": {"client id": seconds of its tokens},
//      "clients": [{"client_id": "..", "client_secret": ".."} or {"client_id": "..", "jwks": {"keys": [..]}}]}
//
// Prints "listening on https://127.0.0.1:PORT".
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [modules, file] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(join(resolve(modules), 'oidc-provider/lib/index.js')));
const config = JSON.parse(readFileSync(file, 'utf8'));
const SUFFIX = '/.default';

const server = createServer({ cert: readFileSync(config.cert), key: readFileSync(config.key) });
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const url = `https://127.0.0.1:${server.address().port}`;

const signing = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
const provider = new Provider(url, {
  jwks: { keys: [{ ...signing, alg: 'RS256', use: 'sig', kid: 'signing' }] },
  clients: config.clients.map((c) => ({
    grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
    token_endpoint_auth_method: c.jwks ? 'private_key_jwt' : 'client_secret_post', ...c,
  })),
  routes: { token: `/${config.tenant}/oauth2/v2.0/token` },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      // Entra knows no `resource` here: the audience is what stands before /.default in the scope
      defaultResource: (ctx) => (ctx.oidc.params.scope ?? '').split(' ').filter((s) => s.endsWith(SUFFIX)).map((s) => s.slice(0, -SUFFIX.length))[0],
      getResourceServerInfo: (ctx, resource, client) => ({
        scope: resource + SUFFIX, audience: resource, accessTokenTTL: config.lives?.[client.clientId] ?? 3600,
        accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
});
const answer = provider.callback();

server.on('request', (request, reply) => {
  const path = /^\/([^/]+)(?:\/oauth2)?\/v2\.0(\/token|\/\.well-known\/openid-configuration)$/.exec(request.url);
  if (path && path[1] !== config.tenant) {
    reply.writeHead(400, { 'content-type': 'application/json' });
    reply.end(JSON.stringify({ error: 'invalid_request', error_description: `AADSTS90002: Tenant '${path[1]}' not found.` }));
    return;
  }
  if (path && path[2] !== '/token') request.url = path[2];
  answer(request, reply);
});
console.log(`listening on ${url}`);
