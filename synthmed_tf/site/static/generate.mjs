// Generate your own: the set's generator in ONNX Runtime Web, in a worker so that the page stays free.

const LEAST = -(2n ** 63n);
const MOST = 2n ** 63n - 1n;
const form = document.querySelector("form.generating");
const state = document.querySelector("#generate-state");
const working = document.querySelector(".working"); // apart from the state: a screen reader is not told of every part
const list = document.querySelector(".generated");
const button = form.querySelector("button");
const facts = form.dataset;
let worker = null;

const missing = whatIsMissing();
if (missing) say(missing, true);
else form.hidden = false;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  try {
    const seed = integer("Seed", form.elements.seed, LEAST);
    const first = integer("Index", form.elements.index, 0n);
    const count = Number(form.elements.count.value);
    if (first + BigInt(count) - 1n > MOST) throw new Error(`Index goes beyond ${MOST} with ${count} pairs; choose a smaller one.`);
    generate(seed, first, count);
  } catch (error) {
    say(error.message, true);
  }
});

function whatIsMissing() {
  if (typeof WebAssembly !== "object") return "This browser has no WebAssembly, which generating needs.";
  if (typeof Worker !== "function" || typeof BigInt64Array !== "function") return "This browser is too old to generate.";
  if (location.protocol === "file:") return "Pages that are opened as files cannot generate; serve them: synthmed site serve.";
  return null;
}

/** A whole number of 64 bits; a sentence says what else was typed. */
function integer(name, input, least) {
  const text = input.value.trim().replace(/^−/, "-");
  const value = /^[+-]?\d{1,19}$/.test(text) ? BigInt(text.replace(/^\+/, "")) : null;
  input.setAttribute("aria-invalid", String(value === null || value < least || value > MOST));
  if (value === null || value < least || value > MOST) {
    throw new Error(`${name} must be a whole number from ${least} to ${MOST}, not ${text.slice(0, 40) || "empty"}.`);
  }
  return value;
}

function generate(seed, first, count) {
  button.disabled = true;
  list.replaceChildren();
  worker ??= new Worker(new URL("./generate-worker.mjs", import.meta.url), { type: "module" });
  worker.onerror = (event) => fail(`The worker that generates cannot be started (${event.message || "it is not there"}).`);
  worker.onmessage = ({ data }) => {
    if (data.kind === "progress") showProgress(data);
    if (data.kind === "pair") show(data);
    if (data.kind === "done") {
      button.disabled = false;
      const checked = data.verified ? "whose SHA-256 is the one that is signed" : "whose SHA-256 could not be compared: that needs https";
      say(`${count === 1 ? "1 pair" : `${count} pairs`} in ${data.seconds.toFixed(1)} s, by a generator ${checked}.`);
    }
    if (data.kind === "failed") fail(data.why);
  };
  say("");
  showProgress({ what: "starting" });
  worker.postMessage({
    seed,
    first,
    count,
    generator: new URL(facts.generator, location).href,
    sha256: facts.sha256,
    bytes: Number(facts.bytes),
  });
}

function fail(why) {
  worker?.terminate();
  worker = null;
  button.disabled = false;
  say(why, true);
}

function say(text, isTrouble = false) {
  working.hidden = true;
  state.replaceChildren(text);
  state.classList.toggle("trouble", isTrouble);
}

function showProgress({ what, done, total }) {
  const [bar, text] = working.children;
  working.hidden = false;
  if (total) [bar.max, bar.value] = [total, done];
  else bar.removeAttribute("value");
  text.textContent = total ? `${what} ${Math.floor((100 * done) / total)} %` : what;
}

function show({ seed, index, size, image, mask }) {
  const item = document.createElement("li");
  const pair = document.createElement("div");
  pair.className = "pair";
  const colour = canvas(size, image, `Image of seed ${seed}, index ${index}`);
  const white = canvas(size, mask, `Mask of seed ${seed}, index ${index}`);
  pair.append(colour, white);
  const caption = document.createElement("p");
  caption.textContent = `seed ${seed}, index ${index}`;
  const links = document.createElement("p");
  for (const [name, generated] of [["image", colour], ["mask", white]]) links.append(link(name, generated, seed, index));
  item.append(pair, caption, links);
  item.dataset.index = index;
  list.append(item);
}

function canvas(size, pixels, label) {
  const made = document.createElement("canvas");
  made.width = made.height = size;
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", label);
  made.getContext("2d").putImageData(new ImageData(pixels, size, size), 0, 0);
  return made;
}

function link(name, generated, seed, index) {
  const made = document.createElement("a");
  made.textContent = name;
  made.download = `seed${seed}-${index}.${name}.png`;
  generated.toBlob((blob) => (made.href = URL.createObjectURL(blob)));
  return made;
}
