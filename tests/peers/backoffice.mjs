// A back office with the three kinds of client code that real ones have: HTMX fragments, `fetch` with a multipart body, a classic form.
// The paths are Hyyypertool's; the code is not. What it shares with such applications: a session cookie without state that every answer re-issues,
// pages that poll, gzip, ETag, a content security policy with a nonce that is another one each time, 200 for targets that nobody knows.
//   node backoffice.mjs HOST:PORT          GET /_journal: what it executed, in order
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { gzipSync } from "node:zlib";

const require = createRequire(`${process.env.SCEAU_PEERS}/node_modules/`);
const htmx = readFileSync(require.resolve("htmx.org/dist/htmx.min.js"));
const [host, port] = process.argv[2].split(":");
const journal = [];
const COOKIE = "backoffice";

const users = Array.from({ length: 250 }, (_, at) => ({
  id: at + 1,
  name: `Camille Durand ${at + 1}`,
  email: `camille.${at + 1}@ml.example`,
}));

const client = `
const said = document.getElementById("said");
for (const form of document.querySelectorAll("form[data-patch]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    said.textContent = "…";
    const answer = await fetch(form.dataset.patch, { method: "PATCH", body: new FormData(form) });
    if (answer.ok) {
      said.textContent = "Terminé";
      document.body.dispatchEvent(new CustomEvent("MODERATION_UPDATED"));
    } else {
      said.textContent = "Échec (" + answer.status + ")";
    }
  });
}
document.body.addEventListener("htmx:responseError", (event) => { said.textContent = "Échec (" + event.detail.xhr.status + ")"; });
`;

function layout(title, body, nonce) {
  return `<!doctype html><html lang="fr"><head><title>${title}</title>
<meta name="htmx-config" content='{"includeIndicatorStyles":false,"allowEval":false}'>
<script src="/assets/htmx.js" nonce="${nonce}"></script><script src="/assets/client.js" nonce="${nonce}" defer></script></head>
<body><input id="page" name="page" value="1"><main>${body}</main><p id="said" role="status"></p></body></html>`;
}

function table(query) {
  const size = Number(query.get("page_size") ?? 10);
  const page = Number(query.get("page") ?? 1);
  const rows = users.slice((page - 1) * size, page * size).map(
    ({ id, name, email }) =>
      `<tr aria-label="Utilisateur ${name} (${email})"><td>${name}</td><td>${email}</td><td><a href="/users/${id}">${id}</a></td></tr>`,
  );
  return `<div id="table" hx-get="/users?page=${page}&page_size=${size}" hx-trigger="every 1s" hx-select="#table" hx-swap="outerHTML">
<table><thead><tr><th>Nom</th><th>Adresse</th><th>ID</th></tr></thead><tbody>${rows.join("")}</tbody>
<tfoot><tr><th>${users.length}</th></tr></tfoot></table></div>`;
}

const button = (id, attributes, text) => `<button id="${id}" hx-include="#page" ${attributes}>${text}</button>`;

function user(id) {
  const removed = journal.some(({ method, path }) => method === "DELETE" && path.startsWith(`/users/${id}`));
  const reset = journal.filter(({ path }) => path.startsWith(`/users/${id}/reset/mfa`)).length;
  return `<section hx-get="/users/${id}" hx-trigger="USER_UPDATED from:body" hx-select="#state" hx-target="#state" hx-swap="outerHTML">
<p id="state">${removed ? "Supprimé" : `MFA retirée ${reset} fois`}</p></section>
${button("mfa", `hx-patch="/users/${id}/reset/mfa" hx-swap="none"`, "Réinitialiser la MFA")}
${button("password", `hx-patch="/users/${id}/reset/password" hx-swap="none"`, "Réinitialiser le mot de passe")}
${button("delete", `hx-delete="/users/${id}" hx-swap="none"`, "Supprimer")}`;
}

function moderation(id) {
  const done = journal.filter(({ path }) => path.startsWith(`/moderations/${id}/`)).map(({ path }) => path.split("/")[3].split("?")[0]);
  return `<section id="moderation" hx-get="/moderations/${id}" hx-trigger="MODERATION_UPDATED from:body" hx-select="#state" hx-target="#state"
 hx-swap="outerHTML"><p id="state">${done.join(" ") || "à traiter"}</p></section>
${button("reprocess", `hx-patch="/moderations/${id}/reprocess" hx-swap="none"`, "Rouvrir")}
${button("processed", `hx-patch="/moderations/${id}/processed" hx-swap="none"`, "Classer")}
<form id="accept" data-patch="/moderations/${id}/validate"><input type="radio" name="add_member" value="AS_INTERNAL" checked>
<input type="checkbox" name="add_domain" value="true" checked><input type="checkbox" name="send_notification" value="true">
<button id="validate">Terminer</button></form>
<form id="refuse" data-patch="/moderations/${id}/rejected"><input name="subject" value="Demande"><input name="end_user_reason" value="Domaine inconnu">
<input name="allow_editing" value="false"><textarea name="message">Bonjour,\nnon.</textarea><button id="reject">Notifier</button></form>`;
}

