// Small charts, drawn by hand. Each has its numbers as text beside it.

import { h, svg } from "./dom.js";
import { number } from "./format.js";

/** Bars over time, one upon another. `series`: `[key, name, class]`; `steps`: `[{label, values}]`. */
export function bars(title, series, steps, { summary } = {}) {
  const [width, height, gap] = [600, 96, 2];
  const total = (step) => series.reduce((sum, [key]) => sum + (step.values[key] ?? 0), 0);
  const most = Math.max(1, ...steps.map(total));
  const wide = width / Math.max(1, steps.length);
  const drawn = steps.flatMap((step, index) => {
    let top = height;
    return series.map(([key, name, kind]) => {
      const value = step.values[key] ?? 0;
      if (value === 0) return null;
      const tall = Math.max(1.5, (value / most) * (height - 6));
      top -= tall;
      return svg(
        "rect",
        {
          x: (index * wide + gap / 2).toFixed(2),
          y: top.toFixed(2),
          rx: 1,
          width: Math.max(1, wide - gap).toFixed(2),
          height: tall.toFixed(2),
          class: `fill-${kind}`,
        },
        svg("title", null, `${step.label}: ${number(value)} ${name.toLowerCase()}`),
      );
    });
  });
  const sums = series.map(([key, name, kind]) => [
    name,
    kind,
    steps.reduce((sum, step) => sum + (step.values[key] ?? 0), 0),
  ]);
  const said =
    summary ??
    `${title}: ${sums.map(([name, , sum]) => `${number(sum)} ${name.toLowerCase()}`).join(", ")}. At most ${number(most)} in one step.`;
  return h(
    "figure",
    { class: "chart" },
    h(
      "figcaption",
      null,
      h("span", { class: "chart-title" }, title),
      h(
        "span",
        { class: "legend" },
        sums.map(([name, kind, sum]) =>
          h("span", null, h("i", { class: `swatch fill-${kind}` }), `${name} `, h("b", null, number(sum))),
        ),
      ),
    ),
    svg(
      "svg",
      { viewBox: `0 0 ${width} ${height + 1}`, preserveAspectRatio: "none", role: "img", "aria-label": said },
      svg("line", { x1: 0, x2: width, y1: height + 0.5, y2: height + 0.5, class: "axis" }),
      drawn,
    ),
    h(
      "div",
      { class: "chart-ends", "aria-hidden": "true" },
      h("span", null, steps[0]?.label ?? ""),
      h("span", null, `most: ${number(most)}`),
      h("span", null, steps.at(-1)?.label ?? ""),
    ),
    numbers(
      title,
      series,
      steps.filter((step) => total(step) > 0),
    ),
  );
}

function numbers(title, series, steps) {
  if (steps.length === 0) return null;
  return h(
    "details",
    { class: "numbers" },
    h("summary", null, "The same in numbers"),
    h(
      "div",
      { class: "table-wrap" },
      h(
        "table",
        null,
        h("caption", { class: "unseen" }, title),
        h(
          "thead",
          null,
          h(
            "tr",
            null,
            h("th", { scope: "col" }, "When"),
            series.map(([, name]) => h("th", { scope: "col", class: "n" }, name)),
          ),
        ),
        h(
          "tbody",
          null,
          steps.map((step) =>
            h(
              "tr",
              null,
              h("th", { scope: "row" }, step.label),
              series.map(([key]) => h("td", { class: "n" }, number(step.values[key] ?? 0))),
            ),
          ),
        ),
      ),
    ),
  );
}

/** How much of a limit is used, with what is set aside beside it. */
export function meter(label, used, held, cap, write = number) {
  const all = Math.max(cap ?? 0, used + held, 1);
  const wide = (value) => ((value / all) * 100).toFixed(2);
  const of = cap === null || cap === undefined ? "no cap known" : `of ${write(cap)}`;
  const text = `${write(used)} ${of}${held > 0 ? `, ${write(held)} held by gates` : ""}`;
  const level = cap && (used + held) / cap >= 0.9 ? "block" : cap && (used + held) / cap >= 0.7 ? "hold" : "allow";
  return h(
    "div",
    { class: "meter" },
    h("div", { class: "meter-text" }, h("span", null, label), h("span", null, text)),
    svg(
      "svg",
      { viewBox: "0 0 100 4", preserveAspectRatio: "none", role: "img", "aria-label": `${label}: ${text}` },
      svg("rect", { width: 100, height: 4, class: "fill-track" }),
      svg("rect", { width: wide(used), height: 4, class: `fill-${level}` }),
      svg("rect", { x: wide(used), width: wide(held), height: 4, class: "fill-held" }),
    ),
  );
}

/** Bars that lie, for what is compared by name: `[{name, values, href}]`. */
export function rows(title, series, all) {
  const total = (one) => series.reduce((sum, [key]) => sum + (one.values[key] ?? 0), 0);
  const most = Math.max(1, ...all.map(total));
  return h(
    "div",
    { class: "rows", role: "list", "aria-label": title },
    all.map((one) => {
      let left = 0;
      const said = series
        .filter(([key]) => one.values[key] > 0)
        .map(([key, name]) => `${number(one.values[key])} ${name.toLowerCase()}`)
        .join(", ");
      return h(
        "div",
        { class: "rows-one", role: "listitem" },
        h("div", { class: "meter-text" }, h("span", null, one.name), h("span", null, one.text ?? said)),
        svg(
          "svg",
          { viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
          svg("rect", { width: 100, height: 4, class: "fill-track" }),
          series.map(([key, , kind]) => {
            const wide = ((one.values[key] ?? 0) / most) * 100;
            const rect = svg("rect", { x: left.toFixed(2), width: wide.toFixed(2), height: 4, class: `fill-${kind}` });
            left += wide;
            return rect;
          }),
        ),
      );
    }),
  );
}
