/** What cannot be done with what was given; `code` is what programs compare. */
export class PortcullisError extends Error {
  readonly code: string;
  readonly detail: string;
}

/** Where the WebAssembly is: an address, a response, its bytes, or the compiled module. */
export type WasmSource = URL | string | Response | Promise<Response> | BufferSource | WebAssembly.Module;

/** Makes the package ready; without `module`, from `portcullis_bg.wasm` beside this file. */
export function init(options?: { module?: WasmSource }): Promise<void>;

/** As `init`, at once. */
export function initSync(options: { module: BufferSource | WebAssembly.Module }): void;

/** The canonical text (RFC 8785) of a JSON text. */
export function canonicalize(text: string | Uint8Array): string;
