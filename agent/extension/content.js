// Runs in the configured server's pages alone, in their own frame: a person's click on an element with data-sceau-action hands that action over.
// Nothing is read from the page but the action's id, and nothing is told to it but whether the agent took the action.
"use strict";

document.documentElement.dataset.sceauAgent = "here";

document.addEventListener("click", (event) => {
  const element = event.isTrusted && event.target.closest?.("[data-sceau-action]");
  if (!element) return;
  event.preventDefault();
  chrome.runtime.sendMessage({ takeOver: element.dataset.sceauAction }, (answer) => {
    void chrome.runtime.lastError;
    element.dataset.sceauAnswer = answer?.taken ? "taken" : (answer?.code ?? "no-agent");
  });
});
