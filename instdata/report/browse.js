"use strict";
(() => {
  const { ask, make, say } = page;
  const $ = (id) => document.getElementById(id);
  const filters = $("filters");
  let number = 1, turn = 0, scores = [];
  const n = (value) => value.toLocaleString("en");
  const short = (value) => (Math.abs(value) >= 1000 || Number.isInteger(value) ? n(Math.round(value)) : value.toPrecision(3));

  async function guarded(act) {
    try { await act(); $("trouble").hidden = true; } catch (e) {
      $("trouble").textContent = e.said ? e.message : say("The server is gone: run instdata report --serve again.", "服务器已停止：请重新运行 instdata report --serve。");
      $("trouble").hidden = false;
    }
  }
  const asked = () => Object.fromEntries([...new FormData(filters)].filter(([, v]) => v !== ""));

  async function load() {
    const mine = ++turn;
    const found = await ask("rows", { ...asked(), page: number });
    if (mine !== turn) return; // a later question was asked meanwhile
    number = found.page;
    $("found").textContent = say(`${n(found.total)} rows`, `${n(found.total)} 行`);
    $("where").textContent = `${n(found.page)} / ${n(found.pages)}`;
    $("before").disabled = found.page <= 1;
    $("after").disabled = found.page >= found.pages;
    $("list").replaceChildren(...found.rows.map(card));
    document.body.dataset.turn = mine;
  }
  function card(row) {
    const box = make("details", null, "row", row.verdict), head = make("summary");
    const line = make("span", null, "line");
    line.append(make("span", word(row.verdict), "verdict"));
    if (row.reason) line.append(make("span", `${row.step}: ${row.reason}`));
    if (row.copy === "exact") line.append(make("span", say("exact copy", "完全相同"), "similarity"));
    else if (row.similarity !== null) line.append(make("span", `${row.copy ? say("near copy ", "近似重复 ") : ""}${row.similarity.toFixed(3)}`, "similarity"));
    line.append(make("span", row.ability, "ability"), make("code", row.rid, "rid"));
    head.append(line, make("span", row.asked, "excerpt"), make("span", row.answer, "excerpt", "quiet"));
    box.append(head);
    box.addEventListener("toggle", () => { if (box.open && box.children.length === 1) guarded(() => open(box, row.rid)); });
    return box;
  }
  const WORDS = { kept: "保留", dropped: "丢弃", quarantined: "隔离", made: "生成" };
  const word = (w) => say(w, WORDS[w] || w);

  async function open(box, rid) {
    const { row, history, other } = await ask("row", { rid });
    const body = make("div", null, "opened");
    if (other) {
      const both = make("div", null, "pair"), left = make("div"), right = make("div"), a = make("div"), b = make("div");
      left.append(make("h2", say("This row", "本行")), a);
      right.append(make("h2", say("The row that decided", "判定所依据的行")), make("code", other.rid, "rid"), b);
      talk.pair(row.messages, other.messages, a, b);
      both.append(left, right);
      body.append(both);
    } else if (row.raw !== undefined) body.append(make("pre", row.raw));
    else { const only = make("div"); talk.render(row.messages, only); body.append(only); }
    const scroll = make("div", null, "scroll"), table = make("table"), head = make("tr"), rows = make("tbody"), top = make("thead");
    for (const name of [say("step", "步骤"), say("decision", "决定"), say("scores", "得分")]) head.append(make("th", name));
    top.append(head);
    for (const line of history) {
      const tr = make("tr");
      tr.append(make("td", line.name), make("td", word(line.decision) + (line.reason ? `: ${line.reason}` : "")), make("td", Object.entries(line.scores).filter(([, v]) => v !== "").map(([k, v]) => `${k} = ${typeof v === "number" ? short(v) : v}`).join(", ")));
      rows.append(tr);
    }
    table.append(top, rows);
    scroll.tabIndex = 0;
    scroll.append(table);
    body.append(make("h2", say("History", "经历")), scroll);
    const facts = make("p", null, "quiet");
    facts.append("id ", make("code", row.id || "–"), row.config ? ` · ${row.config === "holdout" ? say("held out for evaluation", "留出作评测") : say("for training", "用于训练")}` : "");
    for (const [key, value] of Object.entries(row.evidence || {})) facts.append(` · ${key} `, make("code", typeof value === "string" ? value : JSON.stringify(value)));
    body.append(facts);
    box.append(body);
  }

  // Thresholds: the sliders ask again at most every so often while they move.
  const value = (slider) => { const s = scores.find((x) => x.name === $("score").value); return s.low + ((s.high - s.low) * slider.value) / 1000; };
  let waiting = null, bounds = 0;
  async function change() {
    const score = scores.find((x) => x.name === $("score").value);
    if (!score) return;
    const low = +$("least").value > 0 ? value($("least")) : null, high = +$("most").value < 1000 ? value($("most")) : null;
    $("least-at").textContent = low === null ? "–" : short(low);
    $("most-at").textContent = high === null ? "–" : short(high);
    const mine = ++bounds;
    const found = await ask("what_if", { score: score.name, low, high });
    if (mine !== bounds) return;
    $("bins-low").textContent = short(score.low);
    $("bins-high").textContent = short(score.high);
    const most = Math.max(...found.bins.map((b) => b.kept + b.mine + b.others), 1);
    $("bins").replaceChildren(...found.bins.map((b) => {
      const bar = make("div", null, "bin");
      bar.title = `${short(b.low)} – ${short(b.high)}: ${n(b.kept)} / ${n(b.mine)} / ${n(b.others)}`;
      for (const kind of ["others", "mine", "kept"]) { const part = make("i", null, kind); part.style.height = `${(100 * b[kind]) / most}%`; bar.append(part); }
      bar.classList.toggle("out", (low !== null && b.high <= low) || (high !== null && b.low > high));
      return bar;
    }));
    $("change").textContent = say(
      `With these bounds ${n(found.go)} of ${n(found.kept)} kept rows that have this score would go, and ${n(found.back)} of ${n(found.dropped)} rows that ${score.step} dropped for it would reach the steps after it.`,
      `按此界限，有该得分的 ${n(found.kept)} 条保留行中 ${n(found.go)} 条将被丢弃；${score.step} 因该得分丢弃的 ${n(found.dropped)} 行中 ${n(found.back)} 行将进入后续步骤。`);
    document.body.dataset.bounds = mine;
  }
  const soon = () => { clearTimeout(waiting); waiting = setTimeout(() => guarded(change), 60); };
  for (const slider of [$("least"), $("most")]) slider.addEventListener("input", soon);
  $("score").addEventListener("input", () => { $("least").value = 0; $("most").value = 1000; soon(); });
  $("thresholds").addEventListener("toggle", () => { if ($("thresholds").open) soon(); });
  $("bounds").addEventListener("submit", (event) => event.preventDefault());
  $("inside").addEventListener("click", () => {
    filters.elements.score.value = $("score").value;
    filters.elements.low.value = +$("least").value > 0 ? value($("least")) : "";
    filters.elements.high.value = +$("most").value < 1000 ? value($("most")) : "";
    first();
  });

  const first = () => { number = 1; guarded(load); };
  let typing = null;
  filters.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(first, 200); });
  filters.addEventListener("submit", (event) => { event.preventDefault(); first(); });
  filters.addEventListener("reset", () => setTimeout(first));
  $("before").addEventListener("click", () => { number--; guarded(load); });
  $("after").addEventListener("click", () => { number++; guarded(load); scrollTo(0, 0); });
  page.onLanguage(() => { guarded(load); if ($("thresholds").open) soon(); });

  guarded(async () => {
    const options = await ask("options", {});
    for (const select of filters.querySelectorAll("select")) {
      if (select.name === "score") continue;
      for (const [name, rows] of options[select.name]) { const o = make("option", `${name} (${n(rows)})`); o.value = name; select.append(o); }
    }
    scores = options.scores;
    for (const s of scores) for (const select of [filters.elements.score, $("score")]) { const o = make("option", `${s.step}: ${s.score}`); o.value = s.name; select.append(o); }
    $("thresholds").hidden = !scores.length;
    await load();
  });
})();
