"use strict";

// Nothing here is needed: without it, every page works by links and forms.
// The block keeps its names apart from those of the project's scripts.
{
  const secret = document.querySelector("[data-secret]");
  let isCopied = !secret;

  for (const form of document.querySelectorAll("form")) {
    // Whoever says that the key is stored may leave.
    form.addEventListener("submit", () => { isCopied = true; });
  }
  for (const field of document.querySelectorAll("[data-secret]")) {
    // The button of copy.js sends "copied", and the browser "copy" for a copy by hand.
    for (const name of ["copied", "copy"]) field.addEventListener(name, () => { isCopied = true; });
  }
  for (const link of document.querySelectorAll("[data-stored]")) link.addEventListener("click", () => { isCopied = true; });
  window.addEventListener("beforeunload", (event) => { if (!isCopied) event.preventDefault(); });

  // A link to a page that asks for confirmation shows this page in a dialog.
  const dialog = document.getElementById("ca-dialog");
  for (const link of dialog ? document.querySelectorAll("a[data-confirm]") : []) {
    link.addEventListener("click", async (event) => {
      // With these keys, the link opens elsewhere.
      if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      try {
        const response = await fetch(link.href, { redirect: "error" });
        if (!response.ok) throw new Error(response.statusText);
        ask(link.href, new DOMParser().parseFromString(await response.text(), "text/html"));
      } catch {
        location.assign(link.href);
      }
    });
  }
  function ask(address, page) {
    const main = page.getElementById("ca-main");
    for (const part of main.querySelectorAll("dialog, #ca-live, .ca-crumbs")) part.remove();
    main.querySelector("h1").id = "ca-dialog-title";
    // The page sends the form to its own address.
    for (const form of main.querySelectorAll("form")) form.action = form.getAttribute("action") || address;
    dialog.querySelector("[data-question]").replaceChildren(...main.childNodes);
    dialog.showModal();
  }

  // A role is saved by a button only: with the arrow keys, a select changes to each of its values on the way.
  for (const select of document.querySelectorAll("select[data-save]")) {
    const button = document.getElementById(select.dataset.save);
    const saved = [...select.options].find((option) => option.defaultSelected);
    const update = () => button.classList.toggle("ca-idle", select.selectedOptions[0] === saved);
    select.addEventListener("change", update);
    update();
  }
  document.querySelector("[data-focus]")?.focus();
  for (const menu of document.querySelectorAll("[data-menu]")) {
    menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      menu.open = false;
      menu.querySelector("summary").focus();
    });
    document.addEventListener("click", (event) => { if (!menu.contains(event.target)) menu.open = false; });
  }
  document.querySelector(".ca-tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
}
