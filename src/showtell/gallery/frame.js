"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = id => document.getElementById(id);

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children); // text becomes text nodes, never markup
  return element;
}

// of a page that shows pictures some at a time: its `order`, `shown`, `STEP` and `card`
function showMore() {
  const next = order.slice(shown, shown + STEP);
  byId("pictures").append(...next.map(card));
  shown += next.length;
  byId("more").hidden = shown >= order.length;
}
