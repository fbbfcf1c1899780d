// Draws charts from their tables, sends forms whose choice is their whole meaning, keeps what a reader has opened or is
// typing when the page refreshes itself, and says when it cannot. Every page works without this file.
"use strict";

const plots = new Map(); // by the id of the plot: what it shows as text, and the drawing

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function read(figure) {
  const table = figure.querySelector("details table");
  const heads = [...table.tHead.rows[0].cells].slice(1);
  const rows = [...table.tBodies[0].rows];
  const days = rows.map((row) => Number(row.cells[0].dataset.x) * 86400);
  const series = heads
    .map((head, at) => ({
      name: head.textContent,
      style: head.dataset.style,
      values: rows.map((row) => (row.cells[at + 1].dataset.v === undefined ? null : Number(row.cells[at + 1].dataset.v))),
    }))
    .filter((one) => one.values.some((value) => value !== null));
  return { days, series };
}

function dollars(value) {
  return value === null || value === undefined ? "" : "$" + value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}

function dollarsOnAxis(_, ticks) {
  return ticks.map((tick) => "$" + tick.toLocaleString("en-US"));
}

function axes() {
  const style = { stroke: colour("--dim"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
  const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
  return [
    { ...style, grid: { show: false }, values: (_, ticks) => ticks.map((tick) => day.format(tick * 1000)), incrs: [86400, 2 * 86400, 7 * 86400, 14 * 86400], space: 58 },
    { ...style, values: dollarsOnAxis, size: 64 },
  ];
}

function options(width, series, extra) {
  const date = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });
  return {
    width,
    height: Math.max(190, Math.min(280, Math.round(width * 0.42))),
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
    cursor: { y: false, points: { size: 6 } },
    axes: axes(),
    series: [{ label: "day", value: (_, seconds) => (seconds === null ? "" : date.format(seconds * 1000)) }, ...series],
    ...extra,
  };
}

function stack(table, width) {
  // Each column stands on those before it; the highest is drawn first, so that the lower ones cover it.
  const sums = table.days.map(() => 0);
  const stacked = table.series.map((one) => one.values.map((value, at) => (sums[at] += value ?? 0)));
  const bars = uPlot.paths.bars({ size: [0.72, 48], radius: 0.08 });
  const series = table.series.map((one, at) => ({
    label: one.name,
    fill: colour(`--c${(at % 8) + 1}`),
    stroke: colour(`--c${(at % 8) + 1}`),
    width: 0,
    paths: bars,
    points: { show: false },
    value: (_, __, ___, index) => dollars(index === null ? null : one.values[index]),
  }));
  const half = 43200;
  const x = { time: true, range: (_, from, to) => [from - half, to + half] };
  const made = options(width, series.slice().reverse(), { scales: { x, y: { range: (_, __, to) => [0, to * 1.05 || 1] } } });
  return [made, [table.days, ...stacked.slice().reverse()]];
}

function lines(table, width) {
  const styles = {
    actual: { stroke: colour("--c1"), width: 2.5 },
    expected: { stroke: colour("--c1"), width: 2, dash: [5, 5] },
    cap: { stroke: colour("--bad"), width: 1.5, dash: [2, 3] },
  };
  const series = table.series.map((one) => ({ label: one.name, points: { show: false }, value: (_, value) => dollars(value), ...styles[one.style] }));
  const made = options(width, series, { scales: { y: { range: (_, __, to) => [0, to * 1.05 || 1] } } });
  return [made, [table.days, ...table.series.map((one) => one.values)]];
}

