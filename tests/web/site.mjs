// node site.mjs JOB.json OUT: uses the pages of a site as a visitor does, in one headless Chromium (CHROMIUM names the
// program), and writes what it saw to OUT/facts.json. JOB names the addresses: {site, plain}.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import axe from "axe-core";
import puppeteer from "puppeteer-core";

const [jobFile, out] = process.argv.slice(2);
const { site, plain } = JSON.parse(await readFile(jobFile));
const ENTRY = "entries/eyes/1.1.0/index.html";
const PAGES = [
  "index.html",
  ENTRY,
  "entries/eyes/1.1.0/report.html",
  "entries/plain/1.0.0/index.html",
  "entries/gone/1.0.0/index.html",
  "entries/hostile/1.0.0/index.html",
];
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const trouble = { violations: [], errors: [], elsewhere: [] };

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
  headless: true,
});

async function opened(address, { scripts = true, before = () => {} } = {}) {
  const page = await browser.newPage();
  await page.setViewport({ width: 1280, height: 1400 });
  await page.setJavaScriptEnabled(scripts);
  await page.evaluateOnNewDocument(before);
  page.on("console", (message) => {
    if (/content security policy/i.test(message.text())) trouble.violations.push(message.text());
    else if (message.type() === "error") trouble.errors.push(message.text());
  });
  page.on("pageerror", (error) => trouble.errors.push(String(error)));
  page.on("request", (request) => {
    const local = [site, plain].some((host) => request.url().startsWith(host));
    if (!local && !request.url().startsWith("blob:")) trouble.elsewhere.push(request.url());
  });
  await page.goto(address);
  return page;
}

const texts = (page, selector) => page.$$eval(selector, (all) => all.map((one) => one.textContent.trim()));

async function counted(page, text) {
  await page.waitForFunction((wanted) => document.querySelector(".count").textContent === wanted, { timeout: 5000 }, text);
  return texts(page, ".card .id");
}

