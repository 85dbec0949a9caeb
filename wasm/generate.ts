/** Writes assembly/constants.generated.ts; run it with `node wasm/generate.ts` after wire/ changed. */
import { writeFileSync } from "node:fs";
import { kernelConstants } from "./layout.ts";

writeFileSync(new URL("assembly/constants.generated.ts", import.meta.url), kernelConstants());
