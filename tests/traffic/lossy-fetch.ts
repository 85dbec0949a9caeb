/** A network that loses answers on purpose, as planned: the edge may have taken the clicks, or not. */
import type { Fetch } from "../../aggregator/cli/poster.ts";
import type { Fault } from "./plan.ts";

/** Loses the answers of the first `faults.length` requests; later ones go through. */
export function lossyFetch(faults: readonly Fault[], inner: Fetch = fetch): Fetch {
  let requests = 0;
  return async (url, init) => {
    const fault = faults[requests++];
    if (fault === undefined) return inner(url, init);
    if (fault.kind === "drop") {
      const response = await inner(url, init);
      await response.arrayBuffer();
    } else {
      const controller = new AbortController();
      const cut = () => controller.abort();
      const timer = setTimeout(cut, fault.afterMs);
      init.signal?.addEventListener("abort", cut, { once: true });
      try {
        const response = await inner(url, { ...init, signal: controller.signal });
        await response.arrayBuffer();
      } finally {
        clearTimeout(timer);
        init.signal?.removeEventListener("abort", cut);
      }
    }
    throw new Error("the answer got lost on purpose");
  };
}
