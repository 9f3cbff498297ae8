// The page of one action: sign-in by key, approval, refusal, and where it stands, live.
import { digest, pause, seal, send } from "/pages/key.js";

const main = document.querySelector("main");
const words = JSON.parse(main.dataset.words);
const status = document.getElementById("status");
const say = (name) => {
  status.textContent = words[name] ?? words.unavailable;
};
const because = (error) => say(error.code in words ? error.code : error.said ? "unavailable" : "no-key");

for (const at of document.querySelectorAll("time")) {
  const style = { dateStyle: "long", timeStyle: "short" };
  at.textContent = new Intl.DateTimeFormat(document.documentElement.lang, style).format(new Date(at.dateTime));
}

document.getElementById("leave")?.addEventListener("click", async () => {
  await send("DELETE", "/pages/session").catch(() => null);
  location.reload();
});

// Sign-in: the key here, or the agent, whichever answers first.
let attempt = null;
async function signIn(person) {
  attempt?.abort();
  attempt = new AbortController();
  const { signal } = attempt;
  const begun = await send("POST", "/pages/session", { person }, signal);
  say("touch");
  seal(begun, signal)
    .then((approval) => send("POST", `/actions/${begun.action.id}/approval`, approval, signal))
    .catch((error) => signal.aborted || because(error));
  for (;;) {
    const { state } = await send("GET", "/pages/session?wait=25", undefined, signal);
    if (state === "active") {
      attempt.abort();
      location.reload();
      return;
    }
    if (state !== "pending") {
      throw Object.assign(new Error(state), { code: "signed-out" });
    }
  }
}

const form = document.getElementById("sign-in");
form?.addEventListener("submit", (event) => {
  event.preventDefault();
  say("begins");
  signIn(new FormData(form).get("person").trim()).catch((error) => error.name === "AbortError" || because(error));
});

// The action.
const path = main.dataset.action;
const choices = document.getElementById("choices");
const approve = document.getElementById("approve");
const refusals = ["not-me", "mistake"].map((name) => document.getElementById(name)).filter(Boolean);
const buttons = [approve, ...refusals].filter(Boolean);
const busy = (is) => buttons.forEach((button) => (button.disabled = is));

function show(now) {
  say(now.state === "pending" && now.approved ? "waiting" : now.state);
  main.dataset.state = now.state;
  if (approve) {
    approve.hidden = !now.awaits;
  }
  if (choices) {
    choices.hidden = now.state !== "pending";
  }
  const back = document.getElementById("back");
  if (back) {
    back.hidden = now.state === "pending";
  }
}

async function follow() {
  let after = 0;
  while (after < 30) {
    const now = await send("GET", `${path}?wait=25`).catch((error) => error);
    if (now instanceof Error) {
      if (["not-found", "unauthenticated"].includes(now.code)) {
        location.reload();
        return;
      }
      await pause(3000);
      continue;
    }
    if (now.state !== "pending") {
      show(now);
      if (now.state !== "approved") {
        return;
      }
      after += 1;
      await pause(2000);
    }
  }
}

async function decide() {
  const now = await send("GET", path);
  if ((await digest(now.action)) !== main.dataset.sha256) {
    throw Object.assign(new Error("changed"), { code: "changed" });
  }
  const approval = await seal(now);
  show(await send("POST", `${path}/approval`, approval));
}

function press(button, what) {
  button?.addEventListener("click", () => {
    busy(true);
    what()
      .catch(because)
      .finally(() => busy(false));
  });
}

if (path && main.dataset.state === "pending") {
  press(approve, () => {
    say("touch");
    return decide();
  });
  for (const button of refusals) {
    press(button, async () => show(await send("POST", `${path}/refusal`, { reason: button.id })));
  }
}
if (path && ["pending", "approved"].includes(main.dataset.state)) {
  follow();
}
