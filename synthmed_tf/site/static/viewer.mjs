// The light table: an image with its mask laid over it.

const TINT = [38, 226, 208];
const MOST_ZOOM = 16;
const STEP = 48; // pixels that an arrow key moves a zoomed image

/** Shows pairs, one at a time, on a stage with its controls. */
export class Viewer {
  #pairs;
  #at = 0;
  #zoom = 1;
  #x = 0; // of the image's corner, in pixels of the stage
  #y = 0;
  #held = false;
  #pointers = new Map();
  #shown = 0; // counts what was asked for: images that come late are left out

  /**
   * @param template of the viewer.
   * @param pairs {index, image, mask}: the latter two are addresses.
   * @param onShow called with the number of the pair that is shown.
   */
  constructor(template, pairs, onShow) {
    this.element = template.content.firstElementChild.cloneNode(true);
    this.onShow = onShow;
    this.#pairs = pairs;
    this.stage = this.element.querySelector(".stage");
    [this.image, this.mask] = this.stage.children;
    this.slider = this.element.querySelector("input");
    this.output = this.element.querySelector("output");
    this.#listen();
  }

  /** Shows a pair, whole. */
  async show(number) {
    const ask = ++this.#shown;
    this.#at = (number + this.#pairs.length) % this.#pairs.length;
    const pair = this.#pairs[this.#at];
    this.#fit();
    this.onShow(this.#at);
    this.output.textContent = `${this.#at + 1} of ${this.#pairs.length}`;
    this.stage.setAttribute("aria-label", `Image and mask ${pair.index}, ${this.output.textContent}`);
    let images;
    try {
      images = await Promise.all([image(pair.image), image(pair.mask)]);
    } catch {
      if (ask === this.#shown) this.output.textContent = `${this.output.textContent}: not available`;
      return;
    }
    if (ask !== this.#shown) return; // another one was asked for since
    const [shown, mask] = images;
    paint(this.image, shown);
    paint(this.mask, mask);
    tint(this.mask);
    this.#paint();
  }

  #listen() {
    const press = (name, action) => this.element.querySelector(`[name=${name}]`).addEventListener("click", action);
    press("previous", () => this.show(this.#at - 1));
    press("next", () => this.show(this.#at + 1));
    press("in", () => this.#zoomBy(1.5));
    press("out", () => this.#zoomBy(1 / 1.5));
    press("fit", () => this.#fit());
    this.slider.addEventListener("input", () => this.#paint());
    const hold = this.element.querySelector("[name=hold]");
    hold.addEventListener("pointerdown", () => this.#hold(true));
    for (const end of ["pointerup", "pointerleave", "pointercancel", "blur"]) hold.addEventListener(end, () => this.#hold(false));
    for (const [type, down] of [["keydown", true], ["keyup", false]]) {
      hold.addEventListener(type, (event) => {
        if (event.key === " " || event.key === "Enter") this.#hold(down);
      });
    }
    hold.addEventListener("contextmenu", (event) => event.preventDefault());
    this.stage.addEventListener("keydown", (event) => this.#key(event));
    this.stage.addEventListener("keyup", (event) => event.key === " " && this.#hold(false));
    this.stage.addEventListener("blur", () => this.#hold(false));
    this.stage.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.stage.addEventListener("dblclick", (event) => this.#zoomBy(this.#zoom > 1 ? 1 / this.#zoom : 3, event));
    this.stage.addEventListener("pointerdown", (event) => this.#down(event));
    this.stage.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) this.stage.addEventListener(end, (event) => this.#pointers.delete(event.pointerId));
    addEventListener("resize", () => this.#moveBy(0, 0));
  }

  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const sides = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const side = sides[event.key];
    if (side && this.#zoom > 1) this.#moveBy(side[0] * STEP, side[1] * STEP);
    else if (side && side[0]) this.show(this.#at - side[0]);
    else if (event.key === " ") this.#hold(true);
    else if (event.key === "+" || event.key === "=") this.#zoomBy(1.5);
    else if (event.key === "-") this.#zoomBy(1 / 1.5);
    else if (event.key === "Escape") this.#fit();
    else return;
    event.preventDefault();
  }

  #hold(held) {
    this.#held = held;
    this.#paint();
  }

  // A page that is scrolled past the stage goes on scrolling; what is zoomed already, or asked for with Ctrl, zooms.
  #wheel(event) {
    if (this.#zoom === 1 && !event.ctrlKey) return;
    event.preventDefault();
    this.#zoomBy(Math.exp(-event.deltaY / 300), event);
  }

  #down(event) {
    this.#pointers.set(event.pointerId, [event.clientX, event.clientY]);
    this.stage.setPointerCapture(event.pointerId);
  }

  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const [other] = [...this.#pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    const now = [event.clientX, event.clientY];
    this.#pointers.set(event.pointerId, now);
    if (!other) return this.#moveBy(now[0] - before[0], now[1] - before[1]);
    const spread = (place) => Math.hypot(place[0] - other[0], place[1] - other[1]) || 1;
    this.#zoomBy(spread(now) / spread(before), { clientX: (now[0] + other[0]) / 2, clientY: (now[1] + other[1]) / 2 });
  }

  // The point under the pointer stays where it is; without one, the middle.
  #zoomBy(factor, pointer = null) {
    const box = this.stage.getBoundingClientRect();
    const at = pointer ? [pointer.clientX - box.left, pointer.clientY - box.top] : [box.width / 2, box.height / 2];
    const zoom = Math.min(MOST_ZOOM, Math.max(1, this.#zoom * factor));
    this.#x = at[0] - ((at[0] - this.#x) * zoom) / this.#zoom;
    this.#y = at[1] - ((at[1] - this.#y) * zoom) / this.#zoom;
    this.#zoom = zoom;
    this.#moveBy(0, 0);
  }

  #moveBy(x, y) {
    const [width, height] = [this.stage.clientWidth, this.stage.clientHeight];
    this.#x = Math.min(0, Math.max(width * (1 - this.#zoom), this.#x + x));
    this.#y = Math.min(0, Math.max(height * (1 - this.#zoom), this.#y + y));
    this.#paint();
  }

  #fit() {
    [this.#zoom, this.#x, this.#y] = [1, 0, 0];
    this.#paint();
  }

  #paint() {
    const share = Number(this.slider.value) / 100;
    this.mask.style.opacity = this.#held ? (share ? 0 : 1) : share;
    const place = `translate(${this.#x}px, ${this.#y}px) scale(${this.#zoom})`;
    this.image.style.transform = this.mask.style.transform = place;
    this.stage.classList.toggle("zoomed", this.#zoom > 1);
    this.stage.classList.toggle("close", (this.stage.clientWidth * this.#zoom) / this.image.width >= 6);
    this.stage.dataset.zoom = this.#zoom.toFixed(2);
  }
}

/** A canvas that holds a mask becomes transparent where it is black, and tinted where it is white. */
function tint(canvas) {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    pixels.data[i + 3] = pixels.data[i];
    pixels.data.set(TINT, i);
  }
  context.putImageData(pixels, 0, 0);
}

async function image(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}

function paint(canvas, image) {
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  canvas.getContext("2d").drawImage(image, 0, 0);
}
