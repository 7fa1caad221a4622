// What both Node.js and the page do with a job: generate batches, and time them.

/**
 * Generates images.
 * @param ort ONNX Runtime Web.
 * @param model bytes of the ONNX file.
 * @param provider "wasm" or "webgpu".
 * @param batches of inputs by name: {type, dims, data}; data are numbers, or text where they are 64-bit integers.
 * @returns {Promise<{seconds: number[], opened: number, outputs: object[]}>} of each batch, the bytes by output's name.
 */
export async function generate(ort, model, provider, batches) {
  const started = performance.now();
  const session = await ort.InferenceSession.create(model, { executionProviders: [provider] });
  const opened = (performance.now() - started) / 1000;
  const seconds = [];
  const outputs = [];
  for (const batch of batches) {
    const feed = Object.fromEntries(Object.entries(batch).map(([name, input]) => [name, tensor(ort, input)]));
    const before = performance.now();
    const results = await session.run(feed);
    seconds.push((performance.now() - before) / 1000);
    outputs.push(Object.fromEntries(["mask", "image"].map((name) => [name, results[name].data])));
  }
  return { seconds, opened, outputs };
}

function tensor(ort, { type, dims, data }) {
  const values = type === "int64" ? BigInt64Array.from(data, BigInt) : Float32Array.from(data);
  return new ort.Tensor(type, values, dims);
}
