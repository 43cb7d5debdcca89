"use strict";
(() => {
  const { ask, make, say } = page;
  const $ = (id) => document.getElementById(id);
  const uid = () => crypto.randomUUID();
  // What was looked at in this sitting: {item, said: what was saved of it, or null}. `at` is the one on the screen.
  const seen = [];
  let at = -1, draft = null, busy = false, saves = 0, standing = { left: 0, done: 0 };

  const now = () => seen[at];
  const answer = (item) => { const last = (item.messages || []).at(-1); return last && last.role === "assistant" ? last.content || "" : ""; };

  // A verdict's or a reason's Chinese word is the one on its button.
  function word(group, en) {
    const key = Object.keys(VERDICTS).find((k) => VERDICTS[k] === en);
    const button = document.querySelector(group === "verdicts" ? `[data-key="${key}"]` : `[data-reason="${en}"]`);
    return say(en, button ? button.querySelector("[lang=zh]").textContent : en);
  }
  function trouble(text) { $("trouble").textContent = text || ""; $("trouble").hidden = !text; }
  function progress() {
    const { done, left } = standing;
    $("progress").textContent = say(`${done} reviewed, at most ${left} more`, `已评 ${done} 条，最多还有 ${left} 条`);
  }
  function fresh(entry) {
    const said = entry.said || {};
    return { reasons: new Set(said.reasons || []), label: said.label || "", value: said.value || null };
  }
  function show() {
    const entry = now();
    $("work").hidden = !entry;
    $("finished").hidden = !!entry;
    $("editing").hidden = true;
    for (const name of ["verdicts", "reasons"]) document.querySelector(`.${name}`).hidden = !entry;
    progress();
    if (!entry) return;
    const item = entry.item;
    draft = fresh(entry);
    $("label").textContent = item.label || "";
    $("labelled").hidden = !item.label;
    const two = !!item.other;
    $("other").hidden = !two;
    $("rows").classList.toggle("solo", !two);
    for (const [name, on] of [["alone", !two], ["beside", two]]) for (const e of document.querySelectorAll(`#question .${name}`)) e.hidden = !on;
    if (two) talk.pair(item.messages, item.other, $("row"), $("other"));
    else talk.render(item.messages, $("row"));
    $("said").hidden = !item.said.length;
    $("said").replaceChildren(...item.said.map((o) => make("li", [word("verdicts", o.verdict), ...o.reasons.map((r) => word("reasons", r)), o.label, o.note, o.value && `→ ${o.value}`].filter(Boolean).join(" · "))));
    marks();
    scrollTo(0, 0);
  }
  function marks() {
    const said = now() && now().said;
    for (const b of document.querySelectorAll("[data-reason]")) b.setAttribute("aria-pressed", String(draft.reasons.has(b.dataset.reason)));
    for (const [key, verdict] of Object.entries(VERDICTS)) document.querySelector(`[data-key="${key}"]`).classList.toggle("chosen", !!said && said.verdict === verdict);
    for (const e of document.querySelectorAll(".mend")) e.hidden = !draft.reasons.has("label");
    $("mend").value = draft.label;
  }

  async function forward() {
    if (at + 1 < seen.length) { at++; show(); return; }
    const skip = seen.filter((e) => !e.said).map((e) => e.item.n);
    const found = await ask("next", { skip });
    standing = found;
    if (found.item) { seen.push({ item: found.item, said: null }); at = seen.length - 1; } else at = seen.length;
    show();
  }
  function back() { if (at > 0) { at--; show(); } }

  const VERDICTS = { 1: "pass", 2: "fail", 3: "unsure", d: "defer" };
  async function save(verdict, value = null) {
    const entry = now();
    if (!entry) return;
    const said = { uid: uid(), n: entry.item.n, verdict, reasons: [...draft.reasons], amend: !!entry.said };
    if (draft.reasons.has("label") && draft.label) said.label = draft.label;
    if (value !== null) said.value = value;
    await send(said);
    if (!entry.said || entry.said.verdict === "defer") standing.done += verdict !== "defer";
    entry.said = said;
    await forward();
    document.body.dataset.saved = ++saves;
  }
  // A server that died may come back under the same address; the same uid makes a second try harmless.
  async function send(said) {
    for (let tries = 0; ; tries++) {
      try { await ask("save", said); trouble(""); return; } catch (e) {
        if (e.said || tries >= 2) throw e;
        trouble(say("The server does not answer; trying again…", "服务器无响应，正在重试……"));
        await new Promise((next) => setTimeout(next, 700));
      }
    }
  }
  async function undo() {
    const entry = [...seen].reverse().find((e) => e.said);
    if (!entry) return;
    await ask("undo", { uid: uid(), undo: entry.said.uid });
    if (entry.said.verdict !== "defer") standing.done--;
    entry.said = null;
    at = seen.indexOf(entry);
    show();
  }
  function edit() {
    if (!now()) return;
    $("editing").hidden = false;
    $("edit").value = draft.value ?? answer(now().item);
    compare();
    $("edit").focus({ preventScroll: true });
    $("editing").scrollIntoView({ block: "end" }); // above the keys
  }
  function compare() { $("difference").replaceChildren(...talk.nodes(talk.difference(answer(now().item), $("edit").value), ["same", "gone", "new"])); }
  $("edit").addEventListener("input", compare);
  $("edit").addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Escape") { $("editing").hidden = true; $("edit").blur(); }
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      const value = $("edit").value;
      if (!value.trim() || value === answer(now().item)) { trouble(say("Nothing was changed.", "没有改动。")); return; }
      $("edit").blur();
      once(() => save("fail", value));
    }
  });
  $("mend").addEventListener("input", () => { draft.label = $("mend").value; $("mend").blur(); });

  async function once(act) {
    if (busy) return;
    busy = true;
    try { await act(); } catch (e) {
      trouble(e.said ? e.message : say("The server is gone: this verdict is NOT saved. Run instdata review again and open the address it prints.", "服务器已停止：这条判断没有保存。请重新运行 instdata review 并打开它给出的地址。"));
    } finally { busy = false; }
  }
  function press(key) {
    if (key === "j") return once(forward);
    if (key === "k") return once(async () => back());
    if (key === "u") return once(undo);
    if (!now()) return;
    if (key in VERDICTS) return once(() => save(VERDICTS[key]));
    if (key === "e") return edit();
    if (key === "l" && !now().item.label) return;
    const reason = document.querySelector(`[data-reason][data-key="${CSS.escape(key)}"]`);
    if (!reason || busy) return;
    const name = reason.dataset.reason;
    if (draft.reasons.has(name)) draft.reasons.delete(name); else draft.reasons.add(name);
    marks();
    if (name === "label" && draft.reasons.has(name)) $("mend").focus();
  }
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing) return;
    if (event.target === $("mend") && !/^[123]$/.test(event.key)) return;
    if (/^[0-9a-zA-Z]$/.test(event.key)) { event.preventDefault(); press(event.key.toLowerCase()); }
  });
  for (const button of document.querySelectorAll("[data-key]")) button.addEventListener("click", () => { button.blur(); press(button.dataset.key); });
  page.onLanguage(() => { if (now()) show(); else progress(); });
  once(forward);
})();
