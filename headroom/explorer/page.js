// The explorer's page: draws what the kernel says and tells it what was moved. It models nothing.
// One message is on its way at a time; while it is, the latest move waits, older ones are dropped.

const PLAIN = { displaylogo: false, displayModeBar: false, responsive: false };
let plotly = null; // one for all explorers of a page

function plotlyFrom(model) {
  plotly ??= new Promise((resolve, reject) => {
    const take = async (message, buffers) => {
      if (message.kind !== "plotly") return;
      model.off("msg:custom", take);
      try {
        const packed = new Blob([buffers[0]]).stream();
        const inflated = packed.pipeThrough(new DecompressionStream("gzip"));
        const code = await new Response(inflated).text();
        const module = { exports: {} };
        new Function("module", "exports", code)(module, module.exports);
        resolve(module.exports);
      } catch (fault) {
        reject(fault);
      }
    };
    model.on("msg:custom", take);
    model.send({ do: "plotly" });
  });
  return plotly;
}

function element(tag, properties = {}, ...children) {
  const { dataset, ...rest } = properties;
  const made = Object.assign(document.createElement(tag), rest);
  Object.assign(made.dataset, dataset ?? {});
  made.append(...children);
  return made;
}

// --- values on sliders: logarithmic over more than two decades, three digits -------------------

const STEPS = 1000;
const place = (c, value) =>
  c.is_log
    ? (STEPS * Math.log(value / c.least)) / Math.log(c.most / c.least)
    : (STEPS * (value - c.least)) / (c.most - c.least);
function valueAt(c, step) {
  const share = step / STEPS;
  const exact = c.is_log
    ? c.least * (c.most / c.least) ** share
    : c.least + (c.most - c.least) * share;
  return c.is_whole ? Math.round(Number(exact.toPrecision(3))) : Number(exact.toPrecision(3));
}
function typed(text) {
  const value = Number(text.trim().replaceAll(",", "").replaceAll("_", ""));
  return text.trim() === "" || Number.isNaN(value) ? text : value; // the kernel says what is wrong
}
const shown = (value) =>
  typeof value === "number" ? value.toLocaleString("en-US", { maximumFractionDigits: 6 }) : value;

class Page {
  constructor(model, el) {
    this.model = model;
    this.root = element("div", { className: "hx" });
    this.seq = 0;
    this.flight = null; // the move whose answer is awaited
    this.waiting = null; // the latest move since
    this.reactions = []; // ms from a move to its picture, for whoever wants to know
    this.drawn = {};
    this.boxes = {};
    this.frame();
    el.append(this.root);
    this.root.page = this; // reached by tests and by bench/explorer.py
    this.stop = new AbortController();
    this.onView = () => this.show();
    this.onMessage = (message) => message.kind === "file" && this.save(message);
    model.on("change:view", this.onView);
    model.on("msg:custom", this.onMessage);
    this.watchColours();
    new ResizeObserver(() => this.resize()).observe(this.root);
    this.show();
  }

  end() {
    this.stop.abort();
    this.model.off("change:view", this.onView);
    this.model.off("msg:custom", this.onMessage);
  }

