// A service that speaks OAuth by a certified client that we did not write (openid-client), and verifies permits by the recipe of docs/services.md: one JSON
// object per line in, one per line out. The first line that it prints is its public keys (two, of which the second is used after `rotate`).
//   discover · credentials · begin {details, bound} → {url} (bound: for a key of its own, RFC 9449) · finish {url} · backchannel {details, more, bound}
//   · poll · other (another key from now on) · introspect {permit, consume}
//   · verify {permit} · resource {permit} (a client calls this service, which challenges by RFC 9470) · rotate (another key of its own)
// The server is reached where the test runs it: TLS ends before it, as behind any reverse proxy.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(`${process.env.SCEAU_PEERS}/node_modules/`);
const client = await import(require.resolve("openid-client"));
const { EmbeddedJWK, calculateJwkThumbprint, jwtVerify } = await import(require.resolve("jose"));
const [issuer, id, redirect_uri, reached, recipe] = process.argv.slice(2);
const { verify } = await import(recipe);
const at = (url) => String(url).replace(issuer, reached);
const here = { [client.customFetch]: (url, options) => fetch(at(url), options) };

const keys = [];
for (const kid of ["first", "second"]) {
  const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", pair.publicKey);
  keys.push({ kid, key: pair.privateKey, jwk: { kty, crv, x, y, kid, use: "sig", alg: "ES256" } });
}
console.log(JSON.stringify({ keys: keys.map(({ jwk }) => jwk) }));

let config;
let DPoP;
const key = async () => { DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair()); };
let expected;
let waiting;
const jwks = async () => (await fetch(`${reached}/jwks.json`)).json();

async function discover(_, { kid, key } = keys[0]) {
  const how = client.PrivateKeyJwt({ key, kid });
  config = await client.discovery(new URL(issuer), id, {}, how, { algorithm: "oauth2", ...here });
  return { issuer: config.serverMetadata().issuer };
}

const rotate = () => discover({}, keys[1]);

const credentials = async () => client.clientCredentialsGrant(config, { scope: "actions" });

async function begin({ details, bound }) {
  DPoP = undefined;
  if (bound) await key();
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  expected = { pkceCodeVerifier, expectedState: client.randomState() };
  const url = await client.buildAuthorizationUrlWithPAR(config, {
    redirect_uri,
    state: expected.expectedState,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: "S256",
    acr_values: "eidas3",
    authorization_details: JSON.stringify(details),
  }, { DPoP });
  return { url: url.href };
}

const finish = async ({ url }) => client.authorizationCodeGrant(config, new URL(url), expected, undefined, { DPoP });

async function other() {
  await key();
  return {};
}

async function backchannel({ details, more, bound }) {
  DPoP = undefined;
  if (bound) await key();
  waiting = await client.initiateBackchannelAuthentication(config, {
    authorization_details: JSON.stringify(details),
    login_hint: details[0].requester,
    ...more,
  });
  return { interval: waiting.interval, expires_in: waiting.expires_in };
}

const poll = async () => client.pollBackchannelAuthenticationGrant(config, waiting, undefined, { DPoP });

const introspect = async ({ permit, consume }) =>
  client.tokenIntrospection(config, permit, { consume: String(consume) });

const verified = async ({ permit }) => verify(permit, await jwks(), issuer, id);

// RFC 9449 §7.1: the permit is bound to a key, which is shown for this very request.
async function possessed(scheme, token, cnf, request) {
  const { payload, protectedHeader } = await jwtVerify(request.headers.dpop, EmbeddedJWK, { typ: "dpop+jwt", maxTokenAge: "1 minute" });
  const ath = Buffer.from(await crypto.subtle.digest("SHA-256", Buffer.from(token))).toString("base64url");
  const here = `http://${request.headers.host}${request.url}`;
  const holds = scheme === "DPoP" && payload.htm === request.method && payload.htu === here && payload.ath === ath;
  if (!holds || (await calculateJwkThumbprint(protectedHeader.jwk)) !== cnf.jkt) throw new Error("not its key");
}

// What a service of its own does in front of its clients.
async function resource({ permit, bound }) {
  const server = createServer(async (request, response) => {
    const [scheme, token] = request.headers.authorization?.split(" ") ?? [];
    try {
      const { cnf } = verify(token, await jwks(), issuer, id);
      if (cnf) await possessed(scheme, token, cnf, request);
      response.end("done");
    } catch {
      const wanted = 'error="insufficient_user_authentication", acr_values="eidas3", max_age=60';
      response.writeHead(401, { "WWW-Authenticate": `Bearer ${wanted}` }).end();
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const url = new URL(`http://127.0.0.1:${server.address().port}/accounts/17`);
  const calling = new client.Configuration({ issuer }, "caller");
  client.allowInsecureRequests(calling);
  try {
    const answer = await client.fetchProtectedResource(calling, permit, url, "DELETE", undefined, undefined, bound ? { DPoP } : undefined);
    return { status: answer.status };
  } catch (error) {
    return { status: error.status, challenge: error.cause?.[0]?.parameters };
  } finally {
    server.close();
  }
}

const known = { other, discover, rotate, credentials, begin, finish, backchannel, poll, introspect, verify: verified, resource };
for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  const answer = await known[asked.op](asked).catch((error) => ({
    error: error.error ?? error.code ?? String(error),
    description: error.error_description ?? error.cause?.error_description,
  }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
