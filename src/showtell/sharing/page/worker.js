// The model: three ONNX graphs in onnxruntime-web, as `captioner.json` describes them.
import * as ort from "./runtime/ort.wasm.bundle.min.mjs";
import { fitted, pixelsOf } from "./pixels.js";
import { search, textOf, wordOf } from "./search.js";

const GRAPHS = ["encoder.onnx", "decoder_init.onnx", "decoder_step.onnx"];
const RUNTIME = "runtime/ort-wasm-simd-threaded.wasm";
let told, encoder, begin, step;

async function load() {
  told = await (await fetch("captioner.json")).json();
  let received = 0;
  const total = [RUNTIME, ...GRAPHS].reduce((sum, name) => sum + told.sizes[name], 0);
  const [runtime, ...graphs] = await Promise.all([RUNTIME, ...GRAPHS].map(name => fetched(name, count => {
    received += count;
    postMessage({ progress: Math.min(1, received / total) });
  })));
  ort.env.wasm.wasmBinary = runtime;
  ort.env.wasm.numThreads = crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
  const settings = { executionProviders: ["wasm"], extra: { session: { disable_quant_qdq: "1" } } }; // 8 bits: unpacked once
  for (const graph of graphs) graphs[graphs.indexOf(graph)] = await ort.InferenceSession.create(graph, settings);
  [encoder, begin, step] = graphs;
  const size = told.transforms[0].size;
  await features([new Uint8Array(3 * size * size)].concat(told.transforms.slice(1).map(one => new Uint8Array(3 * one.size ** 2)))); // the first call is slow
  const { model } = told;
  const about = `${model.encoder} and ${model.decoder}, trained on ${model.data}${model.best ? `, ${model.best}` : ""}.`;
  const licence = model.encoder_licence ? ` Licence of the encoder's weights: ${model.encoder_licence}.` : "";
  return { about, facts: `Beam search over ${told.decoding.beam_size}.${licence} ONNX Runtime Web: MIT. ${told.made_by}.`, local: true };
}

async function fetched(name, received) {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name}: ${answer.status} ${answer.statusText}`);
  const parts = [];
  for (const reader = answer.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) return new Uint8Array(await new Blob(parts).arrayBuffer());
    parts.push(value);
    received(value.length);
  }
}

async function features(pictures) {
  const inputs = pictures.map((data, i) => [`picture_${i}`, new ort.Tensor("uint8", data, [1, told.transforms[i].size, told.transforms[i].size, 3])]);
  return (await encoder.run(Object.fromEntries(inputs))).features;
}

async function caption(blob) {
  const picture = await pixelsOf(blob);
  const seen = told.transforms.map(transform => fitted(picture, transform));
  const state = await begin.run({ features: await features(seen.map(one => one.data)) });
  const steps = inputs => step.run({ ...inputs, tokens: new ort.Tensor("int64", BigInt64Array.from(inputs.tokens, BigInt), [inputs.tokens.length]) });
  const rebuilt = (tensor, data, dims) => new ort.Tensor(tensor.type, data, dims);
  const found = await search(steps, state, told.decoding, rebuilt);
  const captions = found.map(({ tokens, logs, maps }) => ({
    text: textOf(tokens, told),
    logprob: logs.reduce((sum, log) => sum + log, 0),
    end: Math.exp(logs.at(-1)),
    words: tokens.map((token, i) => ({ word: wordOf(token, told), p: Math.exp(logs[i]), ...(told.grid && maps[i] && { map: maps[i] }) })),
  }));
  return { captions, grid: told.grid, view: seen[0].view };
}

addEventListener("message", async ({ data: { number, question, blob } }) => {
  try {
    postMessage({ number, value: await (question === "load" ? load() : caption(blob)) });
  } catch (error) {
    postMessage({ number, error: error.message || String(error) });
  }
});
