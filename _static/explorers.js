/* The formulas of the book, to be computed where they are read: one global, LinearTeachers.

A classic script without dependencies, which neither draws nor prints: a page loads it as it is, also
from a file, and Node takes it as a module. Each function gives the numbers of the function of
the same name in the Python library, to a relative 1e-9; tests/test_explorers.py holds it to that.

Spectra are λ₁ ≥ λ₂ ≥ … ≥ 0, and vectors are given along their eigenvectors. Arrays are lists of numbers
or typed arrays. Bad input throws a RangeError or TypeError that names the argument. */

"use strict";

(() => {
  // ------------------------------------------------------------------------- arguments, at the edge

  function amount(name, value, { least = 0, infinite = false } = {}) {
    if (typeof value !== "number") throw new TypeError(`${name} must be a number, got ${typeof value}`);
    if (!(value >= least) || (value === Infinity && !infinite)) {
      throw new RangeError(`${name} must be at least ${least}${infinite ? "" : " and finite"}, got ${value}`);
    }
    return value;
  }

  function vector(name, values, length = values?.length) {
    if (!Array.isArray(values) && !ArrayBuffer.isView(values)) throw new TypeError(`${name} must be an array`);
    if (values.length !== length) throw new RangeError(`${name} must have ${length} entries, got ${values.length}`);
    for (let i = 0; i < length; i++) {
      if (!Number.isFinite(values[i])) throw new RangeError(`${name} must have finite entries, got ${values[i]}`);
    }
    return values;
  }

  function spectrum(values) {
    vector("eigenvalues", values);
    for (let i = 0; i < values.length; i++) {
      if (values[i] < 0 || values[i] > values[i - 1]) {
        throw new RangeError("eigenvalues must be non-negative and in descending order");
      }
    }
    return values;
  }

  function matrix(name, rows, width) {
    if (!Array.isArray(rows)) throw new TypeError(`${name} must be an array of rows`);
    for (const row of rows) vector(name, row, width);
    return rows;
  }

  function depthOf(depth) {
    if (depth !== Infinity && !(Number.isInteger(depth) && depth >= 1)) {
      throw new RangeError(`depth must be an integer of at least 1, or Infinity, got ${depth}`);
    }
    return depth;
  }

  /** A function of one n, of many: each is solved from where the last one ended. */
  function each(n, one) {
    if (typeof n === "number") return one(amount("n", n));
    vector("n", n);
    return Array.from(n, (size) => one(amount("n", size)));
  }

  const dot = (a, b) => {
    let sum = 0;
    for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
    return sum;
  };

  // ------------------------------------------------------------------- the level that n samples see

  const rankOf = (eigenvalues) => {
    let rank = eigenvalues.length;
    while (rank > 0 && eigenvalues[rank - 1] === 0) rank--;
    return rank;
  };

  /** Solve Σᵢ λᵢ/(λᵢ + κ) + δ/κ = n for log κ: Newton's method on the logarithm of the left side, which
   * is nearly linear where it is a power of κ, and bisection where that would leave the bracket. */
  class Levels {
    constructor(eigenvalues) {
      this.values = Float64Array.from(eigenvalues);
      this.rank = rankOf(eigenvalues);
      this.trace = this.values.reduce((sum, value) => sum + value, 0);
      this.last = 0; // log κ of the last call, a good place to begin the next
    }

    kappa(n, ridge) {
      if (n === 0 || ridge === Infinity) return Infinity;
      if (ridge === 0 && n >= this.rank) return 0;
      // The left side is at most (Σᵢ λᵢ + δ)/κ, and at least j λ_j/(λ_j + κ) for each j, and δ/κ.
      const j = Math.min(Math.floor(n) + 1, this.rank);
      const below = j > n ? (this.values[j - 1] * (j - n)) / n : 0;
      let low = Math.log(Math.max(below, ridge / n)) - 0.1;
      let high = Math.log((this.trace + ridge) / n) + 0.1;
      let x = low < this.last && this.last < high ? this.last : (low + high) / 2;
      for (let step = 0; step < 200; step++) {
        const [excess, slope] = this.excess(Math.exp(x), n, ridge);
        if (excess > 0) low = x;
        else high = x;
        let next = x - (Math.log1p(excess / n) * (excess + n)) / slope;
        if (!(low <= next && next <= high)) next = (low + high) / 2;
        const moved = Math.abs(next - x);
        x = next;
        if (moved <= 1e-15 * Math.max(Math.abs(x), 1)) break;
        if (moved < 1e-8 && step > 0) break; // Newton's method squares what is left
      }
      this.last = x;
      return Math.exp(x);
    }

    /** The left side minus n, and its slope in log κ. The eigenvalues above κ are counted, and only what
     * each lacks of 1 is summed: so nothing is rounded off where n is near a whole number. */
    excess(kappa, n, ridge) {
      const { values, rank } = this;
      let [sum, slope, above] = [0, 0, 0];
      for (; above < rank && values[above] > kappa; above++) {
        const unseen = kappa / (values[above] + kappa);
        sum -= unseen;
        slope -= unseen - unseen * unseen;
      }
      for (let i = above; i < rank; i++) {
        const seen = values[i] / (values[i] + kappa);
        sum += seen;
        slope -= seen - seen * seen;
      }
      return [above - n + sum + ridge / kappa, slope - ridge / kappa];
    }

    /** What n samples see: κ, df₂ = Σᵢ sᵢ², and n − df₂ = Σᵢ sᵢrᵢ + δ/κ, without the subtraction. */
    at(n, ridge = 0) {
      const kappa = this.kappa(n, ridge);
      const { values, rank } = this;
      if (kappa === Infinity) return { n, kappa, df2: 0, spare: n };
      if (kappa === 0) return { n, kappa, df2: rank, spare: n - rank };
      let [df2, spare] = [0, ridge / kappa];
      for (let i = 0; i < rank; i++) {
        const whole = values[i] + kappa;
        const seen = values[i] / whole;
        df2 += seen * seen;
        spare += (seen * kappa) / whole;
      }
      return { n, kappa, df2, spare };
    }

    /** Σᵢ sᵢeᵢ. */
    seen({ kappa }, energies) {
      const { values, rank } = this;
      if (kappa === Infinity) return 0;
      let sum = 0;
      for (let i = 0; i < rank; i++) sum += (values[i] / (values[i] + kappa)) * energies[i];
      return sum;
    }

    /** Σᵢ λᵢrᵢ^p eᵢ: with p = 2 the bias; with p = 1 what as many random features miss. */
    unseen({ kappa }, energies, power) {
      const { values, rank } = this;
      let sum = 0;
      for (let i = 0; i < rank; i++) {
        const rest = kappa === Infinity ? 1 : kappa / (values[i] + kappa);
        sum += values[i] * (power === 2 ? rest * rest : rest) * energies[i];
      }
      return sum;
    }

    /** E R = (bias + σ²)/(1 − df₂/n) − σ², as bias + df₂ (bias + σ²)/(n − df₂). */
    risk(level, energies, noise) {
      const bias = this.unseen(level, energies, 2);
      const all = bias + noise * noise;
      return all === 0 || level.df2 === 0 ? bias : bias + (level.df2 * all) / level.spare;
    }
  }

  const squares = (vector) => Float64Array.from(vector, (value) => value * value);

  /**
   * κ, the solution of Σᵢ λᵢ/(λᵢ + κ) + δ/κ = n: the level above which n samples see.
   *
   * @param {number[]} eigenvalues λ (d), non-negative, in descending order.
   * @param {number} n Samples, at least 0; need not be whole.
   * @param {number} [ridge] δ ≥ 0; Infinity is allowed.
   * @returns {number} κ in the units of λ: Infinity without data, 0 without ridge and with n ≥ rank.
   * Cost: some five passes over the eigenvalues. Source: thm-exact-risk.
   */
  function effectiveRidge(eigenvalues, n, ridge = 0) {
    const levels = new Levels(spectrum(eigenvalues));
    return levels.kappa(amount("n", n), amount("ridge", ridge, { infinite: true }));
  }

  /**
   * The exact risk of fine-tuning on n samples: (κ² Σᵢ λᵢuᵢ²/(λᵢ + κ)² + σ²)/(1 − df₂/n) − σ².
   *
   * @param {number[]} eigenvalues λ (d).
   * @param {number[]} gap u = θ_T − θ_S (d).
   * @param {number|number[]} n Samples, one number or many.
   * @param {number} [ridge] δ ≥ 0, towards the source; Infinity stays there.
   * @param {number} [noise] σ ≥ 0, the standard deviation of the labels' noise.
   * @returns {number|number[]} As n. Infinity at the peak: no ridge, noise, n the rank.
   * Cost: some four passes over the eigenvalues for each n. Source: thm-exact-risk.
   */
  function linearRisk(eigenvalues, gap, n, ridge = 0, noise = 0) {
    const levels = new Levels(spectrum(eigenvalues));
    const energies = squares(vector("gap", gap, eigenvalues.length));
    amount("ridge", ridge, { infinite: true });
    amount("noise", noise);
    return each(n, (size) => levels.risk(levels.at(size, ridge), energies, noise));
  }

  /**
   * n(ε): the least whole n from which on the exact risk, without noise or ridge, is at most ε.
   *
   * @param {number[]} eigenvalues λ (d).
   * @param {number[]} gap u (d).
   * @param {number} risk ε ≥ 0, understood up to a relative 1e-12.
   * @returns {number} At most the number of positive eigenvalues.
   * Cost: four passes for each n below the rank, from there down to the answer. Source: thm-exact-risk.
   */
  function sampleComplexity(eigenvalues, gap, risk) {
    const levels = new Levels(spectrum(eigenvalues));
    const energies = squares(vector("gap", gap, eigenvalues.length));
    const enough = amount("risk", risk) * (1 + 1e-12);
    let n = levels.rank;
    while (n > 0 && levels.risk(levels.at(n - 1), energies, 0) <= enough) n--;
    return n;
  }

  // ----------------------------------------------------------------------------------------- depth

  /** log(share · e^exponent + rest), for share + rest = 1. */
  function logMean(exponent, share, rest) {
    if (exponent > 30) return exponent + Math.log(share + rest * Math.exp(-exponent));
    const growth = share * Math.expm1(exponent);
    return growth > -0.5 ? Math.log1p(growth) : Math.log(share * Math.exp(exponent) + rest);
  }

  /** The root of a monotone function between two points at which it has two signs, by bisection. */
  function root(f, a, b) {
    let [low, high] = f(a) <= f(b) ? [a, b] : [b, a];
    for (let step = 0; step < 200; step++) {
      const middle = (low + high) / 2;
      if (middle === low || middle === high) break;
      if (f(middle) < 0) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  }

  /**
   * c: by how much fine-tuning a deep linear network multiplies what the samples do not see.
   *
   * @param {{seen: number, unseen: number, learned: number}} parts ‖P_∥θ_S‖², ‖P_⊥θ_S‖² and ‖P_∥θ_T‖².
   * @param {number|number[]} depth L, for layers that are balanced: a whole number, or Infinity. Or a
   *   number ζ_j = (η_j/v_j²)/(η₁/‖W₁‖²) ≥ 0 for each layer j = 2, …, L: how fast it grows, relative to
   *   its size, as the first grows by one part in two; 1 is balanced, 0 frozen.
   * @returns {number} c ≥ 0. For layers that may change their sign there is no formula: do not ask.
   * Cost: a hundred evaluations of one equation. Source: thm-deep-bias, thm-deep-limit, thm-layers.
   */
  function layerScale({ seen, unseen, learned }, depth) {
    amount("seen", seen);
    amount("unseen", unseen);
    amount("learned", learned);
    const total = seen + unseen || 1; // a zero source is for depth 1 only, where c = 1 in any case
    const nothing = 1e-128; // the share that stands for none, so that logarithms stay finite
    const [s, t] = [Math.max(seen / total, nothing), Math.max(learned / total, nothing)];
    const ratio = Math.log(t / s) / 2;
    const rest = unseen / total;
    if (typeof depth === "number") {
      const inverse = 1 / depthOf(depth);
      const equation = (x) => 2 * inverse * x - logMean(2 * (ratio - (1 - inverse) * x), s, rest);
      return Math.exp((1 - inverse) * root(equation, 0, 2 * ratio));
    }
    const speeds = vector("depth", depth);
    for (const speed of speeds) amount("depth", speed);
    if (speeds.length === 0) return 1;
    // In the logarithm of the factor that changes most: the others are weighted means of it and 1.
    const fastest = Math.max(...speeds);
    const ahead = Math.max((fastest - 1) * s - rest, 0);
    const pairs = [[1, ahead]];
    for (const speed of speeds) pairs.push([speed * s, ahead > 0 ? (fastest - speed) * s : rest + (1 - speed) * s]);
    const means = (x) => pairs.map(([share, other]) => logMean(x, share / (1 + ahead), other / (1 + ahead)));
    const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
    const end = root((x) => sum(means(x)) - 2 * ratio, 0, 2.2 * ratio);
    return Math.exp(sum(means(end).slice(1)) / 2);
  }

  /**
   * The exact risk of fine-tuning a balanced deep linear network on n samples to zero loss.
   *
   * @param {number[]} eigenvalues λ (d).
   * @param {number[]} source θ_S (d), not zero if depth is above 1.
   * @param {number[]} target θ_T (d).
   * @param {number|number[]} n Samples, one number or many.
   * @param {number} depth L ≥ 1, or Infinity. Depth 1 is linearRisk.
   * @returns {number|number[]} As n. Cost: as linearRisk. Source: thm-deep-exact.
   */
  function deepLinearRisk(eigenvalues, source, target, n, depth) {
    const levels = new Levels(spectrum(eigenvalues));
    vector("source", source, eigenvalues.length);
    vector("target", target, eigenvalues.length);
    const felt = Float64Array.from(source, (value, i) => value * eigenvalues[i]);
    const [energy, length] = [dot(felt, source), dot(source, source)];
    if (depthOf(depth) === 1) {
      const gap = Float64Array.from(target, (value, i) => value - source[i]);
      return linearRisk(eigenvalues, gap, n);
    }
    if (length === 0 || (depth === Infinity && energy === 0)) {
      throw new RangeError("source must not be zero where depth is above 1, nor unseen where it is infinite");
    }
    // The target is hθ_S + w with w least as Σ measures it: no cancellation where c is near h.
    const height = energy > 0 ? dot(felt, target) / energy : 0;
    const rest = Float64Array.from(target, (value, i) => value - height * source[i]);
    const parts = [squares(rest), rest.map((value, i) => value * source[i]), squares(source)];
    const teachers = [squares(source), squares(target)];
    return each(n, (size) => {
      const level = levels.at(size);
      const [seen, learned] = teachers.map((energies) => levels.seen(level, energies) / length);
      const c = layerScale({ seen: Math.min(seen, 1), unseen: Math.max(1 - seen, 0), learned }, depth);
      const [own, cross, along] = parts.map((energies) => levels.risk(level, energies, 0));
      return Math.max(own + (height - c) * (2 * cross + (height - c) * along), 0);
    });
  }

  // -------------------------------------------------------------------------------------- adapters

  /**
   * E R/‖u‖² of an adapter whose random input side is frozen, for isotropic normal inputs; exact.
   *
   * @param {number} dim d ≥ 1.
   * @param {number} n Samples, whole, below d.
   * @param {number} rank Columns h, whole.
   * @returns {number} Infinity where n and h differ by at most 1. Cost: O(1). Source: thm-lora.
   */
  function frozenRisk(dim, n, rank) {
    for (const [name, value, least] of [["dim", dim, 1], ["n", n, 0], ["rank", rank, 0]]) {
      if (!Number.isInteger(amount(name, value, { least }))) throw new RangeError(`${name} must be whole, got ${value}`);
    }
    if (n >= dim) throw new RangeError(`n must be below dim = ${dim}, got ${n}`);
    const [few, many] = [Math.min(n, rank), Math.max(n, rank)];
    if (few === 0) return 1;
    return many - few > 1 ? ((1 - few / dim) * (many - 1)) / (many - few - 1) : Infinity;
  }

  /**
   * The risk of an adapter whose random input side is frozen, for any spectrum and noisy labels.
   *
   * @param {number[]} eigenvalues λ (d).
   * @param {number[]} gap u (d).
   * @param {number} n Samples.
   * @param {number} rank Columns h.
   * @param {number} [noise] σ ≥ 0.
   * @returns {number} Infinity at h = n below the rank of Σ. Cost: as linearRisk. Source: prop-adapter-risk.
   */
  function adapterRisk(eigenvalues, gap, n, rank, noise = 0) {
    const levels = new Levels(spectrum(eigenvalues));
    const energies = squares(vector("gap", gap, eigenvalues.length));
    amount("noise", noise);
    const few = Math.min(amount("n", n), amount("rank", rank));
    if (few >= levels.rank) return levels.risk(levels.at(n), energies, noise);
    const level = levels.at(few);
    const missing = levels.unseen(level, energies, 1);
    const loss = few * (missing + noise * noise);
    const price = loss > 0 ? loss / Math.abs(n - rank) : 0;
    return (rank > n ? levels.risk(level, energies, noise) : missing) + price;
  }

  // -------------------------------------------------------------------------------- one small sample

  /**
   * The risk after the first 0, 1, …, n rows of a sample, from one orthogonalisation.
   *
   * @param {number[]} eigenvalues λ (d).
   * @param {number[]} source θ_S (d).
   * @param {number[]} target θ_T (d), whose labels the sample has.
   * @param {number[][]} X The rows (n, d).
   * @returns {Float64Array} Risks (n + 1). Rows in the span of earlier ones teach nothing.
   * Cost: 4n²d. Source: thm-linear-bias.
   */
  function learningCurve(eigenvalues, source, target, X) {
    spectrum(eigenvalues);
    const dim = eigenvalues.length;
    vector("source", source, dim);
    vector("target", target, dim);
    const without = (v, q) => {
      const inside = dot(v, q);
      for (let i = 0; i < dim; i++) v[i] -= inside * q[i];
      return inside;
    };
    const basis = [];
    const rows = [0]; // how many basis vectors the first k rows have
    for (const row of matrix("X", X, dim)) {
      const q = Float64Array.from(row);
      const before = Math.sqrt(dot(q, q));
      for (let pass = 0; pass < 2; pass++) for (const other of basis) without(q, other);
      const length = Math.sqrt(dot(q, q));
      if (length > 1e-12 * before) basis.push(q.map((value) => value / length)); // else rounding
      rows.push(basis.length);
    }
    // What is left after k vectors is the rest and the parts along all later ones: added from the end,
    // small risks keep their digits.
    const left = Float64Array.from(target, (value, i) => value - source[i]);
    const parts = basis.map((q) => without(left, q));
    for (const q of basis) without(left, q);
    const risk = () => left.reduce((sum, value, i) => sum + eigenvalues[i] * value * value, 0);
    const risks = [risk()];
    for (let k = basis.length - 1; k >= 0; k--) {
      for (let i = 0; i < dim; i++) left[i] += parts[k] * basis[k][i];
      risks.push(risk());
    }
    return Float64Array.from(rows, (k) => risks[basis.length - k]);
  }

  /**
   * The row space of a small sample, factorised once, with the verbs that fine-tune on it.
   *
   * Rotations make the rows orthogonal, GX = Y (Jacobi's method from one side): then X⁺ and every ridge
   * are sums over the rows of Y, whatever the rank.
   *
   * @param {number[][]} X Inputs (n, d), any rank; at most some hundred rows.
   * @returns {{finetune: function, leaveOneOut: function}} See the functions of the same names.
   * Cost: some ten sweeps of n²(n + d). Source: thm-linear-bias.
   */
  function rowSpace(X) {
    const n = matrix("X", X, X?.[0]?.length).length;
    const dim = n ? X[0].length : 0;
    const Y = X.map((row) => Float64Array.from(row));
    const G = X.map((_, i) => Float64Array.from(X, (_, j) => Number(i === j)));
    const turn = (a, b, cosine, sine) => {
      for (let k = 0; k < a.length; k++) [a[k], b[k]] = [cosine * a[k] - sine * b[k], sine * a[k] + cosine * b[k]];
    };
    const floor = 1e-30 * Math.max(...Y.map((row) => dot(row, row)), 0); // below it rows are rounding errors
    for (let sweep = 0, turned = true; turned && sweep < 40; sweep++) {
      turned = false;
      for (let i = 0; i < n; i++) {
        for (let j = i + 1; j < n; j++) {
          const [a, b, mixed] = [dot(Y[i], Y[i]), dot(Y[j], Y[j]), dot(Y[i], Y[j])];
          if (Math.abs(mixed) <= 1e-15 * Math.sqrt(a * b) || Math.min(a, b) <= floor) continue;
          const half = (b - a) / (2 * mixed);
          const tangent = (half < 0 ? -1 : 1) / (Math.abs(half) + Math.hypot(1, half));
          const cosine = 1 / Math.hypot(1, tangent);
          turn(Y[i], Y[j], cosine, cosine * tangent);
          turn(G[i], G[j], cosine, cosine * tangent);
          turned = true;
        }
      }
    }
    const lengths = Y.map((row) => dot(row, row));
    const smallest = 1e-26 * Math.max(...lengths, 0);
    const rotated = (residual) => G.map((row) => dot(row, residual));
    const residualOf = (y, source) => {
      vector("y", y, n);
      vector("source", source, dim);
      return Float64Array.from(X, (row, i) => y[i] - dot(row, source));
    };

    return {
      finetune(y, source, ridge = 0) {
        amount("ridge", ridge, { infinite: true });
        const theta = Float64Array.from(vector("source", source));
        const answers = rotated(residualOf(y, source));
        for (let k = 0; k < n; k++) {
          const step = lengths[k] > smallest ? answers[k] / (lengths[k] + ridge) : 0;
          for (let i = 0; i < dim; i++) theta[i] += step * Y[k][i];
        }
        return theta;
      },
      leaveOneOut(y, source, ridge) {
        if (amount("ridge", ridge) === 0) throw new RangeError("ridge must be above 0");
        const answers = rotated(residualOf(y, source));
        const weights = lengths.map((length) => 1 / (length + ridge));
        return Float64Array.from(X, (_, i) => {
          let [error, share] = [0, 0];
          for (let k = 0; k < n; k++) {
            error += G[k][i] * weights[k] * answers[k];
            share += G[k][i] * G[k][i] * weights[k];
          }
          return error / share;
        });
      },
    };
  }

  /**
   * Where gradient descent ends, θ_S + X⁺(y − Xθ_S), or with a ridge δ towards the source.
   *
   * @param {number[][]} X Inputs (n, d).
   * @param {number[]} y Labels (n).
   * @param {number[]} source θ_S (d).
   * @param {number} [ridge] δ ≥ 0; Infinity stays at the source.
   * @returns {Float64Array} θ (d). Cost: that of rowSpace. Source: thm-linear-bias.
   */
  const finetune = (X, y, source, ridge = 0) => rowSpace(X).finetune(y, source, ridge);

  /**
   * The error on each sample after fine-tuning on the others, with a ridge: [K_δ⁻¹ỹ]ᵢ/[K_δ⁻¹]ᵢᵢ.
   *
   * @param {number[][]} X Inputs (n, d).
   * @param {number[]} y Labels (n).
   * @param {number[]} source θ_S (d).
   * @param {number} ridge δ > 0.
   * @returns {Float64Array} Errors (n). Cost: that of rowSpace. Source: prop-loo.
   */
  const leaveOneOut = (X, y, source, ridge) => rowSpace(X).leaveOneOut(y, source, ridge);

  globalThis.LinearTeachers = {
    effectiveRidge,
    linearRisk,
    sampleComplexity,
    layerScale,
    deepLinearRisk,
    frozenRisk,
    adapterRisk,
    learningCurve,
    rowSpace,
    finetune,
    leaveOneOut,
  };
  if (typeof module !== "undefined") module.exports = globalThis.LinearTeachers;
})();
