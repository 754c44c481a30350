"use strict";
// What brings figures to life, by name: (element, data) => void.
const WIDGETS = {};

// A click on a heading, or Enter, sorts a table's rows by that column; once more turns it round.
function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (!head.textContent) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const number = head.classList.contains("number");
      const key = row => {
        const text = row.cells[column].textContent;
        return number ? (text ? parseFloat(text.replaceAll(",", "")) : -Infinity) : text;
      };
      const body = table.tBodies[0];
      const order = [...body.rows].map(row => [key(row), row]);
      order.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1));
      body.append(...order.map(([, row]) => row));
    });
  });
}

// An element with attributes and children.
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
