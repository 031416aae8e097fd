"use strict";

// A button with data-copy="<id of a field>" copies the field. It is hidden in the page, as it does nothing without this script.
for (const button of document.querySelectorAll("[data-copy]")) {
    const field = document.getElementById(button.dataset.copy);
    button.hidden = false;
    field.addEventListener("focus", () => field.select());
    button.addEventListener("click", async () => {
        field.select();
        try {
            await navigator.clipboard.writeText(field.value);
        } catch {
            // Browsers have no clipboard without HTTPS, and can refuse it.
            document.execCommand("copy");
        }
        field.dispatchEvent(new Event("copied"));
        for (const shown of [button, ...document.querySelectorAll("[data-copy-status]")]) {
            shown.textContent = button.dataset.copied;
        }
    });
}
