"use strict";
(() => {
  const root = document.documentElement;
  const specs = JSON.parse(document.getElementById("charts").textContent);

  // The words of legends, axes and bars in the page's language: whole strings of a chart's description and data.
  const CHINESE = { kept: "保留", dropped: "丢弃", quarantined: "隔离", before: "之前", after: "之后", undecided: "未定", logarithmic: "对数轴", characters: "字符数", similarity: "相似度", "judge score": "裁判得分", macro: "宏平均", better: "更好", worse: "更差", equivalent: "等价", "dropped for this score": "因该得分丢弃", "dropped for something else": "因其他原因丢弃" };
  // Fields that a tooltip names and that no title names: what it shows is left as it is.
  const FIELDS = { what: "去向", step: "步骤", verdict: "结论", reason: "原因", ability: "能力", when: "阶段", share: "占比", config: "配置", series: "系列", value: "值", low: "下端", high: "上端", n: "题数", seeds: "种子", effect: "效果", language: "语言", lang: "语言", rows: "行数", from: "从", to: "到" };
  function inLanguage(value, key) {
    if (key === "labelExpr") return value.replace("'base'", "'基座'");
    if (key === "tooltip" && Array.isArray(value)) value = value.map((v) => (v.title || !FIELDS[v.field] ? v : { ...v, title: FIELDS[v.field] }));
    if (typeof value === "string") return key === "field" || key === "as" || key === "key" ? value : CHINESE[value] || value;
    if (Array.isArray(value)) return value.map((v) => inLanguage(v, key));
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, inLanguage(v, k)]));
    return value;
  }

  // Tooltips follow the page's colours, so charts are drawn again when the theme changes. One at a time: the page stays alive
  // meanwhile, and a newer drawing ends an older one. What is hidden is drawn when it is shown.
  let drawing = 0;
  async function draw(within = document) {
    const mine = within === document ? ++drawing : drawing;
    const [ink, quiet, line] = ["--ink", "--quiet", "--line"].map((name) => `var(${name})`); // on paper they are those of a light page
    const em = parseFloat(getComputedStyle(root).fontSize), size = 0.75 * em;
    const config = {
      background: "transparent", font: getComputedStyle(document.body).fontFamily, view: { stroke: null },
      axis: { labelColor: ink, titleColor: quiet, gridColor: line, domainColor: line, tickColor: line, labelFontSize: size, titleFontSize: size, titleFontWeight: "normal", labelLimit: 260 },
      axisY: { grid: false, ticks: false, labelPadding: 6 },
      legend: { labelColor: ink, titleColor: quiet, labelFontSize: size },
    };
    for (const place of within.querySelectorAll("[data-chart]")) {
      if (place.closest("[hidden]")) continue;
      await new Promise((next) => setTimeout(next));
      if (mine !== drawing) return;
      const spec = structuredClone(specs[place.dataset.chart]);
      if (spec.height) spec.height *= em / 16; // as large as the letters
      const legend = spec.encoding?.color?.legend; // a legend does not fold by itself
      if (legend?.columns) legend.columns = Math.max(1, Math.min(legend.columns, Math.floor(place.clientWidth / 150)));
      await vegaEmbed(place, { ...(root.lang === "zh" ? inLanguage(spec) : spec), config }, { actions: false, ast: true, renderer: "svg", tooltip: { theme: root.dataset.theme } });
    }
  }

  // A metric's charts and numbers are shown one metric at a time.
  for (const choice of document.querySelectorAll("select.choice")) {
    choice.form.addEventListener("submit", (event) => event.preventDefault());
    choice.addEventListener("input", () => {
      for (const option of choice.options) document.getElementById(option.value).hidden = !option.selected;
      draw(document.getElementById(choice.value));
    });
  }

  const themeButton = document.getElementById("theme");
  function setTheme(theme) {
    root.dataset.theme = theme;
    themeButton.setAttribute("aria-pressed", String(theme === "dark"));
    draw();
  }
  themeButton.addEventListener("click", () => setTheme(root.dataset.theme === "dark" ? "light" : "dark"));
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", () => setTheme(system.matches ? "dark" : "light"));

  const languageButton = document.getElementById("language");
  function setLanguage(lang) {
    root.lang = lang;
    languageButton.textContent = lang === "zh" ? "English" : "中文";
    for (const e of document.querySelectorAll("[data-zh]")) {
      e.dataset.en ??= e.getAttribute("aria-label");
      e.setAttribute("aria-label", lang === "zh" ? e.dataset.zh : e.dataset.en);
    }
  }
  languageButton.addEventListener("click", () => { setLanguage(root.lang === "zh" ? "en" : "zh"); draw(); });

  setLanguage(navigator.language.startsWith("zh") ? "zh" : "en");
  setTheme(system.matches ? "dark" : "light");

  // A link to a group opens it.
  function openTarget() {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.tagName === "DETAILS") target.open = true;
  }
  addEventListener("hashchange", openTarget);
  openTarget();

  const search = document.getElementById("search");
  if (!search) return;

  // Dropped rows whose text, id or source holds every word of the search (or whose counterpart's does); a row that has
  // a counterpart is shown and hidden with it.
  const step = document.getElementById("step"), ability = document.getElementById("ability"), found = document.getElementById("found");
  const items = [...document.querySelectorAll("#rows .row:not(.kept)")].map((row) => {
    const element = row.parentElement.classList.contains("pair") ? row.parentElement : row;
    return { row, element, group: row.closest(".group"), text: `${element.textContent} ${row.dataset.id}`.toLowerCase(), ability: row.querySelector(".ability").textContent };
  });
  const groups = [...document.querySelectorAll("#rows .group")];
  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fitting = new Set();
    let shown = 0;
    for (const item of items) {
      const fits = (!step.value || item.group.dataset.step === step.value) && (!ability.value || item.ability === ability.value) && words.every((w) => item.text.includes(w));
      item.element.hidden = !fits;
      if (fits) fitting.add(item.group);
      shown += fits;
    }
    for (const group of groups) {
      group.hidden = !fitting.has(group);
      if (words.length && !group.hidden) group.open = true;
    }
    found.textContent = `${shown} / ${items.length}`;
  }
  for (const control of [search, step, ability]) control.addEventListener("input", filter);
  search.form.addEventListener("submit", (event) => event.preventDefault());
  filter();

  // One row's history: a copy of its card, opened.
  const one = document.getElementById("one"), wanted = document.getElementById("wanted");
  document.getElementById("lookup").addEventListener("submit", (event) => {
    event.preventDefault();
    const name = wanted.value.trim();
    one.replaceChildren();
    if (!name) return;
    const rows = new Map([...document.querySelectorAll("main .row")].filter((r) => r.dataset.rid === name || r.dataset.id === name).map((r) => [r.dataset.rid, r]));
    for (const row of rows.values()) {
      const copy = row.cloneNode(true);
      copy.hidden = false;
      copy.querySelector(".history").open = true;
      one.append(copy);
    }
    if (!rows.size) {
      const line = document.createElement("p");
      line.className = "quiet";
      const code = document.createElement("code");
      code.textContent = `instdata why ${name}`;
      line.append(root.lang === "zh" ? "不在本页的样本中，请运行：" : "Not among the rows on this page. Ask: ", code);
      one.append(line);
    }
  });
})();
