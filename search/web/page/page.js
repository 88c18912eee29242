"use strict";
// Everything that comes from a cache or a user is set as text, never as markup.

const $ = (id) => document.getElementById(id);
let runs = [];
let latest = 0; // number of the latest search; responses to earlier ones are dropped
let upload = null;

function report(message, isError = false) {
  $("status").textContent = message;
  $("status").classList.toggle("error", isError);
}

async function call(path, options) {
  const response = await fetch(path, options);
  if (response.status === 401) {
    $("login").hidden = false;
    $("search").hidden = true;
    $("token").focus();
    throw new Error("This server needs a token.");
  }
  if (response.status === 204) return null;
  const body = await response.json().catch(() => ({}));
  if (!response.ok) {
    const detail = body.detail;
    throw new Error(Array.isArray(detail) ? detail.map((error) => error.msg).join("; ") : detail || response.statusText);
  }
  return body;
}

function options(select, values, first) {
  const kept = select.value;
  select.replaceChildren(...first, ...values.map(([value, label]) => new Option(label, value)));
  if ([...select.options].some((option) => option.value === kept)) select.value = kept;
}

async function begin() {
  try {
    runs = await call("api/runs");
  } catch (error) {
    return report(error.message, true);
  }
  $("login").hidden = true;
  $("search").hidden = false;
  const names = runs.map((run) => [run.name, run.name]);
  options($("run"), names, []);
  options($("compare"), names, [new Option("none", "")]);
  filters();
  report(`${runs[0].clips} clips to search.`);
  const query = new URLSearchParams(location.hash.slice(1)).get("q");
  if (query) {
    $("query").value = query;
    search();
  }
}

function filters() {
  const run = runs.find((served) => served.name === $("run").value) || runs[0];
  options($("task"), run.tasks.map((names, n) => [String(n + 1), `${n + 1}: ${names.join(", ")}`]), [new Option("any", "")]);
  options($("category"), run.categories.map((name) => [name, name]), [new Option("any", "")]);
  options($("cache"), run.caches.map((cache) => [cache.fingerprint, `${cache.dataset} (${cache.fingerprint.slice(0, 8)})`]), [new Option("any", "")]);
}

async function search() {
  const query = $("query").value.trim();
  if (!query && !upload) return report("Describe what the clip shows.", true);
  const number = ++latest;
  report("Searching…");
  const chosen = [...new Set([$("run").value, $("compare").value].filter(Boolean))];
  const request = (run) => {
    const parameters = new URLSearchParams({ run, top: $("top").value });
    for (const name of ["task", "category", "cache"]) if ($(name).value) parameters.set(name, $(name).value);
    if (!upload) parameters.set("q", query);
    const body = upload ? new FormData() : undefined;
    if (upload) body.append("file", upload);
    return call(`api/search?${parameters}`, upload ? { method: "POST", body } : undefined);
  };
  try {
    const responses = [];
    for (const run of chosen) responses.push(await request(run));
    if (number === latest) show(responses);
  } catch (error) {
    if (number === latest) report(error.message, true);
  }
}

function show(responses) {
  const [first] = responses;
  const cut = first.truncated ? " The query is longer than the model reads; its end was not used." : "";
  report(`${first.results.length} of ${first.clips} clips, the best first, for “${first.query}”.${cut}`);
  if (!upload) history.replaceState(null, "", `#${new URLSearchParams({ q: first.query })}`);
  $("columns").classList.toggle("two", responses.length > 1);
  const scale = barScale(responses);
  $("columns").replaceChildren(...responses.map((response, n) => column(response, responses[1 - n], scale)));
}

// One scale for all bars: lengths compare between clips, and rounding noise does not fill any.
function barScale(responses) {
  const cosines = responses.flatMap((response) => response.results.flatMap((result) => result.frame_words.map((match) => match.cosine)));
  const low = Math.min(...cosines);
  const range = Math.max(Math.max(...cosines) - low, 0.05);
  return (cosine) => 20 + (80 * (cosine - low)) / range;
}

function column(response, other, scale) {
  const section = document.createElement("section");
  const title = document.createElement("h2");
  title.textContent = response.run;
  const list = document.createElement("div");
  list.className = "results";
  const key = (result) => `${result.cache}/${result.clip}`;
  const ranks = new Map((other ? other.results : []).map((result) => [key(result), result.rank]));
  list.append(...response.results.map((result) => card(result, scale, other && (ranks.get(key(result)) || null))));
  section.append(title, list);
  return section;
}

