"use strict";
// The reader's search and filters. The page holds every completion already; this takes the articles out of the
// document and puts back the few that are looked at, so that opening the page and filtering stay cheap.
(function () {
  const form = document.querySelector("form.filters");
  if (!form) return;
  const words = JSON.parse(document.getElementById("words").textContent);
  const holder = document.getElementById("pairs");
  const more = document.getElementById("f-more");
  const none = document.getElementById("f-none");
  const count = document.getElementById("f-count");
  const field = document.getElementById("f-text");
  const pairs = Array.from(holder.querySelectorAll("article.pair"));
  const selects = Array.from(form.querySelectorAll("select"));
  const PAGE = 12;
  const format = new Intl.NumberFormat(document.documentElement.lang);
  let folded = null;
  let matches = pairs;
  let limit = 0;

  function fold(text) {
    return text.normalize("NFD").replace(/\p{Mn}/gu, "").toLowerCase();
  }
  function fill(key, values) {
    return words[key].replace(/\{(\w+)\}/g, (whole, name) => (name in values ? format.format(values[name]) : whole));
  }
  function texts() {
    // Built on the first search only: opening the page must not pay for it.
    if (folded === null) {
      folded = pairs.map((pair) =>
        fold(Array.from(pair.querySelectorAll("h3 bdi, .said"), (said) => said.textContent).join("\n"))
      );
    }
    return folded;
  }
  function fits(pair) {
    return selects.every((select) => {
      if (select.value === "") return true;
      const have = pair.dataset[select.dataset.filter];
      return select.dataset.filter === "l" ? have.split(" ").includes(select.value) : have === select.value;
    });
  }
  function paint() {
    const shown = matches.slice(0, limit);
    const left = matches.length - shown.length;
    holder.replaceChildren(...shown);
    more.hidden = left === 0;
    more.textContent = left === 0 ? "" : fill("more", { n: Math.min(PAGE, left) });
    none.hidden = matches.length !== 0;
    count.textContent = matches.length === 1
      ? words.one_shown : fill("shown", { shown: shown.length, n: matches.length });
  }
  function filter() {
    const wanted = fold(field.value.trim());
    const found = wanted === "" ? null : texts();
    matches = pairs.filter((pair, i) => (found === null || found[i].includes(wanted)) && fits(pair));
    limit = PAGE;
    paint();
  }

  let timer = 0;
  field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(filter, 120); });
  selects.forEach((select) => select.addEventListener("change", filter));
  form.addEventListener("submit", (event) => { event.preventDefault(); filter(); });
  form.addEventListener("reset", () => { setTimeout(filter, 0); });
  more.addEventListener("click", () => {
    const first = matches[limit];
    limit += PAGE;
    paint();
    if (first) { first.tabIndex = -1; first.focus({ preventScroll: true }); }
  });

  form.hidden = false;
  filter();
})();
