// A version's page: the viewer in place of the plain gallery, and buttons that copy.

import { Viewer } from "./viewer.mjs";

const gallery = document.querySelector(".gallery");
const items = [...gallery.querySelectorAll("li[data-index]")];
if (items.length) look();
for (const code of document.querySelectorAll(".code")) addCopyButton(code);

function look() {
  const pairs = items.map((item) => {
    const [image, mask] = [...item.querySelectorAll("a")].map((link) => link.href);
    return { index: item.dataset.index, image, mask };
  });
  const viewer = new Viewer(document.querySelector("#viewer"), pairs, (number) => {
    items.forEach((item, i) => {
      const link = item.querySelector("a");
      if (i === number) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
  });
  gallery.classList.add("looked");
  gallery.prepend(viewer.element);
  items.forEach((item, number) => {
    item.querySelector("a").addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      viewer.show(number);
    });
  });
  viewer.show(0);
}

function addCopyButton(code) {
  const text = code.querySelector("code");
  // The pages do not know the address of their host; this browser does.
  text.textContent = text.textContent.replaceAll("ADDRESS/repository", new URL(`${document.body.dataset.root}repository`, location).href);
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy: ${code.firstElementChild.getAttribute("aria-label")}`);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(text); // no clipboard without https: it is marked, to be copied by hand
      button.textContent = "Marked";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  code.append(button);
}
