// Both sites run this script. Each attempt carries an id in its query, by which the page asks its own host (never
// the API: the browser would not let a stranger read the answer) what was decided and what reached the upstream.
const port = location.port ? `:${location.port}` : "";
const api = `http://api.localhost${port}`;
const images = `http://images.localhost${port}`;

const readable = (text) => ({ text, tone: "good" });
const refused = (text) => ({ text, tone: "bad" });

const UNLISTED_READ = "unlisted_read";
const HIDDEN = "the request went on without the cookie, and the browser hides the answer from this page";

async function read(url, options) {
  try {
    const response = await fetch(url, options);
    if (response.ok) return readable(`status ${response.status}, and the body`);
    const problem = await response.json();
    return refused(`status ${response.status}: ${problem.title}; ${problem.detail}`);
  } catch (error) {
    return refused(`${error.name}: ${error.message}`);
  }
}

async function token(role) {
  return (await fetch(`/token?role=${role}`)).text();
}

async function readOrders(id, role) {
  return read(`${api}/v2/orders?try=${id}`, { headers: { authorization: `Bearer ${await token(role)}` } });
}

function submitForm(id) {
  return new Promise((resolve) => {
    const frame = Object.assign(document.createElement("iframe"), { name: id, hidden: true });
    const form = Object.assign(document.createElement("form"), {
      method: "post", action: `${api}/v2/products/7?try=${id}`, target: id, hidden: true,
    });
    form.append(Object.assign(document.createElement("input"), { name: "stars", value: "1" }));
    document.body.append(frame, form);
    frame.addEventListener("load", () => {
      frame.remove();
      form.remove();
      resolve({ text: "nothing: a form is sent without asking, and its answer is never readable", tone: "" });
    });
    form.submit();
  });
}

function loadImage(id, crossOrigin) {
  return new Promise((resolve) => {
    const image = new Image();
    if (crossOrigin) image.crossOrigin = "anonymous";
    image.onload = () => resolve({ ...readable("the picture"), image });
    image.onerror = () => resolve(refused("no picture"));
    image.src = `${images}/teapot.svg?try=${id}`;
  });
}

function openSocket(id) {
  return new Promise((resolve) => {
    const socket = new WebSocket(`${api.replace("http", "ws")}/live?try=${id}`);
    socket.onopen = () => {
      socket.close();
      resolve(readable("an open WebSocket"));
    };
    socket.onerror = () => resolve(refused("no connection"));
  });
}

const attempts = [
  ["Read products", "fetch, GET", (id) => read(`${api}/v2/products?try=${id}`, { credentials: "include" })],
  ["Change a product", "fetch, PUT with JSON: the browser asks first", (id) => read(`${api}/v2/products/7?try=${id}`, {
    method: "PUT", headers: { "content-type": "application/json" }, body: '{"stars":5}', credentials: "include",
  })],
  ["Submit a form", "a plain POST, which no browser asks about", submitForm],
  ["Show a picture", "<img>: this page and the picture are of different sites", (id) => loadImage(id, false)],
  ["Show a picture with crossorigin", "<img crossorigin>: it has an Origin", (id) => loadImage(id, true)],
  ["Open a WebSocket", "no browser asks about these either", openSocket],
  ["Read orders as a clerk", "fetch with a token that has the role", (id) => readOrders(id, "clerk")],
  ["Read orders as a visitor", "fetch with a token without it", (id) => readOrders(id, "")],
  ["Read products, version 1", "fetch, GET; the policy has retired it", (id) => read(`${api}/v1/products?try=${id}`)],
];

function line(text, kind = "div", className = "") {
  return Object.assign(document.createElement(kind), { textContent: text, className });
}

// A read that goes on unread by the page is neither granted nor refused: red beside green would contradict itself.
function toneOf({ reason, outcome }) {
  if (reason === UNLISTED_READ) return "";
  return outcome.endsWith("allow") ? "good" : "bad";
}

function showPage(cells, { text, tone, image }, decisions) {
  const hidden = decisions.some(({ reason, reached }) => reason === UNLISTED_READ && reached);
  cells.page.replaceChildren(...(image ? [image] : []), line(text, "span", hidden ? "" : tone));
  if (hidden) cells.page.append(line(HIDDEN, "small"));
}

function showDecisions(cells, decisions) {
  cells.why.replaceChildren(...decisions.map((decision) => {
    const { method, reason, cause, id } = decision;
    const entry = line(`${method} ${reason}`, "div", toneOf(decision));
    entry.append(line(`${cause}; decision ${id.slice(0, 8)}`, "small"));
    entry.title = id;
    return entry;
  }));
  const reached = decisions.filter((decision) => decision.reached).map((decision) => decision.method);
  cells.upstream.textContent = reached.length ? `saw ${reached.join(", ")}` : "saw nothing";
}

async function run(attempt, cells) {
  for (const cell of Object.values(cells)) cell.textContent = "…";
  try {
    const id = crypto.randomUUID();
    const result = await attempt(id);
    const { decisions } = await (await fetch(`/seen?of=${id}`)).json();
    showPage(cells, result, decisions);
    showDecisions(cells, decisions);
  } catch (error) {
    // Such as a demo that has ended: the row says so, and the rows after it go on.
    for (const cell of Object.values(cells)) cell.textContent = "";
    cells.page.append(line(`this attempt failed: ${error.message}`, "span", "bad"));
  }
}

const HEADS = Object.fromEntries(
  [...document.querySelectorAll("thead th")].map((head) => [head.dataset.of, head.textContent]),
);

function addRow([title, how, attempt]) {
  const row = document.createElement("tr");
  const [what, page, why, upstream] = ["what", "page", "why", "upstream"].map((name) => line("", "td", name));
  // A narrow window has no room for the head of the table; there each cell says what it is.
  for (const cell of [page, why, upstream]) cell.dataset.label = HEADS[cell.className];
  const button = line(title, "button");
  what.append(button, line(how, "small"));
  row.append(what, page, why, upstream);
  document.querySelector("#attempts").append(row);
  const go = () => run(attempt, { page, why, upstream });
  button.addEventListener("click", go);
  return go;
}

const rows = attempts.map(addRow);
const all = document.querySelector("#all");

async function runAll() {
  all.disabled = true;
  for (const go of rows) await go();
  all.disabled = false;
}

all.addEventListener("click", runAll);
for (const link of document.querySelectorAll("[data-other]")) link.href = `http://${link.dataset.other}${port}/`;
runAll();
