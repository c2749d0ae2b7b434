// The network as it is: replicas, heights, keys, ceremonies, chains.

import { ago, card, certified, copyable, each, fill, h, number, plural, say, short, show, word } from './dom.js';

export const title = 'Network';

const names = { ckbtc_minter: 'ckBTC minter', ckbtc_ledger: 'ckBTC ledger', ckbtc_index: 'ckBTC index', btc_checker: 'Bitcoin checker',
  cketh_minter: 'ckETH minter', cketh_ledger: 'ckETH ledger', cketh_index: 'ckETH index', orchestrator: 'ckERC20 orchestrator' };

const algorithms = { ecdsa_secp256k1: 'ECDSA on secp256k1', bip340_secp256k1: 'Schnorr on secp256k1', ed25519: 'Ed25519', bls12_381_g2: 'Derived keys, BLS12-381' };

// keyName splits algorithm:name.
function keyName(id) {
  const at = id.indexOf(':');
  return [algorithms[id.slice(0, at)] ?? id.slice(0, at), id.slice(at + 1)];
}

// Heights of the last polls, for the rhythm of blocks. They outlive the page's changes.
const beats = [];
const shown = 48;

export function mount(root) {
  const height = h('p', { class: 'number' }, '–');
  const since = h('p', { class: 'muted small' });
  const state = h('p', null, 'asking the replica…');
  const bars = h('svg', { class: 'rhythm', viewBox: `0 0 ${shown * 10} 72`, preserveAspectRatio: 'none', role: 'img', 'aria-label': 'certified blocks per second, the last minute' });
  const facts = h('dl', { class: 'facts' });
  const replicas = h('ul', { class: 'rows' }), keys = h('ul', { class: 'rows' }), running = h('ul', { class: 'rows' }), done = h('ul', { class: 'rows' });
  const noneRunning = h('p', { class: 'empty' }, 'Nothing is being signed. A withdrawal, or a canister that asks for a signature, starts a ceremony.');
  const change = h('p', { class: 'warning', hidden: true });
  const bitcoin = h('dl', { class: 'facts' }), ethereum = h('dl', { class: 'facts' });
  const bitcoinTrouble = h('p', { class: 'trouble', hidden: true }), ethereumTrouble = h('p', { class: 'trouble', hidden: true });
  const chains = h('div', { class: 'columns' },
    card('Bitcoin', word(), bitcoin, bitcoinTrouble), card('Ethereum', word(), ethereum, ethereumTrouble));
  const canisters = h('ul', { class: 'rows' });
  const noCanisters = h('p', { class: 'empty' }, 'None of the well-known canisters is installed here.');

  fill(root,
    h('h1', { class: 'visually-hidden' }, 'Network'),
    h('section', { class: 'card hero', 'aria-label': 'Subnet' },
      h('div', null, h('p', { class: 'caption' }, 'Newest signed block ', certified()), height, since),
      h('div', null, bars, facts)),
    h('div', { class: 'columns' },
      card('Replicas', word(), state, change, replicas),
      card('Chain-key ceremonies', word(), running, noneRunning, done)),
    chains,
    h('div', { class: 'columns' },
      card('Threshold keys', word(), keys),
      card('Canisters', certified(), canisters, noCanisters)));

  const pair = (name, value) => [h('dt', null, name), h('dd', null, value)];
  let known = '';

  return { update(s) {
    const c = s.certified;
    say(height, c ? number(c.height) : '–');
    say(since, c ? `signed by the subnet ${ago(Number(BigInt(c.time_ns) / 1_000_000n))}` : 'no state is signed yet');
    say(state, s.sentence[0].toUpperCase() + s.sentence.slice(1) + '.');
    state.className = s.healthy ? 'muted small' : 'trouble';

    // The pace: how many heights each poll brought.
    if (c && (beats.length === 0 || beats.at(-1).at !== s.fetched)) {
      beats.push({ at: s.fetched, height: c.height });
      if (beats.length > shown + 1) beats.shift();
    }
    const steps = beats.slice(1).map((b, i) => Math.max(0, (b.height - beats[i].height) * 1000 / Math.max(200, b.at - beats[i].at)));
    const top = Math.max(4, ...steps);
    fill(bars, h('title', null, 'certified blocks per second, the last minute'), Array.from({ length: shown }, (_, i) => {
      const step = steps[i - (shown - steps.length)] ?? 0;
      const tall = Math.max(2, 70 * step / top);
      return h('rect', { x: i * 10 + 1, y: 72 - tall, width: 7, height: tall, rx: 1.5, class: step > 0 ? null : 'idle' });
    }));

    const identity = JSON.stringify([c?.subnet, s.network, s.node_id]);
    if (identity !== known) { // copying is possible only while the buttons stay
      known = identity;
      fill(facts,
        pair('Network', `${s.network} (${s.class})`),
        c?.subnet ? pair('Subnet', copyable(c.subnet, short(c.subnet, 14), 'Copy the subnet id')) : null,
        c?.root_key ? pair('Root key', copyable(c.root_key, short(c.root_key, 12), 'Copy the root key')) : null,
        pair('This replica', ['number ', s.node, ', ', copyable(s.node_id, short(s.node_id, 10), 'Copy the node id')]));
    }

    say(change, s.change ?? '');
    show(change, Boolean(s.change));
    each(replicas, s.replicas.filter((r) => r.role !== 'forgotten'), (r) => r.index, (r) => {
      const dot = h('span', { class: 'dot' }), name = h('span', { class: 'name' }), figure = h('span', { class: 'figure' }), note = h('span', { class: 'note' });
      return { node: h('li', null, dot, name, figure, note), update(r) {
        const behind = s.height - r.signed;
        dot.className = `dot ${r.connected ? (r.trouble || behind > 20 ? 'warn' : 'good') : 'bad'}`;
        say(name, `Replica ${r.index}${r.self ? ', this one' : ''}${r.role === 'member' ? '' : `, ${r.role}`}`);
        say(figure, r.signed ? `block ${number(r.signed)}` : r.connected ? 'connected' : '');
        say(note, [short(r.id, 11), r.connected ? '' : 'not connected', r.trouble ? r.standing : ''].filter(Boolean).join(' · '));
      } };
    });

    each(keys, s.keys, (k) => k.id, (k) => {
      const dot = h('span', { class: 'dot' }), note = h('span', { class: 'note' });
      const part = { node: h('li', null, dot, h('span', { class: 'name' }, keyName(k.id)[0]), h('span', { class: 'figure muted small' }, keyName(k.id)[1]), note), update(k) {
        dot.className = `dot ${k.active ? 'good' : 'busy'}`;
        if (k.public && !part.public) {
          part.public = k.public;
          fill(note, copyable(k.public, short(k.public, 14), 'Copy the public key'));
        } else if (!k.public) say(note, k.state);
      } };
      return part;
    });

    const live = s.ceremonies.filter((x) => !x.outcome), over = s.ceremonies.filter((x) => x.outcome).slice(0, 6);
    const open = [...s.open.map((text, i) => ({ number: `open ${i}`, text })), ...live];
    each(running, open, (x) => x.number, () => {
      const name = h('span', { class: 'name' }), figure = h('span', { class: 'figure muted small' }), note = h('span', { class: 'note' });
      return { node: h('li', null, h('span', { class: 'dot busy' }), name, figure, note), update: (x) => ceremony(x, name, figure, note) };
    });
    show(running, open.length > 0);
    show(noneRunning, open.length === 0);
    each(done, over, (x) => x.number, () => {
      const dot = h('span', { class: 'dot' }), name = h('span', { class: 'name' }), figure = h('span', { class: 'figure muted small' }), note = h('span', { class: 'note' });
      return { node: h('li', null, dot, name, figure, note), update(x) {
        dot.className = `dot ${x.outcome === 'failed' ? 'bad' : 'good'}`;
        ceremony(x, name, figure, note);
      } };
    });
    show(done, over.length > 0);

    const b = s.bitcoin;
    const bitcoinFacts = b ? [['Chain', b.network], ['Counted block', number(b.tip)], ['Final to', number(b.final)],
      ['Headers', b.synced ? `${number(b.headers)}, in step` : `${number(b.headers)} known, catching up`], ['Peers', number(b.peers)], ['Tip', short(b.tip_hash, 12)]] : [['Chain', 'this network follows no Bitcoin chain']];
    table(bitcoin, bitcoinFacts);
    say(bitcoinTrouble, b?.trouble ?? '');
    show(bitcoinTrouble, Boolean(b?.trouble));
    const e = s.ethereum;
    const ethereumFacts = e ? [['Chain id', String(e.chain_id)], ['Newest block', number(e.latest)], ['Final to', number(e.final)],
      ['Providers', e.operators.length ? e.operators.map((o) => `${o.name}: ${o.state}`).join('; ') : 'none are configured']] : [['Chain', 'this network follows no Ethereum chain']];
    table(ethereum, ethereumFacts);
    say(ethereumTrouble, e && !e.healthy ? e.sentence : '');
    show(ethereumTrouble, Boolean(e && !e.healthy));

    each(canisters, c?.canisters ?? [], (x) => x.id + x.module, (x) => ({ node: h('li', null, h('span', { class: 'dot good' }), h('span', { class: 'name' }, names[x.name] ?? x.name),
      h('span', { class: 'figure' }), h('span', { class: 'note' }, copyable(x.id, x.id, 'Copy the canister id'), ' ', x.module ? `module ${short(x.module, 6)}` : 'no module')) }));
    show(noCanisters, !c?.canisters.length);
  } };
}

function ceremony(x, name, figure, note) {
  if (x.text !== undefined) {
    say(name, 'Requested');
    say(note, x.text);
    return;
  }
  const kind = x.kind[0].toUpperCase() + x.kind.slice(1);
  say(name, x.request ? `${kind} ${number(x.request)}` : kind);
  say(figure, x.outcome ? `${x.seconds.toFixed(1)} s, ${ago(Date.parse(x.began))}` : ago(Date.parse(x.began)));
  const text = [keyName(x.key)[0], `replicas ${x.committee.join(', ')}`, x.attempt > 1 ? `attempt ${x.attempt}` : '', { failed: 'failed', overtaken: 'another member was first', done: 'done' }[x.outcome] ?? 'running'];
  say(note, text.filter(Boolean).join(' · '));
}

// table keeps a list of facts whose names stay.
function table(dl, rows) {
  if (dl.children.length !== 2 * rows.length) fill(dl, rows.map(([name]) => [h('dt', null, name), h('dd', null, '')]));
  rows.forEach(([name, value], i) => {
    say(dl.children[2 * i], name);
    say(dl.children[2 * i + 1], value);
  });
}
