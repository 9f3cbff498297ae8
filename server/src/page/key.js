// What every page of the server needs of a key: the challenge derived from the action itself, and the ceremonies. No dependency, no build step.
const encoder = new TextEncoder();

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));
export const toBytes = (text) =>
  Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
export const toText = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

// RFC 8785, for documents of strings, integers, lists and objects.
export const canonical = (value) => {
  if (Array.isArray(value)) {
    return `[${value.map(canonical).join(",")}]`;
  }
  if (value !== null && typeof value === "object") {
    const names = Object.keys(value).sort();
    return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
  }
  return JSON.stringify(value);
};

export const sha256 = async (text) => new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(text)));

// The document's own digest, hexadecimal: what the page shows is what it signs.
export const digest = async (action) =>
  Array.from(await sha256(canonical(action)), (byte) => byte.toString(16).padStart(2, "0")).join("");

// SHA-256("sceau/action/v1\0" ‖ JCS(action)): derived here, from what the page was shown.
export const challenge = (action) => sha256(`sceau/action/v1\0${canonical(action)}`);

// Text from outside on one line: what cannot be seen is written out, what is too long is cut.
export const visible = (text) => {
  const letters = Array.from(String(text));
  const shown = letters
    .slice(0, 240)
    .map((c) => (/[\p{C}\p{Zl}\p{Zp}]/u.test(c) ? `\\u{${c.codePointAt(0).toString(16)}}` : c))
    .join("");
  return letters.length > 240 ? `${shown}…(+${letters.length - 240})` : shown;
};

// Asks the server; throws the problem document when it says no.
export async function send(method, path, body, signal) {
  const answer = await fetch(path, {
    method,
    headers: { Accept: "application/json", ...(body ? { "Content-Type": "application/json" } : {}) },
    body: body ? JSON.stringify(body) : undefined,
    cache: "no-store",
    signal,
  });
  const said = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (!answer.ok) {
    throw Object.assign(new Error("refused"), { code: said?.code ?? "unavailable", said });
  }
  return said;
}

// Seals an action with one of these keys: the body of an approval.
export async function seal({ action, keys, rp_id: rpId }, signal) {
  const allowCredentials = keys
    .filter((key) => key.credential_id)
    .map((key) => ({ type: "public-key", id: toBytes(key.credential_id), transports: key.transports }));
  if (allowCredentials.length === 0) {
    throw new Error("no key that a browser can use");
  }
  const credential = await navigator.credentials.get({
    publicKey: {
      challenge: await challenge(action),
      rpId,
      allowCredentials,
      userVerification: "required",
      hints: ["security-key"],
      timeout: 120000,
    },
    signal,
  });
  const { signature, clientDataJSON, authenticatorData } = credential.response;
  return {
    key_id: keys.find((key) => key.credential_id === credential.id).key_id,
    response: {
      client_data_json: toText(clientDataJSON),
      authenticator_data: toText(authenticatorData),
      signature: toText(signature),
      credential_id: credential.id,
    },
  };
}

// Makes a credential for an opened enrolment: the body of a registration, but for the invitation.
export async function register(opened) {
  const credential = await navigator.credentials.create({
    publicKey: {
      challenge: await challenge(opened.action),
      rp: opened.rp,
      user: { id: toBytes(opened.user.id), name: opened.user.name, displayName: opened.user.display },
      pubKeyCredParams: opened.algorithms.map((alg) => ({ type: "public-key", alg })),
      excludeCredentials: opened.exclude.map((id) => ({ type: "public-key", id: toBytes(id) })),
      authenticatorSelection: {
        authenticatorAttachment: "cross-platform",
        residentKey: "discouraged",
        userVerification: opened.user_verification,
      },
      attestation: opened.attestation,
      hints: ["security-key"],
      timeout: 180000,
    },
  });
  const { clientDataJSON, attestationObject } = credential.response;
  return {
    response: { client_data_json: toText(clientDataJSON), attestation_object: toText(attestationObject) },
    transports: (credential.response.getTransports?.() ?? []).slice(0, 8),
  };
}
