// Slides begin once their formulas are set, which needs them to be shown. `?dark` turns the room dark.
if (new URLSearchParams(location.search).has("dark")) document.documentElement.dataset.theme = "dark";

const [WIDTH, HEIGHT, MARGIN] = [1180, 650, 0.075]; // on a screen of 1280 × 720 in its own size
const SIZES = [1, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7]; // of the letters, for slides that hold much

/** The keys that press a button or a link are its own; reveal.js leaves a slider all of its keys. */
function free(event) {
  const pressing = event.key === " " || event.key === "Enter";
  return !(pressing && event.target.closest("button, a, summary"));
}

/** Set a slide in the largest letters with which it fits. */
function fit(slide) {
  for (const size of SIZES) {
    slide.style.fontSize = `${size}em`;
    if (slide.scrollHeight <= HEIGHT && slide.scrollWidth <= WIDTH) break;
  }
}

// A finger that drags something in a picture does not turn the slide.
for (const box of document.querySelectorAll(".explorer")) box.dataset.preventSwipe = "";

addEventListener("load", async () => {
  await window.MathJax?.startup?.promise;
  document.querySelectorAll(".slides > section").forEach(fit);
  document.body.classList.add("fitted");
  await Reveal.initialize({
    width: WIDTH,
    height: HEIGHT,
    margin: MARGIN,
    center: false,
    hash: true,
    slideNumber: "c/t",
    transition: "none",
    keyboardCondition: free,
    plugins: [RevealNotes],
  });
});
