"use strict";
// What every served page shares: colours, language, questions to the server. Text enters the page as text, never as markup.
const page = (() => {
  const root = document.documentElement;
  const themeButton = document.getElementById("theme"), languageButton = document.getElementById("language");
  const system = matchMedia("(prefers-color-scheme: dark)");
  function setTheme(theme) {
    root.dataset.theme = theme;
    themeButton.setAttribute("aria-pressed", String(theme === "dark"));
  }
  themeButton.addEventListener("click", () => setTheme(root.dataset.theme === "dark" ? "light" : "dark"));
  system.addEventListener("change", () => setTheme(system.matches ? "dark" : "light"));
  const hearers = [];
  function setLanguage(lang) {
    root.lang = lang;
    languageButton.textContent = lang === "zh" ? "English" : "中文";
    for (const e of document.querySelectorAll("[data-zh]")) {
      e.dataset.en ??= e.getAttribute("aria-label");
      e.setAttribute("aria-label", lang === "zh" ? e.dataset.zh : e.dataset.en);
    }
    for (const hear of hearers) hear();
  }
  languageButton.addEventListener("click", () => setLanguage(root.lang === "zh" ? "en" : "zh"));
  setLanguage(navigator.language.startsWith("zh") ? "zh" : "en");
  setTheme(system.matches ? "dark" : "light");

  async function ask(name, what) {
    const answer = await fetch(name, { method: "POST", body: JSON.stringify(what) });
    const said = (answer.headers.get("content-type") || "").startsWith("application/json") ? await answer.json() : { error: await answer.text() };
    if (!answer.ok) throw Object.assign(new Error(said.error), { said: true });
    return said;
  }
  // What commands, moves or hides characters is spelled out, as util/safe_text.py does for pages that are written.
  const HIDDEN = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/gu;
  const visible = (text) => String(text).replace(HIDDEN, (c) => `⟨U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
  const make = (tag, text, ...classes) => {
    const e = document.createElement(tag);
    if (text !== undefined && text !== null) e.textContent = visible(text);
    if (classes.length) e.classList.add(...classes);
    return e;
  };
  return { ask, make, visible, say: (en, zh) => (root.lang === "zh" ? zh : en), onLanguage: (f) => hearers.push(f) };
})();
