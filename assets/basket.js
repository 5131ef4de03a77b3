/* The report basket: what an operator has put aside for a report, kept in this browser.

   IndexedDB "pyrometer", store "basket", at most MOST entries:
     {id, panel, page, url, title, caption, range, captured, png: Blob, width, height,
      data: null | {columns, rows, note}}
     id: number, the order of the report; url: with the range pinned; width, height: px of the
     PNG; data: at most MOST_ROWS rows. A browser that keeps nothing keeps them for the visit.

   pyrometer.basket.add(entry) | all() | update(id, {caption}) | remove(id) | move(id, -1 | 1) |
     clear() -> promises
   pyrometer.basket.count(), .MOST, .on(fn): called when it has changed, here or in another tab */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const MOST = 50;
  const MOST_ROWS = 2000;
  const [NAME, STORE] = ["pyrometer", "basket"];
  const listeners = [];
  const channel = "BroadcastChannel" in window ? new BroadcastChannel("pyrometer-basket") : null;
  let opening = null;
  let memory = null; // entries, where the browser keeps nothing
  let held = 0;

  const settled = (request) => new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

  /* The database, or null where there is none. */
  function open() {
    opening = opening || new Promise((resolve) => {
      const refuse = () => {
        memory = memory || [];
        resolve(null);
      };
      try {
        const request = indexedDB.open(NAME, 1);
        request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
        request.onsuccess = () => resolve(request.result);
        request.onerror = request.onblocked = refuse;
      } catch (refused) {
        refuse();
      }
    });
    return opening;
  }

  async function all() {
    const database = await open();
    if (!database) return [...memory].sort((one, other) => one.id - other.id);
    return settled(database.transaction(STORE).objectStore(STORE).getAll());
  }

  async function write(change) {
    const database = await open();
    if (database) {
      const transaction = database.transaction(STORE, "readwrite");
      const ended = new Promise((resolve, reject) => {
        transaction.oncomplete = resolve;
        transaction.onerror = transaction.onabort = () => reject(transaction.error || new Error("the browser keeps no more"));
      });
      const store = transaction.objectStore(STORE);
      change({ put: (entry) => store.put(entry), drop: (id) => store.delete(id), clear: () => store.clear() });
      await ended;
    } else {
      change({
        put: (entry) => (memory = [...memory.filter((one) => one.id !== entry.id), entry]),
        drop: (id) => (memory = memory.filter((one) => one.id !== id)),
        clear: () => (memory = []),
      });
    }
    if (channel) channel.postMessage("changed");
    await changed();
  }

  async function changed() {
    held = (await all()).length;
    for (const listener of listeners) pyrometer.guard("basket", listener);
  }

  async function add(entry) {
    const entries = await all();
    if (entries.length >= MOST) throw new Error(`the report has ${MOST} entries already; remove one first`);
    const id = 1 + Math.max(0, ...entries.map((one) => one.id));
    const data = entry.data ? { ...entry.data, rows: entry.data.rows.slice(0, MOST_ROWS) } : null;
    await write(({ put }) => put({ ...entry, id, data }));
    return held;
  }

  const remove = (id) => write(({ drop }) => drop(id));
  const clear = () => write((store) => store.clear());

  /* What is no longer there stays away. */
  async function update(id, changes) {
    const entry = (await all()).find((one) => one.id === id);
    if (entry) await write(({ put }) => put({ ...entry, ...changes, id }));
  }

  /* Change places with the neighbour before (-1) or after (1). */
  async function move(id, by) {
    const entries = await all();
    const at = entries.findIndex((one) => one.id === id);
    const other = entries[at + by];
    if (at < 0 || !other) return id;
    await write(({ put }) => {
      put({ ...entries[at], id: other.id });
      put({ ...other, id });
    });
    return other.id;
  }

  /* Returns what ends it. */
  function on(listener) {
    listeners.push(listener);
    return () => listeners.splice(listeners.indexOf(listener), 1);
  }

  pyrometer.basket = { MOST, add, all, update, remove, move, clear, count: () => held, on };
  (pyrometer.starters = pyrometer.starters || []).push(() => {
    if (channel) channel.addEventListener("message", changed);
    changed();
  });
})();
