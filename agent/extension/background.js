// Passes an action's id from the configured server's own page to the agent. The agent fetches the action itself, and believes nothing that came by here.
"use strict";

const SERVER = "https://sceau.invalid";
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

chrome.runtime.onMessage.addListener((message, sender, answer) => {
  const origin = sender.url ? new URL(sender.url).origin : "";
  const isOurs = sender.id === chrome.runtime.id && sender.frameId === 0 && origin === SERVER;
  if (!isOurs || typeof message?.takeOver !== "string" || !ID.test(message.takeOver)) {
    answer({ taken: false, code: "refused" });
    return false;
  }
  chrome.runtime.sendNativeMessage("fr.sceau.agent", { take_over: message.takeOver, origin }, (reply) => {
    void chrome.runtime.lastError;
    answer({ taken: reply?.taken === true, code: reply?.code ?? "no-agent" });
  });
  return true;
});
