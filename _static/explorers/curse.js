/* The winner's curse: the leave-one-out error of the candidate that has the least, and its true risk (prop-loo). */

"use strict";

(() => {
  const { rowSpace, kit } = LinearTeachers;
  const { format, generator, frame } = kit;
  const [DIM, RIDGE] = [8, 2];

  /** One draw: labels with noise ½ of a target, candidates at the same distance from it, their promises and risks. */
  function draw({ candidates, n }, seed) {
    const { normals } = generator(seed + 1);
    const target = normals(DIM);
    const sources = Array.from({ length: candidates }, () => {
      const away = normals(DIM);
      const length = Math.hypot(...away);
      return target.map((value, i) => value + (2 * away[i]) / length);
    });
    const X = Array.from({ length: n }, () => normals(DIM));
    const noise = normals(n);
    const inner = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
    const square = (errors) => inner(errors, errors);
    const y = X.map((x, i) => inner(x, target) + 0.5 * noise[i]);
    // With A = XᵀX + δI an eight by eight matrix, also where labels are many: one factorisation of the
    // columns of X gives XA⁻¹b for each b; the error without sample i is that with it over 1 − [XA⁻¹Xᵀ]ᵢᵢ.
    const columns = target.map((_, j) => X.map((x) => x[j]));
    const space = rowSpace(columns);
    const nothing = new Float64Array(n);
    const answers = (b) => space.finetune(b, nothing, RIDGE);
    const others = X.map((x, i) => 1 - answers(x)[i]);
    return sources.map((source) => {
      const residual = X.map((x, i) => y[i] - inner(x, source));
      const b = columns.map((column) => inner(column, residual));
      const learned = answers(b);
      const promised = square(residual.map((value, i) => (value - learned[i]) / others[i])) / n;
      const theta = source.map((value, j) => value + (b[j] - inner(columns[j], learned)) / RIDGE);
      return { promised, risk: 0.25 + square(theta.map((value, j) => value - target[j])) };
    });
  }

  const winner = (shelf) => shelf.reduce((best, one) => (one.promised < best.promised ? one : best));

  const known = new Map(); // winners of draws that were made: more draws do not make these again

  function winnerOf({ candidates, n }, seed) {
    const key = `${candidates} ${n} ${seed}`;
    if (!known.has(key)) known.set(key, winner(draw({ candidates, n }, seed)));
    return known.get(key);
  }

  /** The mean promise and the mean true error of the winner, over all draws up to now. */
  function mean(state) {
    const winners = Array.from({ length: state.draws }, (_, k) => winnerOf(state, k));
    const average = (key) => winners.reduce((sum, one) => sum + one[key], 0) / winners.length;
    return { promised: average("promised"), risk: average("risk") };
  }

  LinearTeachers.explorers.curse = {
    knobs: {
      candidates: { label: "candidates", value: 30, values: [1, 2, 5, 10, 30, 100], text: String },
      n: { label: "labels n", value: 10, values: [5, 10, 20, 50, 100], text: String },
    },
    start: { draws: 1 },
    actions: {
      "Draw again": (state) => ({ ...state, draws: state.draws + 1 }),
      "Draw fifty times": (state) => ({ ...state, draws: state.draws + 50 }),
    },
    guess: {
      ask: "Thirty sources, all equally far from the target, and ten labels. Leave-one-out finds the one with the least error. How much of its true error does it promise, in the mean over many draws?",
      knob: { label: "my guess", value: 100, min: 5, max: 150, step: 5, text: (v) => `${v} % of the true error` },
      truth: (state) => {
        const { promised, risk } = mean({ ...state, draws: 200 });
        return (100 * promised) / risk;
      },
      point: (state) => state.guess,
      say: (guess, truth) => `You said ${guess} %; over 200 draws it is ${format(truth)} %.`,
    },

    picture(state, width) {
      const height = 340;
      const place = frame({
        width,
        height,
        x: { label: "error promised by leave-one-out", min: 0.02, max: 20, log: true },
        y: { label: "true error", min: 0.1, max: 20, log: true },
        legend: [
          { label: "candidate", series: 0, dot: true },
          { label: "chosen", series: 1, dot: true },
        ],
      });
      const { line, dots, text, inside } = place;
      let svg = place.axes + line([0.1, 20].map((v) => [v, v]), 0, { dashed: "", kind: "thin faint" });
      svg += text(15, 15, "promise kept", { dx: -8, anchor: "end" });
      if (state.open) {
        const shelf = draw(state, state.draws - 1);
        svg += inside(dots(shelf.map((one) => [one.promised, one.risk]), 0, 4));
        const first = winner(shelf);
        svg += inside(dots([[first.promised, first.risk]], 1, 7));
      }
      return { svg, height, frame: place };
    },

    words(state) {
      const first = winner(draw(state, state.draws - 1));
      const { promised, risk } = mean(state);
      const over = state.draws > 1 ? ` Over ${state.draws} draws it promises ${format(promised)} and has ${format(risk)}.` : "";
      return `The candidate with the least error promises ${format(first.promised)}; its true error is ${format(first.risk)}.${over}`;
    },
  };
})();
