"use strict";
// Everything that comes from a cache or a user is set as text, never as markup.

const $ = (id) => document.getElementById(id);
let runs = [];
let asked = 0; // answers to older questions are dropped
let upload = null;

function tell(words, isError = false) {
  $("status").textContent = words;
  $("status").classList.toggle("error", isError);
}

async function call(path, options) {
  const response = await fetch(path, options);
  if (response.status === 401) {
    $("login").hidden = false;
    $("ask").hidden = true;
    $("token").focus();
    throw new Error("This server asks for its token.");
  }
  if (response.status === 204) return null;
  const body = await response.json().catch(() => ({}));
  if (!response.ok) {
    const detail = body.detail;
    throw new Error(Array.isArray(detail) ? detail.map((one) => one.msg).join("; ") : detail || response.statusText);
  }
  return body;
}

function options(select, values, first) {
  const kept = select.value;
  select.replaceChildren(...first, ...values.map(([value, label]) => new Option(label, value)));
  if ([...select.options].some((one) => one.value === kept)) select.value = kept;
}

async function begin() {
  try {
    runs = await call("api/runs");
  } catch (error) {
    return tell(error.message, true);
  }
  $("login").hidden = true;
  $("ask").hidden = false;
  const names = runs.map((one) => [one.name, one.name]);
  options($("run"), names, []);
  options($("beside"), names, [new Option("none", "")]);
  filters();
  tell(`${runs[0].clips} clips to search.`);
  const query = new URLSearchParams(location.hash.slice(1)).get("q");
  if (query) {
    $("query").value = query;
    search();
  }
}

function filters() {
  const run = runs.find((one) => one.name === $("run").value) || runs[0];
  options($("task"), run.tasks.map((names, n) => [String(n + 1), `${n + 1}: ${names.join(", ")}`]), [new Option("any", "")]);
  options($("category"), run.categories.map((name) => [name, name]), [new Option("any", "")]);
  options($("cache"), run.caches.map((one) => [one.fingerprint, `${one.dataset} (${one.fingerprint.slice(0, 8)})`]), [new Option("any", "")]);
}

async function search() {
  const query = $("query").value.trim();
  if (!query && !upload) return tell("Say what the clip shows.", true);
  const mine = ++asked;
  tell("Searching…");
  const chosen = [...new Set([$("run").value, $("beside").value].filter(Boolean))];
  const ask = (run) => {
    const given = new URLSearchParams({ run, top: $("top").value });
    for (const name of ["task", "category", "cache"]) if ($(name).value) given.set(name, $(name).value);
    if (!upload) given.set("q", query);
    const body = upload ? new FormData() : undefined;
    if (upload) body.append("file", upload);
    return call(`api/search?${given}`, upload ? { method: "POST", body } : undefined);
  };
  try {
    const answers = [];
    for (const run of chosen) answers.push(await ask(run));
    if (mine === asked) show(answers);
  } catch (error) {
    if (mine === asked) tell(error.message, true);
  }
}

function show(answers) {
  const [first] = answers;
  const cut = first.truncated ? " The query is longer than the model reads; its end was not used." : "";
  tell(`${first.results.length} of ${first.clips} clips, the best first, for “${first.query}”.${cut}`);
  if (!upload) history.replaceState(null, "", `#${new URLSearchParams({ q: first.query })}`);
  $("columns").classList.toggle("two", answers.length > 1);
  $("columns").replaceChildren(...answers.map((answer, n) => column(answer, answers[1 - n])));
}

function column(answer, other) {
  const section = document.createElement("section");
  const title = document.createElement("h2");
  title.textContent = answer.run;
  const hits = document.createElement("div");
  hits.className = "hits";
  const places = new Map((other ? other.results : []).map((one) => [`${one.cache}/${one.clip}`, one.rank]));
  hits.append(...answer.results.map((one) => hit(one, other && (places.get(`${one.cache}/${one.clip}`) || null))));
  section.append(title, hits);
  return section;
}

