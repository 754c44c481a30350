// A program as boxes in boxes. Children are made when a block is opened, so that size does not matter.
WIDGETS.graph = (figure, data) => {
  const { ops, texts, weights } = data, critical = new Set(data.critical);
  const readers = ops.map(() => []);
  ops.forEach((op, i) => op[3].forEach(([, from]) => { if (from >= 0 && !readers[from].includes(i)) readers[from].push(i); }));
  const opened = new Map(); // path of a block: what opens it
  const type = name => {
    for (const [value, id] of producers.get(name)?.[2] || []) if (value === name) return texts[id];
    return data.inputs[name] || "";
  };
  const producers = new Map();
  ops.forEach(op => op[2].forEach(([name]) => producers.set(name, op)));
  const text = ([name, , results, operands, used, attrs, , , state]) => [
    results.map(([value]) => "%" + value).join(", "), "=", texts[name], operands.map(([value]) => "%" + value).join(", "),
    ...used.map(w => "@" + weights[w][0]), state && "state @" + state, texts[attrs] && `{${texts[attrs]}}`, ":",
    results.map(([, id]) => texts[id]).join(", ")].filter(part => part).join(" ");

  const search = make("input", { type: "search", "aria-label": "search ops", placeholder: "op, module, type or weight" });
  const close = make("button", { type: "button", class: "tool" }, "close all");
  const hits = make("div", { class: "hits" });
  const canvas = make("div", { class: "graph", role: "group", "aria-label": "block diagram" });
  const panel = make("aside", { class: "panel", "aria-live": "polite", tabindex: -1 }, make("p", {}, "Nothing is chosen."));
  const key = make("p", { class: "said key" }, ...[["spikes", "product on spikes"], ["encode", "to counts"],
    ["read", "read-out"], ["float", "product in float"], ["state", "state"], ["other", "elementwise"]].map(
    ([kind, words]) => make("span", {}, make("i", { class: kind }), words)), "bold: on the critical path");
  figure.append(make("div", { class: "controls" }, make("label", {}, "search ", search), close), hits,
    make("div", { class: "walk" }, canvas, panel), key);

  const inside = ([, , children]) => children.flatMap(child => typeof child === "number" ? [child] : inside(child));

  function block(node, level) {
    const [label, path] = node, all = inside(node);
    const spiking = all.filter(i => ops[i][1] === "spikes").length;
    const head = make("button", { type: "button", class: "head" + (all.some(i => critical.has(i)) ? " critical" : ""),
      "aria-expanded": "false" }, label, make("small", {}, ` ${all.length} ops` + (spiking ? `, ${spiking} on spikes` : "")));
    const box = make("div", { class: "block" }, head);
    let body = null;
    const toggle = open => {
      if (open && !body) box.append(body = parts(node, level + 1));
      if (body) body.hidden = !open;
      head.setAttribute("aria-expanded", open);
      redraw(box);
    };
    opened.set(path, toggle);
    head.addEventListener("click", () => toggle(head.getAttribute("aria-expanded") !== "true"));
    head.toggle = toggle;
    return box;
  }

  function parts([, , children, ranks, edges], level) {
    const body = make("div", { class: "parts" });
    const boxes = children.map(child => typeof child === "number" ? leaf(child) : block(child, level));
    const rows = [];
    boxes.forEach((box, i) => (rows[ranks[i]] ||= make("div", { class: "row" })).append(box));
    const lines = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    body.append(lines, ...rows.filter(row => row));
    body.redraw = () => {
      const frame = body.getBoundingClientRect();
      if (!frame.width) return;
      const at = boxes.map(box => box.getBoundingClientRect());
      lines.replaceChildren(...edges.map(([a, b]) => {
        const x1 = at[a].x + at[a].width / 2 - frame.x, y1 = at[a].bottom - frame.y;
        const x2 = at[b].x + at[b].width / 2 - frame.x, y2 = at[b].y - frame.y;
        const between = at.filter((_, i) => ranks[i] > ranks[a] && ranks[i] < ranks[b]);
        // Past what lies between, on its right; a curve goes three quarters of the way to its control points.
        const side = Math.max(...between.map(box => box.right - frame.x)) + 12;
        const bow = x => between.length ? x + (side - x) * 4 / 3 : x;
        const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
        const middle = (y1 + y2) / 2, [above, below] = between.length ? [y1 + 8, y2 - 8] : [middle, middle];
        path.setAttribute("d", `M${x1} ${y1}C${bow(x1)} ${above} ${bow(x2)} ${below} ${x2} ${y2}`);
        return path;
      }));
    };
    return body;
  }

  function leaf(i) {
    const op = ops[i], spikes = data.spikes[i];
    const button = make("button", { type: "button", class: `op ${op[1]}` + (critical.has(i) ? " critical" : ""), "data-op": i },
      texts[op[0]], ...(spikes ? [make("small", {}, ` ${spikes.spikes_per_activation.toFixed(2)} spikes`)] : []));
    button.addEventListener("click", () => choose(i));
    return button;
  }

  function redraw(from) {
    for (let node = from; node && node !== figure; node = node.parentElement) node.redraw?.();
    from.querySelectorAll?.(".parts").forEach(one => one.redraw());
  }

  function row(name, ...what) {
    return make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, ...what));
  }

  function link(i) {
    const button = make("button", { type: "button", class: "tool code" }, texts[ops[i][0]]);
    button.addEventListener("click", () => show(i));
    return button;
  }

  function choose(i) {
    const op = ops[i], body = make("tbody");
    figure.querySelectorAll(".chosen").forEach(one => one.classList.remove("chosen"));
    figure.querySelector(`[data-op="${i}"]`)?.classList.add("chosen");
    op[2].forEach(([name, id]) => body.append(row("%" + name, make("span", { class: "code" }, texts[id]))));
    op[3].forEach(([name, from]) => body.append(row("reads %" + name, make("span", { class: "code" }, type(name) + " "),
      ...(from >= 0 ? [link(from)] : ["(input)"]))));
    if (readers[i].length) body.append(row("read by", ...readers[i].map(link)));
    body.append(row("module", texts[op[6]] || "(none)"), row("source", op[7].map(s => texts[s]).join(", ") || "(none)"));
    op[4].forEach(w => {
      const [name, of, sha, figures] = weights[w];
      const told = figures ? `; ${figures[0]} to ${figures[1]}, mean ${figures[2]}, standard deviation ${figures[3]}, ` +
        `${(figures[4] * 100).toFixed(1)} % zeros` : "";
      body.append(row("@" + name, make("span", { class: "code" }, of), `; sha256 ${sha}…${told}`));
    });
    for (const [name, value] of Object.entries(data.spikes[i] || {}))
      body.append(row(name.replaceAll("_", " "), typeof value === "number" ? +value.toPrecision(4) : value));
    panel.replaceChildren(make("p", { class: "code" }, text(op)), make("table", {}, body));
  }

  // Opens all that is around an op, and goes there.
  function show(i) {
    let node = data.tree;
    for (;;) {
      opened.get(node[1])?.(true);
      const next = node[2].find(child => typeof child !== "number" && inside(child).includes(i));
      if (!next) break;
      node = next;
    }
    choose(i);
    const button = canvas.querySelector(`[data-op="${i}"]`);
    button.scrollIntoView({ block: "center", inline: "center" });
    button.focus();
  }

  search.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase(), found = [];
    if (wanted) for (let i = 0; i < ops.length && found.length < 40; i++)
      if ((text(ops[i]) + " " + texts[ops[i][6]]).toLowerCase().includes(wanted)) found.push(i);
    hits.replaceChildren(...found.map(i => {
      const button = make("button", { type: "button", class: "tool" }, `${texts[ops[i][6]] || "(program)"}: ${texts[ops[i][0]]}`);
      button.addEventListener("click", () => show(i));
      return button;
    }), ...(wanted && !found.length ? [make("span", { class: "said" }, "nothing found")] : []));
  });
  close.addEventListener("click", () => {
    opened.forEach((toggle, path) => { if (path) toggle(false); });
    opened.get("")(true);
  });
  canvas.addEventListener("keydown", event => {
    const buttons = [...canvas.querySelectorAll("button")].filter(one => one.offsetParent), now = buttons.indexOf(event.target);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) buttons[now + step]?.focus();
    else if (event.key === "ArrowRight" && event.target.toggle) event.target.toggle(true);
    else if (event.key === "ArrowLeft") {
      if (event.target.toggle && event.target.ariaExpanded === "true") event.target.toggle(false);
      else event.target.closest(".parts")?.parentElement.querySelector("button")?.focus();
    } else return;
    event.preventDefault();
  });

  canvas.append(block(data.tree, 0));
  opened.get("")(true);
  for (let node = data.tree; (node = node[2].find(child => typeof child !== "number" && child[2].length > 3)) && !/\.\d+$/.test(node[1]);)
    opened.get(node[1])(true);
  new ResizeObserver(() => redraw(canvas.firstChild)).observe(canvas);
};
