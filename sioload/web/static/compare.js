// Both curves of each row: by percentile, and p99 over time.
(() => {
  "use strict";
  const HEIGHT = 220;
  const NAMES = ["before", "after"];
  const rows = JSON.parse(document.getElementById("sioload-data").textContent);
  const place = document.getElementById("curves");
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const short = (v) => (v == null ? "–" : v >= 100 ? String(Math.round(v)) : String(+v.toPrecision(3)));
  const percent = (nines) => (nines === 0 ? "min" : `p${+(100 * (1 - 10 ** -nines)).toFixed(3)}`);

  function figure(title, unit) {
    const box = document.createElement("figure");
    const caption = document.createElement("figcaption");
    const small = document.createElement("small");
    small.textContent = unit;
    caption.append(title, " ", small);
    const plot = document.createElement("div");
    plot.className = "plot";
    plot.setAttribute("role", "img");
    plot.setAttribute("aria-label", `${title}, ${unit}: before and after`);
    box.append(caption, plot);
    place.append(box);
    return plot;
  }

  function draw(plot, columns, told, ticks) {
    const axis = { stroke: css("--dim"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 }, font: "12px system-ui, sans-serif" };
    const line = (label, stroke, dash) => ({ label, stroke, dash, width: 1.75, spanGaps: true, value: (u, v) => short(v), points: { show: false } });
    return new uPlot(
      {
        width: Math.max(200, plot.clientWidth),
        height: HEIGHT,
        scales: { x: { time: false }, y: { distr: 3 } },
        axes: [
          { ...axis, values: (u, at) => at.map(told), size: 32, splits: ticks, space: 48 },
          { ...axis, values: (u, at) => at.map((v) => (v === null ? "" : short(v))), size: 52 },
        ],
        series: [{ label: "at", value: (u, v) => (v == null ? "–" : told(v)) }, line(NAMES[0], css("--dim"), [6, 4]), line(NAMES[1], css("--link"))],
      },
      columns,
      plot,
    );
  }

  const charts = [];
  function all() {
    for (const chart of charts.splice(0)) chart.destroy();
    place.replaceChildren();
    for (const row of rows) {
      const known = row.nines.filter((nines, i) => row.percentiles.some((side) => side[i] !== null));
      const ticks = () => known.filter((nines) => Number.isInteger(nines) || nines === 0.3);
      const columns = [known, ...row.percentiles.map((side) => side.slice(0, known.length))];
      charts.push(draw(figure(row.title, "ms by percentile"), columns, (nines) => (nines === 0.3 ? "p50" : percent(nines)), ticks));
      const [before, after] = row.time.map((side) => new Map(side));
      const times = [...new Set([...before.keys(), ...after.keys()])].sort((a, b) => a - b);
      if (row.time.every((side) => side.length < 4)) continue;
      const lines = [before, after].map((side) => times.map((at) => side.get(at) ?? null));
      charts.push(draw(figure(row.title, "p99 in ms, over the first run of each side"), [times, ...lines], (s) => `${+s.toFixed(1)} s`));
    }
  }
  all();
  let width = innerWidth;
  addEventListener("resize", () => {
    if (width !== innerWidth) all();
    width = innerWidth;
  });
  for (const media of ["(prefers-color-scheme: dark)", "print"]) matchMedia(media).addEventListener("change", all);
})();
