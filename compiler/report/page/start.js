// The page is read before it is brought to life: figures and headings follow one by one when the browser has time.
const waiting = [
  ...[...document.querySelectorAll("[data-widget]")].map(figure => () =>
    WIDGETS[figure.dataset.widget](figure, JSON.parse(figure.querySelector("script").textContent))),
  () => document.querySelectorAll("table").forEach(table => { if (table.tBodies[0]?.rows.length > 2) sortable(table); }),
];
function next() {
  waiting.shift()?.();
  if (waiting.length) soon();
  else document.documentElement.dataset.ready = "";
}
const soon = () => window.requestIdleCallback ? requestIdleCallback(next, { timeout: 200 }) : setTimeout(next);
addEventListener("load", soon);
// Everything is printed, folded tables too.
addEventListener("beforeprint", () => {
  while (waiting.length) waiting.shift()();
  document.querySelectorAll("details:not([open])").forEach(one => {
    one.open = true;
    one.dataset.printed = "";
  });
});
addEventListener("afterprint", () => document.querySelectorAll("details[data-printed]").forEach(one => {
  one.open = false;
  delete one.dataset.printed;
}));
