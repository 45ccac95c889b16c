for (const form of document.querySelectorAll("form[data-method]")) {
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const said = form.querySelector("output");
    said.textContent = "";
    try {
      const answer = await fetch(form.dataset.url, {
        method: form.dataset.method,
        headers: { "content-type": "application/json" },
        body: JSON.stringify(Object.fromEntries(new FormData(form))),
      });
      if (answer.ok) location.reload();
      else said.textContent = (await answer.json()).title;
    } catch (error) {
      said.textContent = String(error);
    }
  });
}
