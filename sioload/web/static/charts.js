// The charts of a run: of a finished one from the data in this page, of a running one by asking for it.
(() => {
  "use strict";
  const POLL = 2000; // ms between two questions
  const LINES = 8; // most lines in one chart
  const STEP = 6; // latency charts that "Show more" adds
  const HEIGHT = 220;
  const TICKS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400, 172800, 604800]; // s
  const DARK = ["#6ea8fe", "#f5b54a", "#4ade80", "#f27ab4", "#b69cff", "#5fd4d6", "#ff8f6b", "#c9cf5f"];
  const LIGHT = ["#1d5fc4", "#b06a00", "#15803d", "#b3186b", "#6b45c9", "#0b7f86", "#c2410c", "#6b7200"];
  const BANDS = [["p50", "p95", 0.34], ["p95", "p99", 0.22], ["p99", "p99.9", 0.14], ["p99.9", "max", 0.08]];

  // Types of rows that scripts name; the others tell of connections, and come after these.
  const EVENTS = new Set(["CALL", "REPLY", "EMIT", "PUSH", "FANOUT", "RECV", "WAIT"]);

  const $ = (id) => document.getElementById(id);
  const embedded = $("sioload-data");
  const view = { zoom: null, end: 0, range: 0, log: true, filter: "", type: "", shown: STEP };
  const charts = new Map(); // key to chart
  let data = null;

  // Colours.

  const paper = matchMedia("print");
  function dark() {
    if (paper.matches) return false;
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }
  function css(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }
  function colour(i) {
    const palette = dark() ? DARK : LIGHT;
    return palette[i % palette.length];
  }
  function stored(value) {
    // Locust's own page keeps its theme there; a page from disk may have no storage.
    try {
      if (value !== undefined) localStorage.theme = value;
      return localStorage.theme;
    } catch {
      return undefined;
    }
  }

  // Numbers as text.

  function clock(seconds) {
    const whole = Math.round(seconds);
    const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    const two = (n) => String(n).padStart(2, "0");
    return parts[0] ? `${parts[0]}:${two(parts[1])}:${two(parts[2])}` : `${parts[1]}:${two(parts[2])}`;
  }
  function short(value) {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    if (size >= 1e6) return `${+(value / 1e6).toPrecision(3)}M`;
    if (size >= 1e4) return `${+(value / 1e3).toPrecision(3)}k`;
    return String(size >= 100 ? Math.round(value) : +value.toPrecision(3));
  }

  // One chart.

  class Chart {
    constructor(parent) {
      this.box = document.createElement("figure");
      this.caption = document.createElement("figcaption");
      this.note = document.createElement("small");
      this.plot = document.createElement("div");
      this.plot.className = "plot";
      this.plot.tabIndex = 0;
      this.plot.setAttribute("role", "img");
      this.box.append(this.caption, this.plot);
      parent.append(this.box);
      this.plot.addEventListener("keydown", (event) => this.key(event));
    }

    // What it shows, which may be something else after a reset, or in the next run.
    name(title, unit) {
      if (title === this.title && unit === this.unit) return;
      Object.assign(this, { title, unit });
      this.note.textContent = unit;
      this.caption.replaceChildren(title, " ", this.note);
    }

    // lines: [{label, values, colour, dash, fill}], bands: [[upper line, lower line, opacity]]
    show(x, lines, bands = [], log = false) {
      const shape = JSON.stringify([lines.map((line) => [line.label, line.dash]), log, dark(), this.width()]);
      this.x = x;
      const columns = [x, ...lines.map((line) => (log ? line.values.map((v) => (v == null ? v : Math.max(v, 0.001))) : line.values))];
      if (shape !== this.shape) {
        this.shape = shape;
        this.uplot?.destroy();
        this.uplot = new uPlot(this.options(lines, bands, log), columns, this.plot);
      } else {
        this.uplot.setData(columns, false);
        this.uplot.setLegend(); // it tells the newest values, which are others now
      }
      const [min, max] = this.bounds(x);
      this.uplot.setScale("x", { min, max });
      this.plot.setAttribute("aria-label", this.spoken(lines));
    }

    options(lines, bands, log) {
      const text = css("--dim");
      const axis = { stroke: text, grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 }, font: "12px system-ui, sans-serif" };
      return {
        width: this.width(),
        height: HEIGHT,
        cursor: { sync: { key: "sioload" }, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
        scales: {
          x: { time: false },
          y: log ? { distr: 3 } : { range: (u, low, high) => [0, high > 0 ? high * 1.08 : 1] },
        },
        axes: [
          { ...axis, values: (u, ticks) => ticks.map(clock), incrs: TICKS, space: 64, size: 32 },
          { ...axis, values: (u, ticks) => ticks.map((v) => (v === null ? "" : short(v))), size: 52 },
        ],
        series: [
          { label: "at", value: (u, v, s, i) => (this.x.length ? clock(i === null ? this.x[this.x.length - 1] : v) : "–") },
          ...lines.map((line) => ({
            label: line.label,
            stroke: line.colour,
            scale: line.scale ?? "y",
            width: line.width ?? 1.75,
            dash: line.dash,
            fill: line.fill,
            points: line.points ? { size: 4, space: 6 } : { show: (u, s) => alone(u.data[s]), size: 4 },
            value: (u, v, s, i) => short(i === null ? newest(u.data[s]) : v),
          })),
        ],
        bands: bands.map(([high, low, opacity]) => ({ series: [high + 1, low + 1], fill: `rgba(${css("--band")}, ${opacity})` })),
        hooks: { setSelect: [(u) => this.zoomed(u)], drawClear: [phases] },
      };
    }

    bounds(x) {
      return bounds(x);
    }

    width() {
      return Math.max(200, Math.floor(this.plot.clientWidth || this.box.clientWidth - 16));
    }

    zoomed(u) {
      if (u.select.width < 4) return;
      view.zoom = [u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")];
      u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      draw();
    }

    key(event) {
      const [low, high] = this.bounds(this.x);
      const seen = this.x.map((at, i) => i).filter((i) => this.x[i] >= low && this.x[i] <= high);
      if (!seen.length) return;
      const now = seen.indexOf(this.at ?? seen[seen.length - 1]);
      const to = { ArrowLeft: now - 1, ArrowRight: now + 1, PageUp: now - 10, PageDown: now + 10, Home: 0, End: seen.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      this.at = seen[Math.min(Math.max(to, 0), seen.length - 1)];
      this.uplot.setCursor({ left: this.uplot.valToPos(this.x[this.at], "x"), top: HEIGHT / 3 });
    }

    spoken(lines) {
      const last = lines.map((line) => `${line.label} ${short(newest(line.values))}`);
      return `${this.title}, ${this.unit}. Newest: ${last.join(", ")}. Left and right arrow keys read other times.`;
    }

    remove() {
      this.uplot?.destroy();
      this.box.remove();
    }
  }

  // The phases of the run as bands behind the lines, with their names as far as there is room.
  function phases(u) {
    const { ctx } = u;
    const { left, top, width, height } = u.bbox;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, width, height);
    ctx.clip();
    ctx.font = `${Math.round(11 * devicePixelRatio)}px system-ui, sans-serif`;
    ctx.textAlign = "left";
    ctx.textBaseline = "top";
    data.phases.forEach((phase, i) => {
      const from = Math.max(left, u.valToPos(phase.start_s, "x", true));
      const to = Math.min(left + width, u.valToPos(phase.end_s, "x", true));
      if (to <= from) return;
      ctx.fillStyle = `rgba(${css("--band")}, ${i % 2 ? 0.12 : 0.04})`;
      ctx.fillRect(from, top, to - from, height);
      ctx.fillStyle = css("--dim");
      const room = 4 * devicePixelRatio;
      if (ctx.measureText(phase.name).width + 2 * room <= to - from) ctx.fillText(phase.name, from + room, top + room);
    });
    ctx.restore();
  }

  // Load against what came of it, level by level, in a search for capacity.
  class LoadChart extends Chart {
    options(lines, bands, log) {
      const options = super.options(lines, bands, log);
      const { unit } = data.capacity;
      const [x, y] = options.axes;
      return {
        ...options,
        cursor: { drag: { x: false, y: false }, points: { size: 6 } },
        scales: { ...options.scales, x: { time: false } },
        axes: [{ ...x, incrs: undefined, values: (u, ticks) => ticks.map(short), label: unit, labelSize: 18, labelFont: x.font }, y],
        series: [{ label: unit, value: (u, v, s, i) => short(i === null ? newest(this.x) : v) }, ...options.series.slice(1)],
        hooks: { draw: [failuresByLoad] },
      };
    }

    bounds(x) {
      return [0, newest(x) * 1.05];
    }
  }

  // What came of a mark of a drill: connections and what happened to them, and the times of calls.
  class DrillChart extends Chart {
    options(lines, bands, log) {
      const options = super.options(lines, bands, log);
      const { at } = this.mark;
      const timed = lines.some((line) => line.scale === "ms");
      return {
        ...options,
        cursor: { drag: { x: false, y: false }, points: { size: 6 } },
        scales: { ...options.scales, ...(timed && { ms: { distr: 3 } }) },
        axes: [...options.axes, ...(timed ? [{ ...options.axes[1], scale: "ms", side: 1, grid: { show: false } }] : [])],
        hooks: { draw: [(u) => upright(u, at, `at ${clock(at)}`)] },
      };
    }

    bounds(x) {
      return [x[0] - 1, Math.max(newest(x), x[0])];
    }
  }

  // The levels that failed, the lowest of them with its check.
  function failuresByLoad(u) {
    data.capacity.failed.forEach(([load, check], i) => upright(u, load, i ? "" : check));
  }

  // A red line at a place of the x axis, and what it means.
  function upright(u, place, text) {
    const { ctx } = u;
    const { left, top, width, height } = u.bbox;
    ctx.save();
    ctx.font = `${Math.round(11 * devicePixelRatio)}px system-ui, sans-serif`;
    ctx.textBaseline = "bottom";
    ctx.strokeStyle = ctx.fillStyle = css("--bad");
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    const at = u.valToPos(place, "x", true);
    ctx.beginPath();
    ctx.moveTo(at, top);
    ctx.lineTo(at, top + height);
    ctx.stroke();
    const room = 4 * devicePixelRatio;
    const onLeft = at - left > width * 0.7;
    const words = [text, onLeft ? at - room : at + room, top + height - room, (onLeft ? at - left : left + width - at) - 2 * room];
    ctx.textAlign = onLeft ? "right" : "left";
    ctx.setLineDash([]);
    ctx.lineWidth = room; // around the words, so that lines don't strike them through
    ctx.strokeStyle = css("--panel");
    ctx.strokeText(...words);
    ctx.fillText(...words);
    ctx.restore();
  }

  // What the legend tells while nothing points at a time.
  function newest(values) {
    for (let i = values.length - 1; i >= 0; i--) if (values[i] != null) return values[i];
    return null;
  }
  // A value between two gaps has no line to be seen by.
  function alone(values) {
    const gap = (i) => i < 0 || i >= values.length || values[i] === null;
    return values.some((v, i) => v != null && gap(i - 1) && gap(i + 1));
  }
  // The line goes on over what is undefined, and has a gap where there is null.
  function gapped(values, outages) {
    const gaps = new Set(outages.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, i) => first + i)));
    return values.map((v, i) => (v === null && !gaps.has(i) ? undefined : v));
  }

  function bounds(x) {
    const end = x.length ? x[x.length - 1] : 1;
    if (view.zoom) return view.zoom;
    return [view.range ? Math.max(0, end - view.range) : 0, Math.max(end, 1)];
  }

  function chart(parent, key, title, unit, kind = Chart) {
    let found = charts.get(key);
    if (!found) charts.set(key, (found = new kind(parent)));
    found.name(title, unit);
    found.used = true;
    return found;
  }

  // What to draw.

  const label = (row) => `${row.type} ${row.name}`;
  function matching() {
    const words = view.filter.toLowerCase().split(/\s+/).filter(Boolean);
    return data.rows
      .filter((row) => (!view.type || row.type === view.type) && words.every((word) => label(row).toLowerCase().includes(word)))
      .sort((one, other) => EVENTS.has(other.type) - EVENTS.has(one.type) || other.count - one.count || one.row - other.row);
  }
  // The busiest of some rows, in an order that doesn't change when their counts do.
  function most(rows, n) {
    return rows.slice(0, n).sort((one, other) => EVENTS.has(other.type) - EVENTS.has(one.type) || one.row - other.row);
  }
  function timed() {
    return most(matching().filter((row) => row.timed), view.shown);
  }
  function busiest() {
    return most(matching(), LINES);
  }
  function failing() {
    return most(matching().filter((row) => row.failures), LINES);
  }
  function wanted() {
    return [...new Set([...timed(), ...busiest(), ...failing()].map((row) => row.row))];
  }

  function draw() {
    if (!data) return;
    types();
    const end = newest(data.columns.end) ?? 0;
    if (end < view.end) view.zoom = null; // it was of what is forgotten: another run began, or counting did
    view.end = end;
    charts.forEach((one) => (one.used = false));
    if (data.capacity) capacity();
    drill();
    overview();
    servers();
    latency();
    charts.forEach((one, key) => {
      if (!one.used) {
        one.remove();
        charts.delete(key);
      }
    });
    $("unzoom").hidden = !view.zoom;
  }

  function lines(pairs) {
    return pairs.map(([name, values, more], i) => ({ label: name, values, colour: colour(i), ...more }));
  }
  function ofRows(rows, column) {
    return lines(rows.filter((row) => data.series[row.row]).map((row) => [label(row), data.series[row.row][column]]));
  }

  function overview() {
    const at = $("overview");
    const { columns } = data;
    const x = columns.end;
    const people = [["users", columns.users, { dash: [6, 4] }], ...Object.entries(columns.connections)];
    chart(at, "users", "Users and connections", "now").show(x, lines(people));
    const rows = busiest();
    const all = matching().length;
    chart(at, "rates", "Events", all > rows.length ? `per second, the ${rows.length} busiest of ${all}` : "per second").show(x, ofRows(rows, "rate"));
    const lost = Object.entries(columns.closed).map(([why, values]) => [why === "client" ? "closed by the client" : why, values]);
    chart(at, "closed", "Connections opened and closed", "per second, by reason").show(x, lines([["opened", columns.opened], ...lost]));
    const outcomes = Object.entries(columns.outcomes).map(([name, values]) => [name.replace("_", " "), values]);
    if (outcomes.length) chart(at, "outcomes", "Emits by outcome", "per second").show(x, lines(outcomes));
    const failed = failing();
    if (failed.length) chart(at, "failures", "Failures", "per second").show(x, ofRows(failed, "failures"));
    const heard = Object.entries(data.audience).slice(0, LINES);
    if (heard.length) {
      chart(at, "reach", "Reach: members who got what they were owed", "%").show(x, lines(heard.map(([name, one]) => [name, one.reach, { points: true }])));
      for (const [name, one] of heard.filter(([, one]) => one.times)) {
        const spread = lines(["p50", "p95", "p99", "max"].map((stat) => [stat, one.times[stat]]));
        chart(at, `spread ${name}`, `Spread of ${name}`, "ms from the first arrival to the last").show(x, spread, [], view.log);
      }
    }
    const processes = Object.entries(columns.processes);
    if (processes.length) {
      const which = columns.measured > processes.length ? `, the ${processes.length} of ${columns.measured} processes with the most own lag` : "";
      const names = processes.map(([name]) => brief(name));
      chart(at, "cpu", "Generator: CPU", `cores${which}`).show(x, lines(processes.map(([, p], i) => [names[i], p.cpu])));
      const lags = processes.flatMap(([, p], i) => [
        { label: `${names[i]} own`, values: p.own, colour: colour(i) },
        { label: `${names[i]} machine`, values: p.machine, colour: colour(i), dash: [2, 4], width: 1.25 },
      ]);
      chart(at, "lag", "Generator: lag p99", `ms${which}`).show(x, lags);
    }
  }

  // A chart around each mark of a drill; times have the axis on the right.
  function drill() {
    const at = $("drill");
    const marks = data.drill.filter((mark) => mark.end.length);
    at.hidden = !marks.length;
    at.classList.toggle("one", marks.length === 1);
    for (const mark of marks) {
      const shown = [["connections", mark.connections], ["connects", mark.connects], ["refused", mark.refused]];
      const timed = mark.p99.some((v) => v !== null);
      if (timed) shown.push(["p99 of calls, ms", mark.p99, { scale: "ms", dash: [4, 3] }]);
      const units = `connections now; connects and refused per second${timed ? "; ms on the right" : ""}`;
      const one = chart(at, `drill ${mark.at}`, `Drill at ${clock(mark.at)}: ${mark.what}`, units, DrillChart);
      one.mark = mark;
      one.show(mark.end, lines(shown));
    }
  }

  function capacity() {
    const at = $("capacity");
    if (!at) return;
    const { load, p50, p99, answers, unit } = data.capacity;
    const points = { points: true };
    chart(at, "load latency", `Latency by ${unit}`, "ms, of calls", LoadChart).show(load, lines([["p50", p50, points], ["p99", p99, points]]), [], true);
    chart(at, "load answers", `Throughput by ${unit}`, "acks and pushes per second", LoadChart).show(load, lines([["per second", answers, points]]));
  }

  // What was read of the servers: a chart for each figure, a line for each node.
  const TITLES = { cpu: "CPU", memory: "memory", event_loop_lag: "event-loop lag", descriptors: "open descriptors", clients: "clients", polling_clients: "polling clients", packets_in: "packets in", packets_out: "packets out", bytes_in: "bytes in", bytes_out: "bytes out" };
  const UNITS = { s: ["ms", 1000], B: ["MiB", 2 ** -20], "B/s": ["KiB per second", 2 ** -10], "/s": ["per second", 1], cores: ["cores", 1], "": ["now", 1] };
  function servers() {
    const at = $("servers");
    at.hidden = $("servers-title").hidden = !data.servers.length;
    for (const metric of new Set(data.servers.map((one) => one.metric))) {
      const all = data.servers.filter((one) => one.metric === metric);
      const peak = (one) => Math.max(...one.values.map((v) => v ?? 0));
      const some = all.length > LINES ? [...all].sort((one, other) => peak(other) - peak(one)).slice(0, LINES) : all;
      const [unit, factor] = UNITS[all[0].unit];
      const which = all.length > LINES ? `, the highest ${LINES} of ${all.length}` : "";
      const title = `Server: ${TITLES[metric] ?? metric}`;
      const scaled = some.map((one) => [one.label, one.values.map((v) => (v === null ? null : v * factor))]);
      chart(at, `server ${metric}`, title, unit + which).show(data.columns.end, lines(scaled));
    }
  }

  // Locust's worker ids end in 32 random digits; a few tell them apart.
  function brief(name) {
    return name.replace(/_([0-9a-f]{6})[0-9a-f]{26}$/, " $1");
  }

  function latency() {
    const rows = timed();
    const all = matching().filter((row) => row.timed).length;
    const without = rows.some((row) => !data.series[row.row]);
    $("more").hidden = all <= rows.length;
    const words = data.rows.length
      ? (all > rows.length ? `${rows.length} of ${all} rows with times, busiest first.` : `${all} row${all === 1 ? "" : "s"} with times.`) + (without && embedded ? " Charts of the least busy rows aren't in this file." : "")
      : "Nothing was counted yet.";
    if ($("found").textContent !== words) $("found").textContent = words; // it is read out when it is set
    for (const row of rows) {
      const times = data.series[row.row]?.times;
      if (!times) continue;
      const names = ["p50", "p95", "p99", "p99.9", "max"];
      const found = names.map((name, i) => ({
        label: name,
        values: gapped(times[name], data.series[row.row].outages),
        colour: i === 0 ? css("--link") : `rgba(${css("--band")}, ${[1, 0.85, 0.7, 0.5, 0.35][i]})`,
        width: i === 0 ? 2 : 1,
        points: i === 0,
      }));
      const bands = BANDS.map(([low, high, opacity]) => [names.indexOf(high), names.indexOf(low), opacity]);
      chart($("latency"), `row ${row.row}`, label(row), `ms, ${short(row.count)} sample${row.count === 1 ? "" : "s"}`).show(data.columns.end, found, bands, view.log);
    }
    const at = $("latency");
    const boxes = rows.map((row) => charts.get(`row ${row.row}`)?.box).filter(Boolean);
    if (boxes.some((box, i) => at.children[i] !== box) && !at.contains(document.activeElement)) at.append(...boxes);
  }

  function types() {
    const select = $("type");
    const have = new Set(Array.from(select.options, (option) => option.value));
    for (const row of data.rows) {
      if (have.has(row.type)) continue;
      have.add(row.type);
      select.add(new Option(row.type, row.type));
    }
  }

  // Asking a running test.

  let failures = 0;
  async function ask() {
    try {
      await fetchData();
      tables(data.fragment);
      failures = 0;
    } catch (error) {
      failures += 1;
      if (!(error instanceof TypeError || error instanceof SyntaxError || error instanceof Gone)) throw error;
    } finally {
      $("gone").hidden = failures < 2;
      setTimeout(ask, document.hidden ? POLL * 5 : Math.min(POLL * 2 ** failures, 60_000));
    }
    draw();
  }
  // The rows that are the busiest by now may be others than when they were asked for. An answer is kept for a
  // second, so the second one tells of the same moment.
  async function fetchData() {
    for (let times = 0, asked = data ? wanted() : []; times < 3; times++, asked = wanted()) {
      data = await json(`data?rows=${asked.join(",")}`);
      if (wanted().every((row) => asked.includes(row))) return;
    }
  }
  class Gone extends Error {}
  async function json(address) {
    const answer = await fetch(address, { credentials: "same-origin" });
    if (!answer.ok || answer.redirected) throw new Gone(answer.status);
    return answer.json();
  }
  function tables(fragment) {
    const page = new DOMParser().parseFromString(fragment, "text/html");
    for (const id of ["host", "top", "tables"]) {
      const old = $(id);
      const fresh = page.getElementById(id);
      if (!fresh || old.innerHTML === fresh.innerHTML) continue;
      const seen = new Map(boxes(old).map((box) => [called(box), [box.scrollLeft, box.scrollTop, box === document.activeElement]]));
      old.replaceWith(document.adoptNode(fresh));
      for (const box of boxes($(id))) {
        const [left, top, focused] = seen.get(called(box)) ?? [];
        if (left || top) box.scrollTo(left, top);
        if (focused) box.focus({ preventScroll: true });
      }
    }
    document.title = ["Socket.IO", $("host").textContent].filter(Boolean).join(" · "); // the next run may be of another server
  }
  const boxes = (part) => Array.from(part.querySelectorAll(".scroll"));
  const called = (box) => box.getAttribute("aria-label");

  // Controls.

  function listen() {
    const redraw = (change) => (event) => {
      change(event.target);
      draw();
      if (!embedded) refresh();
    };
    $("range").addEventListener("change", redraw((at) => ((view.range = Number(at.value)), (view.zoom = null))));
    $("unzoom").addEventListener("click", redraw(() => (view.zoom = null)));
    $("filter").addEventListener("input", redraw((at) => ((view.filter = at.value), (view.shown = STEP))));
    $("type").addEventListener("change", redraw((at) => ((view.type = at.value), (view.shown = STEP))));
    $("log").addEventListener("change", redraw((at) => (view.log = at.checked)));
    $("more").addEventListener("click", redraw(() => (view.shown += STEP)));
    $("theme").addEventListener("click", () => {
      const theme = dark() ? "light" : "dark";
      document.documentElement.dataset.theme = theme;
      stored(theme);
      draw();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    paper.addEventListener("change", draw); // a page of paper has another width
    // Also when a scroll bar takes its part.
    let width = $("charts").clientWidth;
    new ResizeObserver(() => {
      if ($("charts").clientWidth === width) return;
      width = $("charts").clientWidth;
      draw();
    }).observe($("charts"));
  }
  let waiting = 0;
  function refresh() {
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      try {
        data = await json(`data?rows=${wanted().join(",")}`);
        draw();
      } catch (error) {
        if (!(error instanceof TypeError || error instanceof SyntaxError || error instanceof Gone)) throw error;
      }
    }, 150);
  }

  const theme = stored();
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  listen();
  if (embedded) {
    data = JSON.parse(embedded.textContent);
    draw();
  } else {
    ask();
  }
})();