const pages = [
  [/^\/users$/, (_, query) => ["Liste des utilisateurs", table(query)]],
  [/^\/users\/(\d+)$/, ([, id]) => [`Utilisateur ${users[id - 1]?.name ?? "?"}`, user(id)]],
  [/^\/moderations$/, () => ["Modérations", `<a href="/moderations/12">12</a>`]],
  [/^\/moderations\/(\d+)$/, ([, id]) => [`Modération de Camille Durand pour 13002526500013 (${id})`, moderation(id)]],
  [/^\/organizations\/domains$/, () => ["Domaines", "domaines"]],
  [/^\/response-templates$/, () => ["Modèles", `<form method="post" action="/response-templates"><input name="label" value="Refus type">
<textarea name="content">Bonjour</textarea><button id="create">Créer</button></form>`]],
  [/^\/response-templates\/(\d+)$/, ([, id]) => [`Modèle ${id}`, `<p id="state">modèle ${id}</p>`]],
];

/** What an executed request is answered with. */
function executed(method, path) {
  if (/reset\/password$/.test(path)) return [403, "Forbidden", {}];
  if (/^\/users\/\d+$/.test(path)) return [200, "OK", { "HX-Location": "/users" }];
  if (/reset\/email_verified$/.test(path)) return [200, "OK", { "HX-Refresh": "true" }];
  if (/^\/users\//.test(path)) return [200, "OK", { "HX-Trigger": "USER_UPDATED" }];
  if (/^\/moderations\//.test(path)) return [200, "OK", { "HX-Trigger": "MODERATION_UPDATED" }];
  if (path === "/response-templates" && method === "POST") {
    return [302, "", { Location: `/response-templates/${journal.filter((entry) => entry.path === path).length}` }];
  }
  return [200, "OK", {}];
}

async function body(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url, "http://x");
  const path = url.pathname;
  const held = await body(request);
  const nonce = randomBytes(12).toString("base64");
  const session = new RegExp(`${COOKIE}=([0-9]+)`).exec(request.headers.cookie ?? "");
  const headers = {
    "Content-Security-Policy": `default-src 'self'; script-src 'self' 'nonce-${nonce}'; form-action 'self'; frame-ancestors 'none'`,
    // Forms of pages that tell no referrer come with `Origin: null`.
    "Referrer-Policy": path.startsWith("/response-templates") ? "no-referrer" : "strict-origin-when-cross-origin",
  };
  const issue = (number) => {
    headers["Set-Cookie"] = `${COOKIE}=${number}; Path=/; HttpOnly; SameSite=Lax`;
  };
  const send = (status, text, type = "text/html; charset=utf-8", more = {}) => {
    let bytes = Buffer.from(text);
    if (/\bgzip\b/.test(request.headers["accept-encoding"] ?? "") && bytes.length > 200) {
      bytes = gzipSync(bytes);
      headers["Content-Encoding"] = "gzip";
    }
    response.writeHead(status, { ...headers, "Content-Type": type, "Content-Length": bytes.length, ...more });
    response.end(request.method === "HEAD" ? undefined : bytes);
  };
  if (path === "/_journal") return send(200, JSON.stringify(journal), "application/json");
  if (path === "/assets/htmx.js") return send(200, htmx, "text/javascript");
  if (path === "/assets/client.js") return send(200, client, "text/javascript");
  if (path === "/auth/login" && request.method === "POST") return send(302, "", "text/html", { Location: "/auth/login/callback?code=1" });
  if (path === "/auth/login/callback") {
    issue(1);
    return send(302, "", "text/html", { Location: "/moderations" });
  }
  if (!session) {
    return send(200, layout("Connexion", `<form method="post" action="/auth/login"><button id="login">ProConnect</button></form>`, nonce));
  }
  issue(Number(session[1]) + 1);
  if (!["GET", "HEAD"].includes(request.method)) {
    journal.push({ method: request.method, path: request.url, body: held, permit: Boolean(request.headers["sceau-permit"]) });
    const [status, text, more] = executed(request.method, path);
    return send(status, text, "text/plain", more);
  }
  for (const [pattern, page] of pages) {
    const match = pattern.exec(path);
    if (match) {
      const [title, html] = page(match, url.searchParams);
      headers.ETag = `"${users.length}-${journal.length}"`;
      if (request.headers["if-none-match"] === headers.ETag) return send(304, "");
      return send(200, layout(title, html, nonce));
    }
  }
  return send(200, layout("Introuvable", "Rien ici.", nonce));
});
server.listen(Number(port), host);
