/* A list of answers becomes a question: what follows is veiled until one of them is chosen, or none wanted.

The list is in an admonition of class `guess`. What is veiled is what comes next on the page: the first
figures and tables and the words that say what they show, or all up to the next heading. Nothing is
stored or sent. */

"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const button = (label) => {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "guess-button";
    made.textContent = label;
    return made;
  };

  /** What tells the answer: the first outputs that stand together, and the words up to the next cell or box. */
  function answer(box) {
    const found = [];
    let [shown, told] = [false, false];
    for (let next = box.nextElementSibling; next; next = next.nextElementSibling) {
      const cell = next.matches(".cell");
      if (next.matches("section, h1, h2, h3, .guess")) break;
      if ((told && cell) || (shown && next.matches(".admonition"))) break;
      found.push(next);
      told ||= shown && !cell;
      shown ||= next.querySelector(".cell_output") !== null;
    }
    return found;
  }

  for (const box of document.querySelectorAll(".guess.admonition")) {
    const [list, veiled] = [box.querySelector("ul"), answer(box)];
    const said = document.createElement("p");
    said.setAttribute("tabindex", "-1");

    const items = [...list.children].map((item) => ({ item, words: item.textContent.trim() }));
    const skip = button("Show it without a guess");

    const show = (guess) => {
      for (const { item, words } of items) item.textContent = words === guess ? `${words} (your guess)` : words;
      for (const element of veiled) {
        element.classList.remove("veiled");
        element.inert = false;
      }
      skip.remove();
      said.textContent = guess ? `You said: ${guess}. Read on and see.` : "Read on and see.";
    };
    const answered = (guess) => {
      show(guess);
      said.focus({ preventScroll: true }); // the button that was pressed is gone
    };
    for (const { item, words } of items) {
      const choice = button(words);
      choice.addEventListener("click", () => answered(words));
      item.replaceChildren(choice);
    }
    skip.addEventListener("click", () => answered());
    list.after(skip, said);
    for (const element of veiled) {
      element.classList.add("veiled");
      element.inert = true; // neither the keyboard nor a screen reader goes there
    }
    // Who comes by a link, or searches, wants to see what is there.
    const wanted = () => location.hash && veiled.some((e) => e.matches(location.hash) || e.querySelector(location.hash));
    if (wanted()) show();
    window.addEventListener("hashchange", () => wanted() && show());
  }
});