const scenarios = {
  async start() {
    const page = await opened(`${site}index.html`);
    const published = { ids: await texts(page, ".card .id"), badges: await texts(page, ".card .badge"), licenses: await texts(page, ".card .license") };
    await page.type("[name=q]", "RARE-word angio");
    const searched = await counted(page, "1 of 4 sets");
    const shared = new URL(page.url()).search;
    await page.reload();
    const reloaded = await counted(page, "1 of 4 sets");
    await page.click("[name=q]", { count: 3 });
    await page.keyboard.press("Backspace");
    await page.select("[name=verdict]", "none");
    const unevaluated = await counted(page, "2 of 4 sets");
    await page.select("[name=license]", "CC0-1.0");
    const license = await counted(page, "1 of 4 sets");
    await page.select("[name=size]", "64");
    const none = await counted(page, "None of 4 sets match; ask for less.");
    for (const field of ["verdict", "license", "size"]) await page.select(`[name=${field}]`, "");
    await page.click("[name=generator]");
    const generator = await counted(page, "1 of 4 sets");
    await page.click("[name=generator]");
    const restored = await counted(page, "4 sets");
    await page.type("[name=q]", "eyes");
    await counted(page, "1 of 4 sets");
    await Promise.all([page.waitForNavigation(), page.click(".card h2 a")]);
    return { published, searched, shared, reloaded, unevaluated, license, none, generator, restored, address: page.url() };
  },

  async viewer() {
    const page = await opened(site + ENTRY);
    const state = () =>
      page.$eval(".stage", (stage) => ({
        zoom: Number(stage.dataset.zoom),
        opacity: Number(getComputedStyle(stage.children[1]).opacity),
        place: new DOMMatrix(getComputedStyle(stage.children[0]).transform).toString(),
        shown: document.querySelector(".controls output").textContent,
      }));
    await page.waitForFunction(() => document.querySelector(".stage canvas.mask").width === 32);
    const seen = { first: await state(), mask: await pixels(page, ".stage canvas.mask"), image: await pixels(page, ".stage canvas.image") };
    const box = async (selector) => (await page.$(selector)).boundingBox();
    const slider = await box(".opacity input");
    await page.mouse.click(slider.x + slider.width - 2, slider.y + slider.height / 2);
    seen.slid = await state();
    const hold = await box("[name=hold]");
    await page.mouse.move(hold.x + 5, hold.y + 5);
    await page.mouse.down();
    seen.held = await state();
    await page.mouse.up();
    seen.released = await state();
    await page.click("[name=in]");
    seen.zoomed = await state();
    const stage = await box(".stage");
    await page.mouse.move(stage.x + 200, stage.y + 200);
    await page.mouse.down();
    await page.mouse.move(stage.x + 170, stage.y + 220, { steps: 3 });
    await page.mouse.up();
    seen.dragged = await state();
    await page.click("[name=fit]");
    await page.click(".pairs li:nth-child(4) a");
    seen.picked = await state();

    await page.focus(".home");
    await page.keyboard.press("Tab"); // the stage is the next thing
    await page.keyboard.press("ArrowRight");
    seen.focus = await page.$eval(".stage", (element) => ({
      visible: element.matches(":focus-visible"),
      outline: getComputedStyle(element).outlineStyle,
    }));
    seen.stepped = await state();
    await page.keyboard.down("Space");
    seen.spaceDown = await state();
    await page.keyboard.up("Space");
    seen.spaceUp = await state();
    await page.keyboard.press("+");
    await page.keyboard.press("ArrowLeft");
    seen.keyed = await state();
    await page.keyboard.press("-");
    seen.out = await state();
    await page.keyboard.press("+");
    await page.keyboard.press("Escape");
    seen.escaped = await state();
    return seen;
  },

  async generate() {
    const page = await opened(site + ENTRY);
    const generated = await generate(page, "-9223372036854775808", "40", "4");
    const refused = {};
    for (const [seed, index] of [["1.5", "0"], ["9223372036854775808", "0"], ["0", "-1"], ["0", "9223372036854775807"], ["", "0"]]) {
      await fill(page, seed, index, "4");
      await page.click(".generating button");
      refused[`${seed} ${index}`] = await page.$eval("#generate-state", (element) => element.textContent);
    }
    const again = await generate(page, "7", "3", "1");
    const old = await opened(site + ENTRY, { before: () => delete globalThis.WebAssembly });
    const bare = await old.$eval("#generate-state", (element) => element.textContent);
    return { generated, refused, again, bare };
  },

  async elsewhere() {
    const page = await opened(`${plain}entries/eyes/1.0.0/index.html`);
    const generated = await generate(page, "7", "2", "1");
    const fresh = await opened(`${plain}entries/eyes/1.0.0/index.html`);
    await fresh.$eval(".generating", (form) => (form.dataset.generator = "missing.onnx"));
    const missing = await generate(fresh, "7", "2", "1");
    const tampered = await generate(await opened(plain + ENTRY), "7", "2", "1");
    trouble.errors = trouble.errors.filter((text) => !text.includes("404")); // that of missing.onnx
    return { generated, missing, tampered };
  },

  async download() {
    const page = await opened(site + ENTRY);
    const client = await browser.target().createCDPSession();
    const finished = new Promise((resolve) => client.on("Browser.downloadProgress", (event) => event.state === "completed" && resolve()));
    await client.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: out, eventsEnabled: true });
    const [summary] = await page.$$("details.files summary");
    await summary.click();
    const row = await page.$eval("details.files[open] tbody tr", (element) => ({
      name: element.querySelector("a").textContent,
      size: element.children[1].textContent,
      sha256: element.children[2].textContent,
    }));
    await page.click("details.files[open] tbody tr a");
    await finished;
    await browser.defaultBrowserContext().overridePermissions(new URL(site).origin, ["clipboard-read", "clipboard-write", "clipboard-sanitized-write"]);
    await page.bringToFront();
    await page.click(".glance .code button");
    await page.waitForFunction(() => document.querySelector(".glance .code button").textContent !== "Copy");
    return { ...row, copied: await page.evaluate(() => navigator.clipboard.readText()) };
  },

  async accessibility() {
    const found = {};
    for (const path of PAGES) {
      const page = await opened(site + path);
      await page.$$eval("details", (all) => all.forEach((one) => (one.open = true)));
      await page.evaluate(axe.source);
      found[path] = { beyond: {} };
      for (const scheme of ["light", "dark"]) {
        await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
        const result = await page.evaluate((rules) => axe.run(document, { runOnly: rules }), RULES);
        const named = result.violations.map((one) => `${one.impact}: ${one.id}: ${one.nodes[0].html.slice(0, 200)}`);
        found[path][scheme] = { passes: result.passes.map((one) => one.id), violations: named };
      }
      for (const width of [320, 375, 1440]) {
        await page.setViewport({ width, height: 900 });
        found[path].beyond[width] = (await page.evaluate(() => document.documentElement.scrollWidth)) - width;
      }
      await page.close();
    }
    return found;
  },

  async unscripted() {
    const found = {};
    for (const path of PAGES) {
      const page = await opened(site + path, { scripts: false });
      found[path] = {
        text: await page.evaluate(() => document.body.innerText),
        images: await page.$$eval("img", (all) => all.filter((one) => one.loading !== "lazy" || one.complete).filter((one) => one.naturalWidth).length),
        links: await page.$$eval("a", (all) => all.map((one) => one.href)),
        form: await page.$$eval("form:not([hidden])", (all) => all.length),
      };
      await page.close();
    }
    return found;
  },

  async hostile() {
    const page = await opened(`${site}index.html?q=gnp`);
    await counted(page, "1 of 4 sets");
    const listed = { title: await page.$eval(".card h2", (element) => element.textContent), document: await page.title() };
    await page.goto(`${site}entries/hostile/1.0.0/index.html`);
    return {
      listed,
      heading: await page.$eval("h1", (element) => element.textContent),
      document: await page.title(),
      creators: await page.$eval(".by", (element) => element.textContent),
      text: await page.$eval("main", (element) => element.textContent),
      scripts: await page.$$eval("script", (all) => all.map((one) => one.getAttribute("src"))),
      strange: await page.$$eval("main b, main i, main u, main svg, main [onerror], main [onload]", (all) => all.length),
      links: await page.$$eval("a", (all) => all.map((one) => one.protocol)),
    };
  },
};

