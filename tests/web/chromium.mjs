// node chromium.mjs MODEL.onnx JOB.json OUT: as node.mjs, in headless Chromium (CHROMIUM names the program).

import { readFile, writeFile } from "node:fs/promises";
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import puppeteer from "puppeteer-core";

const here = dirname(fileURLToPath(import.meta.url));
const [model, jobFile, out] = process.argv.slice(2);
const job = JSON.parse(await readFile(jobFile));
const types = { ".html": "text/html", ".mjs": "text/javascript", ".wasm": "application/wasm" };
const files = new Map([["/page.html", join(here, "page.html")], ["/job.mjs", join(here, "job.mjs")], ["/model.onnx", model]]);
const dist = join(here, "node_modules", "onnxruntime-web", "dist");
for (const name of readdirSync(dist)) files.set(`/ort/${name}`, join(dist, name));

const server = createServer((request, response) => {
  const file = files.get(request.url);
  if (file === undefined) return response.writeHead(404).end();
  const headers = {
    "Content-Type": types[extname(file)] ?? "application/octet-stream",
    // Without these two a page has no SharedArrayBuffer, and so one thread alone.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
  };
  response.writeHead(200, headers).end(readFileSync(file));
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));

const flags = ["--no-sandbox", "--disable-dev-shm-usage"];
if (job.provider === "webgpu") flags.push("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan");
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: flags,
  headless: true,
  protocolTimeout: 1_200_000,
});
try {
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.error(String(error)));
  await page.goto(`http://127.0.0.1:${server.address().port}/page.html`);
  await page.waitForFunction("window.ready", { timeout: 60_000 });
  const { images, version, ...facts } = await page.evaluate((given) => window.run(given), job);
  for (const [i, output] of images.entries()) {
    for (const [name, text] of Object.entries(output)) await writeFile(join(out, `${i}.${name}`), Buffer.from(text, "base64"));
  }
  const versions = { chromium: await browser.version(), "onnxruntime-web": version };
  await writeFile(join(out, "facts.json"), JSON.stringify({ ...facts, "peak memory, MB": peakMemory(browser.process().pid), versions }));
} finally {
  await browser.close();
  server.close();
}

// The most memory that the largest of the browser's processes has had: the page's own.
function peakMemory(root) {
  const statuses = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(status).filter(Boolean);
  const family = new Set([root]);
  for (let before = 0; before < family.size; ) {
    before = family.size;
    for (const process of statuses) if (family.has(process.parent)) family.add(process.pid);
  }
  return Math.max(...statuses.filter((process) => family.has(process.pid)).map((process) => process.peak));
}

function status(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/status`, "utf8");
    const number = (name) => Number(text.match(new RegExp(`^${name}:\\s+(\\d+)`, "m"))?.[1] ?? 0);
    return { pid: number("Pid"), parent: number("PPid"), peak: number("VmHWM") / 1024 };
  } catch {
    return null; // it has just ended
  }
}
