// node node.mjs MODEL.onnx JOB.json OUT: generates the job's batches, and writes OUT/N.mask, OUT/N.image (raw bytes) and
// OUT/facts.json.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as ort from "onnxruntime-web";
import { generate } from "./job.mjs";

const [model, jobFile, out] = process.argv.slice(2);
const job = JSON.parse(await readFile(jobFile));
ort.env.wasm.numThreads = job.threads;
const { seconds, opened, outputs } = await generate(ort, new Uint8Array(await readFile(model)), job.provider, job.batches);
for (const [i, images] of outputs.entries()) {
  for (const [name, bytes] of Object.entries(images)) await writeFile(join(out, `${i}.${name}`), bytes);
}
const facts = {
  seconds,
  opened,
  "peak memory, MB": process.resourceUsage().maxRSS / 1024,
  versions: { node: process.version, "onnxruntime-web": ort.env.versions.common },
};
await writeFile(join(out, "facts.json"), JSON.stringify(facts));
process.exit(0); // the threads of the wasm file would keep the process
