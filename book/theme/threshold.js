// The page where a slider moves the threshold. Data: `unforget book` writes threshold-data.js.
"use strict";
(() => {
  const place = document.getElementById("threshold-page");
  if (!place || !window.unforgetThresholds) return;
  const data = window.unforgetThresholds;
  const add = (parent, tag, attributes = {}, text = "") => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.textContent = text;
    parent.append(element);
    return element;
  };
  const labelled = (text, tag, attributes) => {
    const label = add(place, "label", {}, text + " ");
    return add(label, tag, attributes);
  };
  const target = labelled("Target", "select", { id: "threshold-target" });
  data.forEach((one, at) => add(target, "option", { value: at }, one.target));
  const item = labelled("Item", "select", { id: "threshold-item" });
  // the slider goes by the logarithm, from 1 to 10,000
  const slider = labelled("Threshold", "input", { type: "range", id: "threshold", min: 0, max: 4, step: 0.001, value: Math.log10(2.5) });
  const shown = add(slider.parentElement, "output", { for: "threshold" });
  const facts = add(place, "p", { id: "threshold-facts", "aria-live": "polite" });
  const tokens = add(place, "div", { id: "threshold-tokens", tabindex: 0, role: "group", "aria-label": "Tokens of the answer" });
  const curve = add(place, "div", { id: "threshold-curve", role: "img" });
  const rate = labelled("Learning rate", "select", { id: "threshold-rate" });
  const table = add(place, "div", { id: "threshold-measured", class: "table-wrapper" });

  const number = (value, digits = 2) => (value === null ? "–" : value.toFixed(digits));
  const points = (value, error) => (value === null ? "–" : (value > 0 ? "+" : "") + value.toFixed(1)) + (error === null || value === null ? "" : " ± " + error.toFixed(1));
  const chosen = () => data[target.value];

  function items() {
    item.replaceChildren();
    chosen().examples.forEach((example, at) => add(item, "option", { value: at }, example.item));
    const before = rate.value;
    rate.replaceChildren();
    add(rate, "option", { value: "" }, "each arm's validated best");
    const rates = [...new Set(chosen().measured.map((row) => row[2]))].sort((a, b) => a - b);
    rates.forEach((value) => add(rate, "option", { value }, value.toExponential()));
    rate.value = rates.some((value) => String(value) === before) ? before : String(rates[rates.length - 1]);
    draw();
  }

  // What each threshold cost, with a mark where the slider stands. The ground truth, without a threshold, stands at the right end.
  function drawCurve(runs, threshold) {
    const [width, height, left, right, top, bottom] = [480, 250, 52, 14, 24, 46];
    const svg = (tag, attributes, text = "") => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
      element.textContent = text;
      return element;
    };
    const marks = runs.map((row) => [row[0] === null ? 1e4 : row[0], row[5], row[7]]).sort((a, b) => a[0] - b[0]);
    const values = marks.flatMap((mark) => [mark[1], mark[2]]).filter((value) => value !== null).concat([0, 5]);
    const [low, high] = [Math.min(...values) - 3, Math.max(...values) + 3];
    const x = (value) => left + (width - left - right) * Math.min(1, Math.log10(value) / 4);
    const y = (value) => top + (height - top - bottom) * (high - value) / (high - low);
    const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}` });
    const step = high - low > 30 ? 20 : high - low > 12 ? 10 : 5;
    for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) {
      drawing.append(svg("line", { class: "axis", x1: left, x2: width - right, y1: y(tick), y2: y(tick), "stroke-opacity": tick === 0 ? 1 : 0.25 }));
      drawing.append(svg("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, String(tick).replace("-", "−")));
    }
    [1, 10, 100, 1000, 10000].forEach((tick) => drawing.append(svg("text", { x: x(tick), y: height - 26, "text-anchor": tick === 1 ? "start" : tick === 10000 ? "end" : "middle" }, tick === 10000 ? "none" : String(tick))));
    drawing.append(svg("text", { x: (left + width - right) / 2, y: height - 8, "text-anchor": "middle" }, "threshold of the perplexity"));
    [["others", 2, "five other tasks, points"], ["target", 1, "the target, points"]].forEach(([name, column, label], at) => {
      const points = marks.filter((mark) => mark[column] !== null).map((mark) => [x(mark[0]), y(mark[column])]);
      drawing.append(svg("polyline", { class: name, points: points.map((point) => point.join(",")).join(" ") }));
      points.forEach(([cx, cy]) => drawing.append(at ? svg("rect", { class: name, x: cx - 4, y: cy - 4, width: 8, height: 8 }) : svg("circle", { class: name, cx, cy, r: 4.5 })));
      drawing.append(at ? svg("rect", { class: name, x: left + 200, y: 6, width: 8, height: 8 }) : svg("circle", { class: name, cx: left + 6, cy: 10, r: 4.5 }));
      drawing.append(svg("text", { x: left + (at ? 214 : 16), y: 14 }, label));
    });
    drawing.append(svg("line", { class: "now", id: "threshold-now", x1: x(threshold), x2: x(threshold), y1: top, y2: height - bottom }));
    curve.replaceChildren(drawing);
    curve.setAttribute("aria-label", `Change of scores at each threshold; the mark stands at ${number(threshold)}`);
  }

  function draw() {
    const threshold = 10 ** Number(slider.value);
    const { examples, measured, source } = chosen();
    const example = examples[item.value];
    let masked = 0, total = 0, lost = 0, style = 0, hit = 0;
    tokens.replaceChildren();
    for (const [text, perplexity, isStyle] of example.tokens) {
      const out = perplexity === null || perplexity > threshold;
      const surprisal = perplexity === null ? 0 : Math.log(perplexity);
      total += surprisal;
      style += isStyle;
      if (out) { masked += 1; lost += surprisal; hit += isStyle; }
      const names = [out && "masked", isStyle && "style"].filter(Boolean).join(" ");
      const title = (perplexity === null ? "no perplexity" : "perplexity " + number(perplexity)) + (out ? ", masked" : ", learned") + (isStyle ? ", the annotator's manner" : "");
      add(tokens, "span", { class: names, title }, text);
    }
    shown.textContent = number(threshold);
    slider.setAttribute("aria-valuetext", number(threshold));
    const count = example.tokens.length;
    const share = (part, whole) => (whole > 0 ? (100 * part / whole).toFixed(1) + " %" : "–");
    facts.textContent = `${masked} of ${count} tokens are masked (${share(masked, count)}). The tokens that are left carry ${share(total - lost, total)} of the loss. `
      + `Of ${style} tokens in the annotator's manner, ${hit} are masked.`;

    // of the measured thresholds, the nearest on the slider's scale
    const runs = measured.filter((row) => (rate.value === "" ? row[3] : String(row[2]) === rate.value));
    const distance = (row) => Math.abs(Math.log10(row[0]) - Number(slider.value));
    const nearest = runs.filter((row) => row[0] !== null).reduce((best, row) => (best === null || distance(row) < distance(best) ? row : best), null);
    drawCurve(runs, threshold);
    table.replaceChildren();
    const grid = add(table, "table");
    add(grid, "caption", {}, `What the lab measured (${source}); the threshold nearest to the slider is marked. Points: change against base.`);
    const head = add(add(grid, "thead"), "tr");
    ["threshold", "masked, %", "rate", "seeds", "target, points", "other tasks, points"].forEach((name) => add(head, "th", { scope: "col" }, name));
    const body = add(grid, "tbody");
    for (const row of runs) {
      const line = add(body, "tr", row === nearest ? { "aria-current": "true" } : {});
      const name = row[0] === null ? "none (ground truth)" : String(row[0]);
      const cells = [row === nearest ? "→ " + name : name, number(row[1], 1), row[2].toExponential(), number(row[4], 0), points(row[5], row[6]), points(row[7], row[8])];
      cells.forEach((text) => add(line, "td", {}, text));
    }
  }

  target.addEventListener("change", items);
  item.addEventListener("change", draw);
  rate.addEventListener("change", draw);
  slider.addEventListener("input", draw);
  items();
})();
