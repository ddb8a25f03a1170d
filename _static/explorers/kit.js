/* What explorers share: numbers in words, a frame to draw in, and the panel with its knobs.

An explorer is a value, LinearTeachers.explorers[name], made by the script of that name:

  knobs     {key: {label, value, min, max, step, text}} or, for a few values, {label, value, values, text}
  start     what else is in the state, the seed of a draw for one
  actions   {label: state => state}, a button each
  picture   (state, width) => {svg, frame, handles}; a state that is not `open` hides what is guessed
  words     state => what the picture shows, in a sentence or two
  guess     {ask, knob, truth: state => number, point: (state, x, y) => value, say: (guess, truth) => words}
  move      (state, handle, x, y) => state, where handles can be dragged

All are pure, so one picture is drawn by a page, by a test and for print. `mount` is the only function
that knows of a page. Drawings have the sizes of their pixels, so that letters are as large on a phone. */

"use strict";

(() => {
  const SERIES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"]; // Okabe and Ito's, as in figures.py
  const DASHES = ["", "7 3", "2 3", "9 3 2 3", "12 4"]; // so that colour is not all that tells lines apart

  /** A number of two or three digits, as one says it: 0.012, 3.4, 120, 10⁻⁵. */
  function format(value, digits = 2) {
    if (!Number.isFinite(value)) return value > 0 ? "∞" : value < 0 ? "−∞" : "undefined";
    if (Math.abs(value) < 1e-12) return "0"; // of risks near 1, that is rounding
    const power = Math.floor(Math.log10(Math.abs(value)) + 1e-9);
    if (power > -4 && power < 6) return String(Number(value.toPrecision(digits))).replace("-", "−");
    const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
    const raised = [...String(Number(exponent))].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("");
    return `${Number(mantissa) === 1 ? "" : `${Number(mantissa)}·`}10${raised}`.replace("-", "−");
  }

  /** So many things: 1 sample, 2 samples. */
  const count = (number, thing) => `${number} ${thing}${number === 1 ? "" : "s"}`;

  /** Sizes from a to b, evenly spaced, or in ratio where `log`. */
  function spaced(a, b, count, log = false) {
    const at = (k) => k / (count - 1);
    return Array.from({ length: count }, (_, k) => (log ? a * (b / a) ** at(k) : a + (b - a) * at(k)));
  }

  /** Uniform and normal numbers from a seed: mulberry32, and Box and Muller's pairs. */
  function generator(seed) {
    let a = (seed * 2654435761) | 0;
    const uniform = () => {
      a = (a + 0x6d2b79f5) | 0;
      let t = Math.imul(a ^ (a >>> 15), 1 | a);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
    const normals = (count) => Array.from({ length: count }, normal);
    return { uniform, normal, normals };
  }

  /** The numbers that an axis names. */
  function ticks({ min, max, log }) {
    if (!log) {
      const rough = (max - min) / 5;
      const unit = 10 ** Math.floor(Math.log10(rough));
      const step = unit * [1, 2, 5, 10].find((m) => m * unit >= rough * 0.999);
      const first = Math.ceil(min / step - 1e-9);
      const count = Math.floor(max / step + 1e-9) - first + 1;
      return Array.from({ length: count }, (_, k) => Number(((first + k) * step).toPrecision(12)));
    }
    const low = Math.floor(Math.log10(min));
    const decades = Math.ceil(Math.log10(max)) - low;
    const parts = decades <= 2 ? [1, 2, 5] : [1];
    const every = Math.ceil(decades / 6);
    return Array.from({ length: decades + 1 }, (_, k) => low + k)
      .filter((k) => (k - low) % every === 0)
      .flatMap((k) => parts.map((part) => Number((part * 10 ** k).toPrecision(12))))
      .filter((v) => v >= min * 0.999 && v <= max * 1.001);
  }

  /** A frame with two axes, {label, min, max, log}: places, and strings of SVG to put there.
   * `legend` names the series above it. */
  function frame({ width, height, x, y, legend = [] }) {
    const rows = legendRows(legend, width);
    const box = { left: 58, right: width - 14, top: 14 + 20 * rows.length, bottom: height - 46 };
    const along = (axis, from, to) => {
      const scale = axis.log ? Math.log : (v) => v;
      const [low, high] = [scale(axis.min), scale(axis.max)];
      const to_ = (v) => from + ((scale(v) - low) / (high - low)) * (to - from);
      const back = (p) => {
        const v = low + ((p - from) / (to - from)) * (high - low);
        return axis.log ? Math.exp(v) : v;
      };
      return [to_, back];
    };
    const [px, backX] = along(x, box.left, box.right);
    const [py, backY] = along(y, box.bottom, box.top);
    const near = (p) => Math.min(Math.max(p, -9999), 9999).toFixed(1);
    const at = (u, v) => `${near(px(u))},${near(py(v))}`;
    // Words beside a point; to its left where there is no room to its right.
    const text = (u, v, words, { dx = 0, dy = 0, anchor = "start", kind = "" } = {}) => {
      const end = px(u) + dx + 7 * words.replace(/<[^>]*>/g, "").length;
      const [side, shift] = anchor === "start" && end > width ? ["end", -dx] : [anchor, dx];
      return `<text class="${kind}" x="${near(px(u) + shift)}" y="${near(py(v) + dy)}" text-anchor="${side}">${words}</text>`;
    };
    const line = (points, series = 0, { dashed = DASHES[series], kind = "" } = {}) => {
      // A point that has no place, at infinity or not a number, breaks the line.
      const places = points.map(([u, v]) => (Number.isFinite(px(u)) && Number.isFinite(py(v)) ? at(u, v) : ""));
      const path = places.map((p, k) => (p ? `${k && places[k - 1] ? "L" : "M"}${p}` : "")).join("");
      return `<path class="line s${series} ${kind}" d="${path}" stroke-dasharray="${dashed}"/>`;
    };
    const dots = (points, series = 0, radius = 3) =>
      points
        .filter(([u, v]) => Number.isFinite(px(u)) && Number.isFinite(py(v)))
        .map(([u, v]) => `<circle class="dot s${series}" cx="${near(px(u))}" cy="${near(py(v))}" r="${radius}"/>`)
        .join("");
    const grid = (axis, one) => ticks(axis).map(one).join("");
    const axes =
      grid(x, (v) => `<path class="grid" d="M${near(px(v))},${box.top}V${box.bottom}"/>`) +
      grid(y, (v) => `<path class="grid" d="M${box.left},${near(py(v))}H${box.right}"/>`) +
      grid(x, (v) => `<text x="${near(px(v))}" y="${box.bottom + 17}" text-anchor="middle">${format(v)}</text>`) +
      grid(y, (v) => `<text x="${box.left - 7}" y="${near(py(v) + 4)}" text-anchor="end">${format(v)}</text>`) +
      `<path class="axis" d="M${box.left},${box.top}V${box.bottom}H${box.right}"/>` +
      `<text x="${(box.left + box.right) / 2}" y="${height - 8}" text-anchor="middle">${x.label}</text>` +
      `<text transform="translate(14 ${(box.top + box.bottom) / 2}) rotate(-90)" text-anchor="middle">${y.label}</text>`;
    // Lines that leave the frame are cut; the frame's place tells apart several pictures of a page.
    const clip = `clip-${width}-${height}-${box.top}`;
    const inside = (drawn) =>
      `<clipPath id="${clip}"><path d="M${box.left},${box.top}H${box.right}V${box.bottom}H${box.left}Z"/></clipPath>` +
      `<g clip-path="url(#${clip})">${drawn}</g>`;
    return { x: px, y: py, backX, backY, box, axes: axes + rows.join(""), text, line, dots, inside, near };
  }

  /** The series' names above a frame, as many in a row as fit. */
  function legendRows(legend, width) {
    const rows = [[]];
    let left = 58;
    for (const { label, series, dot } of legend) {
      const room = 34 + 7 * label.length;
      if (left > 58 && left + room > width) {
        rows.push([]);
        left = 58;
      }
      const y = 14 + 20 * (rows.length - 1);
      const sample = dot
        ? `<circle class="dot s${series}" cx="${left + 12}" cy="${y}" r="4"/>`
        : `<path class="line s${series}" d="M${left},${y}h24" stroke-dasharray="${DASHES[series]}"/>`;
      rows.at(-1).push(`${sample}<text x="${left + 30}" y="${y + 4}">${label}</text>`);
      left += room + 12;
    }
    return legend.length ? rows.map((row) => row.join("")) : [];
  }

  /** The state that a reader finds. */
  function initial(explorer) {
    const values = Object.entries(explorer.knobs).map(([key, knob]) => [key, knob.value]);
    const guess = explorer.guess ? { guess: explorer.guess.knob.value, open: false } : { open: true };
    return { ...Object.fromEntries(values), ...explorer.start, ...guess };
  }

  const STYLE =
    "text{font:13px system-ui,sans-serif;fill:#222}.line,.axis,.grid{fill:none;stroke-width:2}" +
    ".axis{stroke:#222;stroke-width:1}.grid{stroke:#ddd;stroke-width:1}.thin{stroke-width:1.2}" +
    ".line.ink{stroke:#222}.line.faint{stroke:#888}.area{stroke:none;fill-opacity:.8}.handle{fill:transparent}" +
    SERIES.map((c, k) => `.s${k}{stroke:${c}}.dot.s${k},.area.s${k}{fill:${c};stroke:none}`).join("");

  /** The picture of the first state, opened, as a file of its own: what print and notebooks show. */
  function still(explorer, width = 640) {
    const { svg, height } = explorer.picture({ ...initial(explorer), open: true }, width);
    const size = `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`;
    const paper = `<rect width="${width}" height="${height}" fill="white"/>`; // for a dark notebook
    return `<svg xmlns="http://www.w3.org/2000/svg" ${size}><style>${STYLE}</style>${paper}${svg}</svg>\n`;
  }

  // ---------------------------------------------------------------------------------- the page

  const HIDDEN = "The answer is hidden until you commit a guess.";

  const element = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };

  /** A slider with its name and value in words; `change` is told the value. */
  function slider(id, knob, change) {
    const { values, text = format } = knob;
    const [min, max, step] = values ? [0, values.length - 1, 1] : [knob.min, knob.max, knob.step];
    const input = element("input", { type: "range", id, min, max, step });
    const shown = element("output", { for: id });
    const set = (value) => {
      input.value = values ? values.indexOf(value) : value;
      shown.textContent = text(value);
      input.setAttribute("aria-valuetext", text(value));
    };
    input.addEventListener("input", () => {
      const value = values ? values[Number(input.value)] : Number(input.value);
      set(value);
      change(value);
    });
    set(knob.value);
    const label = element("label", { for: id }, knob.label);
    return { set, row: element("div", { class: "explorer-knob" }, label, input, shown) };
  }

  /** Put an explorer into a box of the page that shows its still picture. */
  function mount(box, name) {
    const explorer = LinearTeachers.explorers[name];
    let state = initial(explorer);
    let drawn = {};
    const id = (part) => `explorer-${name}-${part}`;

    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-labelledby", id("words"));
    const picture = element("div", { class: "explorer-picture" }, svg);
    const words = element("p", { class: "explorer-words", id: id("words"), "aria-live": "polite" }, HIDDEN);

    const knobs = Object.entries(explorer.knobs).map(([key, knob]) => [
      key,
      slider(id(key), knob, (value) => update({ ...state, [key]: value })),
    ]);
    const rows = element("div", { class: "explorer-knobs" }, ...knobs.map(([, knob]) => knob.row));
    const actions = Object.entries(explorer.actions ?? {}).map(([label, act]) => {
      const button = element("button", { type: "button", class: "explorer-button" }, label);
      button.addEventListener("click", () => update(act(state)));
      return button;
    });
    const again = element("button", { type: "button", class: "explorer-button" }, "Start again");
    again.addEventListener("click", () => update(initial(explorer)));
    const controls = element("div", { class: "explorer-controls" }, rows, element("div", {}, ...actions, again));

    const guess = explorer.guess && ask();
    const panel = element("div", { class: "explorer-panel" }, ...(guess ? [guess.row] : []), picture, words, controls);

    /** The question, a slider for the answer, and the button that commits it. */
    function ask() {
      const { knob } = explorer.guess;
      const mine = slider(id("guess"), knob, (value) => update({ ...state, guess: value }));
      const commit = element("button", { type: "button", class: "explorer-button" }, "Commit, and show");
      commit.addEventListener("click", () => {
        update({ ...state, open: true });
        words.setAttribute("tabindex", "-1");
        words.focus(); // the button is gone; what it showed is here
      });
      const question = element("p", {}, explorer.guess.ask);
      return { mine, row: element("div", { class: "explorer-guess" }, question, mine.row, commit) };
    }

    let frame = 0;
    let speech = 0;
    function update(next) {
      state = next;
      panel.setAttribute("aria-busy", "true"); // until picture and words are those of this state
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(draw);
    }

    function draw() {
      const width = Math.max(260, Math.min(700, Math.floor(picture.clientWidth)));
      drawn = explorer.picture(state, width);
      svg.setAttribute("viewBox", `0 0 ${width} ${drawn.height}`);
      svg.setAttribute("width", width);
      svg.setAttribute("height", drawn.height);
      svg.innerHTML = drawn.svg;
      for (const [key, knob] of knobs) knob.set(state[key]);
      controls.hidden = !state.open;
      if (guess) {
        guess.mine.set(state.guess);
        guess.row.hidden = state.open;
      }
      clearTimeout(speech); // a screen reader is told where the hand has come to rest
      speech = setTimeout(() => {
        const said = state.open ? say() : HIDDEN;
        if (words.textContent !== said) words.textContent = said;
        panel.removeAttribute("aria-busy");
      }, 150);
    }

    function say() {
      // Of the guess as long as all else is as it was guessed for.
      const asked = { ...initial(explorer), guess: state.guess, open: true };
      const same = Object.keys(asked).every((key) => asked[key] === state[key]);
      const first = guess && same && explorer.guess.say(state.guess, explorer.guess.truth(state));
      return [first, explorer.words(state)].filter(Boolean).join(" ");
    }

    const place = (event) => {
      const outline = svg.getBoundingClientRect();
      const scale = svg.getAttribute("width") / outline.width; // a slide is as large as its screen
      return [(event.clientX - outline.left) * scale, (event.clientY - outline.top) * scale];
    };
    let held = null;
    svg.addEventListener("click", (event) => {
      // Not where a finger first touches: it may be about to scroll the page.
      if (state.open) return;
      const [px, py] = place(event);
      const value = explorer.guess.point(state, drawn.frame.backX(px), drawn.frame.backY(py));
      const { min, max, step } = explorer.guess.knob;
      const round = Math.round((value - min) / step) * step + min;
      update({ ...state, guess: Math.min(Math.max(round, min), max) });
    });
    svg.addEventListener("pointerdown", (event) => {
      if (!state.open) return undefined;
      const [px, py] = place(event);
      const far = (handle) => Math.hypot(drawn.frame.x(handle.x) - px, drawn.frame.y(handle.y) - py);
      const [nearest] = [...(drawn.handles ?? [])].sort((a, b) => far(a) - far(b));
      if (!nearest || far(nearest) > 28) return undefined;
      held = nearest.name;
      svg.setPointerCapture(event.pointerId);
      return event.preventDefault();
    });
    svg.addEventListener("pointermove", (event) => {
      if (held === null) return;
      const [px, py] = place(event);
      update(explorer.move(state, held, drawn.frame.backX(px), drawn.frame.backY(py)));
    });
    for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => (held = null));

    const image = box.querySelector("img");
    const printed = image.closest("figure, p, a") ?? image; // paper has no sliders
    printed.classList.add("explorer-still");
    printed.before(panel);
    new ResizeObserver(() => update(state)).observe(picture);
  }

  Object.assign(LinearTeachers, {
    explorers: {},
    kit: { format, count, spaced, generator, frame, initial, still, mount },
  });

  if (typeof document !== "undefined") {
    document.addEventListener("DOMContentLoaded", () => {
      for (const box of document.querySelectorAll(".explorer")) {
        const [, name] = box.className.match(/\bexplorer-(\w+)/);
        mount(box, name);
      }
    });
  }
})();
