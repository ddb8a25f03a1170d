/* Two peaks of fine-tuning on noisy labels: all weights at n = d, a frozen adapter at n = h (prop-adapter-risk). */

"use strict";

(() => {
  const { linearRisk, adapterRisk, kit } = LinearTeachers;
  const { format, count, frame } = kit;
  const DIM = 100;
  const SIZES = Array.from({ length: 400 }, (_, k) => k / 2 + 0.5);
  const EIGENVALUES = new Float64Array(DIM).fill(1);
  const GAP = new Float64Array(DIM).fill(DIM ** -0.5); // so the risk before is 1

  const all = (n, { noise, ridge }) => linearRisk(EIGENVALUES, GAP, n, ridge, noise);
  const adapter = (n, { rank, noise }) => adapterRisk(EIGENVALUES, GAP, n, rank, noise);

  LinearTeachers.explorers.peaks = {
    knobs: {
      n: { label: "samples n", value: 30, min: 1, max: 199, step: 1 },
      rank: { label: "rank h of the adapter", value: 40, min: 5, max: 95, step: 1 },
      noise: { label: "noise σ (the gap's risk is 1)", value: 0.3, min: 0, max: 1, step: 0.05 },
      ridge: { label: "ridge δ for all weights", value: 0, values: [0, 0.1, 1, 3, 10, 30, 100, 300] },
    },
    guess: {
      ask: "Inputs of 100 dimensions, an adapter of rank 40 whose random input side is frozen, noisy labels. With how many samples is it worst? Move the slider, or tap the picture.",
      knob: { label: "my guess: worst at n =", value: 100, min: 1, max: 199, step: 1, text: String },
      truth: ({ rank }) => rank,
      point: (state, n) => n,
      say: (guess, truth) => `You said ${guess}; it is ${truth}, the adapter's rank.`,
    },

    picture(state, width) {
      const height = 340;
      const place = frame({
        width,
        height,
        x: { label: "samples n", min: 0, max: 200 },
        y: { label: "risk / risk before", min: 0.02, max: 20, log: true },
        legend: [
          { label: "all weights", series: 0 },
          { label: "frozen adapter", series: 1 },
        ],
      });
      const { line, dots, text, inside } = place;
      const upright = (n) => [0.02, 20].map((risk) => [n, risk]);
      let svg = place.axes + line([0, 200].map((n) => [n, 1]), 0, { dashed: "", kind: "thin faint" });
      svg += text(200, 1, "as it is", { dy: -5, anchor: "end" });
      if (state.open) {
        const risks = all(SIZES, state);
        svg += inside(line(SIZES.map((n, k) => [n, risks[k]]), 0));
        svg += inside(line(SIZES.map((n) => [n, adapter(n, state)]), 1));
        svg += line(upright(state.n), 0, { dashed: "3 3", kind: "thin faint" });
        svg += inside(dots([[state.n, all(state.n, state)]], 0, 5) + dots([[state.n, adapter(state.n, state)]], 1, 5));
      } else {
        svg += line(upright(state.guess), 1, { dashed: "" }) + text(state.guess, 10, "my guess", { dx: 6 });
      }
      return { svg, height, frame: place };
    },

    words(state) {
      const [full, thin] = [all(state.n, state), adapter(state.n, state)];
      const better = Math.min(full, thin);
      const alike = Math.abs(full - thin) < 0.01 * better;
      const which = better >= 1 ? "The source as it is would be better than either." : alike ? "Both do alike." : full < thin ? "All weights do better." : "The adapter does better.";
      const said = (risk) => (risk === Infinity ? "infinite" : format(risk, 3));
      return `Risk over the risk before, with ${count(state.n, "sample")}: ${said(full)} if all weights are trained, ${said(thin)} with the frozen adapter. ${which}`;
    },
  };
})();
