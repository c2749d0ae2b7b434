// The frame around the pages: which one is shown, and the replica's state once a second.

import * as ckbtc from './ckbtc.js';
import * as ckerc20 from './ckerc20.js';
import * as cketh from './cketh.js';
import { ago, fill, h, number, say, show } from './dom.js';
import * as ledgers from './ledgers.js';
import * as live from './live.js';

const pages = { '': live, ckbtc, cketh, ckerc20, ledgers };

const main = document.getElementById('main'), nav = document.getElementById('nav'), pulse = document.getElementById('pulse'), banner = document.getElementById('banner');
const dot = h('span', { class: 'dot' }), beat = h('span', null, 'connecting');
fill(pulse, dot, beat);

let state = null, page = null, route = null;

function navigate() {
  const hash = location.hash || '#/';
  if (!hash.startsWith('#/')) return;
  const [name, ...rest] = hash.slice(2).split('/');
  const next = pages[name] ?? null;
  if (route === hash && page) return;
  const first = route === null;
  route = hash;
  page?.unmount?.();
  page = null;
  fill(nav, Object.entries(pages).map(([n, p]) => h('a', { href: `#/${n}`, 'aria-current': n === name ? 'page' : null }, p.title)));
  if (!next) {
    fill(main, h('h1', null, 'No such page'), h('p', { class: 'empty' }, 'The dashboard has no page of this name. ', h('a', { href: '#/' }, 'See the network'), '.'));
  } else {
    page = next.mount(main, rest.map(decode)) ?? {};
    if (state) page.update?.(state);
  }
  document.title = next && name ? `${next.title} · fusion` : 'fusion';
  if (!first) main.focus({ preventScroll: true });
  if (!first) scrollTo(0, 0);
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const pace = 1000; // ms between polls; the replica makes a new state at most twice a second

let timer = 0, asking = false;

async function poll() {
  if (asking) return;
  asking = true;
  clearTimeout(timer);
  try {
    const res = await fetch('/dashboard/state.json', { cache: 'no-store', signal: AbortSignal.timeout(10_000) });
    if (!res.ok) throw new Error(res.status === 429 ? 'the replica is busy' : `the replica answers ${res.status}`);
    state = { ...await res.json(), fetched: Date.now() };
    show(banner, false);
    dot.className = `dot ${state.healthy ? 'good' : 'warn'}`;
    say(beat, `block ${number(state.height)}`);
    queueMicrotask(() => page?.update?.(state)); // its mistakes are not the replica's
  } catch (err) {
    dot.className = 'dot bad';
    say(beat, 'no answer');
    const why = err instanceof TypeError || err.name === 'TimeoutError' ? 'This replica does not answer' : err.message[0].toUpperCase() + err.message.slice(1);
    say(banner, state ? `${why}. What you see is from ${ago(state.fetched)}; asking again.` : `${why}. Asking again.`);
    show(banner, true);
  }
  asking = false;
  if (!document.hidden) timer = setTimeout(poll, pace);
}

document.addEventListener('visibilitychange', () => { if (!document.hidden) poll(); });
document.getElementById('skip').addEventListener('click', (e) => {
  e.preventDefault();
  main.focus();
});
addEventListener('hashchange', navigate);
navigate();
poll();
