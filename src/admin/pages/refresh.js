const form = document.querySelector(".refresh");
const wanted = form.querySelector("input");
const said = form.querySelector("output");
form.hidden = false;
setInterval(async () => {
  // Nobody's place on the page is taken away: neither what has the focus nor what is being copied.
  const inUse = document.querySelector("main :focus") || !getSelection().isCollapsed;
  if (!wanted.checked || document.hidden || inUse) return;
  try {
    const answer = await fetch(location.href);
    if (!answer.ok) throw answer.status;
    const now = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of ["main", ".standing"]) document.querySelector(part).replaceWith(now.querySelector(part));
    said.textContent = "";
  } catch (error) {
    said.textContent = `no answer (${error}): this page is old`;
  }
}, 15000);
