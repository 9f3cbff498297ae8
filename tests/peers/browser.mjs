// A real Chromium with virtual keys, driven as persons would: by keyboard alone. One JSON object per line in, one per line out.
//   person {who, language, key}     a person with a browser profile (and a key, unless key is false) of their own
//   tab {who, as}                   one more tab of that profile · popup {who, as}: the tab that a page has just opened
//   go {who, to} · reload {who}     an address of the server, or a whole one
//   type {who, into, text} · press {who, on}   Tab until that element has the focus, then the keys
//   until {who, text|state|gone|url, within}   waits for it · look {who}: what stands there
//   key {who, is}                   "here" (plugged in where this tab can use it), "unknown-pin", "untouched", "another"
//   judge {who, name}               axe-core, width, weight, pictures of the page as it stands · both {who, name}: in both languages
//   ceremony {who, of, options}     @simplewebauthn/browser, as a site that uses it would
//   fetch {who, to, …} · evil {who, html} · cookies {who}      what attackers try
//   end                             {faults, heaviest}
// argv: folder with front.crt and front.key, port of the server, and "windowed" for a browser with windows and dialogs (DISPLAY), where
// persons have no virtual authenticator: their keys are the machine's. SCEAU_PEERS: node's modules; SCEAU_SCREENS: where pictures go.
import { createHash, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { createServer as createSite } from "node:https";
import { createServer as createFront } from "node:tls";

const require = createRequire(`${process.env.SCEAU_PEERS}/node_modules/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core"), "utf8");
const simple = readFileSync(
  `${process.env.SCEAU_PEERS}/node_modules/@simplewebauthn/browser/dist/bundle/index.umd.min.js`,
  "utf8",
);
const [, , folder, port, shape] = process.argv;
const windowed = shape === "windowed";
// With windows it runs on an emulated processor (the guest's), which takes its time.
const PATIENCE = windowed ? 90000 : 15000;
const [cert, key] = ["crt", "key"].map((end) => readFileSync(`${folder}/front.${end}`));
const HERE = "https://sceau.example";

// What stands before the server in a house: something that speaks TLS, and passes all else on.
const front = createFront({ cert, key, ALPNProtocols: ["http/1.1"] }, (client) => {
  const server = connect(Number(port), "127.0.0.1");
  client.pipe(server).pipe(client);
  client.on("error", () => server.destroy());
  server.on("error", () => client.destroy());
});
let lure = "";
const elsewhere = createSite({ cert, key }, (_, answer) => {
  answer.setHeader("Content-Type", "text/html").end(`<!doctype html><title>evil</title>${lure}`);
});
await new Promise((ready) => front.listen(8443, "127.0.0.1", ready));
await new Promise((ready) => elsewhere.listen(8444, "127.0.0.1", ready));

const spki = new X509Certificate(cert).publicKey.export({ type: "spki", format: "der" });
const pin = createHash("sha256").update(spki).digest("base64");
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  headless: !windowed,
  timeout: 2 * PATIENCE,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    `--ignore-certificate-errors-spki-list=${pin}`,
    "--host-resolver-rules=MAP sceau.example 127.0.0.1:8443,MAP evil.example 127.0.0.1:8444,MAP portal.example 127.0.0.1:8444",
  ],
});
const faults = [];
let heaviest = 0;
const tabs = new Map();

// A key: one thing, in one tab at a time.
async function plug(tab, options = {}) {
  const { profile } = tab;
  const cdp = await profile.context.newCDPSession(tab.page);
  await cdp.send("WebAuthn.enable");
  const { authenticatorId } = await cdp.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2",
      transport: "usb",
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
      ...options,
    },
  });
  const before = profile.key;
  if (before) {
    const { credentials } = await before.cdp.send("WebAuthn.getCredentials", { authenticatorId: before.authenticatorId });
    for (const credential of credentials) {
      await cdp.send("WebAuthn.addCredential", { authenticatorId, credential });
    }
    await before.cdp.send("WebAuthn.disable").catch(() => null);
  }
  profile.key = { cdp, authenticatorId, tab };
}

function open(who, profile, page) {
  tabs.set(who, { profile, page });
  page.on("pageerror", (error) => faults.push(`${who}: ${error}`));
  page.on("console", (said) => {
    if (/Content Security Policy|TrustedHTML|TrustedScript/.test(said.text()) && page.url().startsWith(HERE)) {
      faults.push(`${who} at ${page.url()}: ${said.text()}`);
    }
  });
  page.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (page.url().startsWith(HERE) && !request.isNavigationRequest() && origin !== HERE && protocol !== "data:") {
      faults.push(`${who}: ${page.url()} asks ${origin}`);
    }
  });
}

// Tab until it has the focus: what cannot be reached so, cannot be used without a mouse.
async function reach(page, selector) {
  // Browsers give keys to the tab in front alone.
  await page.bringToFront();
  for (let presses = 0; presses < 80; presses += 1) {
    const found = await page.evaluate((wanted) => {
      const active = document.activeElement;
      return active?.matches(wanted) ? getComputedStyle(active).outlineStyle : null;
    }, selector);
    if (found !== null) {
      if (found === "none") {
        faults.push(`${page.url()}: ${selector} does not show that it has the focus`);
      }
      return;
    }
    await page.keyboard.press("Tab");
  }
  throw new Error(`${selector} cannot be reached by keyboard at ${page.url()}`);
}

async function axed(page, name) {
  const { violations } = await page.evaluate(() => window.axe.run({ resultTypes: ["violations"] }));
  const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  faults.push(...serious.map(({ id, nodes }) => `${name}: ${id} ${nodes[0].html} ${nodes[0].failureSummary}`));
}

// `looks`: themes and widths of its pictures; axe judges in each theme that is among them.
async function judge(page, name, looks) {
  await page.evaluate(axe);
  let theme = null;
  for (const [colorScheme, width] of looks) {
    await page.setViewportSize({ width, height: 720 });
    await page.emulateMedia({ colorScheme });
    if (theme !== colorScheme) {
      theme = colorScheme;
      await axed(page, `${name} ${theme}`);
    }
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (wide > 0) {
      faults.push(`${name}: ${wide} pixels too wide at ${width}`);
    }
    await page.screenshot({ path: `${process.env.SCEAU_SCREENS}/${name}-${theme}-${width}.png`, fullPage: true });
  }
  const weight = await page.evaluate(() =>
    [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
      .filter(({ initiatorType }) => initiatorType !== "fetch")
      .reduce((sum, entry) => sum + entry.encodedBodySize, 0),
  );
  heaviest = Math.max(heaviest, weight);
}

async function look(page) {
  return page.evaluate(() => ({
    url: location.href,
    title: document.title,
    text: document.body.innerText,
    state: document.querySelector("main")?.dataset.state ?? null,
    buttons: [...document.querySelectorAll("button, main a")].filter((one) => one.checkVisibility()).map((one) => one.id || one.innerText),
  }));
}

const operations = {
  async person({ who, language, key: has = !windowed }) {
    const context = await browser.newContext({ extraHTTPHeaders: { "Accept-Language": language } });
    context.setDefaultTimeout(2 * PATIENCE);
    const profile = { context, language, key: null };
    open(who, profile, await context.newPage());
    if (has) {
      await plug(tabs.get(who));
    }
  },
  async tab({ who, as }) {
    const { profile } = tabs.get(who);
    open(as, profile, await profile.context.newPage());
  },
  async popup({ who, as }) {
    const { profile } = tabs.get(who);
    const known = [...tabs.values()].map(({ page }) => page);
    for (let tries = 0; tries < 100; tries += 1) {
      const page = profile.context.pages().find((one) => !known.includes(one));
      if (page) {
        await page.waitForLoadState();
        open(as, profile, page);
        return look(page);
      }
      await new Promise((done) => setTimeout(done, 50));
    }
    throw new Error("no tab was opened");
  },
  async go({ who, to }) {
    const { page } = tabs.get(who);
    const answer = await page.goto(to.startsWith("/") ? HERE + to : to);
    return { status: answer?.status(), ...(await look(page)) };
  },
  async reload({ who }) {
    const { page } = tabs.get(who);
    await page.reload();
    return look(page);
  },
  async type({ who, into, text }) {
    const { page } = tabs.get(who);
    await reach(page, into);
    await page.keyboard.press("Control+A");
    await page.keyboard.type(text);
  },
  async press({ who, on }) {
    const { page } = tabs.get(who);
    await reach(page, on);
    await page.keyboard.press("Enter");
  },
  async until({ who, text, state, gone, url, within = PATIENCE }) {
    const { page } = tabs.get(who);
    const wanted = { text, state, gone, url };
    const met = (want) => {
      const main = document.querySelector("main");
      return (
        (!want.text || document.body.innerText.includes(want.text)) &&
        (!want.state || main?.dataset.state === want.state) &&
        (!want.gone || !document.querySelector(want.gone)?.checkVisibility()) &&
        (!want.url || location.href.startsWith(want.url))
      );
    };
    // Polled by the debugger: a page's own policy lets no script of a test run in it, and a page may be on its way.
    const begun = Date.now();
    while (!(await page.evaluate(met, wanted).catch(() => false))) {
      if (Date.now() - begun > within) {
        throw new Error(`not within ${within} ms: ${JSON.stringify(wanted)} at ${JSON.stringify(await look(page))}`);
      }
      await new Promise((done) => setTimeout(done, 25));
    }
    return { ms: Date.now() - begun, ...(await look(page)) };
  },
  look: ({ who }) => look(tabs.get(who).page),
  async key({ who, is }) {
    const tab = tabs.get(who);
    if (is === "another") {
      await tab.profile.key?.cdp.send("WebAuthn.disable");
      tab.profile.key = null;
    }
    if (is === "another" || tab.profile.key?.tab !== tab) {
      await plug(tab);
    }
    const { cdp, authenticatorId } = tab.profile.key;
    await cdp.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: is !== "unknown-pin" });
    await cdp.send("WebAuthn.setAutomaticPresenceSimulation", { authenticatorId, enabled: is !== "untouched" });
  },
  async judge({ who, name }) {
    const { page, profile } = tabs.get(who);
    await judge(page, `${name}-${profile.language.slice(0, 2)}`, [["dark", 320], ["light", 1024]]);
  },
  async both({ who, name }) {
    const { page, profile } = tabs.get(who);
    const all = [["light", 320], ["light", 1024], ["dark", 1024], ["dark", 320]];
    const own = profile.language.slice(0, 2);
    for (const language of [own === "fr" ? "en" : "fr", own]) {
      await page.setExtraHTTPHeaders({ "Accept-Language": language });
      await page.reload();
      await judge(page, `${name}-${language}`, all);
      const said = await page.evaluate(() => document.documentElement.lang);
      if (said !== language) {
        faults.push(`${name}: asked for in ${language}, told in ${said}`);
      }
    }
  },
  async ceremony({ who, of, options }) {
    const { page } = tabs.get(who);
    await page.evaluate(simple);
    return page.evaluate(
      ([name, optionsJSON]) => window.SimpleWebAuthnBrowser[name]({ optionsJSON }).catch((error) => ({ error: error.name, message: error.message })),
      [of, options],
    );
  },
  async fetch({ who, to, method = "POST", type, body, mode = "cors", headers = {} }) {
    return tabs.get(who).page.evaluate(
      async ([url, init]) => {
        try {
          const answer = await fetch(url, init);
          return { type: answer.type, status: answer.status, text: await answer.text() };
        } catch (error) {
          return { type: "error", text: String(error) };
        }
      },
      [
        HERE + to,
        { method, mode, credentials: "include", body, headers: { ...headers, ...(type ? { "Content-Type": type } : {}) } },
      ],
    );
  },
  async evil({ who, html }) {
    const { page } = tabs.get(who);
    lure = html;
    await page.goto("https://evil.example/");
    await page.waitForTimeout(600);
    const frames = page.frames().slice(1);
    return { url: page.url(), frames: await Promise.all(frames.map((frame) => frame.content().catch(() => ""))) };
  },
  async cookies({ who }) {
    return { cookies: await tabs.get(who).profile.context.cookies() };
  },
  async end() {
    return { faults, heaviest };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  const answer = await operations[asked.op](asked).catch((error) => ({ failed: String(error) }));
  process.stdout.write(`${JSON.stringify(answer ?? {})}\n`);
}
await browser.close();
process.exit(0);
