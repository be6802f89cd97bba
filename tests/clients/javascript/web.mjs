// The web client as a program (see ../README.md): a page in a real Chromium, from another origin than the relay's.
// FLAGPOST_PACKAGES is the directory with node_modules, FLAGPOST_CHROMIUM the browser.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { serve } from "./lines.mjs";

const packages = process.env.FLAGPOST_PACKAGES;
const load = createRequire(join(packages, "package.json"));
const { build } = load("esbuild");
const { chromium } = load("playwright-core");
const FLAGS = [
  // Tests run as root, in machines that reach nothing but themselves.
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

async function pages() {
  const bundle = await build({
    entryPoints: [join(import.meta.dirname, "page.js")],
    bundle: true,
    write: false,
    format: "iife",
    nodePaths: [join(packages, "node_modules")],
  });
  const files = {
    "/": ["text/html", '<!doctype html><meta charset="utf-8"><title>shop</title><link rel="icon" href="data:,"><script src="/page.js"></script>'],
    "/page.js": ["text/javascript; charset=utf-8", bundle.outputFiles[0].text],
  };
  const server = createServer((request, response) => {
    const [type, text] = files[request.url] ?? [];
    response.writeHead(type ? 200 : 404, { "content-type": type ?? "text/plain" }).end(text);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return `http://127.0.0.1:${server.address().port}/`;
}

const forwarded = (name) =>
  async function (command) {
    return this.page.evaluate(([name, command]) => window.client[name](command), [name, command]);
  };

serve({
  async start(command) {
    const [origin, browser] = await Promise.all([
      pages(),
      chromium.launch({ executablePath: process.env.FLAGPOST_CHROMIUM, args: FLAGS }),
    ]);
    this.browser = browser;
    this.page = await browser.newPage();
    this.page.on("console", (message) => console.error(`page: ${message.text()}`));
    this.page.on("pageerror", (error) => console.error(`page failed: ${error}`));
    await this.page.goto(origin);
    const user = { targetingKey: "nobody" };
    await this.page.evaluate((command) => window.client.start(command), { ...command, user });
  },
  evaluate: forwarded("evaluate"),
  track: forwarded("track"),
  async close(command) {
    await forwarded("close").call(this, command);
    await this.browser.close();
  },
});
