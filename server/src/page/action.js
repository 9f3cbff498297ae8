// The page of one action: sign-in by key, approval, refusal, and where it stands, live.
import { digest, pause, seal, send } from "/pages/key.js";

const main = document.querySelector("main");
const words = JSON.parse(main.dataset.words);
const status = document.getElementById("status");
const say = (name) => {
  status.textContent = words[name] ?? words.unavailable;
};
const because = (error) => {
  const reason = `${error.code}-${error.said?.reason}`;
  say([reason, error.code].find((name) => name in words) ?? (error.said ? "unavailable" : "no-key"));
};

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
const stepBack = document.getElementById("step-back");
const back = document.getElementById("back");
const refusals = ["not-me", "mistake"].map((name) => document.getElementById(name)).filter(Boolean);
let approved = main.dataset.approved === "true";

function show(now) {
  say(now.state === "pending" && now.approved ? "waiting" : now.state);
  main.dataset.state = now.state;
  approved = now.approved;
  approve?.toggleAttribute("hidden", !now.awaits);
  choices?.toggleAttribute("hidden", now.state !== "pending");
  back?.toggleAttribute("hidden", now.state === "pending");
  if (now.state !== "pending") {
    stepBack?.setAttribute("hidden", "");
  }
}

// Told by the server as it changes; a stream that was cut comes back by itself, one that is refused is asked why.
function follow() {
  const live = new EventSource(path);
  live.addEventListener("state", ({ data }) => {
    const now = JSON.parse(data);
    if (now.state !== main.dataset.state || now.approved !== approved) {
      show(now);
    }
    if (!["pending", "approved"].includes(now.state)) {
      live.close();
    }
  });
  live.addEventListener("error", async () => {
    if (live.readyState !== EventSource.CLOSED) {
      return;
    }
    await pause(3000);
    const now = await send("GET", path).catch((error) => error);
    if (["not-found", "unauthenticated"].includes(now.code)) {
      location.reload();
    } else {
      follow();
    }
  });
}

// What the key seals is what this page shows, or nothing.
async function decide(signal) {
  const now = await send("GET", path, undefined, signal);
  if ((await digest(now.action)) !== main.dataset.sha256) {
    throw Object.assign(new Error("changed"), { code: "changed" });
  }
  const approval = await seal(now, signal);
  show(await send("POST", `${path}/approval`, approval));
  if (back?.dataset.leads && main.dataset.state !== "pending") {
    location.assign(back.querySelector("a").href);
  }
}

function waiting(is) {
  choices.hidden = is;
  stepBack.hidden = !is;
  (is ? stepBack : approve).focus();
}

if (path && main.dataset.state === "pending") {
  approve?.addEventListener("click", () => {
    const touch = new AbortController();
    stepBack.onclick = () => touch.abort();
    say("touch");
    waiting(true);
    decide(touch.signal)
      .catch((error) => (touch.signal.aborted ? say("stepped-back") : because(error)))
      .finally(() => main.dataset.state === "pending" && waiting(false));
  });
  for (const button of refusals) {
    button.addEventListener("click", () => {
      refusals.forEach((one) => (one.disabled = true));
      send("POST", `${path}/refusal`, { reason: button.id })
        .then(show, because)
        .finally(() => refusals.forEach((one) => (one.disabled = false)));
    });
  }
}
if (path && ["pending", "approved"].includes(main.dataset.state)) {
  follow();
}
