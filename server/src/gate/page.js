// The gate's own pages: sign-in, and waiting for an action. No dependency, no build step.
"use strict";

const status = document.getElementById("status");

async function read(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" }, cache: "no-store" });
  return answer.ok ? answer.json() : null;
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function signIn(form) {
  status.textContent = status.dataset.wait;
  const answer = await fetch("/.sceau/session", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ person: new FormData(form).get("person") }),
  });
  if (!answer.ok) {
    status.textContent = status.dataset.error;
    return;
  }
  const { action_id: id } = await answer.json();
  const seal = document.getElementById("seal");
  seal.href = form.dataset.seal + id;
  seal.hidden = false;
  for (;;) {
    const session = await read("/.sceau/session?wait=30").catch(() => null);
    if (session === null) {
      await pause(2000);
    } else if (session.state === "active") {
      seal.hidden = true;
      location.replace(form.dataset.next);
      return;
    } else if (session.state !== "pending") {
      status.textContent = status.dataset.refused;
      return;
    }
  }
}

async function follow(id) {
  for (;;) {
    const action = await read(`/.sceau/actions/${id}?wait=30`).catch(() => null);
    if (action === null) {
      await pause(2000);
      continue;
    }
    // Executed with an error must not pass for success: the person reads it, and goes on by themselves.
    const failed = action.state === "executed" && action.upstream_status >= 400;
    const told = failed ? "failed" : action.again ? "again" : ["pending", "approved", "executed", "consumed"].includes(action.state) ? action.state : "refused";
    if (told !== status.dataset.state) {
      status.dataset.state = told;
      status.textContent = status.dataset[told];
    }
    document.getElementById("seal").hidden = told !== "pending";
    if (action.next) {
      const link = document.getElementById("next");
      link.href = action.next;
      link.hidden = false;
      if (told === "executed") {
        location.replace(action.next);
      }
    }
    if (!["pending", "approved"].includes(action.state)) {
      return;
    }
    if (action.state === "approved") {
      await pause(action.again ? 5000 : 500);
    }
  }
}

const form = document.getElementById("sign-in");
if (form) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    signIn(form);
  });
  if (form.dataset.auto) {
    signIn(form);
  }
} else if (status && status.dataset.action) {
  follow(status.dataset.action);
}
