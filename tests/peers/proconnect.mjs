// oidc-provider, which we did not write, set up as ProConnect is (PROCONNECT.md), with an interaction that can be told to lie, and tokens that can be
// forged on their way: the gate's counterpart.
//   node proconnect.mjs PORT CLIENT SECRET REDIRECT_URI…      POST /_lie: how the next log-ins go, a JSON object:
//     acr, amr: what the identity provider claims to have done (default eidas3, as it should be) · idp_id, sub, email, custom: what is said of the person
//     forge: { claims: {…}, key: "other" | "none" | "hs256" } for id_tokens · replay: true sends the id_token of the log-in before · userinfo: { sub: … }
//   GET /_seen: how many tokens were asked for, and how the client showed who it was
import { createHmac, generateKeyPairSync, randomUUID } from "node:crypto";
import { createServer, request as ask } from "node:http";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.SCEAU_PEERS}/node_modules/`);
const { Provider, interactionPolicy } = await import(require.resolve("oidc-provider"));
const { SignJWT, decodeJwt, exportJWK } = await import(require.resolve("jose"));
const [port, client_id, client_secret, ...redirect_uris] = process.argv.slice(2);
const inner = Number(port) + 1;
const issuer = `http://localhost:${port}/api/v2`;
const acrValues = ["eidas0", "eidas0-mfa", "eidas1", "eidas1-mfa", "eidas2", "eidas3", "https://proconnect.gouv.fr/assurance/certification-dirigeant"];
const honest = { acr: "eidas3", amr: ["pop", "hwk", "pin", "mfa"], idp_id: "idp-ministry", sub: "alice-at-ministry", email: "alice@ml.example" };
let lie = honest;
const seen = { tokens: 0, authentication: [] };
let before;

const pair = () => generateKeyPairSync("ec", { namedCurve: "P-256" });
const ours = pair();
const other = pair();
const jwk = { ...(await exportJWK(ours.privateKey)), kid: "k1", use: "sig", alg: "ES256" };
const clients = [{
  client_id, client_secret, redirect_uris, post_logout_redirect_uris: redirect_uris.map((uri) => new URL("/", uri).href),
  grant_types: ["authorization_code", "refresh_token"], response_types: ["code"], id_token_signed_response_alg: "ES256",
  userinfo_signed_response_alg: "ES256", token_endpoint_auth_method: "client_secret_post",
}];
if (process.env.CLIENT_JWK) {
  Object.assign(clients[0], {
    client_secret: undefined, token_endpoint_auth_method: "private_key_jwt", token_endpoint_auth_signing_alg: "ES256",
    jwks: { keys: [JSON.parse(process.env.CLIENT_JWK)] },
  });
}
const provider = new Provider(issuer, {
  acrValues,
  clients,
  jwks: { keys: [jwk] },
  clientDefaults: { grant_types: ["authorization_code", "refresh_token"], id_token_signed_response_alg: "ES256", response_types: ["code"],
    token_endpoint_auth_method: "client_secret_post" },
  claims: { amr: ["amr"], acr: null, openid: ["sub"], email: ["email"], given_name: ["given_name"], usual_name: ["usual_name"], uid: ["uid"], siret: ["siret"],
    idp_id: ["idp_id"], idp_acr: ["idp_acr"], custom: ["custom"] },
  features: { claimsParameter: { enabled: true }, introspection: { enabled: true }, jwtUserinfo: { enabled: true }, revocation: { enabled: true },
    rpInitiatedLogout: { enabled: true }, backchannelLogout: { enabled: false }, devInteractions: { enabled: false } },
  extraParams: ["idp_hint", "siret_hint"],
  pkce: { required: () => false },
  routes: { authorization: "/authorize", token: "/token", userinfo: "/userinfo", introspection: "/token/introspection", revocation: "/token/revocation",
    end_session: "/session/end", jwks: "/jwks" },
  cookies: { keys: [randomUUID()] },
  interactions: { url: (_, { uid }) => `/interaction/${uid}`, policy: interactionPolicy.base() },
  loadExistingGrant: async (ctx) => {
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope("openid email given_name usual_name uid siret idp_id custom");
    grant.addOIDCClaims(["acr", "amr"]);
    await grant.save();
    return grant;
  },
  findAccount: async (_, sub) => ({
    accountId: sub,
    claims: async () => ({ sub, email: lie.email, given_name: "Alice", usual_name: "Martin", uid: "1", siret: "13002526500013", idp_id: lie.idp_id,
      custom: lie.custom }),
  }),
});
provider.proxy = true;
const answer = provider.callback();

