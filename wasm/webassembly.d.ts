/**
 * The part of the WebAssembly JavaScript API that wasm-kernel.ts uses.
 *
 * TypeScript has it in lib "dom" only, which would let browser names into Node code.
 */
declare namespace WebAssembly {
  interface Memory {
    /** Another buffer after each growth; the one before is detached. */
    readonly buffer: ArrayBuffer;
  }
  interface Global<T extends "i32" | "i64"> {
    readonly value: T extends "i64" ? bigint : number;
  }
  interface Instance {
    readonly exports: Readonly<Record<string, unknown>>;
  }
  const Instance: new (module: Module) => Instance;
  function compile(bytes: Uint8Array): Promise<Module>;
}