  frame() {
    const button = (label, title, press) => {
      const made = element("button", { type: "button", textContent: label, title });
      made.addEventListener("click", press);
      return made;
    };
    this.chooser = element("select", { ariaLabel: "scenario" });
    this.chooser.addEventListener("change", () =>
      this.tell({ do: "choose", scenario: this.chooser.value }),
    );
    this.file = element("input", { type: "file", accept: ".yaml,.yml", hidden: true });
    this.file.addEventListener("change", async () => {
      const [file] = this.file.files;
      if (file) this.tell({ do: "load", source: file.name, text: await file.text() });
      this.file.value = "";
    });
    const tools = element("div", { className: "hx-tools" },
      element("label", {}, "scenario ", this.chooser),
      button("Reset", "back to the scenario as it was chosen or loaded",
        () => this.tell({ do: "reset" })),
      button("Pin as baseline", "compare with what is shown now", () => this.tell({ do: "pin" })),
      button("Save YAML", "the scenario as a file for headroom", () =>
        this.tell({ do: "export", kind: "yaml" })),
      button("Save notebook", "a notebook that builds this scenario", () =>
        this.tell({ do: "export", kind: "notebook" })),
      button("Load YAML…", "go on with a scenario file", () => this.file.click()),
      this.file);
    this.title = element("h1");
    this.question = element("p", { className: "hx-question" });
    this.status = element("span", { className: "hx-status" });
    this.verdict = element("p", { className: "hx-verdict" });
    this.chances = element("p", { className: "hx-chances" });
    this.problems = element("div", { className: "hx-problems", hidden: true });
    this.problems.setAttribute("role", "alert");
    this.controls = element("form", { className: "hx-controls" });
    this.controls.addEventListener("submit", (event) => event.preventDefault());
    this.cards = element("div", { className: "hx-cards" });
    this.pictures = element("div", { className: "hx-pictures" });
    this.foot = element("p", { className: "hx-foot" });
    const banner = element("div", { className: "hx-banner" }, this.status,
      element("div", {}, this.verdict, this.chances));
    banner.setAttribute("aria-live", "polite");
    this.banner = banner;
    this.root.append(
      element("header", {}, element("div", {}, this.title, this.question), tools),
      banner, this.problems,
      element("div", { className: "hx-body" }, this.controls,
        element("main", {}, this.cards, this.pictures, this.foot)));
  }

  // --- to the kernel ----------------------------------------------------------------------------

  move(name, value, at) {
    this.waiting = { do: "set", name, value, at };
    if (!this.flight) this.sendWaiting();
  }

  tell(message) {
    if (message.do === "export") {
      this.model.send(message);
      return;
    }
    this.waiting = { ...message, at: performance.now() };
    if (!this.flight) this.sendWaiting();
  }

  sendWaiting() {
    this.flight = { ...this.waiting, seq: ++this.seq };
    this.waiting = null;
    const { at, ...message } = this.flight;
    this.model.send(message);
  }

  // --- from the kernel --------------------------------------------------------------------------

  async show() {
    const view = this.model.get("view");
    if (!view.pictures) return;
    const answered = this.flight && view.seq === this.flight.seq ? this.flight : null;
    if (answered) this.flight = null;
    if (answered && this.waiting) this.sendWaiting();
    this.view = view;
    this.showWords(view);
    this.showControls(view, answered);
    await this.draw(view, (figure) => this.isSeen(figure));
    if (answered?.do === "set") {
      await new Promise(requestAnimationFrame);
      this.reactions.push(performance.now() - answered.at);
    }
    // The rest one by one while nothing is awaited: the next answer must not wait for them.
    for (const name of Object.keys(view.pictures)) {
      await new Promise((done) => setTimeout(done));
      if (this.view !== view || this.flight?.do === "set") return;
      await this.draw(view, (figure) => figure.dataset.picture === name);
    }
    this.showFoot(view);
    this.root.dataset.drawn = String(view.seq);
    this.root.dataset.complete = String(view.complete);
  }

  showWords(view) {
    this.title.textContent = view.scenario;
    this.question.textContent = view.question;
    this.status.textContent = view.status;
    this.banner.dataset.status = view.status;
    this.verdict.textContent = view.verdict;
    this.chances.textContent = view.chances;
    const names = view.scenarios.includes(view.scenario)
      ? view.scenarios
      : [view.scenario, ...view.scenarios];
    this.chooser.replaceChildren(...names.map((name) => new Option(name, name)));
    this.chooser.value = view.scenario;
    this.problems.hidden = view.problems.length === 0;
    this.problems.replaceChildren(
      ...view.problems.map((problem) => element("p", { textContent: problem })),
      element("p", {
        className: "hx-kept",
        textContent: "The figures below are those of the last input that could be read.",
      }));
    this.cards.replaceChildren(...view.cards.map((card) => this.card(card)));
  }

