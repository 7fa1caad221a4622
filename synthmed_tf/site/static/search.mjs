// The start page's search: the facts of all sets are fetched when somebody first searches.

const BATCH = 48;
const root = document.body.dataset.root;
const form = document.querySelector("form.search");
const list = document.querySelector("ul.cards");
const count = document.querySelector(".count");
const more = document.querySelector(".more");
const pages = document.querySelector("nav.pages");
const template = document.querySelector("#card");
const fields = ["q", "organ", "modality", "license", "verdict", "size", "generator"];
const states = new Map([...form.elements.verdict.options].map((option) => [option.value, option]));
const asPublished = { cards: [...list.children], count: count.textContent };
const plural = new Intl.NumberFormat("en");

let sets = null; // a promise of all sets, from the first search on
let found = [];

function load() {
  sets ??= fetch(`${root}search.json`).then(async (response) => {
    if (!response.ok) throw new Error(`HTTP status ${response.status}`);
    const { fields: names, rows } = await response.json();
    return rows.map((row) => {
      const set = Object.fromEntries(names.map((name, i) => [name, row[i]]));
      set.text = [set.id, set.title, set.organ, set.modality, set.license, set.formats, set.keywords].join("\n").toLowerCase();
      return set;
    });
  });
  return sets;
}

/** The sets that have every word and pass every filter. */
function matching(all, asked) {
  const words = asked.q.toLowerCase().split(/\s+/).filter(Boolean);
  return all.filter(
    (set) =>
      words.every((word) => set.text.includes(word)) &&
      ["organ", "modality", "license"].every((field) => !asked[field] || set[field] === asked[field]) &&
      (!asked.verdict || set.badge === asked.verdict) &&
      (!asked.size || set.size >= Number(asked.size)) &&
      (!asked.generator || set.generator),
  );
}

function card(set) {
  const made = template.content.cloneNode(true);
  const at = (selector) => made.querySelector(selector);
  const place = set.id.replace("@", "/");
  if (set.thumbnail) at("img").src = `${root}repository/targets/${place}/${set.thumbnail}`;
  else at(".image").replaceChildren();
  const state = states.get(set.badge);
  at(".badge").classList.add(set.badge);
  at(".symbol").textContent = state.dataset.symbol;
  at(".word").textContent = state.textContent;
  at("h2 a").textContent = set.title;
  at("h2 a").href = `${root}entries/${place}/index.html`;
  at(".id").textContent = set.id;
  const pairs = `${plural.format(set.pairs)} ${set.pairs === 1 ? "pair" : "pairs"}`;
  const pixels = `${plural.format(set.size)} × ${plural.format(set.size)} px`;
  for (const fact of [`${pairs} · ${pixels}`, `${set.organ}, ${set.modality}`]) {
    const item = document.createElement("li");
    item.textContent = fact;
    at(".facts").append(item);
  }
  at(".license").textContent = set.license;
  at(".date").textContent = set.date;
  at(".extra").textContent = set.extra;
  return made;
}

function showMore() {
  const start = list.children.length;
  const batch = document.createDocumentFragment();
  for (const set of found.slice(start, start + BATCH)) batch.append(card(set));
  list.append(batch);
  more.hidden = list.children.length >= found.length;
  return list.children[start];
}

function asked() {
  const data = new FormData(form);
  return Object.fromEntries(fields.map((field) => [field, (data.get(field) ?? "").trim()]));
}

async function search() {
  const now = asked();
  const address = new URL(location);
  for (const [field, value] of Object.entries(now)) {
    if (value) address.searchParams.set(field, value);
    else address.searchParams.delete(field);
  }
  history.replaceState(null, "", address);
  if (!Object.values(now).some(Boolean)) return restore();
  let all;
  try {
    all = await load();
  } catch (error) {
    sets = null;
    count.textContent = `The list of all sets cannot be fetched (${error.message}); try again.`;
    return;
  }
  if (JSON.stringify(now) !== JSON.stringify(asked())) return; // somebody typed on; a later search shows that
  found = matching(all, now);
  list.replaceChildren();
  if (pages) pages.hidden = true;
  showMore();
  const every = `${plural.format(all.length)} ${all.length === 1 ? "set" : "sets"}`;
  count.textContent = found.length ? `${plural.format(found.length)} of ${every}` : `None of ${every} match; ask for less.`;
}

function restore() {
  list.replaceChildren(...asPublished.cards);
  count.textContent = asPublished.count;
  more.hidden = true;
  if (pages) pages.hidden = false;
}

function fill() {
  const parameters = new URL(location).searchParams;
  for (const field of fields) {
    const element = form.elements[field];
    if (element.type === "checkbox") element.checked = parameters.get(field) === "1";
    else element.value = parameters.get(field) ?? "";
    if (element.selectedIndex === -1) element.value = "";
  }
}

form.hidden = false;
form.addEventListener("input", search);
form.addEventListener("focusin", () => load().catch(() => (sets = null)));
form.addEventListener("submit", (event) => event.preventDefault());
more.firstElementChild.addEventListener("click", () => showMore()?.querySelector("a").focus());
fill();
if (Object.values(asked()).some(Boolean)) search();
