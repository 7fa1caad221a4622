// Fetches the generator once, compares it with what is signed, and generates pair after pair.

let session = null; // a promise of {ort, session, verified}

onmessage = async ({ data: job }) => {
  try {
    session ??= open(job);
    const { ort, opened, verified } = await session;
    const started = performance.now();
    for (let i = 0; i < job.count; i++) {
      postMessage({ kind: "progress", what: "generating", done: i, total: job.count });
      await generate(ort, opened, job.seed, job.first + BigInt(i));
    }
    postMessage({ kind: "done", verified, seconds: (performance.now() - started) / 1000 });
  } catch (error) {
    const why = error instanceof Refused ? error.message : `Generation failed in this browser (${error.message ?? error}).`;
    postMessage({ kind: "failed", why });
  }
};

class Refused extends Error {}

async function open({ generator, sha256, bytes }) {
  const model = await fetched(generator, bytes);
  // Browsers hash on https and on this machine alone.
  const verified = Boolean(globalThis.crypto?.subtle);
  if (verified && (await digest(model)) !== sha256) {
    throw new Refused("The generator that this host gave is not the one that is signed, so nothing is generated with it; tell the publisher.");
  }
  postMessage({ kind: "progress", what: "starting ONNX Runtime Web" });
  let ort;
  try {
    ort = await import("./ort/ort.wasm.bundle.min.mjs");
  } catch {
    throw new Refused("ONNX Runtime Web cannot be fetched from this host; the site may have been copied without static/ort.");
  }
  ort.env.wasm.wasmPaths = { wasm: new URL("./ort/ort-wasm-simd-threaded.wasm", import.meta.url).href };
  ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
  const opened = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  return { ort, opened, verified };
}

async function fetched(address, total) {
  let response;
  try {
    response = await fetch(address);
  } catch {
    throw new Refused("The generator cannot be fetched: the host cannot be reached; try again.");
  }
  if (!response.ok) throw new Refused(`The generator cannot be fetched (HTTP status ${response.status}); tell the publisher.`);
  const model = new Uint8Array(total);
  let done = 0;
  for (const reader = response.body.getReader(); ; ) {
    const part = await reader.read();
    if (part.done) break;
    if (done + part.value.length > total) break;
    model.set(part.value, done);
    done += part.value.length;
    postMessage({ kind: "progress", what: "fetching the generator", done, total });
  }
  if (done !== total) throw new Refused("The generator came with another length than the one that is signed; try again.");
  return model;
}

async function digest(content) {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function generate(ort, opened, seed, index) {
  const one = (value) => new ort.Tensor("int64", BigInt64Array.of(value), [1]);
  const { mask, image } = await opened.run({ seed: one(seed), index: one(index) });
  const size = image.dims[1];
  const pixels = { image: opaque(image.data, 3), mask: opaque(mask.data, 1) };
  postMessage({ kind: "pair", seed: String(seed), index: String(index), size, ...pixels }, [pixels.image.buffer, pixels.mask.buffer]);
}

function opaque(values, channels) {
  const pixels = new Uint8ClampedArray((values.length / channels) * 4).fill(255);
  for (let i = 0; i * channels < values.length; i++) {
    for (let c = 0; c < 3; c++) pixels[4 * i + c] = values[channels * i + (c % channels)];
  }
  return pixels;
}
