// Elements. Text from outside enters the page here alone, as text: a name that holds HTML is shown as it is.

export const byId = (id) => document.getElementById(id);

/** An element with attributes and children; a child that is a string becomes text, none is left out. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (attribute.startsWith("on")) element.addEventListener(attribute.slice(2), value);
    else if (value !== false && value !== undefined) element.setAttribute(attribute, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A sentence whose commands stand in backquotes, as children. */
export const marked = (sentence) => sentence.split("`").map((part, n) => (n % 2 ? make("code", {}, part) : part));

/** Sets a text only when it is another one: a screen reader says it once, a selection stays. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
