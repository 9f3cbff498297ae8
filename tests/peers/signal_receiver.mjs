// A service that is told of suspensions, by libraries and specifications that are not ours:  node signal_receiver.mjs ISSUER AUDIENCE JWKS_URL
//   POST /ssf                a receiver of pushed security event tokens (RFC 8935): `jose` verifies signature, type, issuer and audience
//   POST /check              the same for a token that was fetched: answers its claims, or {"err"}
//   GET  /scim/v2/Users      a SCIM 2.0 service with three users (RFC 7644 §3.4.2), PATCH /scim/v2/Users/{id} (§3.5.2)
//   GET  /seen               {"sets":[claims…],"refused":[…],"users":{…},"patches":[…]}
//   POST /mode               "up"; "down": /ssf and /scim answer 503; a status: /scim answers it (429 with Retry-After: 3); "two": its look-up finds two;
//                            "unchanged": its PATCH changes nothing. `seen.asked`: when /scim was asked, in milliseconds
// Prints its port.
import { createServer } from "node:http";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.SCEAU_PEERS}/node_modules/`);
const { createRemoteJWKSet, jwtVerify } = await import(require.resolve("jose"));
const [issuer, audience, jwks] = process.argv.slice(2);
const keys = createRemoteJWKSet(new URL(jwks));
const users = new Map([
  ["2819c223", { userName: "carol", externalId: "carol", active: true }],
  ["902c246b", { userName: "dave", externalId: "dave", active: true }],
  ["7", { userName: "made-by-carol", externalId: null, active: true }],
]);
const seen = { sets: [], refused: [], patches: [], asked: [] };
let mode = "up";

async function verified(token) {
  const { payload, protectedHeader } = await jwtVerify(token, keys, {
    issuer, audience, typ: "secevent+jwt", algorithms: ["ES256"], requiredClaims: ["iat", "jti", "sub_id", "events"],
  });
  // SSF §4: one event; neither `sub` nor `exp`.
  if (Object.keys(payload.events).length !== 1 || "sub" in payload || "exp" in payload) throw new Error("not as SSF wants it");
  if (!protectedHeader.kid) throw new Error("no kid");
  return payload;
}

async function ssf(request, token, respond) {
  if (request.headers.authorization !== "Bearer of-the-receiver") return respond(401);
  if (request.headers["content-type"] !== "application/secevent+jwt") return respond(415);
  try {
    seen.sets.push(await verified(token));
    respond(202);
  } catch (error) {
    seen.refused.push(String(error));
    respond(400, { err: "invalid_request", description: String(error) });
  }
}

function scim(request, url, body, respond) {
  const failed = (status, detail) => respond(status, { schemas: ["urn:ietf:params:scim:api:messages:2.0:Error"], status: String(status), detail });
  if (request.headers.authorization !== "Bearer scim-token-scim-token") return failed(401, "who?");
  seen.asked.push(Date.now());
  if (/^\d{3}$/.test(mode)) return failed(Number(mode), "as told");
  const view = (id) => ({ schemas: ["urn:ietf:params:scim:schemas:core:2.0:User"], id, ...users.get(id), meta: { resourceType: "User" } });
  if (url.pathname === "/scim/v2/Users" && request.method === "GET") {
    const [, attribute, value] = /^(\w+) eq ("(?:[^"\\]|\\.)*")$/.exec(url.searchParams.get("filter") ?? "") ?? [];
    if (!attribute) return failed(400, "filter");
    const found = [...users.keys()].filter((id) => users.get(id)[attribute] === JSON.parse(value));
    if (mode === "two") found.push("902c246b");
    return respond(200, {
      schemas: ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], totalResults: found.length, startIndex: 1, itemsPerPage: found.length,
      Resources: found.map(view),
    });
  }
  const id = decodeURIComponent(/^\/scim\/v2\/Users\/([^/]+)$/.exec(url.pathname)?.[1] ?? "");
  if (!users.has(id)) return failed(404, "no such user");
  if (request.method !== "PATCH" || request.headers["content-type"] !== "application/scim+json") return failed(405, "PATCH");
  const patch = JSON.parse(body);
  if (patch.schemas?.[0] !== "urn:ietf:params:scim:api:messages:2.0:PatchOp") return failed(400, "schemas");
  if (mode === "unchanged") return respond(200, view(id));
  for (const { op, path, value } of patch.Operations) {
    if (op !== "replace" || path !== "active" || typeof value !== "boolean") return failed(400, "operation");
    users.get(id).active = value;
    seen.patches.push([id, value]);
  }
  // RFC 7644 lets a service answer either.
  return id === "7" ? respond(204) : respond(200, view(id));
}

const server = createServer((request, response) => {
  const url = new URL(request.url, "http://x");
  let body = "";
  request.on("data", (chunk) => { body += chunk; });
  request.on("end", async () => {
    const respond = (status, value) => {
      response.writeHead(status, { "content-type": "application/json", ...(status === 429 ? { "retry-after": "3" } : {}) });
      response.end(value === undefined ? "" : JSON.stringify(value));
    };
    if (url.pathname === "/seen") return respond(200, { ...seen, users: Object.fromEntries(users) });
    if (url.pathname === "/mode") { mode = body; return respond(204); }
    if (url.pathname === "/check") {
      return verified(body).then((claims) => respond(200, claims), (error) => respond(200, { err: String(error) }));
    }
    if (mode === "down") return respond(503);
    if (url.pathname === "/ssf") return ssf(request, body, respond);
    return scim(request, url, body, respond);
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
