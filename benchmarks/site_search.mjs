// node site_search.mjs SITE: types into the search of a start page, and prints how long each key takes: from the key
// until the browser has painted what was found.

import { createRequire } from "node:module";

const puppeteer = createRequire(new URL("../tests/web/package.json", import.meta.url))("puppeteer-core");
const [site] = process.argv.slice(2);
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});
try {
  const page = await browser.newPage();
  await page.setViewport({ width: 1280, height: 900 });
  const loaded = [];
  page.on("requestfinished", (request) => loaded.push(new URL(request.url()).pathname));
  await page.goto(site, { waitUntil: "networkidle0" });
  const images = loaded.filter((path) => path.endsWith(".png")).length;
  const beforeSearch = loaded.includes("/search.json");
  const started = performance.now();
  await page.focus("[name=q]");
  await page.evaluate((address) => fetch(address).then((response) => response.json()), `${site}search.json`);
  const fetched = performance.now() - started;
  const milliseconds = await page.evaluate(async () => {
    const input = document.querySelector("[name=q]");
    const painted = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    const taken = [];
    for (const words of ["retina wide-field", "cc0 macula myopia", "dermoscopy set-0123"]) {
      for (let end = 1; end <= words.length; end++) {
        input.value = words.slice(0, end);
        const before = performance.now();
        input.dispatchEvent(new Event("input", { bubbles: true }));
        await painted();
        taken.push(performance.now() - before);
      }
    }
    return taken;
  });
  milliseconds.sort((a, b) => a - b);
  const at = (share) => Number(milliseconds[Math.floor(share * (milliseconds.length - 1))].toFixed(1));
  console.log(
    JSON.stringify({
      "images loaded at first": images,
      "search.json fetched before a search": beforeSearch,
      "fetched, ms": Number(fetched.toFixed(0)),
      keys: milliseconds.length,
      "a key, ms": { median: at(0.5), "95 %": at(0.95), largest: at(1) },
    }),
  );
} finally {
  await browser.close();
}