function draw() {
  if (typeof uPlot === "undefined") return;
  const seen = new Set();
  for (const figure of document.querySelectorAll("figure[data-chart]")) {
    const place = figure.querySelector(".plot");
    const table = read(figure);
    const width = Math.floor(place.getBoundingClientRect().width);
    if (!width || table.days.length === 0 || table.series.length === 0) continue;
    seen.add(place.id);
    const theme = matchMedia("(prefers-color-scheme: dark)").matches;
    const shows = JSON.stringify([table, width, theme]);
    const known = plots.get(place.id);
    if (known && known.shows === shows && known.place === place) continue;
    if (known) known.plot.destroy();
    const [made, data] = (figure.dataset.chart === "stack" ? stack : lines)(table, width);
    const plot = new uPlot(made, data, place);
    const legend = plot.root.querySelector(".u-legend tbody"); // in the order of the table, and the day at its end
    const names = [...legend.children];
    legend.append(...(figure.dataset.chart === "stack" ? names.reverse() : names.slice(0, 1)));
    plots.set(place.id, { shows, place, plot });
  }
  for (const [id, known] of plots) {
    if (!seen.has(id)) {
      known.plot.destroy();
      plots.delete(id);
    }
  }
}

function keepWhatIsOpen() {
  if (typeof Idiomorph === "undefined") return;
  Idiomorph.defaults.ignoreActiveValue = true;
  const isPlot = (node) => node.classList !== undefined && node.classList.contains("plot");
  Idiomorph.defaults.callbacks.beforeNodeMorphed = (old) => !isPlot(old);
  Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node.tagName === "DETAILS");
}

let shownAt = new Date(); // when what is shown was loaded
let losing; // a loss that is made good at once is not worth a word

function say(state) {
  for (const sign of document.querySelectorAll("[data-live]")) {
    sign.dataset.state = state;
    sign.textContent = state === "lost" ? "reconnecting" : "live";
  }
}

function lost() {
  say("lost");
  losing ??= setTimeout(() => {
    for (const note of document.querySelectorAll("[data-lost]")) {
      note.textContent = `The connection to the collector is lost. What you see is of ${shownAt.toISOString().slice(11, 19)}; it is shown anew as soon as the collector answers.`;
      note.hidden = false;
    }
  }, 2000);
}

function found() {
  say("live");
  if (losing === undefined) return;
  clearTimeout(losing);
  losing = undefined;
  for (const note of document.querySelectorAll("[data-lost]")) note.hidden = true;
  htmx.trigger("#page", "refresh"); // what has changed meanwhile, nobody has told
}

// Listens to one stream for as long as the page is open: it is no part of what a refresh replaces.
function watch() {
  const page = document.querySelector("#page[data-stream]");
  if (page === null || typeof htmx === "undefined") return;
  const stream = new EventSource(page.dataset.stream);
  stream.addEventListener("changed", () => htmx.trigger("#page", "refresh"));
  stream.addEventListener("open", found);
  stream.addEventListener("error", () => {
    lost();
    if (stream.readyState === EventSource.CLOSED) setTimeout(watch, 5000); // it was refused; else it reconnects by itself
  });
}

function loading(delta) {
  const under = Math.max(0, Number(document.body.dataset.requests ?? 0) + delta);
  document.body.dataset.requests = under;
  document.body.classList.toggle("loading", under > 0);
}

async function copy(button) {
  const source = document.getElementById(button.dataset.copies);
  try {
    await navigator.clipboard.writeText(source.textContent.trim());
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source); // no clipboard without TLS: the reader copies what is selected
    button.textContent = "Selected: copy it";
  }
}

document.documentElement.classList.add("script");
keepWhatIsOpen();
draw();
watch();
document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-submits]");
  if (form) form.requestSubmit();
});
document.addEventListener("submit", (event) => {
  const question = event.target.dataset.asks;
  if (question && !confirm(question)) event.preventDefault();
});
document.addEventListener("htmx:afterSettle", draw);
document.addEventListener("htmx:beforeRequest", () => loading(1));
document.addEventListener("htmx:afterRequest", (event) => {
  loading(-1);
  if (event.detail.successful) shownAt = new Date();
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copies]");
  if (button) copy(button);
});
for (const button of document.querySelectorAll("[data-copies]")) button.hidden = false;
addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
