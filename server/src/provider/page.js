// Waiting for the key: follows the sign-in, and uses a key that is plugged in here. No dependency, no build step.
import { pause, seal as sealWith, send } from "/pages/key.js";

const status = document.getElementById("status");
const here = document.getElementById("here");

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
  await send("POST", `${status.dataset.login}/approval`, await sealWith(await read(0)));
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