  card(card) {
    const made = element("section", { className: "hx-card", dataset: { card: card.name } },
      element("h2", { textContent: card.label }),
      element("p", { className: "hx-value", textContent: card.value }),
      element("p", { className: "hx-range", textContent: card.range || "\u00a0" }),
      element("p", { className: "hx-was", textContent: card.was || "\u00a0" }),
      element("p", {
        className: "hx-source",
        textContent: card.pending && !this.view.complete ? `${card.source}, to come` : card.source,
      }));
    made.classList.toggle("hx-pending", card.pending);
    return made;
  }

  showFoot(view) {
    const parts = [
      view.assumed
        ? `ASSUMPTION: service demands are not this service's: ${view.demands}.`
        : `Service demands: ${view.demands}.`,
      `Baseline: ${view.baseline}.`,
      view.complete ? "All models are done." : "The compiled engine is at work.",
    ];
    if (this.reactions.length) {
      const sorted = [...this.reactions].sort((a, b) => a - b);
      const p95 = sorted[Math.ceil(0.95 * sorted.length) - 1];
      parts.push(`From slider to picture: p95 ${p95.toFixed(0)} ms of ${sorted.length} moves.`);
    }
    this.foot.textContent = parts.join(" ");
  }

  // --- controls -----------------------------------------------------------------------------------

  showControls(view, answered) {
    const shape = JSON.stringify(
      view.controls.map((c) => [c.name, c.kind, c.options, c.least, c.most, c.is_log]));
    if (shape !== this.shape) this.buildControls(view.controls);
    this.shape = shape;
    for (const control of view.controls) {
      const box = this.boxes[control.name];
      const wrong = view.problem_at === control.name;
      const moving = this.flight?.name === control.name || this.waiting?.name === control.name;
      if (!wrong && !moving) box.set(control, answered?.name === control.name);
      box.mark(wrong);
    }
  }

  buildControls(controls) {
    const open = new Map();
    for (const group of this.controls.querySelectorAll("details")) {
      open.set(group.dataset.group, group.open);
    }
    const first = open.size === 0;
    const groups = new Map();
    this.boxes = {};
    for (const control of controls) {
      const kind = { range: ranged, menu: chosen, check: checked }[control.kind];
      const box = kind(control, (value, at) => this.move(control.name, value, at));
      this.boxes[control.name] = box;
      if (!groups.has(control.group)) groups.set(control.group, []);
      groups.get(control.group).push(box.element);
    }
    const folded = ["Mix of requests", "Reads from secondaries"];
    this.controls.replaceChildren(
      ...[...groups].map(([group, boxes]) =>
        element("details",
          { open: first ? !folded.includes(group) : open.get(group), dataset: { group } },
          element("summary", { textContent: group }), ...boxes)));
  }

  // --- pictures -----------------------------------------------------------------------------------

  isDark() {
    const lab = document.body.dataset.jpThemeLight;
    const alone = document.documentElement.dataset.headroom === "alone";
    if (lab !== undefined && !alone) return lab === "false";
    return matchMedia("(prefers-color-scheme: dark)").matches;
  }

