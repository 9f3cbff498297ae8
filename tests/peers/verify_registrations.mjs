// How many packed registrations a second @simplewebauthn/server verifies: node verify_registrations.mjs CASES SECONDS NODE_MODULES
//
// CASES is a JSON file: {"rp_id","origin","challenge","responses":[<PublicKeyCredential as JSON text>]}. No root is given, hence no trust path asked.
// Prints {"name","version","per_second"}. Every verification must succeed.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [path, seconds, modules] = process.argv.slice(2);
const require = createRequire(pathToFileURL(join(resolve(modules), 'x.js')));
const { verifyRegistrationResponse } = require('@simplewebauthn/server');
const { version } = JSON.parse(readFileSync(join(modules, '@simplewebauthn/server/package.json'), 'utf8'));

const data = JSON.parse(readFileSync(path, 'utf8'));
let done = 0;
const start = performance.now();
let elapsed = 0;
while ((elapsed = (performance.now() - start) / 1000) < Number(seconds)) {
  const response = JSON.parse(data.responses[done % data.responses.length]);
  const { verified } = await verifyRegistrationResponse({
    response,
    expectedChallenge: data.challenge,
    expectedOrigin: data.origin,
    expectedRPID: data.rp_id,
    requireUserVerification: true,
  });
  if (!verified) throw new Error('not verified');
  done += 1;
}
console.log(JSON.stringify({ name: '@simplewebauthn/server', version, per_second: done / elapsed }));