createServer(async (request, response) => {
  const url = new URL(request.url, issuer);
  if (url.pathname.startsWith("/interaction/")) {
    const { acr, amr, sub } = lie;
    const { params } = await provider.interactionDetails(request, response);
    const wanted = JSON.parse(params.claims ?? "{}").id_token?.acr;
    // As ProConnect has it: a level that is essential and was not reached ends there.
    if (wanted?.essential && ![wanted.value, ...(wanted.values ?? [])].includes(acr)) {
      const error = { error: "access_denied", error_description: "requested ACRs could not be satisfied" };
      return provider.interactionFinished(request, response, error, { mergeWithLastSubmission: false });
    }
    return provider.interactionFinished(request, response, { login: { accountId: sub, acr, amr } }, { mergeWithLastSubmission: false });
  }
  if (url.pathname.startsWith("/api/v2")) {
    request.originalUrl = request.url;
    request.url = request.url.replace("/api/v2", "") || "/";
    request.baseUrl = "/api/v2";
  }
  return answer(request, response);
}).listen(inner, "127.0.0.1");

async function forged(token) {
  const { claims = {}, key = "ours" } = lie.forge ?? {};
  const said = { ...decodeJwt(token), ...claims };
  for (const [name, value] of Object.entries(claims)) {
    if (value === null) delete said[name];
  }
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  if (key === "none") return `${encode({ alg: "none", typ: "JWT" })}.${encode(said)}.`;
  if (key === "hs256") {
    const input = `${encode({ alg: "HS256", typ: "JWT", kid: "k1" })}.${encode(said)}`;
    const { d: _, ...published } = jwk;
    return `${input}.${createHmac("sha256", JSON.stringify(published)).update(input).digest("base64url")}`;
  }
  const signer = key === "other" ? other.privateKey : ours.privateKey;
  return new SignJWT(said).setProtectedHeader({ alg: "ES256", kid: "k1", typ: "JWT" }).sign(signer);
}

async function read(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

// In front of it: what it says may be changed on its way, as a provider that was taken over would.
createServer(async (request, response) => {
  const body = await read(request);
  if (request.url === "/_lie") {
    lie = { ...honest, ...JSON.parse(body.toString() || "{}") };
    return response.end("{}");
  }
  if (request.url === "/_seen") return response.end(JSON.stringify(seen));
  const sent = ask(
    { host: "127.0.0.1", port: inner, path: request.url, method: request.method, headers: { ...request.headers, host: `localhost:${port}` } },
    async (answered) => {
      let said = await read(answered);
      if (request.url === "/api/v2/token" && answered.statusCode === 200) {
        seen.tokens += 1;
        const form = new URLSearchParams(body.toString());
        seen.authentication.push(form.has("client_assertion") ? "private_key_jwt" : form.has("client_secret") ? "client_secret_post" : "none");
        const tokens = JSON.parse(said.toString());
        const honestly = tokens.id_token;
        tokens.id_token = lie.replay ? before : lie.forge ? await forged(honestly) : honestly;
        before = honestly;
        said = Buffer.from(JSON.stringify(tokens));
      }
      if (request.url === "/api/v2/userinfo" && lie.userinfo && answered.statusCode === 200) {
        const claims = { ...decodeJwt(said.toString()), ...lie.userinfo };
        said = Buffer.from(await new SignJWT(claims).setProtectedHeader({ alg: "ES256", kid: "k1" }).sign(ours.privateKey));
      }
      const headers = { ...answered.headers, "content-length": said.length };
      delete headers["transfer-encoding"];
      response.writeHead(answered.statusCode, headers);
      response.end(said);
    },
  );
  sent.on("error", () => response.destroy());
  sent.end(body);
}).listen(Number(port), "127.0.0.1");
