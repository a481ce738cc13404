// Sphinx's search page fetches each page that it found, to show a passage of it. No
// browser fetches from file://, so the texts come along in page_texts.js.
"use strict";
window.fetch = (address) => {
  const root = new URL(document.documentElement.dataset.content_root, location.href);
  const name = new URL(address, location.href).href
    .slice(root.href.length)
    .replace(/\.html$/, "");
  return Promise.resolve({ text: () => Promise.resolve(PAGE_TEXTS[name] ?? "") });
};

// A term's entry in the glossary comes first, the rest of that page last.
document.addEventListener("DOMContentLoaded", () => {
  Scorer.score = (result) => {
    const [page, , anchor, , score] = result;
    if (page !== "glossary") return score;
    result[1] = anchor ? "In the glossary" : "Glossary";
    return anchor ? 1000 + score : -1;
  };
});
