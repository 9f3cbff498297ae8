// The help desk's page: an enrolment is asked for and sealed on the action's page; then the person's key is enrolled in this tab, and in no other.
import "/pages/action.js";
import { register, send, sha256, toText, visible } from "/pages/key.js";

const main = document.querySelector("main");
const words = JSON.parse(main.dataset.words);
const status = document.getElementById("status");
const say = (...texts) => {
  status.textContent = texts.filter(Boolean).join(" ");
};
const because = (error) => {
  const told = error.said?.words?.[document.documentElement.lang];
  // A browser's own errors have numbers for codes, and names.
  say(words[error.code] ?? words[error.name] ?? words.failed, told);
};

document.getElementById("print")?.addEventListener("click", () => print());

// The tab's secret: what is sealed holds its digest, and the invitation is shown for the secret alone.
const ask = document.getElementById("ask");
ask?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = ask.querySelector("button");
  button.disabled = true;
  say(words.begins);
  try {
    const fields = Object.fromEntries(new FormData(ask));
    const secret = toText(crypto.getRandomValues(new Uint8Array(32)));
    const roles = fields.roles.split(/\s+/).filter(Boolean);
    const person = {
      id: fields.id.trim(),
      identity_document: fields.identity_document,
      ...(fields.display.trim() ? { display: fields.display.trim() } : {}),
      ...(roles.length ? { roles } : {}),
    };
    const asked = await send("POST", "/desk", { person, key: fields.key, handover: toText(await sha256(secret)) });
    if (asked.denial) {
      say(words.denied, visible(asked.denial));
      return;
    }
    sessionStorage.setItem(`handover:${asked.id}`, secret);
    location.assign(`/actions/${asked.id}`);
  } catch (error) {
    because(error);
  } finally {
    button.disabled = false;
  }
});

// The person's key. A key that is refused leaves the invitation as it is: another one may be tried.
const form = document.getElementById("hand-over");
const { enrolment, label } = main.dataset;
let invitation = null;
form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  say(words.touch);
  try {
    if (!invitation) {
      const secret = sessionStorage.getItem(`handover:${enrolment}`) ?? "";
      ({ invitation } = await send("POST", `/desk/${enrolment}/invitation`, { secret }));
      sessionStorage.removeItem(`handover:${enrolment}`);
    }
    const opened = await send("POST", "/v1/enrolments/open", { invitation });
    const made = await register(opened);
    const body = { invitation, ...made, label };
    const done = await send("POST", `/v1/enrolments/${opened.enrolment_id}/registration`, body);
    invitation = null;
    form.hidden = true;
    say(words.done);
    document.getElementById("model").textContent = done.model ? visible(done.model) : "";
    const receipt = document.getElementById("receipt");
    receipt.hidden = false;
    receipt.querySelector("a").focus();
  } catch (error) {
    because(error);
  } finally {
    button.disabled = false;
  }
});
