// Enrolment: an invitation, a key, an answer. The invitation is in memory alone: never in an address that is sent.
import { register, send, visible } from "/pages/key.js";

const main = document.querySelector("main");
const words = JSON.parse(main.dataset.words);
const status = document.getElementById("status");
const open = document.getElementById("open");
const make = document.getElementById("make");
const say = (text) => {
  status.textContent = text;
};

// A link that is followed here, or into a page that is open already.
function fromAddress() {
  const secret = location.hash.replace(/^#(invitation=)?/, "");
  if (/^[\w-]{43}$/.test(secret)) {
    open.elements.invitation.value = secret;
  }
  if (location.hash || location.search) {
    history.replaceState(null, "", location.pathname);
  }
}
addEventListener("hashchange", fromAddress);
fromAddress();

const because = (error) => {
  const told = error.said?.words?.[document.documentElement.lang];
  say([words[error.code] ?? words[error.name] ?? words.failed, told].filter(Boolean).join(" "));
};

let invitation = null;
let opened = null;

open.addEventListener("submit", async (event) => {
  event.preventDefault();
  invitation = new FormData(open).get("invitation").trim();
  say(words.begins);
  try {
    opened = await send("POST", "/v1/enrolments/open", { invitation });
    document.getElementById("person").textContent = visible(opened.user.display);
    open.hidden = true;
    make.hidden = false;
    say(words.ready);
    make.elements.label.focus();
  } catch (error) {
    because(error);
  }
});

make.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = make.querySelector("button");
  button.disabled = true;
  say(words.touch);
  try {
    const label = new FormData(make).get("label").trim();
    const made = await register(opened);
    const body = { invitation, ...made, ...(label ? { label } : {}) };
    const done = await send("POST", `/v1/enrolments/${opened.enrolment_id}/registration`, body);
    invitation = null;
    make.hidden = true;
    say(words.done);
    document.getElementById("model").textContent = done.model ? visible(done.model) : "";
    // The session that comes with a registration is for agents: nobody uses it here.
    if (done.session) {
      await fetch(`/v1/sessions/${done.session.session_id}`, {
        method: "DELETE",
        headers: { Authorization: `Bearer ${done.session.token}` },
      }).catch(() => null);
    }
  } catch (error) {
    because(error);
  } finally {
    button.disabled = false;
  }
});