function hit(one, elsewhere) {
  const node = $("hit").content.firstElementChild.cloneNode(true);
  const part = (name) => node.querySelector(name);
  part(".rank").textContent = one.rank;
  part(".name").textContent = one.clip;
  node.setAttribute("aria-label", `Place ${one.rank}: ${one.clip}, ${one.category}`);
  const cosine = (value) => value.toFixed(2).replace("-", "−");
  const facts = [one.category, one.task ? `task ${one.task}` : "added", one.split];
  if (one.word_frame !== null) facts.push(`words and frames ${cosine(one.word_frame)}`);
  if (one.global !== null) facts.push(`whole clip ${cosine(one.global)}`);
  if (elsewhere !== undefined) {
    facts.push(elsewhere ? `place ${elsewhere} in the other run` : "not among the other run's");
    node.classList.toggle("other", !elsewhere);
  }
  part(".facts").textContent = facts.join(" · ");
  part(".captions").textContent = one.captions.slice(0, 2).map((text) => `“${text}”`).join(" ");
  const video = part("video");
  const span = () => {
    const start = one.start || 0;
    const end = one.end === null ? video.duration || start : Math.min(one.end, video.duration || one.end);
    return [start, end];
  };
  const seconds = (frame) => {
    const [start, end] = span();
    return start + ((frame - 0.5) / one.frame_count) * (end - start);
  };
  const go = (frame, play) => {
    video.currentTime = seconds(frame);
    if (play) video.play().catch(() => {});
  };
  video.setAttribute("aria-label", `${one.clip}, from its best frame`);
  video.addEventListener("loadedmetadata", () => go(one.frame, false));
  video.addEventListener("timeupdate", () => {
    const [start, end] = span();
    if (one.end !== null && video.currentTime >= end) {
      video.pause();
      video.currentTime = start;
    }
  });
  video.addEventListener("error", () => gone(node, one));
  video.src = one.video;
  if (one.frames.length) {
    const high = Math.max(...one.frames.map((match) => match.cosine));
    const low = Math.min(...one.frames.map((match) => match.cosine));
    part(".timeline").append(...one.frames.map((match) => {
      const button = document.createElement("button");
      button.type = "button";
      button.title = `frame ${match.frame}: ${match.word} (${cosine(match.cosine)})`;
      button.setAttribute("aria-label", button.title);
      button.classList.toggle("best", match.frame === one.frame);
      const bar = document.createElement("i");
      bar.style.height = `${20 + (80 * (match.cosine - low)) / (high - low || 1)}%`;
      const word = document.createElement("b");
      word.textContent = match.word;
      button.append(bar, word);
      button.addEventListener("click", () => go(match.frame, true));
      return button;
    }));
    part(".words").append("Found: ", ...one.matches.map((match) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = `${match.word} → ${match.frame} (${cosine(match.cosine)})`;
      button.title = `${match.word} fits frame ${match.frame} best`;
      button.addEventListener("click", () => go(match.frame, true));
      return button;
    }));
  }
  return node;
}

async function gone(node, one) {
  const told = node.querySelector(".gone");
  node.querySelector("video").hidden = true;
  told.hidden = false;
  told.textContent = "This browser cannot play this video.";
  try {
    const response = await fetch(one.video, { headers: { Range: "bytes=0-0" } });
    if (!response.ok) told.textContent = (await response.json()).detail;
  } catch (error) {
    told.textContent = "The server does not answer.";
  }
}

function take(file) {
  upload = file;
  $("query").value = "";
  search();
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  upload = null;
  search();
});
$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await call("api/login", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token: $("token").value }),
    });
    begin();
  } catch (error) {
    tell(error.message, true);
  }
});
$("file").addEventListener("change", () => $("file").files[0] && take($("file").files[0]));
$("run").addEventListener("change", filters);
for (const id of ["run", "beside", "task", "category", "cache", "top"]) {
  $(id).addEventListener("change", () => ($("query").value.trim() || upload) && search());
}
for (const kind of ["dragover", "dragleave", "drop"]) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("drop", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
}
addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input, select, textarea");
  if (event.key === "/" && !isTyping) {
    event.preventDefault();
    $("query").focus();
  }
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  const hits = [...document.querySelectorAll("article")];
  const at = hits.indexOf(document.activeElement);
  if (event.key === "j" || event.key === "k") {
    const next = hits[Math.min(hits.length - 1, Math.max(0, at + (event.key === "j" ? 1 : -1)))];
    if (next) next.focus();
  }
  if (event.key === " " && at >= 0) {
    event.preventDefault();
    const video = hits[at].querySelector("video");
    video.paused ? video.play().catch(() => {}) : video.pause();
  }
});
begin();
