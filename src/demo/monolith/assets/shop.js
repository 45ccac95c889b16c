// Orders a picture without leaving the page; without scripts, the form says what to do.
(function () {
  var form = document.getElementById("order");
  if (!form) return;
  var status = document.getElementById("status");
  var fresh = document.getElementById("fresh");
  var button = form.querySelector("button");
  form.addEventListener("submit", function (event) {
    event.preventDefault();
    button.disabled = true;
    status.className = "";
    status.textContent = "The painter is at work ...";
    var started = performance.now();
    fetch("/api/images", {
      method: "POST",
      headers: { "content-type": "application/json" },
      credentials: "same-origin",
      body: JSON.stringify({ prompt: form.prompt.value, n: 1, size: form.size.value }),
    })
      .then(function (response) {
        return response.text().then(function (text) {
          var answer;
          try { answer = JSON.parse(text); } catch (_) { answer = { msg: "the shop broke down (" + response.status + "), try again" }; }
          if (!response.ok) throw new Error(answer.msg || answer.detail || String(response.status));
          return answer;
        });
      })
      .then(function (answer) {
        var picture = document.createElement("img");
        picture.alt = form.prompt.value;
        picture.src = "/img/" + encodeURIComponent(answer.imagem);
        fresh.replaceChildren(picture);
        status.textContent = answer.imagem + ", painted in " + Math.round(performance.now() - started) + " ms";
      })
      .catch(function (error) {
        status.className = "wrong";
        status.textContent = error.message;
      })
      .finally(function () { button.disabled = false; });
  });
})();