  watchColours() {
    const again = () => {
      this.drawn = {};
      this.show();
    };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again, {
      signal: this.stop.signal,
    });
    const watcher = new MutationObserver(again);
    watcher.observe(document.body, { attributeFilter: ["data-jp-theme-light"] });
    this.stop.signal.addEventListener("abort", () => watcher.disconnect());
  }

  coloured(text) {
    if (!this.isDark()) return text;
    const exchanges = this.model.get("exchanges");
    const found = new RegExp(
      Object.keys(exchanges).map((c) => c.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|"), "gi");
    const table = Object.fromEntries(
      Object.entries(exchanges).map(([light, dark]) => [light.toLowerCase(), dark]));
    return text.replace(found, (colour) => table[colour.toLowerCase()]);
  }

  isSeen(figure) {
    const { top, bottom } = figure.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  }

  async draw(view, wanted = () => true) {
    this.root.classList.toggle("hx-dark", this.isDark());
    const library = await plotlyFrom(this.model);
    const template = JSON.parse(this.coloured(this.model.get("look")));
    for (const [name, picture] of Object.entries(view.pictures)) {
      const { figure, plot, caption } = this.place(name);
      if (!wanted(figure)) continue;
      const text = JSON.stringify(picture);
      const width = figure.clientWidth;
      if (this.drawn[name] === text + width) continue;
      this.drawn[name] = text + width;
      const { data, layout } = JSON.parse(this.coloured(text));
      layout.template = template;
      for (const axis of [layout.xaxis, layout.yaxis]) {
        if (axis.title) axis.title.font = { size: 13 };
      }
      layout.width = width;
      caption.textContent = picture.caption;
      plot.setAttribute("aria-label", picture.alternative);
      await library.react(plot, data, layout, PLAIN);
    }
  }

  place(name) {
    const found = this.pictures.querySelector(`[data-picture="${name}"]`);
    if (found) {
      return { figure: found, plot: found.children[1], caption: found.children[2] };
    }
    const titles = {
      latency: "Latency under load",
      "hit-ratio": "Cache hit ratio",
      headroom: "Headroom by tier",
      bill: "Monthly bill",
      availability: "Availability",
    };
    const plot = element("div", { className: "hx-plot" });
    plot.setAttribute("role", "img");
    const caption = element("figcaption");
    const figure = element("figure", { dataset: { picture: name } },
      element("h2", { textContent: titles[name] }), plot, caption);
    this.pictures.append(figure);
    return { figure, plot, caption };
  }

  resize() {
    if (!this.view) return;
    cancelAnimationFrame(this.resizing);
    this.resizing = requestAnimationFrame(() => this.draw(this.view));
  }

  save({ name, text }) {
    const link = element("a", { download: name });
    link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    this.root.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }
}

// --- the three kinds of controls --------------------------------------------------------------

let numbered = 0;

function row(control, ...inputs) {
  const id = `hx-${++numbered}`;
  inputs[0].id = id;
  const text = control.unit ? `${control.label} (${control.unit})` : control.label;
  return element("div", { className: `hx-control hx-${control.kind}`,
    dataset: { control: control.name } },
    element("label", { htmlFor: id, textContent: text }), ...inputs);
}

function ranged(control, moved) {
  const box = element("input", { type: "text", inputMode: "decimal", autocomplete: "off" });
  const slider = element("input", { type: "range", min: 0, max: STEPS, step: 1 });
  slider.setAttribute("aria-label", control.label);
  slider.addEventListener("input", (event) => {
    const value = valueAt(control, Number(slider.value));
    box.value = shown(value);
    slider.setAttribute("aria-valuetext", `${box.value} ${control.unit}`);
    moved(value, event.timeStamp);
  });
  box.addEventListener("change", (event) => moved(typed(box.value), event.timeStamp));
  return {
    element: row(control, box, slider),
    set(now, own) {
      const dragged = own && document.activeElement === slider;
      if (!dragged) slider.value = Math.min(STEPS, Math.max(0, place(control, now.value)));
      box.value = shown(now.value);
      slider.setAttribute("aria-valuetext", `${box.value} ${control.unit}`);
    },
    mark: (wrong) => box.setAttribute("aria-invalid", String(wrong)),
  };
}

function chosen(control, moved) {
  const menu = element("select");
  menu.append(...control.options.map((option) => new Option(option, option)));
  const isNumber = typeof control.value === "number";
  menu.addEventListener("change", (event) =>
    moved(isNumber ? Number(menu.value) : menu.value, event.timeStamp));
  return {
    element: row(control, menu),
    set: (now) => (menu.value = String(now.value)),
    mark: (wrong) => menu.setAttribute("aria-invalid", String(wrong)),
  };
}

function checked(control, moved) {
  const box = element("input", { type: "checkbox" });
  box.addEventListener("change", (event) => moved(box.checked, event.timeStamp));
  return {
    element: row(control, box),
    set: (now) => (box.checked = now.value),
    mark: (wrong) => box.setAttribute("aria-invalid", String(wrong)),
  };
}

export default {
  render({ model, el }) {
    const page = new Page(model, el);
    return () => page.end();
  },
};
