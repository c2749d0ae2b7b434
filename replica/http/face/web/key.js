// The key of this browser: P-256, made here, not extractable, kept in this origin's storage.

function request(r) {
  return new Promise((done, fail) => {
    r.onsuccess = () => done(r.result);
    r.onerror = () => fail(r.error);
  });
}

async function store(mode) {
  const open = indexedDB.open('fusion', 1);
  open.onupgradeneeded = () => open.result.createObjectStore('keys');
  return (await request(open)).transaction('keys', mode).objectStore('keys');
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };

let mine = null;

// ownKey is the browser's key, made on first use.
export function ownKey() {
  mine ??= load();
  mine.catch(() => { mine = null; });
  return mine;
}

async function load() {
  if (!globalThis.crypto?.subtle || !globalThis.indexedDB) throw new Error('this browser keeps keys only for pages of its own machine or with https');
  let pair = await request((await store('readonly')).get('own'));
  if (!pair) {
    const made = await crypto.subtle.generateKey(algorithm, false, ['sign']);
    // Another tab may have been faster: add fails where there is one.
    await request((await store('readwrite')).add(made, 'own')).catch(() => {});
    pair = await request((await store('readonly')).get('own'));
  }
  const der = new Uint8Array(await crypto.subtle.exportKey('spki', pair.publicKey));
  return { der, sign: async (bytes) => new Uint8Array(await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, pair.privateKey, bytes)) };
}
