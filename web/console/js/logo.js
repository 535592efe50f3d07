// The sign of the console.

import { svg } from "./dom.js";

export function logo() {
  return svg(
    "svg",
    { viewBox: "0 0 32 32", class: "logo", "aria-hidden": "true" },
    svg("path", { d: "M6 25V13a10 10 0 0 1 20 0v12M11.5 5.5v19l-1.6 2M16 4v21M20.500 5.5v19l1.6 2M6 13h20M6 19h20" }),
  );
}
