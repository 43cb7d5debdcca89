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
  const make = (tag, text, ...classes) => {
    const e = document.createElement(tag);
    if (text !== undefined && text !== null) e.textContent = text;
    if (classes.length) e.classList.add(...classes);
    return e;
  };
  return { ask, make, say: (en, zh) => (root.lang === "zh" ? zh : en), onLanguage: (f) => hearers.push(f) };
})();
