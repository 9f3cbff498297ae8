// The federation's own side, by a certified client that we did not write (openid-client): one JSON object per line in, one per line out.
//   {"op":"begin","params":{…}}          → {"url"}: where the browser is sent, with the federation's exact parameters
//   {"op":"finish","url":"https://…"}    → {"claims","userinfo"} or {"error"}
//   {"op":"end","back":"https://…"}      → {"url","state"}: where the browser is sent to sign out
// The server is reached where the test runs it: TLS ends before it, as behind any reverse proxy.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(`${process.env.SCEAU_PEERS}/node_modules/`);
const client = await import(require.resolve("openid-client"));
const [issuer, id, secret, redirect_uri, signed, reached] = process.argv.slice(2);
const origin = new URL(issuer).origin;
const metadata = { client_secret: secret, id_token_signed_response_alg: "ES256" };
if (signed === "signed") {
  metadata.userinfo_signed_response_alg = "ES256";
}
const config = await client.discovery(new URL(issuer), id, metadata, client.ClientSecretPost(secret), {
  [client.customFetch]: (url, options) => fetch(String(url).replace(origin, reached), options),
});
let expected;

async function begin({ params }) {
  expected = { expectedState: client.randomState(), expectedNonce: client.randomNonce() };
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri,
    scope: "openid given_name usual_name email uid siret organizational_unit",
    state: expected.expectedState,
    nonce: expected.expectedNonce,
    ...params,
  });
  return { url: url.href };
}

async function finish({ url }) {
  const tokens = await client.authorizationCodeGrant(config, new URL(url), { ...expected, idTokenExpected: true });
  last = tokens.id_token;
  const claims = tokens.claims();
  const userinfo = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
  return { claims, userinfo };
}

let last;

async function end({ back }) {
  const state = client.randomState();
  const url = client.buildEndSessionUrl(config, { post_logout_redirect_uri: back, state, ...(last ? { id_token_hint: last } : {}) });
  return { url: url.href, state };
}

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  const answer = await { begin, finish, end }[asked.op](asked).catch((error) => ({
    error: error.error ?? error.code ?? String(error),
  }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
