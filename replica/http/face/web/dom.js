// Elements and texts. Everything that is shown goes through here, and what comes from outside is only ever text: there is no markup made of strings.

const svgNames = new Set(['svg', 'rect', 'path', 'circle', 'title']);

// h makes an element. Attributes that begin with "on" are listeners; children are nodes, texts, or lists of them; null is nothing.
export function h(name, attributes, ...children) {
  const node = svgNames.has(name) ? document.createElementNS('http://www.w3.org/2000/svg', name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? '' : String(value));
  }
  append(node, children);
  return node;
}

function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined) node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

// fill replaces what an element holds.
export function fill(node, ...children) {
  node.replaceChildren();
  append(node, children);
}

// say sets an element's text, and leaves it alone where it is the same, so that screen readers do not repeat it.
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// show hides or shows.
export function show(node, on) { node.hidden = !on; }

// each keeps a list's elements in step with items: make(item) gives {node, update(item)}.
export function each(list, items, key, make) {
  const had = list.parts ?? new Map();
  const has = new Map();
  items.forEach((item, i) => {
    const k = key(item);
    const part = had.get(k) ?? make(item);
    part.update?.(item);
    has.set(k, part);
    if (list.children[i] !== part.node) list.insertBefore(part.node, list.children[i] ?? null);
  });
  while (list.children.length > items.length) list.lastElementChild.remove();
  list.parts = has;
}

export const certified = () => h('span', { class: 'mark certified', title: 'signed by the subnet' }, 'certified');
export const word = () => h('span', { class: 'mark', title: 'what this one replica says' }, 'this replica');

export function card(title, mark, ...children) {
  return h('section', { class: 'card', 'aria-label': title }, h('header', null, h('h2', null, title), mark), ...children);
}

// short shows the two ends of what is long.
export function short(text, ends = 8) {
  return text.length <= 2 * ends + 1 ? text : `${text.slice(0, ends)}…${text.slice(-ends)}`;
}

// copyable is a text that a press puts on the clipboard.
export function copyable(text, shown = text, what = 'Copy') {
  const node = h('button', { type: 'button', class: 'copy', title: text, 'aria-label': `${what}: ${text}`, onclick: async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch { // no clipboard here: mark it, for the reader to copy
      say(node, text);
      getSelection().selectAllChildren(node);
      return;
    }
    node.classList.add('done');
    setTimeout(() => node.classList.remove('done'), 1500);
  } }, shown);
  return node;
}

const grouped = new Intl.NumberFormat('en');
export const number = (n) => grouped.format(n);

// ago says how long ago a time in ms is.
export function ago(ms, now = Date.now()) {
  const s = (now - ms) / 1000;
  if (s < -60 || s > 86400 * 300) return new Date(ms).toISOString().slice(0, 10);
  if (s < 1) return 'just now';
  if (s < 10) return `${s.toFixed(1)} s ago`;
  if (s < 90) return `${Math.round(s)} s ago`;
  if (s < 5400) return `${Math.round(s / 60)} min ago`;
  if (s < 129600) return `${Math.round(s / 3600)} h ago`;
  return `${Math.round(s / 86400)} days ago`;
}

export const plural = (n, noun) => `${number(n)} ${noun}${Number(n) === 1 ? '' : 's'}`;
