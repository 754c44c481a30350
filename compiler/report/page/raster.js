// The spike raster: an encoder and a range of tokens are chosen, every spike is a mark.
WIDGETS.raster = (figure, data) => {
  const select = make("select", { "aria-label": "encoder" },
    ...data.encoders.map((encoder, i) => make("option", { value: i }, encoder.label)));
  const shown = Math.max(...data.encoders.map(encoder => encoder.shape[0]));
  const from = make("input", { type: "number", min: 1, max: shown, value: 1 });
  const to = make("input", { type: "number", min: 1, max: shown, value: Math.min(8, shown) });
  const canvas = make("canvas", { role: "img" });
  const said = make("p", { class: "said", "aria-live": "polite" });
  const body = make("tbody");
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...["", "token", "channels that fire", "spikes"].map(
    (name, i) => make("th", { scope: "col", class: i === 1 ? "" : "number" }, name)))), body);
  figure.append(
    make("div", { class: "controls" }, make("label", {}, "encoder ", select), make("label", {}, "tokens ", from),
      make("label", {}, "to ", to)),
    make("div", { class: "plot" }, make("div", { class: "drawing" }, canvas),
      make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Spikes by token" }, table)),
    said);

  const counts = encoder => {
    const bytes = Uint8Array.from(atob(encoder.counts), c => c.charCodeAt(0));
    return new DataView(bytes.buffer);
  };

  function draw() {
    const encoder = data.encoders[select.value];
    const [tokens, channels] = encoder.shape;
    const first = Math.min(Math.max(1, +from.value || 1), tokens) - 1;
    const last = Math.min(Math.max(first + 1, +to.value || tokens), tokens);
    const steps = encoder.steps, wide = canvas.parentElement.clientWidth || 640, high = channels * 9;
    const scale = devicePixelRatio || 1, style = getComputedStyle(document.documentElement);
    const colour = name => style.getPropertyValue(name).trim();
    canvas.width = wide * scale;
    canvas.height = high * scale;
    canvas.style.width = wide + "px";
    canvas.style.height = high + "px";
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.clearRect(0, 0, wide, high);
    const columns = (last - first) * steps, column = wide / columns, view = counts(encoder);
    pen.fillStyle = colour("--line");
    for (let t = first; t <= last; t++) pen.fillRect(Math.min((t - first) * steps * column, wide - 1), 0, 1, high);
    const rows = [];
    let total = 0;
    for (let t = first; t < last; t++) {
      let spikes = 0, firing = 0;
      for (let c = 0; c < channels; c++) {
        const n = view.getInt16(2 * (t * channels + c), true);
        if (n) firing++;
        const code = Array.isArray(encoder.code) ? encoder.code[c] : encoder.code;
        (data.trains[code][n] || []).forEach((spike, step) => {
          if (!spike) return;
          spikes += Math.abs(spike);
          pen.fillStyle = colour(spike > 0 ? "--c1" : "--c2");
          pen.globalAlpha = 1;
          pen.fillRect(((t - first) * steps + step) * column, c * 9 + 1, Math.max(1, column - (column > 3 ? 1 : 0)), 7);
        });
      }
      total += spikes;
      rows.push(make("tr", {}, ...[t + 1, data.tokens[t], firing, spikes].map(
        (cell, i) => make("td", { class: i === 1 ? "code" : "number" }, i === 1 ? JSON.stringify(cell) : cell))));
    }
    body.replaceChildren(...rows);
    const places = (last - first) * channels;
    const told = `${total.toLocaleString("en")} spikes of ${channels} channels over ${last - first} tokens of ${steps} time ` +
      `steps: ${(total / places).toFixed(2)} a value, firing rate ${(total / places / steps).toFixed(3)}`;
    said.textContent = told + ". Blue is positive, orange negative.";
    canvas.setAttribute("aria-label", told);
  }
  [select, from, to].forEach(input => input.addEventListener("input", draw));
  let drawn = 0; // a width that is new is drawn for; a height that the drawing itself has changed is not
  new ResizeObserver(([entry]) => {
    if (entry.contentRect.width !== drawn) draw();
    drawn = entry.contentRect.width;
  }).observe(canvas.parentElement);
  addEventListener("beforeprint", () => draw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
};
