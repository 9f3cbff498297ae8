// A moderator's browser (real Chromium) at a back office behind the gate: one JSON object per line in, one per line out.
//   {"op":"open","path"}                     → what is seen: {"url","title","text"}
//   {"op":"sign-in","person"}                → {}: at the gate's own page; the key must seal it
//   {"op":"click","on":"#css"}               → {}: it does not wait for what follows
//   {"op":"see","on":"#css","text","within"} → what is seen once that element says that text, or {"error"} after so many milliseconds
//   {"op":"arrive","path","within"}          → what is seen once the browser is there
//   {"op":"fetch","path","headers"}          → {"status","json"}: by a script of the page
//   {"op":"rows"}                            → {"rows"}: of the table on the page
//   {"op":"end"}                             → {"faults":[…]}: scripts that broke, and what the page's policy refused
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(`${process.env.SCEAU_PEERS}/node_modules/`);
const { chromium } = require("playwright-core");
const base = process.argv[2];
const args = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"];
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args });
const context = await browser.newContext({ locale: "fr-FR" });
const page = await context.newPage();
const faults = [];
page.on("pageerror", (error) => faults.push(String(error)));
page.on("console", (message) => {
  if (/Content Security Policy/i.test(message.text())) {
    faults.push(message.text());
  }
});

async function seen() {
  await page.waitForLoadState();
  return { url: page.url().replace(base, ""), title: await page.title(), text: await page.locator("body").innerText() };
}

const operations = {
  async open({ path }) {
    await page.goto(base + path);
    return seen();
  },
  async "sign-in"({ person }) {
    await page.goto(`${base}/.sceau/sign-in?next=/`);
    await page.locator("#person").fill(person);
    await page.locator("#sign-in button").click({ noWaitAfter: true });
    return {};
  },
  async click({ on }) {
    await page.locator(on).click({ noWaitAfter: true });
    return {};
  },
  async see({ on, text, within }) {
    await page.locator(on, { hasText: text }).first().waitFor({ timeout: within });
    return seen();
  },
  async arrive({ path, within }) {
    await page.waitForURL(base + path, { timeout: within });
    return seen();
  },
  async fetch({ path, headers }) {
    return page.evaluate(
      async ([path, headers]) => {
        const answer = await fetch(path, { headers });
        const text = await answer.text();
        return { status: answer.status, json: text.startsWith("{") ? JSON.parse(text) : null };
      },
      [path, headers ?? {}],
    );
  },
  async rows() {
    return { rows: await page.locator("tbody tr").count() };
  },
  async end() {
    return { faults };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  const answer = await operations[asked.op](asked).catch((error) => ({ error: String(error), at: page.url() }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
