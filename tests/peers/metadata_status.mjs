// Does @simplewebauthn/server believe a registration, given a metadata BLOB? node metadata_status.mjs CASES NODE_MODULES
//
// CASES: {"rp_id","origin","challenge","metadata_root":<PEM>,"cases":[{"name","blob","response":<PublicKeyCredential>}]}.
// Prints [{"name","believed","why"}]. Its MetadataService is used as documented, its download answered from the case.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [path, modules] = process.argv.slice(2);
const require = createRequire(pathToFileURL(join(resolve(modules), 'x.js')));
const { MetadataService, SettingsService, verifyRegistrationResponse } = require('@simplewebauthn/server');

const data = JSON.parse(readFileSync(path, 'utf8'));
SettingsService.setRootCertificates({ identifier: 'mds', certificates: [data.metadata_root] });
const answers = [];
for (const { name, blob, response } of data.cases) {
  globalThis.fetch = async () => new Response(blob);
  try {
    const failures = [];
    const logger = { debug() {}, info() {}, warn() {}, error: (...what) => failures.push(what.map(String).join(' ')) };
    await MetadataService.initialize({ mdsServers: ['https://mds.example/'], verificationMode: 'strict', logger });
    if (failures.length) throw new Error(failures.join('; '));
    const { verified } = await verifyRegistrationResponse({
      response,
      expectedChallenge: data.challenge,
      expectedOrigin: data.origin,
      expectedRPID: data.rp_id,
    });
    answers.push({ name, believed: verified, why: '' });
  } catch (error) {
    answers.push({ name, believed: false, why: String(error) });
  }
}
console.log(JSON.stringify(answers));
