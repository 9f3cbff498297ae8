// How many assertions a second @simplewebauthn/server verifies: node verify_assertions.mjs CASES SECONDS NODE_MODULES
//
// CASES is a JSON file: {"rp_id","origin","challenge","cases":[{"public_key_cose","stored_sign_count","response":<PublicKeyCredential as JSON text>}]}.
// Prints {"name","version","per_second"}. Every verification must succeed.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [path, seconds, modules] = process.argv.slice(2);
const require = createRequire(pathToFileURL(join(resolve(modules), 'x.js')));
const { verifyAuthenticationResponse } = require('@simplewebauthn/server');
const { version } = JSON.parse(readFileSync(join(modules, '@simplewebauthn/server/package.json'), 'utf8'));

const data = JSON.parse(readFileSync(path, 'utf8'));
const keys = data.cases.map((c) => new Uint8Array(Buffer.from(c.public_key_cose, 'base64url')));
let done = 0;
const start = performance.now();
let elapsed = 0;
while ((elapsed = (performance.now() - start) / 1000) < Number(seconds)) {
  const at = done % data.cases.length;
  const response = JSON.parse(data.cases[at].response);
  const { verified } = await verifyAuthenticationResponse({
    response,
    expectedChallenge: data.challenge,
    expectedOrigin: data.origin,
    expectedRPID: data.rp_id,
    credential: { id: response.id, publicKey: keys[at], counter: data.cases[at].stored_sign_count },
    requireUserVerification: true,
  });
  if (!verified) throw new Error('not verified');
  done += 1;
}
console.log(JSON.stringify({ name: '@simplewebauthn/server', version, per_second: done / elapsed }));
