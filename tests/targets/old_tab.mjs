// A person's tab: it is opened, the site is deployed again and again, and then a button is pressed.
// Arguments: the folder with playwright-core, the browser's path, the address. It prints `open`,
// waits for a line, and prints what the old tab shows, what a new one shows, and what they missed.
import { createInterface } from "node:readline";

const [packages, executablePath, address] = process.argv.slice(2);
const { chromium } = await import(`${packages}/node_modules/playwright-core/index.mjs`);
const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
const context = await browser.newContext();
const missed = [];
context.on("requestfailed", (request) => missed.push(request.url()));
context.on("response", (response) => response.ok() || missed.push(response.url()));

const press = async (tab) => {
  await tab.click("button");
  const shown = tab.locator("output:not(:empty)");
  return await shown.textContent({ timeout: 10_000 });
};

const old = await context.newPage();
await old.goto(address);
console.log("open");
for await (const _ of createInterface({ input: process.stdin })) break;
const oldShows = await press(old);
const fresh = await context.newPage();
await fresh.goto(address);
console.log(JSON.stringify({ old: oldShows, fresh: await press(fresh), missed }));
await browser.close();
process.exit(0);
