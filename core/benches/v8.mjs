// Runs a WASI program in V8, the engine of Envoy: a runner for `cargo bench --target
// wasm32-wasip1`. CRITERION_HOME is the one folder that the program sees.
import { readFile } from 'node:fs/promises';
import { WASI } from 'node:wasi';

const [program, ...args] = process.argv.slice(2);
const results = process.env.CRITERION_HOME;
if (!program || !results) {
  throw new Error('usage: CRITERION_HOME=FOLDER node v8.mjs PROGRAM.wasm ARGUMENTS…');
}
const wasi = new WASI({
  version: 'preview1',
  args: [program, ...args],
  env: { CRITERION_HOME: '/results' },
  preopens: { '/results': results },
});
const module = await WebAssembly.compile(await readFile(program));
process.exitCode = wasi.start(await WebAssembly.instantiate(module, wasi.getImportObject()));
