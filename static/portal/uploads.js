// The file inbox with script: files chosen or dropped are sent one after the other, each with its progress and result.
(() => {
  "use strict";
  const form = document.querySelector("[data-upload]");
  const input = form.querySelector("input[type=file]");
  const zone = form.querySelector("[data-upload-zone]");
  const results = document.querySelector("[data-upload-results]");
  const list = results.querySelector("ul");
  const tally = results.querySelector("[data-upload-tally]");
  const waiting = [];
  let busy = false;

  function addRow(name) {
    const row = document.createElement("li");
    row.className = "panel";
    const heading = document.createElement("h3");
    heading.className = "upload-name";
    heading.textContent = name;
    const bar = document.createElement("progress");
    bar.setAttribute("aria-label", `Sending ${name}`);
    bar.value = 0;
    row.append(heading, bar);
    list.append(row);
    return row;
  }

  function fail(row, text) {
    row.querySelector("progress")?.remove();
    const line = document.createElement("p");
    line.className = "text-bad";
    line.textContent = text;
    row.append(line);
  }

  function send({ file, row, dryRun }) {
    return new Promise((done) => {
      const body = new FormData();
      body.append("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
      if (dryRun) body.append("dry_run", "1");
      body.append("files", file, file.name);
      const request = new XMLHttpRequest();
      const bar = row.querySelector("progress");
      request.upload.addEventListener("progress", (event) => {
        // All is sent, but not yet read: how long that takes, the browser does not know.
        if (event.loaded < event.total) bar.value = event.loaded / event.total;
        else bar.removeAttribute("value");
      });
      request.addEventListener("load", () => {
        const elsewhere = request.getResponseHeader("HX-Redirect");
        if (elsewhere) { location.href = elsewhere; return; }
        if (request.status === 200) {
          const part = document.createElement("template");
          part.innerHTML = request.responseText;
          const told = part.content.querySelector("li");
          if (told) row.replaceWith(told);
          else fail(row, "The server did not say what became of it. Reload this page, and see the list below.");
        } else if (request.status === 413) fail(row, "The file is too large. Nothing was changed.");
        else if (request.status === 403) fail(row, "You may not upload files here any more. Reload this page.");
        else fail(row, "Something went wrong on the server. Upload this file again: what was applied is not applied twice.");
        done();
      });
      request.addEventListener("error", () => {
        fail(row, "The file could not be sent. If it is still where it was, upload it again: nothing is applied twice.");
        done();
      });
      request.open("POST", form.action);
      request.setRequestHeader("HX-Request", "true");
      request.send(body);
    });
  }

  // "15 files: 7 Applied · 6 Refused · 2 to be sent"
  function count() {
    const counts = new Map();
    for (const row of list.children) {
      const said = row.querySelector(".badge")?.textContent.trim() ?? (row.querySelector("progress") ? "to be sent" : "not sent");
      counts.set(said, (counts.get(said) ?? 0) + 1);
    }
    const total = list.children.length;
    const parts = [...counts].map(([said, number]) => `${number} ${said}`);
    tally.textContent = `${total} ${total === 1 ? "file" : "files"}: ${parts.join(" · ")}`;
  }

  async function work() {
    if (busy) return;
    busy = true;
    while (waiting.length) {
      count();
      await send(waiting.shift());
    }
    count();
    busy = false;
    const table = document.querySelector(".table-part");
    if (table) htmx.ajax("GET", location.href, { target: `#${table.id}`, swap: "outerHTML" });
  }

  // Files of one server are best applied as they were written: the oldest first.
  function take(files) {
    const chosen = [...files].sort((a, b) => a.lastModified - b.lastModified);
    if (!chosen.length) return;
    results.hidden = false;
    for (const file of chosen) waiting.push({ file, row: addRow(file.name), dryRun: form.elements.dry_run.checked });
    work();
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!input.files.length) { input.focus(); return; }
    take(input.files);
    input.value = "";
  });
  for (const name of ["dragenter", "dragover"]) {
    zone.addEventListener(name, (event) => { event.preventDefault(); zone.classList.add("is-target"); });
  }
  for (const name of ["dragleave", "drop"]) zone.addEventListener(name, () => zone.classList.remove("is-target"));
  zone.addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files); });
  addEventListener("beforeunload", (event) => { if (busy) event.preventDefault(); });
})();
