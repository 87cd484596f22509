// What the pages do beyond plain links and forms. Every one of them works without it.
"use strict";

// "/" goes to the question; from a page without one, to the page that asks.
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea, [contenteditable]");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const question = document.querySelector("[data-question]");
  const asks = document.querySelector('nav a[href*="/ask"]');
  if (question) {
    question.focus();
    question.select();
  } else if (asks) {
    asks.click();
  } else {
    return;
  }
  event.preventDefault();
});

// Pin and importance change in their place, so that the page stays where it is.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches("[data-in-place]")) return;
  event.preventDefault();
  const actions = form.closest("[data-actions]");
  actions.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      body: new URLSearchParams(new FormData(form)),
      headers: { "X-Inspector-Part": "actions" },
      redirect: "error",
    });
    if (!answer.ok) throw new Error(`answered ${answer.status}`);
    const made = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = made.querySelector("[data-actions]");
    const place = [...actions.querySelectorAll("button, input, a")].indexOf(document.activeElement);
    actions.replaceWith(fresh);
    const again = [...fresh.querySelectorAll("button, input, a")][place];
    if (again) again.focus();
  } catch {
    // The page that says what is wrong is the form's own answer.
    actions.removeAttribute("aria-busy");
    form.submit();
  }
});

// The same row in every column of a comparison.
for (const happens of ["mouseover", "focusin", "mouseout", "focusout"]) {
  document.addEventListener(happens, (event) => {
    const one = event.target.closest?.("[data-same]");
    if (!one) return;
    const name = CSS.escape(one.dataset.same);
    for (const same of document.querySelectorAll(`[data-same="${name}"]`)) {
      same.classList.toggle("same", happens === "mouseover" || happens === "focusin");
    }
  });
}

// A choice in a form of filters counts at once.
document.addEventListener("change", (event) => {
  const form = event.target.closest("form");
  if (form && event.target.matches(".filters select, .filters [type=checkbox]")) form.requestSubmit();
});
