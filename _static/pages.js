// What scrolls sideways says so: its edge fades where more is hidden (custom.css), the keyboard
// reaches it, and screen readers hear what it is. Only while it does scroll.
const KINDS = [
  [".cell_output > .output:has(table), .pst-scrollable-table-container", "region", "Table"],
  ["mjx-container[display='true'], span.math", "group", "Formula"],
  [".proof-content, div.exercise > section, details.solution > section", "group", "Text"],
];

function mark(box) {
  const hidden = box.scrollWidth - box.clientWidth;
  const scrolls = hidden > 2; // a slanted letter leans out by less
  box.classList.toggle("more-left", scrolls && box.scrollLeft > 1);
  box.classList.toggle("more-right", scrolls && box.scrollLeft < hidden - 1);
  if (scrolls) {
    box.tabIndex = 0;
    box.setAttribute("role", box.dataset.role);
    box.setAttribute("aria-label", box.dataset.label);
  } else {
    for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
  }
}

async function watch() {
  await window.MathJax?.startup?.promise;
  const resized = new ResizeObserver(entries => entries.forEach(entry => mark(entry.target)));
  for (const [selector, role, name] of KINDS) {
    document.querySelectorAll(selector).forEach((box, i) => {
      Object.assign(box.dataset, { role, label: `${name} ${i + 1}, scrolls sideways` });
      resized.observe(box);
      box.addEventListener("scroll", () => mark(box), { passive: true });
    });
  }
  // Letters of a formula stand out of their box until their font has come, and the box stays as it is.
  const boxes = document.querySelectorAll(KINDS.map(([selector]) => selector).join());
  document.fonts.addEventListener("loadingdone", () => boxes.forEach(mark));
}

addEventListener("load", watch); // MathJax, deferred, has its promise by then