function card(result, scale, otherRank) {
  const node = $("result").content.firstElementChild.cloneNode(true);
  const part = (name) => node.querySelector(name);
  part(".rank").textContent = result.rank;
  part(".name").textContent = result.clip;
  node.setAttribute("aria-label", `Rank ${result.rank}: ${result.clip}, ${result.category}`);
  const cosine = (value) => value.toFixed(2).replace("-", "−");
  const facts = [result.category, result.task ? `task ${result.task}` : "added cache", result.split];
  if (result.word_frame !== null) facts.push(`words and frames ${cosine(result.word_frame)}`);
  if (result.global !== null) facts.push(`whole clip ${cosine(result.global)}`);
  if (result.copies.length) facts.push(`the same video: ${result.copies.map((copy) => copy.clip).join(", ")}`);
  if (result.start !== null || result.end !== null) {
    facts.push(`${clock(result.start || 0)} to ${result.end === null ? "the end" : clock(result.end)}`);
  }
  if (result.time !== null) facts.push(`best at ${clock(result.time)}`);
  if (otherRank !== undefined) {
    facts.push(otherRank ? `rank ${otherRank} in the other run` : "not shown by the other run");
    node.classList.toggle("other", !otherRank);
  }
  part(".facts").textContent = facts.join(" · ");
  part(".captions").textContent = result.captions.slice(0, 2).map((text) => `“${text}”`).join(" ");
  const video = part("video");
  const span = () => {
    const start = result.start || 0;
    const end = result.end === null ? video.duration || start : Math.min(result.end, video.duration || result.end);
    return [start, end];
  };
  const seconds = (frame) => {
    if (result.times.length) return result.times[frame - 1];
    const [start, end] = span(); // caches of version 0.3 hold no times: about there
    return start + ((frame - 0.5) / result.frame_count) * (end - start);
  };
  const go = (frame, play) => {
    if (!part(".still").hidden) still(node, result, frame);
    video.currentTime = seconds(frame) + 0.001; // a browser rounds down to microseconds
    if (play) video.play().catch(() => {});
  };
  video.setAttribute("aria-label", `${result.clip}, from its best frame`);
  video.addEventListener("loadedmetadata", () => {
    if (!video.videoWidth) heard(node, result);
    go(result.frame, false);
  });
  video.addEventListener("timeupdate", () => {
    const [start, end] = span();
    if (result.end !== null && video.currentTime >= end) {
      video.pause();
      video.currentTime = start;
    }
  });
  video.addEventListener("error", () => gone(node, result));
  video.src = result.video;
  if (result.frame_words.length) {
    part(".timeline").append(...result.frame_words.map((match) => {
      const button = document.createElement("button");
      button.type = "button";
      const at = result.times.length ? `, at ${clock(result.times[match.frame - 1])}` : "";
      button.title = `frame ${match.frame}: ${match.word} (${cosine(match.cosine)})${at}`;
      button.setAttribute("aria-label", button.title);
      button.classList.toggle("best", match.frame === result.frame);
      const bar = document.createElement("i");
      bar.style.height = `${scale(match.cosine)}%`;
      const word = document.createElement("b");
      word.textContent = match.word;
      button.append(bar, word);
      button.addEventListener("click", () => go(match.frame, true));
      return button;
    }));
    part(".words").append("Best frames: ", ...result.matches.map((match) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = `${match.word} → ${match.frame} (${cosine(match.cosine)})`;
      button.title = `Frame ${match.frame} fits ${match.word} best`;
      button.addEventListener("click", () => go(match.frame, true));
      return button;
    }));
  }
  return node;
}

function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  return `${Math.floor(tenths / 600)}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
}

// A picture of a sampled frame, where the browser shows none of the video.
function still(node, result, frame) {
  const picture = node.querySelector(".still");
  picture.hidden = false;
  picture.alt = `${result.clip}, frame ${frame}`;
  picture.onerror = () => { picture.hidden = true; };
  picture.src = `${result.thumbnail}&frame=${frame}`;
}

function say(node, text) {
  const message = node.querySelector(".gone");
  message.hidden = false;
  message.textContent = text;
}

function heard(node, result) {
  node.querySelector("video").classList.add("sound");
  say(node, "This browser plays only the sound of this video; the picture is its found frame.");
  still(node, result, result.frame);
}

async function gone(node, result) {
  node.querySelector("video").hidden = true;
  try {
    const response = await fetch(result.video, { headers: { Range: "bytes=0-0" } });
    if (!response.ok) return say(node, (await response.json()).detail);
    const isPicture = response.headers.get("Content-Type").startsWith("image/");
    say(node, isPicture ? "A picture, or an animation." : "This browser cannot play this video; the picture is its found frame.");
    still(node, result, result.frame);
  } catch (error) {
    say(node, "The server does not answer.");
  }
}

function searchWith(file) {
  upload = file;
  $("query").value = "";
  search();
}

$("search").addEventListener("submit", (event) => {
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
    report(error.message, true);
  }
});
$("file").addEventListener("change", () => $("file").files[0] && searchWith($("file").files[0]));
$("run").addEventListener("change", filters);
for (const id of ["run", "compare", "task", "category", "cache", "top"]) {
  $(id).addEventListener("change", () => ($("query").value.trim() || upload) && search());
}
for (const kind of ["dragover", "dragleave", "drop"]) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("drop", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) searchWith(event.dataTransfer.files[0]);
  });
}
addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input, select, textarea");
  const isEmptyQuery = event.target === $("query") && !$("query").value; // it has the focus at first
  if (event.key === "/" && (!isTyping || isEmptyQuery)) {
    event.preventDefault();
    $("query").focus();
  }
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  const results = [...document.querySelectorAll("article")];
  const index = results.indexOf(document.activeElement);
  if (event.key === "j" || event.key === "k") {
    const next = results[Math.min(results.length - 1, Math.max(0, index + (event.key === "j" ? 1 : -1)))];
    if (next) next.focus();
  }
  if (event.key === " " && index >= 0) {
    event.preventDefault();
    const video = results[index].querySelector("video");
    video.paused ? video.play().catch(() => {}) : video.pause();
  }
});
begin();
