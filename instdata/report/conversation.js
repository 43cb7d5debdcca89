"use strict";
// Conversations as conversations: code, tables, tools, reasoning folded; and the difference of two texts. Only text nodes.
const talk = (() => {
  const { make, say, visible } = page;
  const LONG = 12000; // characters of a turn shown at once
  const MOST = 3000; // words that are compared one by one

  function inline(text, into) { // `code` in passing
    for (const [i, part] of text.split(/`([^`\n]+)`/).entries()) into.append(i % 2 ? make("code", part) : visible(part));
    return into;
  }
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((c) => c.trim());
  function table(lines) {
    const box = make("div", null, "scroll"), made = make("table"), head = make("thead"), body = make("tbody");
    const row = (line, tag) => {
      const tr = make("tr");
      for (const cell of cells(line)) tr.append(inline(cell, make(tag)));
      return tr;
    };
    head.append(row(lines[0], "th"));
    for (const line of lines.slice(2)) body.append(row(line, "td"));
    made.append(head, body);
    box.append(made);
    return box;
  }
  function prose(text, into) {
    const lines = text.split("\n");
    let plain = [];
    const flush = () => {
      const joined = plain.join("\n").replace(/^\n+|\n+$/g, "");
      if (joined) { const p = inline(joined, make("p")); p.dir = "auto"; into.append(p); }
      plain = [];
    };
    for (let i = 0; i < lines.length; i++) {
      if (lines[i].includes("|") && /^\s*\|?[\s:|-]*-[\s:|-]*\|[\s:|-]*$/.test(lines[i + 1] || "")) {
        flush();
        let end = i + 2;
        while (end < lines.length && lines[end].includes("|")) end++;
        into.append(table(lines.slice(i, end)));
        i = end - 1;
      } else plain.push(lines[i]);
    }
    flush();
  }
  function body(text, into) {
    const thought = /^\s*(?:<(?:think|thinking|thought|reasoning)>)([\s\S]*?)<\/(?:think|thinking|thought|reasoning)>\s*/.exec(text);
    if (thought) { into.append(folded(say("reasoning", "推理"), thought[1].trim())); text = text.slice(thought[0].length); }
    const more = text.length - LONG;
    if (more > 0) text = text.slice(0, LONG);
    for (const [i, part] of text.split(/^(```[^\n]*\n[\s\S]*?(?:^```[ \t]*$|(?![\s\S])))/m).entries()) {
      if (i % 2) {
        const pre = make("pre");
        pre.tabIndex = 0;
        pre.append(make("code", part.replace(/^```[^\n]*\n/, "").replace(/\n?```[ \t]*$/, "")));
        into.append(pre);
      } else prose(part, into);
    }
    if (more > 0) into.append(make("p", `… +${more.toLocaleString()}`, "more"));
    if (!text && !thought) into.append(make("p", say("(empty)", "（空）"), "quiet"));
  }
  function folded(name, text) {
    const d = make("details", null, "fold");
    const pre = make("pre", text);
    pre.tabIndex = 0;
    d.append(make("summary", `${name} · ${text.length.toLocaleString()}`), pre);
    return d;
  }
  function pretty(value) {
    try { return JSON.stringify(typeof value === "string" ? JSON.parse(value) : value, null, 1); } catch { return String(value); }
  }
  const NAMES = { system: "系统", user: "用户", assistant: "助手", tool: "工具" };
  function render(messages, into, marks) {
    into.replaceChildren();
    if (!messages || !messages.length) {
      into.append(make("p", say("The text is no longer in the cache: build again to see it.", "文本已不在缓存中：重新构建即可查看。"), "quiet"));
      return;
    }
    for (const [i, m] of messages.entries()) {
      const turn = make("div", null, "turn"), said = make("div", null, "said");
      turn.append(make("span", say(m.role, NAMES[m.role] || m.role) + (m.name ? ` ${m.name}` : ""), "role"), said);
      if (m.tools) said.append(folded(say("tools", "工具"), pretty(m.tools)));
      if (m.reasoning_content) said.append(folded(say("reasoning", "推理"), m.reasoning_content));
      if (marks && marks[i]) { const p = make("p"); p.append(...marks[i]); said.append(p); }
      else if (m.role === "tool" && m.content.length > 400) said.append(folded(say("result", "结果"), pretty(m.content)));
      else if (m.content || !(m.tool_calls && m.tool_calls.length)) body(m.content || "", said);
      for (const c of m.tool_calls || []) said.append(folded(`${say("calls", "调用")} ${(c.function || {}).name || ""}`, pretty((c.function || {}).arguments || {})));
      into.append(turn);
    }
  }

  // The difference of two texts: words, single Chinese characters, spaces. Longest common subsequence between the common ends.
  const words = (text) => text.match(/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]|[\p{L}\p{N}_]+|\s+|[^\p{L}\p{N}_\s]/gu) || [];
  function difference(before, after) { // [[kind, text], …]; kind: same, gone, new
    const a = words(before), b = words(after);
    let lo = 0, ea = a.length, eb = b.length;
    while (lo < ea && lo < eb && a[lo] === b[lo]) lo++;
    while (ea > lo && eb > lo && a[ea - 1] === b[eb - 1]) { ea--; eb--; }
    const out = [];
    const add = (kind, text) => { if (!text) return; const last = out[out.length - 1]; if (last && last[0] === kind) last[1] += text; else out.push([kind, text]); };
    add("same", a.slice(0, lo).join(""));
    const x = a.slice(lo, ea), y = b.slice(lo, eb);
    if (x.length > MOST || y.length > MOST) { add("gone", x.join("")); add("new", y.join("")); }
    else {
      const w = y.length + 1, best = new Uint16Array((x.length + 1) * w);
      for (let i = x.length - 1; i >= 0; i--) for (let j = y.length - 1; j >= 0; j--) best[i * w + j] = x[i] === y[j] ? best[(i + 1) * w + j + 1] + 1 : Math.max(best[(i + 1) * w + j], best[i * w + j + 1]);
      let i = 0, j = 0;
      while (i < x.length || j < y.length) {
        if (i < x.length && j < y.length && x[i] === y[j]) { add("same", x[i]); i++; j++; }
        else if (j >= y.length || (i < x.length && best[(i + 1) * w + j] >= best[i * w + j + 1])) add("gone", x[i++]);
        else add("new", y[j++]);
      }
    }
    add("same", a.slice(ea).join(""));
    return out;
  }
  const nodes = (parts, kinds) => parts.filter(([k]) => kinds.includes(k)).map(([k, text]) => (k === "same" ? document.createTextNode(text) : make(k === "gone" ? "del" : "ins", text)));
  function pair(one, two, left, right) { // both conversations, what differs marked
    const marks = [{}, {}];
    const same = (one || []).length === (two || []).length;
    for (let i = 0; same && i < one.length; i++) {
      if (!one[i].content && !two[i].content) continue;
      if (one[i].content === two[i].content) continue;
      const parts = difference(one[i].content || "", two[i].content || "");
      marks[0][i] = nodes(parts, ["same", "gone"]);
      marks[1][i] = nodes(parts, ["same", "new"]);
    }
    render(one, left, marks[0]);
    render(two, right, marks[1]);
  }
  return { render, pair, difference, nodes };
})();
