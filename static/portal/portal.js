// What HTML and htmx alone do not do: theme, menus, dialogs, copying, keys. Pages work without it, as whole pages.
(() => {
  "use strict";
  const root = document.documentElement;
  const dialog = document.getElementById("dialog");
  const live = document.getElementById("live");
  const say = (text) => { live.textContent = ""; setTimeout(() => { live.textContent = text; }, 50); };

  // --- light and dark: choosing what the system says anyway means following it again
  function toggleTheme() {
    const wanted = root.dataset.bsTheme === "dark" ? "light" : "dark";
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    const follows = wanted === system;
    const secure = location.protocol === "https:" ? "; secure" : "";
    root.dataset.bsTheme = wanted;
    root.dataset.themeFollows = follows ? "system" : "";
    document.cookie = `theme=${follows ? "" : wanted}; path=/; max-age=${follows ? 0 : 31536000}; samesite=lax${secure}`;
    say(`${wanted === "dark" ? "Dark" : "Light"} colours`);
  }

  // --- dialogs: a link with data-dialog opens its page here; the server sends the part for #dialog
  function openDialog(link) {
    link.setAttribute("aria-busy", "true");
    htmx.ajax("GET", link.href, { target: "#dialog", swap: "innerHTML", source: dialog })
      .finally(() => link.removeAttribute("aria-busy"));
  }
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target !== dialog || !dialog.innerHTML.trim()) return;
    if (!dialog.open) dialog.showModal();
    const first = dialog.querySelector(".is-invalid, [autofocus], .dialog-body input:not([type=hidden]), .dialog-body select, .dialog-body textarea");
    (first || dialog.querySelector("button[type=submit], [data-dialog-close]"))?.focus();
  });
  dialog.addEventListener("close", () => { dialog.replaceChildren(); });

  // --- copying
  async function copy(button) {
    const text = button.dataset.copy;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      area.className = "visually-hidden";
      button.after(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      button.focus();
    }
    const label = button.querySelector("span");
    const before = label.dataset.label || label.textContent;
    label.dataset.label = before;
    label.textContent = "Copied";
    say("Copied");
    setTimeout(() => { label.textContent = before; }, 2000);
  }

  const closeMenus = (except) => {
    for (const menu of document.querySelectorAll("details[data-menu][open]")) if (menu !== except) menu.open = false;
  };

  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    if (!target) return;
    closeMenus(target.closest("details[data-menu]"));
    const link = target.closest("a[data-dialog]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey && window.htmx) {
      event.preventDefault();
      closeMenus();
      openDialog(link);
    }
    if (target.closest("[data-theme-toggle]")) toggleTheme();
    if (target.closest("[data-dialog-close]") || target === dialog) dialog.close();
    if (target.closest("[data-dismiss]")) target.closest(".notice").remove();
    const button = target.closest("[data-copy]");
    if (button) copy(button);
  });

  // --- keys: "/" goes to the search of the account, without one to that of the table, Esc closes menus (dialogs do so by themselves)
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      const open = document.querySelector("details[data-menu][open]");
      if (open) { open.open = false; open.querySelector("summary").focus(); }
    }
    const typing = event.target instanceof Element && event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key !== "/" || typing || dialog.open || event.ctrlKey || event.metaKey || event.altKey) return;
    const search = document.querySelector("[data-account-search]") || document.querySelector("[data-search]");
    if (search) { event.preventDefault(); search.focus(); search.select(); }
  });

  // --- tables: filters that are not in use stay out of the address
  document.addEventListener("htmx:configRequest", (event) => {
    if (!event.target.closest?.("[data-drop-empty]")) return;
    for (const name of Object.keys(event.detail.parameters)) {
      if (event.detail.parameters[name] === "") delete event.detail.parameters[name];
    }
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    const count = event.detail.target.closest?.(".table-part") && document.querySelector(".table-count");
    if (count) say(count.textContent);
  });

  // --- tables: choosing rows; Shift chooses all between the last one and this
  let lastChosen = null;
  const boxesOf = (form) => [...form.elements].filter((element) => element.name === "selected");
  function showSelection(form) {
    const boxes = boxesOf(form);
    const count = boxes.filter((box) => box.checked).length;
    const all = form.querySelector("[data-select-all]");
    all.checked = count > 0 && count === boxes.length;
    all.indeterminate = count > 0 && count < boxes.length;
    form.querySelector(".selection-count").textContent = count ? `${count} selected` : "None selected";
    form.classList.toggle("is-active", count > 0);
    for (const button of form.querySelectorAll("button")) button.disabled = !count;
    for (const box of boxes) box.closest("tr").classList.toggle("is-chosen", box.checked);
  }
  const showSelections = () => { for (const form of document.querySelectorAll("[data-selection]")) showSelection(form); };
  document.addEventListener("click", (event) => {
    const box = event.target;
    const form = box instanceof HTMLInputElement && box.form?.matches("[data-selection]") ? box.form : null;
    if (!form) return;
    const boxes = boxesOf(form);
    if (box.matches("[data-select-all]")) for (const other of boxes) other.checked = box.checked;
    else if (event.shiftKey && boxes.includes(lastChosen)) {
      const [from, to] = [boxes.indexOf(lastChosen), boxes.indexOf(box)].sort((a, b) => a - b);
      for (const other of boxes.slice(from, to + 1)) other.checked = box.checked;
    }
    lastChosen = box;
    showSelection(form);
  });
  document.addEventListener("htmx:afterSettle", showSelections);
  showSelections();

  // --- long tables of inputs: hide the rows that do not hold the words; what was filled in stays, and is sent
  document.addEventListener("input", (event) => {
    const filter = event.target.closest?.("[data-row-filter]");
    if (!filter) return;
    const words = event.target.value.toLowerCase().split(/\s+/);
    for (const row of document.getElementById(filter.dataset.rowFilter).tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word)) && ![...row.querySelectorAll("input")].some((input) => input.value);
    }
  });

  // --- a form that takes its time is sent once, and says that it is at work
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("[data-busy]")) return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "yes";
    setTimeout(() => { form.querySelector("[data-busy-state]").hidden = !form.dataset.sent; }, 400);
  });
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("[data-busy]")) {
      delete form.dataset.sent;
      form.querySelector("[data-busy-state]").hidden = true;
    }
  });

  // --- what htmx could not get
  function fail(text) {
    const notice = document.createElement("div");
    notice.className = "notice tone-bad";
    notice.setAttribute("role", "alert");
    notice.textContent = text;
    (dialog.open ? dialog : document.getElementById("messages")).prepend(notice);
  }
  document.addEventListener("htmx:sendError", () => fail("The server cannot be reached. Check the connection and try again."));
  document.addEventListener("htmx:responseError", (event) => {
    if (event.detail.xhr.status >= 500) fail("Something went wrong on the server. Nothing was changed; try again in a moment.");
  });
})();
