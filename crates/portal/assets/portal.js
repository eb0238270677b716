// The copy button. Everything else works without script.
"use strict";
const button = document.getElementById("copy");
const token = document.getElementById("token");
const copied = document.getElementById("copied");
button.hidden = false;
button.addEventListener("click", async () => {
  copied.textContent = "";
  try {
    await navigator.clipboard.writeText(token.value);
    copied.textContent = "Copied.";
  } catch {
    token.focus();
    token.select();
    copied.textContent = "The browser does not allow it. The token is selected: copy it by hand.";
  }
});
