/* What depth changes, for isotropic inputs: the scale of what no sample sees, the risk, and which depth is best
(thm-deep-bias, thm-layers). n of d samples see the share n/d of each teacher. */

"use strict";

(() => {
  const { layerScale, kit } = LinearTeachers;
  const { format, spaced, frame } = kit;
  const SHARES = spaced(0, 0.99, 100);
  const DEPTHS = [1, 2, 3, 7, Infinity];
  const called = (depth) => (depth === Infinity ? "∞" : String(depth));

  /** The scale c for teachers of lengths 1 and `ratio`; NaN where a layer may change its sign. */
  function scale({ ratio, angle, imbalance }, share, depth) {
    const parts = { seen: share, unseen: 1 - share, learned: share * ratio ** 2 };
    if (share === 0 || depth === 1) return 1;
    if (imbalance === 1 || depth === Infinity) return layerScale(parts, depth);
    // The first layer is multiplied by g, and the others are divided so that the product stays.
    const speed = imbalance ** (2 + 2 / (depth - 1));
    const better = 2 * ratio * Math.cos((angle * Math.PI) / 180) > 1; // than answering zero
    if ((speed - 1) * share >= 1 - share && !better) return NaN;
    return layerScale(parts, Array(depth - 1).fill(speed));
  }

  /** The risk over that of the source as it is: (1 − n/d)‖θ_T − cθ_S‖²/‖θ_T − θ_S‖². */
  function risk(state, share, depth) {
    const cosine = Math.cos((state.angle * Math.PI) / 180);
    const gap = (c) => state.ratio ** 2 - 2 * c * state.ratio * cosine + c ** 2;
    return ((1 - share) * gap(scale(state, share, depth))) / gap(1);
  }

  const ANGLES = spaced(0, 180, 31);
  const RATIOS = spaced(0.1, 10, 25, true);

  /** Where the network does better or worse than a linear model: a cell for each pair of teachers. */
  function map(state, width) {
    const place = frame({
      width,
      height: 300,
      x: { label: "angle, degrees", min: 0, max: 180 },
      y: { label: "length of target / source", min: 0.1, max: 10, log: true },
      legend: [
        { label: "network better", series: 2, dot: true },
        { label: "linear model better", series: 1, dot: true },
      ],
    });
    const [w, h] = [(place.box.right - place.box.left) / 30, (place.box.bottom - place.box.top) / 24];
    const cell = (angle, ratio) => {
      const pair = { ...state, angle, ratio };
      const log = Math.log2(risk(pair, state.share, state.depth) / risk(pair, state.share, 1));
      if (!(Math.abs(log) > 0.005)) return "";
      const strength = Math.min(0.15 + 0.85 * Math.abs(log), 1).toFixed(2);
      const corner = [place.x(angle) - w / 2, place.y(ratio) - h / 2].map(place.near);
      return `<rect class="area s${log < 0 ? 2 : 1}" style="fill-opacity:${strength}" x="${corner[0]}" y="${corner[1]}" width="${w.toFixed(1)}" height="${h.toFixed(1)}"/>`;
    };
    const cells = ANGLES.flatMap((angle) => RATIOS.map((ratio) => cell(angle, ratio))).join("");
    const here = place.dots([[state.angle, state.ratio]], 0, 6);
    return place.inside(cells) + place.axes + here;
  }

  LinearTeachers.explorers.depth = {
    knobs: {
      ratio: { label: "length of target / length of source", value: 3, values: [0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10] },
      angle: { label: "angle between the teachers", value: 20, min: 0, max: 180, step: 5, text: (v) => `${v}°` },
      depth: { label: "depth L", value: 3, values: DEPTHS, text: called },
      share: { label: "samples, n/d", value: 0.2, min: 0.02, max: 0.98, step: 0.02 },
      imbalance: { label: "first layer times", value: 1, values: [0.1, 0.2, 0.5, 0.8, 1, 1.25, 2, 5], text: (g) => (g === 1 ? "1 (balanced)" : String(g)) },
    },
    guess: {
      ask: "A target three times as long as the source and 20° from it, a fifth of d samples, three layers. By how much will training multiply what no sample sees? Move the slider, or tap the picture. (A linear model leaves it: 1.)",
      knob: { label: "my guess for the scale c", value: 1, min: 0.2, max: 4, step: 0.05 },
      truth: (state) => scale(state, state.share, state.depth),
      point: (state, share, c) => c,
      say: (guess, truth) => `You said ${format(guess)}; it is ${format(truth)}.`,
    },

    picture(state, width) {
      const top = 300;
      const place = frame({
        width,
        height: top,
        x: { label: "samples, n/d", min: 0, max: 1 },
        y: { label: state.open ? "scale c, and risk / risk before" : "scale c", min: 0.05, max: 10, log: true },
        legend: [
          { label: "scale c", series: 0 },
          { label: `risk, depth ${called(state.depth)}`, series: 2 },
          { label: "risk, linear", series: 1 },
        ],
      });
      const { line, dots, text, inside } = place;
      const over = (value) => SHARES.map((share) => [share, value(share)]);
      let svg = place.axes + line([0, 1].map((x) => [x, 1]), 0, { dashed: "", kind: "thin faint" });
      if (!state.open) {
        svg += dots([[state.share, state.guess]], 0, 7) + text(state.share, state.guess, "my guess", { dx: 11, dy: -6 });
        return { svg, height: top, frame: place };
      }
      svg += inside(line(over((share) => scale(state, share, state.depth)), 0));
      svg += inside(line(over((share) => risk(state, share, 1)), 1) + line(over((share) => risk(state, share, state.depth)), 2));
      svg += line([0.05, 10].map((v) => [state.share, v]), 0, { dashed: "3 3", kind: "thin faint" });
      svg += inside(dots([[state.share, scale(state, state.share, state.depth)]], 0, 5));
      svg += `<g transform="translate(0 ${top})">${map(state, width)}</g>`;
      return { svg, height: top + 300, frame: place };
    },

    words(state) {
      const { share, depth } = state;
      const c = scale(state, share, depth);
      if (Number.isNaN(c)) return "Here a layer may change its sign, and the formula says nothing.";
      const [network, linear] = [risk(state, share, depth), risk(state, share, 1)];
      if (Number.isNaN(linear)) return "Source and target are the same: there is nothing to learn.";
      const verdict = Math.abs(network / linear - 1) < 0.01 ? "hardly any difference" : network < linear ? "the network is better" : "the linear model is better";
      const balance = state.imbalance !== 1 && (depth === 1 || depth === Infinity) ? ` (With ${depth === 1 ? "one layer" : "infinitely many layers"} it does not matter by what the first is multiplied.)` : "";
      return `What no sample sees is multiplied by ${format(c)}. Risk over the risk before: ${format(network, 3)} with depth ${called(depth)}, ${format(linear, 3)} linear: ${verdict}.${balance}`;
    },
  };
})();
