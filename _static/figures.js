// A click on a figure opens it as large as the window. Without this script its link opens the file.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a.enlarge");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return; // a tab of its own
  event.preventDefault();
  link.focus(); // Safari does not by itself; closing returns to what had the focus

  const dialog = document.createElement("dialog");
  dialog.className = "enlarged";
  dialog.ariaLabel = link.ariaLabel.replace("Enlarge figure", "Figure");
  const close = document.createElement("button");
  close.textContent = "×";
  close.ariaLabel = "Close";
  const image = link.parentElement.querySelector("img").cloneNode();
  dialog.append(image, close);
  dialog.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
});
