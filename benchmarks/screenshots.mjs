// Images of a site's pages, wide, narrow and dark.
//
//     synthmed site serve REPO --port 8600 --onnxruntime-web tests/web/node_modules/onnxruntime-web
//     node benchmarks/screenshots.mjs http://127.0.0.1:8600/ OUT [--full] [entries/NAME/VERSION/index.html ...]
//
// --full: whole pages, not what a window shows at first.
// Needs npm ci in tests/web, and Chromium (CHROMIUM names the program).

import { mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";

const puppeteer = createRequire(new URL("../tests/web/package.json", import.meta.url))("puppeteer-core");
const [site, out, ...more] = process.argv.slice(2);
const fullPage = more.includes("--full");
const pages = more.filter((argument) => argument !== "--full");
const looks = { wide: [1440, 900, "light"], dark: [1440, 900, "dark"], narrow: [375, 812, "light"] };

await mkdir(out, { recursive: true });
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"],
});
try {
  for (const path of ["index.html", ...pages]) {
    for (const [look, [width, height, scheme]] of Object.entries(looks)) {
      const page = await browser.newPage();
      await page.setViewport({ width, height, deviceScaleFactor: 1 });
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await page.goto(new URL(path, site), { waitUntil: "networkidle0" });
      const name = path.replace(/^entries\//, "").replace(/(\/index)?\.html$/, "").replaceAll("/", "-");
      await page.screenshot({ path: join(out, `${name}-${look}.png`), fullPage });
      await page.close();
    }
  }
} finally {
  await browser.close();
}
