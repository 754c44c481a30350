document.querySelectorAll("table").forEach(table => { if (table.tBodies[0].rows.length > 2) sortable(table); });
document.querySelectorAll("[data-widget]").forEach(figure => {
  WIDGETS[figure.dataset.widget](figure, JSON.parse(figure.querySelector("script").textContent));
});
// Folded tables are printed too.
addEventListener("beforeprint", () => document.querySelectorAll("details:not([open])").forEach(one => {
  one.open = true;
  one.dataset.printed = "";
}));
addEventListener("afterprint", () => document.querySelectorAll("details[data-printed]").forEach(one => {
  one.open = false;
  delete one.dataset.printed;
}));
