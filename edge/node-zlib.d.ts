/** The part of Node's zlib that the edge uses; workerd has it with the flag nodejs_zlib. */
declare module "node:zlib" {
  /** @throws RangeError beyond the limit, Error for what is no whole gzip */
  export function gunzipSync(
    bytes: Uint8Array,
    options: { readonly maxOutputLength: number },
  ): Uint8Array<ArrayBuffer>;
}
