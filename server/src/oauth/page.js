// Waiting for the key: goes back to the service once the action is decided. No dependency, no build step.
import { pause } from "/pages/key.js";

const status = document.getElementById("status");
const next = document.getElementById("next");

async function follow() {
  for (;;) {
    const answer = await fetch(`${status.dataset.request}?wait=25`, {
      headers: { Accept: "application/json" },
      cache: "no-store",
    }).catch(() => null);
    if (answer === null || answer.status >= 500) {
      await pause(2000);
      continue;
    }
    const { state } = answer.ok ? await answer.json() : { state: "gone" };
    if (state !== "pending") {
      location.replace(next.href);
      return;
    }
  }
}

if (status && next) {
  follow();
}
