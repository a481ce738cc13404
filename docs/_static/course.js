// A search hit leads to the top of a page; go on to the first word that was found.
"use strict";
window.addEventListener("load", () => {
  const found = document.querySelector("article span.highlighted");
  if (found && !location.hash) found.scrollIntoView({ block: "center" });
});
