"use strict";
// The labelling desk. Everything that a reader says stays in this browser until it is exported; nothing is sent.
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const items = new Map(data.items.map((item) => [item.id, item]));
  const topics = Array.from(document.querySelectorAll("input[name=topic]"));
  const RESERVED = { o: "topic", c: "note", u: "undo", g: "open", e: "export", "?": "help" };
  let language = document.documentElement.lang.slice(0, 2);
  let words = data.words[language];
  let rater = "";
  let reader = 0;
  let order = [];
  let said = {};
  let place = 0;
  let shown = 0;
  let history = [];

  const fill = (key, values) => words[key].replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
  const slot = () => order[place][0] + ":" + order[place][1];
  const hotkey = (label) => (/^[a-z]$/i.test(label.key) && !(label.key.toLowerCase() in RESERVED) ? label.key.toLowerCase() : "");
  const title = (label) => label.title[language] || label.title.en || label.title.pt || label.key;
  const hint = (label) => label.hint[language] || label.hint.en || "";
  const store = () => ["biasaudit-labels", data.batch, reader, rater].join("|");
  const open = () => order.findIndex(([id, turn]) => !(said[id + ":" + turn] || {}).label);

  function say(text, warn) {
    at("say").textContent = text;
    at("say").classList.toggle("warning", Boolean(warn));
  }
  function keep() {
    try {
      localStorage.setItem(store(), JSON.stringify({ place, said }));
    } catch (error) {
      say(words.not_kept, true);
    }
  }
  function recall() {
    try {
      return JSON.parse(localStorage.getItem(store()) || "{}");
    } catch (error) {
      return {};
    }
  }
  function element(name, text, inside) {
    const made = document.createElement(name);
    made.textContent = text;
    if (inside) inside.append(made);
    return made;
  }

  function translate() {
    words = data.words[language];
    document.documentElement.lang = language === "pt" ? "pt-BR" : "en";
    document.title = words.title + " · " + data.title;
    document.querySelectorAll("[data-word]").forEach((one) => { one.textContent = words[one.dataset.word]; });
    at("language").value = language;
    const chosen = at("reader").value || "0";
    at("reader").replaceChildren(...data.lists.map((list, k) => {
      const option = element("option", fill("reader_option", { k: k + 1, n: list.length }));
      option.value = String(k);
      return option;
    }));
    at("reader").value = chosen;
    at("labels").replaceChildren(...data.labels.map((label, k) => {
      const button = element("button", "");
      button.type = "button";
      button.dataset.label = label.key;
      element("kbd", hotkey(label).toUpperCase() || String(k + 1), button);
      button.append(" " + title(label));
      if (hint(label)) element("span", hint(label), button).className = "small";
      button.addEventListener("click", () => give(label.key));
      return button;
    }));
    const keys = data.labels.map((label, k) => [[hotkey(label).toUpperCase(), String(k + 1)].filter(Boolean), title(label)]);
    keys.push([["→"], words.next], [["←"], words.previous], [["G"], words.open], [["U"], words.undo]);
    keys.push([["O"], words.key_topic], [["C"], words.key_note], [["E"], words.export], [["?"], words.help]);
    at("keys").replaceChildren();
    keys.forEach(([marks, meaning]) => {
      const term = element("dt", "", at("keys"));
      marks.forEach((mark) => { element("kbd", mark, term); term.append(" "); });
      element("dd", meaning, at("keys"));
    });
    if (order.length) paint(false);
  }

  function paint(focus) {
    const item = items.get(order[place][0]);
    const now = said[slot()] || {};
    const done = order.filter(([id, turn]) => (said[id + ":" + turn] || {}).label).length;
    at("where").textContent = fill("where", { k: place + 1, n: order.length, done });
    at("progress").max = order.length;
    at("progress").value = done;
    at("claim").textContent = item.claim ? fill("claim", { claim: item.claim }) : "";
    at("claim").hidden = !item.claim;
    at("prompt").textContent = item.prompt;
    at("text").textContent = item.text.trim() === "" ? words.empty : item.text;
    at("text").classList.toggle("nothing", item.text.trim() === "");
    at("prompt").lang = at("text").lang = at("claim").lang = data.language;
    at("note").value = now.note || "";
    topics.forEach((one) => { one.checked = one.value === (now.on_topic === true ? "yes" : now.on_topic === false ? "no" : ""); });
    at("labels").querySelectorAll("button").forEach((button) => {
      button.setAttribute("aria-pressed", String(button.dataset.label === now.label));
    });
    at("previous").disabled = place === 0;
    at("next").disabled = place === order.length - 1;
    at("undo").disabled = history.length === 0;
    shown = Date.now();
    if (focus) at("item").focus({ preventScroll: false });
  }

  function change(fields) {
    const before = said[slot()];
    history.push([place, before]);
    const seconds = (before && before.seconds ? before.seconds : 0) + Math.min(600, (Date.now() - shown) / 1000);
    shown = Date.now();
    said[slot()] = Object.assign({}, before, fields, { at: new Date().toISOString(), seconds: Math.round(seconds * 10) / 10 });
    keep();
  }
  function give(key) {
    const label = data.labels.find((one) => one.key === key);
    const fields = { label: key };
    const now = said[slot()] || {};
    if (now.on_topic === undefined && (label.side === "endorse" || label.side === "refute")) fields.on_topic = true;
    change(fields);
    const told = fill("given", { title: title(label), k: place + 1 });
    if (open() === -1) { paint(false); say(told + " " + words.all_done); return; }
    if (place < order.length - 1) place += 1;
    keep();
    paint(true);
    say(told);
  }
  function go(to) {
    if (to < 0 || to >= order.length) return;
    place = to;
    keep();
    paint(true);
    say("");
  }
  function undo() {
    const last = history.pop();
    if (!last) return;
    place = last[0];
    if (last[1]) said[slot()] = last[1]; else delete said[slot()];
    keep();
    paint(true);
    say(fill("undone", { k: place + 1 }));
  }
  function jump() {
    const first = open();
    if (first === -1) say(words.all_done); else go(first);
  }
  function turnTopic() {
    const now = (said[slot()] || {}).on_topic;
    change({ on_topic: now === undefined || now === null ? true : now ? false : null });
    paint(false);
    say(words[{ true: "topic_yes", false: "topic_no", null: "topic_unsaid" }[String(said[slot()].on_topic)]]);
  }

  function exported() {
    const labels = order.filter(([id, turn]) => said[id + ":" + turn]).map(([id, turn]) => {
      const own = said[id + ":" + turn];
      return { item: id, pass: turn, label: own.label || null, on_topic: own.on_topic === undefined ? null : own.on_topic,
        note: own.note || "", at: own.at, seconds: own.seconds };
    });
    return { biasaudit_labels: 1, batch: data.batch, rater, reader: reader + 1, exported: new Date().toISOString(),
      check: checksum(labels), labels };
  }
  function checksum(labels) {
    // CRC-32 (IEEE 802.3) of a line of JSON a label, so that the import can tell an edited or damaged file.
    const lines = labels.map((own) => JSON.stringify([own.item, own.pass, own.label, own.on_topic, own.note, own.at]));
    let crc = -1;
    new TextEncoder().encode(lines.join("\n")).forEach((byte) => {
      crc ^= byte;
      for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
    });
    return (crc ^ -1) >>> 0;
  }
  function save() {
    const url = URL.createObjectURL(new Blob([JSON.stringify(exported(), null, 1)], { type: "application/json" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = "labels-" + data.batch.slice(0, 8) + "-" + (rater.normalize("NFD").replace(/[^A-Za-z0-9]+/g, "") || "x") + ".json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
    say(fill("saved", { name: link.download }));
  }
  function load(text) {
    let given;
    try { given = JSON.parse(text); } catch (error) { say(words.bad_file, true); return; }
    if (!given || given.biasaudit_labels !== 1 || given.batch !== data.batch || !Array.isArray(given.labels)) { say(words.other_file, true); return; }
    if (given.rater !== rater || given.reader !== reader + 1) { say(words.other_rater, true); return; }
    const known = new Set(order.map(([id, turn]) => id + ":" + turn));
    const keys = new Set(data.labels.map((label) => label.key));
    let count = 0;
    given.labels.forEach((own) => {
      const where = own.item + ":" + own.pass;
      if (!known.has(where) || (said[where] && said[where].label) || !(own.label === null || keys.has(own.label))) return;
      said[where] = { label: own.label || undefined, on_topic: own.on_topic === null ? undefined : own.on_topic,
        note: String(own.note || ""), at: String(own.at || ""), seconds: Number(own.seconds) || 0 };
      count += 1;
    });
    keep();
    paint(false);
    say(fill("loaded", { n: count }));
  }

  at("language").addEventListener("change", () => { language = at("language").value; translate(); });
  at("start").addEventListener("submit", (event) => {
    event.preventDefault();
    rater = at("rater").value.trim();
    if (!rater) return;
    reader = Number(at("reader").value);
    order = data.lists[reader];
    const kept = recall();
    said = kept.said || {};
    place = Math.min(Math.max(Number(kept.place) || 0, 0), order.length - 1);
    at("start").hidden = true;
    at("desk").hidden = false;
    paint(true);
    try { localStorage.setItem("biasaudit-labels|last", JSON.stringify([data.batch, rater, reader])); } catch (error) { say(words.not_kept, true); }
  });
  topics.forEach((one) => one.addEventListener("change", () => {
    change({ on_topic: one.value === "" ? null : one.value === "yes" });
    paint(false);
  }));
  // A lone half of a character has no bytes of its own.
  const written = () => at("note").value.replace(/\p{Surrogate}/gu, "\ufffd");
  at("note").addEventListener("change", () => { change({ note: written() }); paint(false); });
  at("previous").addEventListener("click", () => go(place - 1));
  at("next").addEventListener("click", () => go(place + 1));
  at("open").addEventListener("click", jump);
  at("undo").addEventListener("click", undo);
  at("export").addEventListener("click", save);
  at("import").addEventListener("click", () => at("file").click());
  at("file").addEventListener("change", () => {
    const file = at("file").files[0];
    if (file) file.text().then(load);
    at("file").value = "";
  });
  at("help").addEventListener("click", () => at("dialog").showModal());
  document.addEventListener("keydown", (event) => {
    if (at("desk").hidden || at("dialog").open || event.ctrlKey || event.metaKey || event.altKey) return;
    const writing = event.target.matches("textarea, select, input:not([type=radio]):not([type=checkbox])");
    if (writing) {
      if (event.key === "Escape") { event.preventDefault(); at("item").focus(); }
      return;
    }
    if (!at("shortcuts").checked) return;
    const key = event.key.toLowerCase();
    const arrows = { arrowright: 1, arrowleft: -1 };
    const digit = /^[1-9]$/.test(key) ? Number(key) - 1 : -1;
    const label = data.labels.find((one) => hotkey(one) === key) || data.labels[digit];
    if (key in arrows && event.target.type !== "radio") { event.preventDefault(); go(place + arrows[key]); return; }
    if (event.repeat) return;
    if (label) { event.preventDefault(); give(label.key); return; }
    const act = { topic: turnTopic, note: () => at("note").focus(), undo, open: jump, export: save, help: () => at("dialog").showModal() }[RESERVED[key]];
    if (act) { event.preventDefault(); act(); }
  });
  window.addEventListener("pagehide", () => {
    if (order.length && at("note").value !== ((said[slot()] || {}).note || "")) change({ note: written() });
  });

  translate();
  try {
    const last = JSON.parse(localStorage.getItem("biasaudit-labels|last") || "null");
    if (last && last[0] === data.batch) { at("rater").value = last[1]; at("reader").value = String(last[2]); }
  } catch (error) { say(words.not_kept, true); }
  at("rater").focus();
})();
