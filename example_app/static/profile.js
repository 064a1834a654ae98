// Asks the provider by our own API. The page shows a spinner until the answer comes.
const box = document.getElementById("details");

function make(tag, text, children = []) {
  const element = document.createElement(tag);
  element.textContent = text;
  element.append(...children);
  return element;
}

function show(details) {
  const rows = Object.entries(details).map(([name, value]) =>
    make("div", "", [
      make("dt", name),
      make("dd", typeof value === "string" ? value : JSON.stringify(value)),
    ]),
  );
  box.replaceChildren(make("dl", "", rows));
}

function offer(text, action) {
  const link = make("a", action);
  link.href = box.dataset.again;
  link.className = "oauth2-button";
  const problem = make("p", text);
  problem.role = "alert";
  box.replaceChildren(problem, link);
}

async function load() {
  box.hidden = false;
  try {
    const answer = await fetch(box.dataset.url, { headers: { Accept: "application/json" } });
    if (answer.status === 401) offer("You are not signed in any more.", "Sign in again");
    else if (!answer.ok) offer("The provider did not answer as it should.", "Try again");
    else show(await answer.json());
  } catch {
    offer("There is no connection.", "Try again");
  }
}

load();
