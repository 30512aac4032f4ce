"use strict";

// Sorting: numbers as numbers, cells without a value always last.
const table = document.getElementById("board");
const heads = [...table.tHead.rows[0].cells];
const valueOf = (row, column) => row.cells[column].dataset.by ?? row.cells[column].textContent.trim();

function sortBy(column) {
  const down = heads[column].getAttribute("aria-sort") === "ascending";
  heads.forEach((head) => head.setAttribute("aria-sort", "none"));
  heads[column].setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = [...table.tBodies[0].rows];
  const numeric = rows.every((row) => valueOf(row, column) === "" || !Number.isNaN(Number(valueOf(row, column))));
  rows.sort((one, other) => {
    const [a, b] = [valueOf(one, column), valueOf(other, column)];
    if (a === "" || b === "") return (a === "") - (b === "");
    const order = numeric ? Number(a) - Number(b) : a.localeCompare(b, undefined, { numeric: true });
    return down ? -order : order;
  });
  table.tBodies[0].append(...rows);
}
heads.forEach((head, column) => head.firstChild.addEventListener("click", () => sortBy(column)));

// Plots
const stored = document.getElementById("figures");
const figures = stored ? JSON.parse(stored.textContent) : {};
const drawn = {};
for (const [name, plots] of Object.entries(figures)) {
  const room = document.querySelector(`#${name} .plots`);
  drawn[name] = plots.map((figure) => {
    const place = room.appendChild(document.createElement("div"));
    Plotly.newPlot(place, figure.data, figure.layout, { responsive: true, displayModeBar: name === "curves", displaylogo: false });
    return place;
  });
}

// "curve" in the table brings one run's line forward; the same again brings all back.
let chosen = null;
document.querySelectorAll("a[data-run]").forEach((link) => link.addEventListener("click", () => {
  const plot = drawn.curves?.[0];
  if (!plot) return;
  const run = Number(link.dataset.run);
  chosen = chosen === run ? null : run;
  const one = (index, on, off, all) => (chosen === null ? all : index === chosen ? on : off);
  Plotly.restyle(plot, {
    opacity: plot.data.map((_, index) => one(index, 1, 0.08, 0.8)),
    "line.width": plot.data.map((_, index) => one(index, 4, 2, 2)),
  });
}));
document.body.dataset.ready = "yes";
