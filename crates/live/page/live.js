"use strict";

const EVERY_MS = 1000;
const SECONDS = 120;
const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);
const say = (id, text) => { byId(id).textContent = text; };
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const number = (value) => (value < 10 ? fine : whole).format(value);
const seconds = (value) => (value < 1 ? `${whole.format(value * 1000)} ms` : `${value.toFixed(1)} s`);

function draw(parent, name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
}

// The next of 1, 2, 5, 10, … that is not below.
function roof(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999999);
}

const LEFT = 58, RIGHT = 470, TOP = 10, BOTTOM = 110;

// Lines of the last two minutes; null is a gap.
function lines(id, least, unit, series) {
  const chart = byId(id);
  const top = roof(Math.max(least, ...series.flat().filter((value) => value !== null)));
  const y = (value) => BOTTOM - (BOTTOM - TOP) * (value / top);
  const x = (index, length) => RIGHT - (RIGHT - LEFT) * ((length - 1 - index) / (SECONDS - 1));
  chart.replaceChildren();
  for (const share of [0, 0.5, 1]) {
    draw(chart, "line", { class: "rule", x1: LEFT, x2: RIGHT, y1: y(top * share), y2: y(top * share) });
    draw(chart, "text", { x: LEFT - 6, y: y(top * share) + 4, "text-anchor": "end" }, unit(top * share));
  }
  for (const [text, share, anchor] of [["2 minutes ago", 0, "start"], ["1 minute ago", 0.5, "middle"], ["now", 1, "end"]]) {
    draw(chart, "text", { x: LEFT + (RIGHT - LEFT) * share, y: BOTTOM + 18, "text-anchor": anchor }, text);
  }
  series.forEach((values, which) => {
    let path = "", pen = "M";
    values.forEach((value, index) => {
      if (value === null) { pen = "M"; return; }
      path += `${pen}${x(index, values.length).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
    });
    draw(chart, "path", { class: which === 0 ? "trace" : "trace two", d: path });
  });
}

function showPoints(history) {
  const ok = history.map((second) => second.points.ok);
  // The first look has nothing before it to be compared with.
  const last = ok.slice(1).slice(-10);
  const mean = last.reduce((sum, value) => sum + value, 0) / Math.max(last.length, 1);
  say("points-rate", last.length === 0 ? "–" : number(mean));
  lines("points-chart", 10, number, [ok, history.map((second) => second.points.failed)]);
  const unconfirmed = history.at(-1).points.unconfirmed;
  say("unconfirmed", unconfirmed > 0 ? `not confirmed by Kafka: ${number(unconfirmed)} a second` : "");
}

function showFreshness(history) {
  const of = (key) => history.map((second) => (second.freshness === null ? null : second.freshness[key]));
  const now = history.at(-1).freshness;
  say("freshness-p99", now === null ? "no records" : seconds(now.p99_s));
  say("freshness-median", now === null ? "–" : seconds(now.median_s));
  lines("freshness-chart", 1, seconds, [of("p99_s"), of("median_s")]);
}

function showCharge(charge, client) {
  if (charge === null) return;
  const devices = charge.steps.reduce((sum, count) => sum + count, 0);
  say("charge-devices", whole.format(devices));
  const silent = charge.unknown > 0 ? `, ${whole.format(charge.unknown)} more without one` : "";
  say("charge-note", `batteries of “${client}”, last state${silent}`);
  const chart = byId("charge-chart");
  const [left, right, top, bottom] = [20, 460, 20, 120];
  const width = (right - left) / charge.steps.length;
  const most = Math.max(1, ...charge.steps);
  chart.replaceChildren();
  charge.steps.forEach((count, step) => {
    const height = (bottom - top) * (count / most);
    draw(chart, "rect", { class: "column", x: left + step * width + 2, y: bottom - height, width: width - 4, height, rx: 2 });
    draw(chart, "text", { class: "count", x: left + (step + 0.5) * width, y: bottom - height - 5, "text-anchor": "middle" }, whole.format(count));
  });
  draw(chart, "line", { class: "rule", x1: left, x2: right, y1: bottom, y2: bottom });
  for (let step = 0; step <= charge.steps.length; step += 1) {
    draw(chart, "text", { x: left + step * width, y: bottom + 18, "text-anchor": "middle" }, `${step * 10}`);
  }
  draw(chart, "text", { x: (left + right) / 2, y: bottom + 38, "text-anchor": "middle" }, "state of charge in %, number of batteries in each step");
}

function showRejected(rejected, putAside) {
  const reasons = Object.entries(rejected).sort(([one, more], [other, less]) => less - more || one.localeCompare(other));
  const all = reasons.reduce((sum, [, points]) => sum + points, 0);
  say("rejected-points", whole.format(all));
  byId("rejected").replaceChildren(...reasons.map(([reason, points]) => {
    const row = document.createElement("tr");
    row.dataset.reason = reason;
    const name = document.createElement("th");
    name.scope = "row";
    name.textContent = reason.replaceAll("_", " ");
    const count = document.createElement("td");
    count.className = "number";
    count.textContent = whole.format(points);
    const share = document.createElement("td");
    share.className = "share";
    const bar = document.createElement("span");
    bar.className = "bar";
    bar.style.width = `${(100 * points) / all}%`;
    share.append(bar);
    row.append(name, count, share);
    return row;
  }));
  say("put-aside", `Put aside by the worker after an OK: ${whole.format(putAside)}`);
}

function showFleet(batteries, left) {
  if (batteries === null) {
    say("fleet", "An installation on this machine.");
  } else if (left > 0) {
    const time = left >= 120 ? `${Math.round(left / 60)} minutes` : `${left} seconds`;
    say("fleet", `${whole.format(batteries)} simulated batteries post; they stop by themselves in ${time}.`);
  } else {
    say("fleet", `${whole.format(batteries)} simulated batteries have posted and stopped by themselves.`);
  }
}

function showSilent(who) {
  byId("silent").hidden = who.length === 0;
  say("silent", who.length === 0 ? "" : `No answer from ${who.join(" and ")}.`);
}

async function look() {
  try {
    const answer = await fetch("/numbers", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    const numbers = await answer.json();
    showFleet(numbers.fleet_batteries, numbers.fleet_left_s);
    showSilent(numbers.silent);
    showCharge(numbers.charge, numbers.client);
    showRejected(numbers.rejected, numbers.put_aside);
    if (numbers.seconds.length > 0) {
      showPoints(numbers.seconds);
      showFreshness(numbers.seconds);
    }
  } catch {
    showSilent(["the process behind this page"]);
  }
  setTimeout(look, EVERY_MS);
}

look();
