// Waiting for the key: follows the sign-in, and uses a key that is plugged in here. No dependency, no build step.
const status = document.getElementById("status");
const here = document.getElementById("here");
const encoder = new TextEncoder();

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const toBytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const toText = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

// RFC 8785, for documents of strings, integers, lists and objects.
const canonical = (value) => {
  if (Array.isArray(value)) {
    return `[${value.map(canonical).join(",")}]`;
  }
  if (value !== null && typeof value === "object") {
    const names = Object.keys(value).sort();
    return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
  }
  return JSON.stringify(value);
};

// SHA-256("sceau/action/v1\0" ‖ JCS(action)): derived here, from what the page was shown.
async function challenge(action) {
  const bytes = encoder.encode(`sceau/action/v1\0${canonical(action)}`);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

async function read(wait) {
  const answer = await fetch(`${status.dataset.login}?wait=${wait}`, {
    headers: { Accept: "application/json" },
    cache: "no-store",
  });
  return answer.ok ? answer.json() : null;
}

async function follow() {
  for (;;) {
    const now = await read(25).catch(() => null);
    if (now === null) {
      await pause(2000);
      continue;
    }
    status.textContent = status.dataset[now.state] ?? "";
    here.hidden = now.state !== "pending" || !now.keys || !window.PublicKeyCredential;
    if (now.state === "approved") {
      const next = document.getElementById("next");
      next.hidden = false;
      location.replace(next.href);
      return;
    }
    if (now.state !== "pending") {
      return;
    }
  }
}

async function seal() {
  const now = await read(0);
  const allowed = now.keys
    .filter((key) => key.credential_id)
    .map((key) => ({ type: "public-key", id: toBytes(key.credential_id), transports: key.transports }));
  const credential = await navigator.credentials.get({
    publicKey: {
      challenge: await challenge(now.action),
      rpId: now.rp_id,
      allowCredentials: allowed,
      userVerification: "required",
      hints: ["security-key"],
      timeout: 120000,
    },
  });
  const { signature, clientDataJSON, authenticatorData } = credential.response;
  const key = now.keys.find((key) => key.credential_id === credential.id);
  const answer = await fetch(`${status.dataset.login}/approval`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      key_id: key.key_id,
      response: {
        client_data_json: toText(clientDataJSON),
        authenticator_data: toText(authenticatorData),
        signature: toText(signature),
        credential_id: credential.id,
      },
    }),
  });
  if (!answer.ok) {
    throw new Error("not approved");
  }
}

if (status?.dataset.login) {
  if (["pending", "approved"].includes(status.dataset.state)) {
    read(0).then((now) => {
      here.hidden = now?.state !== "pending" || !now.keys || !window.PublicKeyCredential;
    });
    follow();
  }
  here.addEventListener("click", () => {
    here.disabled = true;
    seal()
      .catch(() => {
        status.textContent = status.dataset.failed;
      })
      .finally(() => {
        here.disabled = false;
      });
  });
}
