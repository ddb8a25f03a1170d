/* The exact risk of fine-tuning from n samples (thm-exact-risk), the first n that is enough, and one sample. */

"use strict";

(() => {
  const { linearRisk, learningCurve, kit } = LinearTeachers;
  const { format, count, spaced, generator, frame } = kit;
  const DIM = 120;
  const SIZES = [...Array(4 * DIM + 1).keys()];

  /** λᵢ = i^−a, and a gap with λᵢuᵢ² ∝ λᵢ^b whose risk is 1: the larger b, the more it lies where inputs vary. */
  function problem({ exponent, alignment }) {
    const eigenvalues = Float64Array.from({ length: DIM }, (_, k) => (k + 1) ** -exponent);
    const shares = eigenvalues.map((value) => value ** alignment);
    const sum = shares.reduce((a, b) => a + b);
    const gap = shares.map((share, k) => Math.sqrt(share / sum / eigenvalues[k]));
    return { eigenvalues, gap };
  }

  function curve(state) {
    const { eigenvalues, gap } = problem(state);
    return linearRisk(eigenvalues, gap, SIZES, state.ridge, state.noise);
  }

  /** The risk after the first n rows of a normal sample, n = 0 … d. */
  function drawn(state) {
    const { eigenvalues, gap } = problem(state);
    const { normal } = generator(state.seed);
    const X = Array.from({ length: DIM }, () => Array.from(eigenvalues, (value) => Math.sqrt(value) * normal()));
    return learningCurve(eigenvalues, new Float64Array(DIM), gap, X);
  }

  /** The least n from which on the risk is at most ε, up to 4d; and the largest risk on the way. */
  function summary(state) {
    const risks = curve(state);
    const enough = state.target * (1 + 1e-9); // a tie is no matter of rounding
    const above = risks.findLastIndex((risk) => !(risk <= enough));
    const worst = risks.reduce((best, risk, k) => (risk > risks[best] ? k : best), 0);
    return { enough: SIZES[above + 1], worst: SIZES[worst], height: risks[worst] };
  }

  const exact = ({ noise, ridge }) => noise === 0 && ridge === 0;

  LinearTeachers.explorers.risk = {
    knobs: {
      exponent: { label: "variances fall as 1/i to the power", value: 1, min: 0, max: 3, step: 0.1 },
      alignment: {
        label: "gap lies",
        value: 0,
        min: -1,
        max: 2,
        step: 0.1,
        text: (b) => (b < -0.3 ? "where inputs hardly vary" : b > 0.3 ? "where inputs vary most" : "evenly") + ` (${format(b)})`,
      },
      noise: { label: "noise σ", value: 0, min: 0, max: 1, step: 0.05 },
      ridge: { label: "ridge δ", value: 0, values: [0, 0.001, 0.01, 0.1, 0.3, 1, 3, 10, 100, Infinity] },
      target: { label: "risk that is good enough, ε", value: 0.3, min: 0.02, max: 1, step: 0.02 },
    },
    start: { seed: 0 },
    actions: {
      "Draw a sample, without noise and ridge": (state) => ({ ...state, noise: 0, ridge: 0, seed: state.seed + 1 }),
    },
    guess: {
      ask: "Fine-tuning from 40 samples in 120 dimensions; variances fall as 1/i, and the gap costs the same in each direction. What is left of the risk? Move the slider, or tap the picture.",
      knob: { label: "my guess for n = 40", value: 1, min: 0.05, max: 2, step: 0.05, text: (v) => `${format(v)} of the risk before` },
      truth: (state) => curve(state)[40],
      point: (state, n, risk) => risk,
      say: (guess, truth) => `You said ${format(guess)}; it is ${format(truth)}.`,
    },

    picture(state, width) {
      const height = 340;
      const legend = [
        { label: "exact risk", series: 0 },
        ...(exact(state) && state.seed ? [{ label: "one sample", series: 1, dot: true }] : []),
      ];
      const place = frame({
        width,
        height,
        x: { label: "samples n", min: 1, max: 4 * DIM, log: true },
        y: { label: "risk / risk before", min: 0.01, max: 10, log: true },
        legend,
      });
      const { line, dots, text, inside } = place;
      const ends = [1, 4 * DIM];
      let svg = place.axes + line(ends.map((n) => [n, 1]), 0, { dashed: "", kind: "thin faint" });
      svg += text(4 * DIM, 1, "before fine-tuning", { dy: -5, anchor: "end" });
      if (state.open) {
        const risks = curve(state);
        svg += inside(line(SIZES.map((n, k) => [n, risks[k]]).slice(1), 0));
        svg += inside(line(ends.map((n) => [n, state.target]), 0, { dashed: "3 3", kind: "thin faint" }));
        svg += text(1, state.target, "ε", { dx: 4, dy: -4 });
        if (exact(state) && state.seed) {
          const risk = drawn(state);
          const some = [...new Set(spaced(1, DIM - 1, 24, true).map(Math.round))];
          svg += inside(dots(some.map((n) => [n, risk[n]]), 1));
        }
        const { enough } = summary(state);
        if (enough >= 1) svg += inside(dots([[enough, state.target]], 0, 5));
      } else {
        svg += dots([[40, state.guess]], 1, 7) + text(40, state.guess, "my guess", { dx: 11, dy: 18 });
      }
      return { svg, height, frame: place };
    },

    words(state) {
      const { enough, worst, height } = summary(state);
      const wanted = state.target === 1 ? "what it was before" : `${format(state.target)} of what it was before`;
      const needs =
        enough === 0
          ? "The source is good enough as it is."
          : enough === undefined
            ? `With ${4 * DIM} samples the risk is still above ${wanted}.`
            : `From ${count(enough, "sample")} on the risk is at most ${wanted}.`;
      const times = height === Infinity ? "infinite" : `${format(height, 3)} times that of the source as it is`;
      const hurts = height > 1.005 ? ` Fine-tuning can hurt: with ${count(worst, "sample")} the risk is ${times}.` : "";
      const alike = state.exponent === 0 && state.alignment !== 0 ? " (Inputs vary alike in all directions: it does not matter where the gap lies.)" : "";
      return needs + hurts + alike;
    },
  };
})();
