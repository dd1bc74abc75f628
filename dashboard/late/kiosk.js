/* Kiosk: a screen that nobody attends. It cycles the views that were saved in this browser, keeps the screen awake,
   finds the server again, and loads itself anew when the server has a new dashboard. Esc leaves it, Space pauses it. */
(function () {
  'use strict';
  const R = window.React, h = R.createElement, N = window.noctule;
  const LEAST = 10, MOST = 600, PAGES = ['/', '/research', '/plan'], MOST_VIEWS = 30, LOOK = 10000, STILL = 3000;

  /* A view is an address of ours, without an origin and without what a kiosk adds. */
  const sane = list => (Array.isArray(list) ? list : []).filter(one => {
    if (!one || typeof one.name !== 'string' || typeof one.to !== 'string' || one.to.length > 1500) return false;
    try { const to = new URL(one.to, location.origin); return to.origin === location.origin && PAGES.includes(to.pathname) && one.to.startsWith('/'); } catch (e) { return false; }
  }).map(one => ({ name: one.name.slice(0, 60), to: one.to })).slice(0, MOST_VIEWS);
  const load = () => { try { return sane(JSON.parse(N.kept('views') || '[]')); } catch (e) { return []; } };
  const seconds = text => Math.min(MOST, Math.max(LEAST, Math.round(+text) || 30));
  const here = () => { const to = new URL(location.href); ['kiosk', 'every', 'at', 'watch'].forEach(name => to.searchParams.delete(name)); return to.pathname + to.search + to.hash; };

  let running = null;
  N.kiosk = {
    run() {
      if (running) return;
      const root = document.documentElement;
      const mine = (running = { paused: false, at: -1, since: -1e9, lost: 0, full: false, timers: [], lock: null });
      root.dataset.kiosk = '1';
      const told = document.createElement('p');
      told.className = 'kiosktold'; told.setAttribute('role', 'status'); document.body.appendChild(told);
      const awake = () => { if (navigator.wakeLock && document.visibilityState === 'visible') navigator.wakeLock.request('screen').then(lock => { if (running === mine) mine.lock = lock; else lock.release(); }, () => 0); };
      /* A browser lets nobody fill the screen who has not touched it. */
      const full = () => { if (!document.fullscreenElement && root.requestFullscreen && (!navigator.userActivation || navigator.userActivation.isActive)) root.requestFullscreen().then(() => { mine.full = true; }, () => 0); };
      let still = 0;
      const stir = () => { root.classList.remove('still'); clearTimeout(still); still = setTimeout(() => root.classList.add('still'), STILL); };
      const keys = e => {
        if (e.key === 'Escape') { e.stopPropagation(); N.kiosk.leave(); return; }
        if (e.key === ' ') { e.preventDefault(); e.stopPropagation(); mine.paused = !mine.paused; mine.since = performance.now(); told.textContent = mine.paused ? (N.kioskWords || {}).paused || '❚❚' : ''; return; }
        full();
      };
      const screen = () => { if (mine.full && !document.fullscreenElement) N.kiosk.leave(); };
      /* Whether the server is there, and which dashboard it has. */
      const look = () => fetch('/live/scene?lang=' + root.lang, { cache: 'no-store' }).then(r => (r.ok ? r.json() : Promise.reject(r.status))).then(scene => {
        const back = mine.lost > 0;
        mine.lost = 0;
        if (mine.build && scene.build !== mine.build) { location.reload(); return false; }
        mine.build = scene.build;
        if (back) { awake(); if (!document.getElementById('map')) location.reload(); }
        return true;
      }, () => { mine.lost += 1; return false; });
      const show = to => {
        const next = new URL(to, location.origin), before = location.pathname + location.search;
        next.searchParams.set('kiosk', '1'); next.searchParams.set('every', seconds(N.asked('every')));
        history.replaceState(null, '', next.pathname + next.search + next.hash);
        if (location.pathname + location.search !== before) window.dispatchEvent(new PopStateEvent('popstate'));
        else { const place = /^#([\d.]+)\/(-?[\d.]+)\/(-?[\d.]+)$/.exec(next.hash); if (place && N.map) N.map.setView([+place[2], +place[3]], +place[1], { animate: false }); }
      };
      const turn = () => {
        const views = load(), every = seconds(N.asked('every')) * 1000;
        if (mine.paused || document.hidden || !views.length || performance.now() - mine.since < every) return;
        mine.since = performance.now();
        look().then(there => { if (there && running === mine) { mine.at = (mine.at + 1) % views.length; show(views[mine.at].to); N.kiosk.shown = (N.kiosk.shown || 0) + 1; } });
      };
      mine.timers.push(setInterval(look, LOOK), setInterval(turn, 500));
      const listeners = [[document, 'visibilitychange', awake], [document, 'fullscreenchange', screen], [window, 'keydown', keys, true], [window, 'pointermove', stir], [window, 'pointerdown', full], [window, 'online', look]];
      listeners.forEach(([on, what, call, first]) => on.addEventListener(what, call, !!first));
      mine.end = () => { mine.timers.forEach(clearInterval); clearTimeout(still); listeners.forEach(([on, what, call, first]) => on.removeEventListener(what, call, !!first)); told.remove(); if (mine.lock) mine.lock.release().catch(() => 0); };
      awake(); stir(); look(); turn(); full();
    },
    leave() {
      if (!running) return;
      const mine = running;
      running = null; mine.end();
      delete document.documentElement.dataset.kiosk; document.documentElement.classList.remove('still');
      N.address({ kiosk: '', every: '' });
      if (document.fullscreenElement) document.exitFullscreen().catch(() => 0);
    },
  };

  N.late.KioskViews = p => {
    const q = name => p.labels['kiosk.' + name], first = R.useRef(null);
    const [views, set] = R.useState(load), [name, setName] = R.useState(''), [every, setEvery] = R.useState(N.kept('every') || '30'), [told, tell] = R.useState('');
    R.useEffect(() => { if (first.current) first.current.focus(); }, []);
    N.kioskWords = { paused: q('paused') };
    const keep = list => { set(list); N.keep('views', list.length ? JSON.stringify(list) : ''); };
    const add = e => {
      e.preventDefault();
      if (views.length >= MOST_VIEWS) { tell(q('full')); return; }
      const layer = document.querySelector('input[name=layer]:checked'), said = layer ? layer.parentNode.textContent : document.title;
      keep(sane([...views, { name: name.trim() || `${said} ${views.length + 1}`, to: here() }])); setName('');
    };
    const move = (i, by) => { const copy = [...views], [one] = copy.splice(i, 1); copy.splice(i + by, 0, one); keep(copy); };
    const start = () => { N.keep('every', String(seconds(every))); p.close(); N.address({ kiosk: '1', every: seconds(every), at: '' }); N.kiosk.run(); };
    const mini = (text, label, onClick, disabled) => h('button', { type: 'button', className: 'mini', 'aria-label': label, title: label, onClick, disabled }, text);
    return h('section', { className: 'places sheetform', role: 'dialog', 'aria-labelledby': 'kiosk-title', onKeyDown: e => { if (e.key === 'Escape') { e.stopPropagation(); p.close(); } } },
      h('button', { type: 'button', className: 'close', 'aria-label': q('cancel'), onClick: p.close }, '×'),
      h('h2', { id: 'kiosk-title' }, q('title')), h('p', { className: 'note' }, q('note')),
      h('div', { className: 'scroll' },
        h('h3', null, q('views')),
        views.length ? h('ol', { className: 'views' }, views.map((one, i) => h('li', { key: i }, h('span', null, one.name), h('span', { className: 'deeds' }, mini('↑', `${q('up')}: ${one.name}`, () => move(i, -1), i === 0), mini('↓', `${q('down')}: ${one.name}`, () => move(i, 1), i === views.length - 1), mini('×', `${q('remove')}: ${one.name}`, () => keep(views.filter((_, k) => k !== i))))))) : h('p', { className: 'note' }, q('none')),
        h('form', { onSubmit: add, className: 'acts' }, h('label', { className: 'row' }, h('span', null, q('name')), h('input', { ref: first, value: name, maxLength: 60, autoComplete: 'off', onChange: e => setName(e.target.value) })), h('button', { type: 'submit', className: 'btn small' }, q('save'))),
        h('label', { className: 'row' }, h('span', null, q('every')), h('input', { id: 'kiosk-every', type: 'number', min: LEAST, max: MOST, value: every, onChange: e => setEvery(e.target.value) })),
        h('p', { className: 'note', role: 'status' }, told),
        h('div', { className: 'acts' }, h('button', { id: 'kiosk-start', type: 'button', className: 'btn', onClick: start }, q('start')), h('button', { type: 'button', className: 'btn', onClick: p.close }, q('cancel')))));
  };
})();
