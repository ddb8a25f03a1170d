/* Fine-tuning in the plane (thm-linear-bias): what the samples see is learned, what they do not see stays. */

"use strict";

(() => {
  const { finetune, kit } = LinearTeachers;
  const { format, frame } = kit;
  const AXIS = { min: -1.5, max: 1.5 };

  const dot = (a, b) => a[0] * b[0] + a[1] * b[1];
  const direction = (degrees) => [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];

  /** The two teachers, the samples, where fine-tuning ends, and the risks before and after; Σ = diag(1, λ₂). */
  function solved(state) {
    const source = [state.sourceX, state.sourceY];
    const target = [state.targetX, state.targetY];
    const X = [direction(state.first), direction(state.second)].slice(0, state.samples);
    const y = X.map((x) => dot(x, target));
    const end = finetune(X, y, source);
    const risk = (theta) => (theta[0] - target[0]) ** 2 + state.variance * (theta[1] - target[1]) ** 2;
    return { source, target, X, end, before: risk(source), after: risk(end) };
  }

  /** How far the source moves along the first sample. */
  const moved = ({ source, X, end }) => dot([end[0] - source[0], end[1] - source[1]], X[0]);

  /** The weights of a given risk: an ellipse around θ_T. */
  function ellipse(target, risk, variance) {
    const r = Math.sqrt(risk);
    return Array.from({ length: 73 }, (_, k) => {
      const [c, s] = direction(5 * k);
      return [target[0] + r * c, target[1] + (r / Math.sqrt(variance)) * s];
    });
  }

  const shown = (point) => point.every((value) => AXIS.min <= value && value <= AXIS.max);
  const theta = (letter) => `θ<tspan dy="4" font-size="10">${letter}</tspan>`;
  const along = ([x, y], [u, v]) => [-4, 4].map((t) => [x + t * u, y + t * v]);
  const coordinate = (label, value) => ({ label, value, min: -1.4, max: 1.4, step: 0.05 });
  const angle = (label, value) => ({ label, value, min: 0, max: 180, step: 1, text: (v) => `${v}°` });

  LinearTeachers.explorers.plane = {
    knobs: {
      first: angle("direction of the first sample", 37),
      second: angle("direction of the second sample", 120),
      samples: { label: "samples", value: 1, values: [1, 2], text: String },
      sourceX: coordinate("source, across", 0.1),
      sourceY: coordinate("source, up", 0.75),
      targetX: coordinate("target, across", 0.9),
      targetY: coordinate("target, up", 0.4),
      variance: {
        label: "variance upwards (across it is 1)",
        value: 0.1,
        values: [0.01, 0.03, 0.1, 0.3, 1],
      },
    },
    start: {},
    guess: {
      ask: "One sample, and the weights of a source and a target. How far will fine-tuning move the source, and which way? Move the slider, or tap where it will end.",
      knob: { label: "my guess: it moves by", value: 0, min: -1.2, max: 1.2, step: 0.05 },
      truth: (state) => moved(solved(state)),
      point: (state, x, y) => dot([x - state.sourceX, y - state.sourceY], direction(state.first)),
      say: (guess, truth) => `You said ${format(guess)}; it is ${format(truth)}.`,
    },
    move(state, handle, x, y) {
      const into = (v) => Number(Math.min(Math.max(v, -1.4), 1.4).toFixed(2));
      if (handle === "source") return { ...state, sourceX: into(x), sourceY: into(y) };
      if (handle === "target") return { ...state, targetX: into(x), targetY: into(y) };
      const degrees = Math.round((Math.atan2(y, x) * 180) / Math.PI + 360) % 180;
      return { ...state, [handle]: degrees };
    },

    picture(state, width) {
      const side = Math.min(width, 460);
      const { source, target, X, end, before, after } = solved(state);
      const place = frame({
        width: side,
        height: side,
        x: { ...AXIS, label: "first weight" },
        y: { ...AXIS, label: "second weight" },
      });
      const { line, dots, text, inside } = place;
      let svg = place.axes;
      const handles = [
        { name: "source", x: source[0], y: source[1] },
        { name: "target", x: target[0], y: target[1] },
      ];
      X.forEach((x, k) => {
        svg += inside(line(along([0, 0], x), 0, { dashed: "2 4", kind: "thin faint" }));
        svg += dots([x], 3, 6) + text(...x, `x<tspan dy="4" font-size="10">${k + 1}</tspan>`, { dx: 9, dy: 4 });
        handles.push({ name: ["first", "second"][k], x: x[0], y: x[1] });
      });
      if (state.open) {
        for (const risk of [before, after]) {
          if (risk > 1e-6) svg += inside(line(ellipse(target, risk, state.variance), 0, { dashed: "", kind: "thin faint" }));
        }
        if (X.length === 1) svg += inside(line(along(target, [-X[0][1], X[0][0]]), 0, { dashed: "", kind: "ink" }));
        svg += inside(line([source, end], 1, { dashed: "" }));
        if (shown(end)) svg += dots([end], 1, 7) + text(...end, theta("FT"), { dx: 10, dy: -8 });
      } else {
        const guess = source.map((value, k) => value + state.guess * X[0][k]);
        svg += inside(line(along(source, X[0]), 0, { dashed: "2 4", kind: "thin faint" }));
        svg += dots([guess], 1, 7) + text(...guess, "my guess", { dx: 11, dy: -6 });
      }
      svg += dots([source], 0, 7) + text(...source, theta("S"), { dx: 10, dy: 14 });
      svg += dots([target], 2, 7) + text(...target, theta("T"), { dx: 10, dy: 14 });
      const grips = handles.map((h) => `<circle class="handle" cx="${place.near(place.x(h.x))}" cy="${place.near(place.y(h.y))}" r="16"/>`);
      return { svg: svg + (state.open ? grips.join("") : ""), height: side, frame: place, handles };
    },

    words(state) {
      const { source, target, X, end, before, after } = solved(state);
      const samples = X.length === 1 ? "One sample." : "Two samples.";
      if (before === 0) return `${samples} Source and target are the same: nothing changes.`;
      const change = after / before;
      const outcome =
        change < 1e-3
          ? "it is all but gone"
          : Math.abs(change - 1) < 0.01
            ? "hardly any change"
            : change < 1
              ? `${format(100 * change)} % is left`
              : `${format(change, 3)} times as much`;
      const verdict = change < 1e-9 ? "The risk is gone." : `The risk goes from ${format(before)} to ${format(after)}: ${outcome}.`;
      const way = Math.hypot(end[0] - source[0], end[1] - source[1]);
      const left = Math.hypot(end[0] - target[0], end[1] - target[1]);
      const seen =
        left < 1e-9
          ? "Every direction in which the teachers differ is seen, and the end is the target."
          : `The source moves by ${format(way)} within the row space; a gap of length ${format(left)} is in the blind spot and stays.`;
      const away = shown(end) ? "" : " The end lies outside the picture.";
      return `${samples} ${verdict} ${seen}${away}`;
    },
  };
})();