async function fill(page, seed, index, count) {
  await page.$eval(".generating", (form, values) => values.forEach(([name, value]) => (form.elements[name].value = value)), [["seed", seed], ["index", index]]);
  await page.select(".generating [name=count]", count);
}

async function generate(page, seed, index, count) {
  await fill(page, seed, index, count);
  await page.click(".generating button");
  await page.waitForFunction(() => document.querySelector("#generate-state.trouble") || / s, by /.test(document.querySelector("#generate-state").textContent), { timeout: 60_000 });
  const pairs = [];
  for (const item of await page.$$(".generated li")) {
    pairs.push({ index: await item.evaluate((one) => one.dataset.index), image: await pixels(item, "canvas"), mask: await pixels(item, "canvas:nth-of-type(2)") });
  }
  const isolated = await page.evaluate(() => crossOriginIsolated);
  return { said: await page.$eval("#generate-state", (element) => element.textContent), pairs, isolated };
}

// RGBA, row by row.
function pixels(within, selector) {
  return within.$eval(selector, (canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return btoa(String.fromCharCode(...data));
  });
}

const facts = {};
try {
  for (const [name, scenario] of Object.entries(scenarios)) {
    try {
      facts[name] = await scenario();
    } catch (error) {
      facts[name] = { failed: String(error.stack) };
    }
    for (const page of await browser.pages()) if (page.url() !== "about:blank") await page.close();
  }
} finally {
  await browser.close();
}
await writeFile(join(out, "facts.json"), JSON.stringify({ ...facts, trouble }));
